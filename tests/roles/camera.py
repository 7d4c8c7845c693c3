"""A camera with an address of its own, from GStreamer's RTSP server.

Run as `camera.py PORT [USER PASSWORD]`; with a user it asks for the digest of a password.

With B_FRAMES in its environment it sends so many pictures in another order than they are shown,
and with ONLY=UDP it sends no other way.
Runs on the system's Python, which has the bindings. It says what time it is as the clock of its
process does, so whoever moves that clock has a camera whose clock was set.
"""

import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

B_FRAMES = os.environ.get("B_FRAMES")
ENCODER = f"bframes={B_FRAMES} b-adapt=false" if B_FRAMES else "tune=zerolatency"
PICTURE = (
    "videotestsrc is-live=true ! video/x-raw,width=160,height=90,framerate=25/1"
    f" ! timeoverlay ! x264enc {ENCODER} speed-preset=ultrafast key-int-max=25"
    " ! rtph264pay name=pay0 pt=96 config-interval=1"  # what a decoder needs comes twice, then
)
SOUND = (
    "audiotestsrc is-live=true ! audioconvert ! audio/x-raw,rate=48000,channels=2"
    " ! avenc_aac ! rtpmp4gpay name=pay1 pt=97"
)

REPORTS = 500_000_000
"""Nanoseconds between two reports of what time it is; five seconds are usual."""


def prepared(media: GstRtspServer.RTSPMedia) -> None:
    """Tell the time often."""
    for number in range(media.n_streams()):
        media.get_stream(number).get_rtpsession().set_property("rtcp-min-interval", REPORTS)


Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(shared=True)
factory.set_launch(f"( {PICTURE} {SOUND} )")
if os.environ.get("ONLY") == "UDP":
    factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
factory.connect("media-configure", lambda _, media: media.connect("prepared", prepared))
if len(sys.argv) > 2:  # only those may see it who know, and nobody says it in clear text
    user, password = sys.argv[2:]
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    may = "viewer, media.factory.access=true, media.factory.construct=true"
    factory.add_role_from_structure(Gst.Structure.from_string(may)[0])
server.get_mount_points().add_factory("/main", factory)
server.attach(None)
GLib.MainLoop().run()

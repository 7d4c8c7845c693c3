"""The GStreamer pipelines of an ingest, as the capture program takes them. Pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet import programs
from fleet.host import Failed, Host
from fleet.media.devices import ScreenInput, V4l2Input
from fleet.media.encoders import Chosen
from fleet.media.formats import fraction
from fleet.media.inputs import Input, NoInput, Picture, UrlInput
from fleet.media.login import login
from fleet.media.tracks import MOST, SoundTrack

CAPTURE = ("/usr/bin/python3", "-I", str(Path(programs.__file__).with_name("capture.py")))
"""The program that runs them, on the Python that has GStreamer's bindings: ours may be in a
virtual environment."""

WAIT = 200_000_000
"""Nanoseconds the mixers wait for what is on its way."""
_PATIENCE = 3_000_000_000
"""Nanoseconds the muxer waits for the slower of picture and sound, as on a busy start."""
_BEHIND, _LOST = 3_000_000_000, 6_000_000_000
"""Nanoseconds a reader may be behind before it skips to a key frame, and before it is dropped."""
_QUIET = 10_000_000_000
"""Nanoseconds after which a reader that takes nothing is dropped."""
LOOPBACK = "127.0.0.1"
"""Where readers on the station itself connect, whatever becomes of its network."""
_LOOPED = (LOOPBACK, "0.0.0.0", "::")  # noqa: S104 (compared with)
"""Addresses to listen on that include it."""
_SAMPLES = "audio/x-raw,format=S16LE,rate=48000,layout=interleaved"


def pcm(channels: int) -> str:
    """Sound between capture and encoder; of two channels they are left and right."""
    mask = ",channel-mask=(bitmask)3" if channels == 2 else ""
    return f"{_SAMPLES},channels={channels}{mask}"


PCM = pcm(2)
STEREO = ((2, None),)
"""One track of sound, as `output` takes it."""
_CONVERT = "audioconvert dithering=none"
"""Zeros stay zeros, so that a monitor can tell a muted input from a quiet room."""
# Without a latency of its own, a feed that nothing came through yet would hold up the mixers.
_FEED = (
    "is-live=true min-latency=0 format=time max-bytes=0 max-time=3000000000 leaky-type=downstream"
)
_AT_ONCE = 262_144
"""Bytes read at once of what is not encoded."""
_AHEAD = "queue max-size-buffers={max} max-size-bytes=0 max-size-time=0"
"""What is decoded while the one before waits for its time."""
_QUEUED = "max-size-time=10000000000 max-size-bytes=33554432 max-size-buffers=1048576"
"""As `programs.capture` has it."""
_BLOCK = "output-buffer-duration-fraction=16/375"
_LARGER = (
    "audiobuffersplit output-buffer-duration=16/375 discont-wait=0 alignment-threshold=10000000"
)
"""Sound goes in blocks of 2048 at 48 kHz, two of AAC's: each costs, whatever its size."""
_TAKE = "emit-signals=true async=false drop=true"
_VIDEO = {
    # No parser: it takes the frame after the first for a key frame, and both repeat their headers
    # before each key frame; from x265's own kind of those (open-gop) nobody can begin.
    "h264": "x264enc bitrate={kbit} key-int-max=30 speed-preset=veryfast tune=zerolatency{threads}"
    " ! video/x-h264,stream-format=byte-stream,alignment=au",
    "h265": "x265enc bitrate={kbit} key-int-max=30 speed-preset=ultrafast tune=zerolatency"
    " option-string=repeat-headers=1:open-gop=0"
    ":colorprim=bt709:transfer=bt709:colormatrix=bt709:range=limited"
    " ! video/x-h265,stream-format=byte-stream,alignment=au",
}
_SMALL = 16_000_000
"""Pixels a second, as of 1024x576 at 25, that one thread encodes even on a slow machine: to wake
others for a part of each picture would take a fifth more processor time."""
_DATED = (
    " ! appsink name=encoded sync=false async=false emit-signals=true"
    f" appsrc name=dated is-live=true format=time min-latency=0 max-latency={_PATIENCE}"
)
"""Where encoded pictures get their time of day. Without a latency that goes together with that of
sound the muxer would ask for it, and complain, at every packet: a tenth of all that is done."""
_TOGETHER = "tsparse alignment=7 split-on-rai=true ! capssetter name=headed"
"""Serves packets of 188 bytes in sevens, and a key frame from its first: each would be looked at
and sent by itself, beside all that are kept since the last key frame. What stands before them all
gets lost in this, and is set again."""
_AUDIO = {
    # Channels apart: forced together, a dead one would hear the other at -6 dB.
    "aac": "avenc_aac bitrate={bit} aac-ms=false aac-is=false ! aacparse",
    "mp2": "avenc_mp2 bitrate={bit} ! mpegaudioparse",
}
PACKAGES = {
    "x264enc": "gstreamer1.0-plugins-ugly",
    "avenc_": "gstreamer1.0-libav",
    "alsasrc": "gstreamer1.0-alsa",
    "timeoverlay": "gstreamer1.0-x",
    "mpegtsmux": "gstreamer1.0-plugins-bad",
    "tsparse": "gstreamer1.0-plugins-bad",
    "capssetter": "gstreamer1.0-plugins-good",
    "decklink": "gstreamer1.0-plugins-bad",
    "x265enc": "gstreamer1.0-plugins-bad",
    "v4l2src": "gstreamer1.0-plugins-good",
    "ximagesrc": "gstreamer1.0-plugins-good",
    "deinterlace": "gstreamer1.0-plugins-good",
    "gdkpixbufdec": "gstreamer1.0-plugins-good",
    "aacparse": "gstreamer1.0-plugins-good",
    "mpegaudioparse": "gstreamer1.0-plugins-good",
    "bindings": "python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0",
}
"""What an element's name begins with -> the Debian package that has it."""


def refused(words: str, port: int, listen: str) -> Failed | None:
    """Why the program could not serve, by its last output; None where that does not tell."""
    if "in use" in words:
        return Failed(
            "PortInUse",
            f"port {port} is taken by another program: give this one another port",
        )
    if "assign requested address" in words:
        return Failed("NotPermitted", f"{listen} is not an address of this station")
    if "no element" in words.lower():
        package = next((has for part, has in PACKAGES.items() if part in words), "")
        return Failed("ToolMissing", f"{words.strip()}: apt install {package}".rstrip(": "))
    return None


def raw(size: str) -> str:
    """The picture between capture and encoder, at any rate."""
    width, height = size.split("x")
    return (
        f"video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1"
        ",interlace-mode=progressive,colorimetry=bt709"
    )


def output(
    picture: str | None,
    *,
    sound: Sequence[tuple[int, str | None]],
    video: tuple[str, int],
    audio: tuple[str, int],
    listen: str,
    port: int,
    chosen: Chosen = Chosen(),  # noqa: B008 (frozen)
) -> str:
    """From pictures and sound to whoever connects.

    `picture`: as `raw` gives it, with a rate, None for none; `sound`: channels and language of
    each track; `video`, `audio`: codec and bit/s; `chosen`: what encodes pictures.
    """
    threads = " threads=1" if picture and _pixels(picture) <= _SMALL else ""
    software = _VIDEO[video[0]].format(kbit=video[1] // 1000, threads=threads)
    encoder = (chosen.gstreamer(*video) or software) + _DATED
    sounds = [
        (pcm(channels), _AUDIO[audio[0]].format(bit=audio[1]) + _language(language))
        for channels, language in sound
    ]
    parts = _always((picture, encoder) if picture else None, sounds)
    begin = (
        "sync-method=latest-keyframe recover-policy=keyframe"
        if picture
        else "sync-method=latest recover-policy=latest"
    )
    serve = (
        f"port={port} sync=false {begin}"
        f" unit-format=time units-soft-max={_BEHIND} units-max={_LOST} timeout={_QUIET}"
    )
    servers = f"tcpserversink name=server host={listen} {serve}"
    if listen not in _LOOPED:
        servers = (
            f"tee name=both ! queue ! {servers}"
            f" both. ! queue ! tcpserversink name=loopback host={LOOPBACK} {serve}"
        )
    together = f"{_TOGETHER} ! " if picture else ""
    return " ".join([*parts, f"mpegtsmux name=mux latency={_PATIENCE} ! {together}", servers])


def _pixels(picture: str) -> float:
    """How many there are in a second."""
    caps = dict(part.split("=") for part in picture.split(",")[1:])
    over, under = fraction(caps["framerate"])
    return int(caps["width"]) * int(caps["height"]) * over / under


def raw_output(picture: str) -> str:
    """From pictures and sound, not encoded but in Matroska, to the standard output."""
    parts = _always((picture, "identity name=encoded"), [(PCM, "identity")])
    return " ".join([*parts, "matroskamux name=mux streamable=true ! fdsink name=fed sync=false"])


def _language(code: str | None) -> str:
    return f" ! taginject tags=language-code={code}" if code else ""


def _always(picture: tuple[str, str] | None, sounds: Sequence[tuple[str, str]]) -> list[str]:
    """What comes, or black and silence, by way of what the last of each names, to `mux`."""
    wait = f"latency={WAIT} ignore-inactive-pads=true force-live=true"
    parts = []
    if picture:
        caps, then = picture
        parts += [
            f"compositor name=pictures background=black max-threads=1 {wait}"
            f" ! {caps} ! {then} ! mux.",
            f"appsrc name=picture {_FEED} caps={caps} ! pictures.sink_0",
        ]
    for number, (caps, then) in enumerate(sounds):
        name = sink(number)
        parts += [
            f"audiomixer name={name}-mix {_BLOCK} {wait} ! {caps} ! {_CONVERT} ! {then} ! mux.",
            f"appsrc name={name} {_FEED} caps={caps} ! {name}-mix.sink_0",
        ]
    return parts


def sink(number: int) -> str:
    """What the way of a track of sound is called."""
    return "sound" if number == 0 else f"sound-{number + 1}"


def sources(
    picture: Picture, sounds: Sequence[SoundTrack], caps: str, rate: str, host: Host
) -> list[dict[str, Any]]:
    """A pipeline for each thing to be opened: one, where several come from the same.

    `caps`: the picture that is wanted, as `raw` gives it; `rate`: its frames a second, as `25/1`.
    """
    opened: dict[Input, list[tuple[str, SoundTrack]]] = {}
    if not isinstance(picture, NoInput):
        opened[picture] = []
    for number, track in enumerate(sounds):
        opened.setdefault(track.input, []).append((sink(number), track))
    image, _ = _ends(caps, rate)
    found = []
    for one, tracks in opened.items():
        chains = []
        if not isinstance(picture, NoInput) and one == picture:
            chains.append((picture.picture, image))
        if tracks and not isinstance(one, V4l2Input | ScreenInput):
            chains.append((one.sound, _tones(one.sound, tracks)))
        channels = {name: track.channels for name, track in tracks if track.channels}
        found.append(_source(one, chains, host) | {"channels": channels})
    return found


def _tones(head: str, tracks: Sequence[tuple[str, SoundTrack]]) -> str:
    """What makes of the sound of one input the tracks that leave."""
    tones = [_tone(name, track.channels) for name, track in tracks]
    most = max(max(track.channels or (1,)) for _, track in tracks)
    # A device is asked for them; what is decoded has what it has.
    asked = "" if "name=decoder" in head or most == 1 else f"audio/x-raw,channels=[{most},64] ! "
    if len(tones) == 1:
        return asked + tones[0]
    each = (f"tracks. ! {_AHEAD.format(max=200)} ! {tone}" for tone in tones)
    return " ".join([f"{asked}tee name=tracks", *each])


def offered(host: str, port: int, caps: str, rate: str) -> dict[str, Any]:
    """The pipeline that reads what another role offers; caps and rate as for `sources`."""
    # Named, so that nobody who answers there in its place has another thing opened than this.
    stream = "video/mpegts,systemstream=true"
    read = f"tcpclientsrc name=device ! {stream} ! decodebin name=streams {_QUEUED}"
    return _both(read, "streams", caps, rate) | {"set": {"device": {"host": host, "port": port}}}


def tapped(host: str, port: int, caps: str, rate: str) -> dict[str, Any]:
    """The same of raw ones in Matroska on the station itself."""
    # tcpclientsrc would take 4 KiB at a time, of ten megabytes a second or more.
    read = f"fdsrc name=tap blocksize={_AT_ONCE} ! matroskademux name=demux"
    return _both(read, "demux", caps, rate) | {"connect": {"tap": [host, port]}}


def _both(begin: str, name: str, caps: str, rate: str) -> dict[str, Any]:
    """Picture and sound of the pads of `name`, an element of the pipeline `begin`."""
    image, tone = _ends(caps, rate)
    return {"pipeline": f"{begin} {name}. ! {image} {name}. ! {tone}", "stands": False}


def _ends(caps: str, rate: str) -> tuple[str, str]:
    """What makes of a picture and of sound those that leave."""
    best = f"video/x-raw,framerate={rate}"  # asked for where a source has a choice
    wanted = f'capsfilter caps="{best},colorimetry=bt709;{best};video/x-raw"'
    image = (
        f"{wanted} ! videoconvert name=seen ! deinterlace ! identity name=thin"
        " ! videoflip video-direction=auto ! videoconvert ! capsfilter name=range"
        f" ! videoconvertscale add-borders=true ! {caps}"
        f" ! {_AHEAD.format(max=4)} ! appsink name=picture max-buffers=8 {_TAKE}"
    )
    return image, _tone(sink(0), None)


def _tone(name: str, channels: Sequence[int] | None) -> str:
    """What makes sound of `channels`, which are picked afterwards, or stereo of all."""
    caps = _SAMPLES if channels else PCM
    return (
        f"{_CONVERT} ! audioresample ! {caps} ! {_LARGER} ! {_AHEAD.format(max=200)}"
        f" ! appsink name={name} max-buffers=100 {_TAKE}"
    )


def _source(one: Input, chains: Sequence[tuple[str, str]], host: Host) -> dict[str, Any]:
    heads = {head for head, _ in chains}
    if len(heads) == 1 and len(chains) == 2:  # one element that gives both
        (head,) = heads
        pipeline = " ".join([head, *(f"decoder. ! {tail}" for _, tail in chains)])
    else:
        pipeline = " ".join(f"{head} ! {tail}" for head, tail in chains)
    parts = pipeline.split()
    given = one.properties(host)
    given |= {sink(number): given["sound"] for number in range(MOST) if "sound" in given}
    properties = {name: values for name, values in given.items() if f"name={name}" in parts}
    return {
        "pipeline": pipeline,
        "set": properties,
        "stands": bool({"name=decoder", "name=still"} & {*parts}),
        "login": login(one, host) if isinstance(one, UrlInput) else {},
        "far": isinstance(one, UrlInput),
    }

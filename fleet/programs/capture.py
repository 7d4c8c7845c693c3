"""Encodes once what comes and goes, and serves it to whoever connects.

One pipeline encodes and serves, from black and silence where there is nothing else; it never
stops, so no reader notices what happens in front of it. Every device or address is captured by
a pipeline of its own, which is rebuilt whenever it fails, and hands over finished pictures and
sound. All of them run on one clock, so sound and picture stay together.

Run as `python3 capture.py [SPECIFICATION]`, else it is on standard input, as it must where it holds
a login: JSON with the pipelines as GStreamer writes them:

    {"output": "…", "rate": [25, 1], "connect": {"element": ["address", 1234]}, "sources": [
        {"pipeline": "…", "set": {"element": {"property": "value"}}, "stands": false,
         "far": false, "connect": {"element": ["address", 1234]}}]}

`output` has appsrc elements named `picture`, `sound`, `sound-2` and so on (any may lack), the first
at `sink_0` of one named `pictures`, an appsink `encoded` and an appsrc `dated`, between which key
frames get their time of day (or an element `encoded` that leaves pictures as they are), and
elements `server` and, where that does not take connections from the station itself, `loopback`, and
maybe `headed`, a capssetter that says what `mux` has sent first. A source has appsinks with the
names of what it feeds, and for pictures elements `seen` at their begin, `thin` where spare ones are
left out, and `range`, a filter of what they are converted by. `connect`: an fdsrc or fdsink, and
the program on this machine that it reads or feeds; to feed one it is waited for. `stands`: its
picture may stay the same for seconds; `channels`: of a name, which of those that come; `far`: what
it reads is sent by another machine, and kept for a while. Every second it writes what it does to
standard output, as ffmpeg's `-progress` does. It ends with status 3 where GStreamer lacks a part.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    from gi.repository import GLib, Gst, GstRtsp  # noqa: F401 (else its messages are opaque)
except (ImportError, ValueError) as missing:
    GLib = Gst = None
    unavailable = str(missing)

# Nothing but its neighbours, which need no packages: this is the system's Python, not the agent's.
sys.path.append(str(Path(__file__).parents[2]))
from fleet.programs.feeds import Encoded, Pictures, Sounds, keep_threads
from fleet.programs.reach import confine
from fleet.programs.source import Source, connect

Json = dict[str, Any]

MOST = 4
"""Tracks of sound."""
_AGAIN_SECONDS = 0.05


class Capture:
    """The output and its sources."""

    def __init__(self, specification: Json) -> None:
        self._loop = GLib.MainLoop()
        self._status = 0
        self._output = Gst.parse_launch(specification["output"])
        self._connections = [
            _fed(self._output.get_by_name(element), address)
            for element, address in specification.get("connect", {}).items()
        ]
        keep_threads(self._output)
        clock = Gst.SystemClock.obtain()
        self._output.use_clock(clock)
        # GStreamer sets the time last of all; a mixer that wakes up before is at once too late.
        self._output.set_start_time(Gst.CLOCK_TIME_NONE)
        self._output.set_base_time(clock.get_time())
        servers = map(self._output.get_by_name, ("server", "loopback"))
        self._servers = [one for one in servers if one and one.find_property("bytes-to-serve")]
        headed = self._output.get_by_name("headed")
        if headed is not None:
            leaves = self._output.get_by_name("mux").get_static_pad("src")
            leaves.connect("notify::caps", _head, headed)
        self._pictures, self._sounds = self._feeding(specification)
        pictures = [self._pictures] if self._pictures else []
        self._feeds = {feed.kind: feed for feed in (*pictures, *self._sounds)}
        self._sources = [Source(one, self._output, self._feeds) for one in specification["sources"]]
        self._encoded = Encoded(self._output, self._pictures) if self._pictures else None
        self._reported = (0, monotonic())
        """Where the picture was, and when, at the last report."""

    def _feeding(self, specification: Json) -> tuple[Pictures | None, list[Sounds]]:
        picture, pictures = map(self._output.get_by_name, ("picture", "pictures"))
        names = ("sound", *(f"sound-{number}" for number in range(2, MOST + 1)))
        sounds = {name: self._output.get_by_name(name) for name in names}
        return (
            Pictures(picture, pictures.get_static_pad("sink_0"), tuple(specification["rate"]))
            if picture
            else None,
            [Sounds(appsrc, name) for name, appsrc in sounds.items() if appsrc],
        )

    def run(self) -> int:
        """Until a signal, or until the output fails; the exit status."""
        bus = self._output.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._failed)
        for number in (signal.SIGINT, signal.SIGTERM):
            GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, self._loop.quit)
        GLib.timeout_add(200, self._look)
        GLib.timeout_add(1000, self._report)
        self._output.set_state(Gst.State.PLAYING)
        for source in self._sources:
            source.begin()
        self._loop.run()
        for source in self._sources:
            source.end()
        self._output.set_state(Gst.State.NULL)
        return self._status

    def _look(self) -> bool:
        for source in self._sources:
            source.look()
        return True

    def _failed(self, bus: Any, message: Any) -> None:
        error, details = message.parse_error()
        print(f"{error.message} ({details})", file=sys.stderr, flush=True)
        self._status = 1
        self._loop.quit()

    def _speed(self) -> float:
        """Media time over real time since the last report."""
        (before, at), now = self._reported, monotonic()
        reached = self._encoded.reached if self._encoded else 0
        self._reported = (reached, now)
        return (reached - before) / 1e9 / (now - at)

    def _report(self) -> bool:
        dropped, repeated = self._pictures.counts if self._pictures else (0, 0)
        values = {
            "frame": self._encoded.frames if self._encoded else 0,
            "drop_frames": dropped,
            "dup_frames": repeated,
            "speed": f"{self._speed():.2f}x",
            "total_size": sum(one.get_property("bytes-to-serve") for one in self._servers[:1]),
            "readers": sum(server.get_property("num-handles") for server in self._servers),
            "input": next(filter(None, (source.input() for source in self._sources)), ""),
        }
        if self._pictures:
            lost = self._pictures.lost()
            values["pictures_dropped"], values["pictures_repeated"] = (f"{it:.4f}" for it in lost)
            values["held_us"] = self._pictures.held // 1000
        if self._sounds:
            values["sound_lost"] = f"{max(sound.lost() for sound in self._sounds):.4f}"
            values["sound_missing_us"] = sum(sound.missing for sound in self._sounds) // 1000
        for name, feed in self._feeds.items():
            values[name] = "present" if feed.present else "missing"
            errors = [source.error for source in self._sources if feed in source.feeds]
            values[f"{name}_error"] = "" if feed.present else next(filter(None, errors), "")
        lines = [f"{name}={value}\n" for name, value in values.items()]
        print(*lines, "progress=continue\n", sep="", end="", flush=True)
        return True


def _fed(element: Any, address: list[Any]) -> socket.socket:
    """Have what leaves go to a program on this machine once it is there."""
    while True:
        try:
            connection = connect(address)
        except OSError:
            sleep(_AGAIN_SECONDS)
        else:
            element.set_property("fd", connection.fileno())
            return connection


def _head(pad: Any, _: Any, headed: Any) -> None:
    """Have what a muxer sends first sent first to everybody, whatever comes between."""
    caps = pad.get_current_caps()
    if caps is not None:
        headed.set_property("caps", caps)


def _wait_for_ever(display: Any) -> int:
    """Xlib ends the whole program if this returns; the thread of that screen stays here."""
    threading.Event().wait()
    return 0


_screen_gone = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_wait_for_ever)
"""Kept, or it would be collected."""


def main() -> int:
    """The exit status."""
    if Gst is None:
        print(f"no element: GStreamer's Python bindings: {unavailable}", file=sys.stderr)
        return 3
    os.environ.pop("DISPLAY", None)  # a screen element would open that one, and keep it
    with contextlib.suppress(OSError):  # without Xlib there are no screens
        ctypes.CDLL("libX11.so.6").XSetIOErrorHandler(_screen_gone)
    Gst.init(None)
    specification = json.loads(sys.argv[1] if sys.argv[1:] else sys.stdin.read())
    confine(Gst, specification)
    try:
        return Capture(specification).run()
    except GLib.Error as error:
        print(error.message, file=sys.stderr)
        return 3


if __name__ == "__main__":
    ended = main()
    sys.stderr.flush()
    os._exit(ended)  # GStreamer's threads may still call Python, which must be there until the end

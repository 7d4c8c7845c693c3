"""Encodes once what comes and goes, and serves it to whoever connects.

One pipeline encodes and serves, from black and silence where there is nothing else; it never
stops, so no reader notices what happens in front of it. Every device or address is captured by
a pipeline of its own, which is rebuilt whenever it fails, and hands over finished pictures and
sound. All of them run on one clock, so sound and picture stay together.

Run as `python3 capture.py [SPECIFICATION]`, else it is on standard input, as it must where it holds
a login: JSON with the pipelines as GStreamer writes them:

    {"output": "…", "rate": [25, 1], "sources": [
        {"pipeline": "…", "set": {"element": {"property": "value"}}, "stands": false,
         "far": false}]}

`output` has appsrc elements named `picture`, `sound`, `sound-2` and so on (any may lack), the first
at `sink_0` of one named `pictures`, an appsink `encoded` and an appsrc `dated`, between which key
frames get their time of day (or an element `encoded` that leaves pictures as they are), and
elements `server` and, where that does not take connections from the station itself, `loopback`. A
source has appsinks with the names of what it feeds, and for pictures elements `seen` at their
begin, `thin` where spare ones are left out, and `range`, a filter of what they are converted by.
`stands`: its picture may stay the same for seconds; `channels`: of a name, which of those that
come; `far`: what it reads is sent by another machine, and kept for a while. Every second it writes
what it does to standard output, as ffmpeg's `-progress` does. It ends with status 3 where GStreamer
lacks a part.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

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
from fleet.programs.feeds import SILENT_SECONDS, Encoded, Pictures, Sounds, of_channels
from fleet.programs.plugged import ANY, the_only
from fleet.programs.reach import confine
from fleet.programs.stamp import Arrivals
from fleet.programs.timing import Timeline

Json = dict[str, Any]

MOST = 4
"""Tracks of sound."""
STALLED_SECONDS = 8.0
"""A source that gives nothing for so long is begun anew."""
RETRY_SECONDS = 1.0
DEVICES = {
    "v4l2src": "v4l2",
    "alsasrc": "alsa",
    "decklinkvideosrc": "decklink",
    "decklinkaudiosrc": "decklink",
}
"""Element that captures -> the kind of its device, of which the only one may be wanted."""
QUEUED = {"max-size-time": 10_000_000_000, "max-size-bytes": 1 << 25, "max-size-buffers": 1 << 20}
"""What a decoder keeps of each stream before it is decoded: what a sender sends ahead, and what
waits for its time. With less, the sinks would hold up what reads the network."""


class Source:
    """A pipeline that captures, begun again whenever it ends."""

    def __init__(self, specification: Json, output: Any, feeds: dict[str, Any]) -> None:
        self._specification = specification
        self._output = output
        self._pipeline: Any = None
        self._timeline: Timeline | None = None
        self._arrivals = Arrivals(Gst.SECOND)
        self._offsets: dict[str, int] = {}
        """What was added to the time of the last sample of each feed."""
        self._lock = threading.Lock()
        self._begun = 0.0
        self._retry_at = 0.0
        self.error = ""
        """Why there is nothing."""
        parts = specification["pipeline"].split()
        self.feeds = [feed for name, feed in feeds.items() if f"name={name}" in parts]
        """What it feeds."""

    def begin(self) -> None:
        """Start to capture.

        Raises:
            GLib.Error: a part of GStreamer is missing.
        """
        try:
            self._begin()
        except LookupError as error:
            self.error = " ".join(str(error).split())
            self._retry_at = monotonic() + RETRY_SECONDS

    def _begin(self) -> None:
        pipeline = Gst.parse_launch(self._specification["pipeline"])
        for element, properties in self._specification.get("set", {}).items():
            for name, value in properties.items():
                part = pipeline.get_by_name(element)
                if value == ANY and part.get_factory().get_name() in DEVICES:
                    value = the_only(DEVICES[part.get_factory().get_name()]).device
                Gst.util_set_object_arg(part, name, str(value))
        pipeline.use_clock(self._output.get_clock())
        for feed in self.feeds:
            sink = pipeline.get_by_name(feed.kind)
            sink.connect("new-sample", self._sample, feed, pipeline)
            if isinstance(feed, Pictures):
                thin = pipeline.get_by_name("thin").get_static_pad("src")
                thin.add_probe(Gst.PadProbeType.BUFFER, feed.thin)
                seen = pipeline.get_by_name("seen").get_static_pad("sink")
                ranged = pipeline.get_by_name("range")
                seen.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, _fit_range, ranged)
        decoder = pipeline.get_by_name("decoder")
        if decoder is not None:
            decoder.connect("source-setup", _set_up, self._specification.get("login", {}))
            decoder.connect("deep-element-added", self._set_up_inside, pipeline)
        bus = pipeline.get_bus()
        for flushing in (True, False):  # a screen complains before it is told which one it is
            bus.set_flushing(flushing)
        bus.add_signal_watch()
        bus.connect("message::error", self._failed)
        bus.connect("message::eos", self._ended)
        bus.connect("message::latency", _has_latency, pipeline)
        self._pipeline, self._timeline, self._arrivals = pipeline, None, Arrivals(Gst.SECOND)
        self._offsets = {}
        self._begun = monotonic()
        pipeline.set_state(Gst.State.PLAYING)

    def look(self) -> None:
        """Begin again where it has ended or gives nothing."""
        now = monotonic()
        since = [now - feed.last for feed in self.feeds]
        lively = min(since) < SILENT_SECONDS
        for feed, seconds in zip(self.feeds, since, strict=True):
            stands = feed.kind == "picture" and self._stands(lively)
            feed.look(seconds < (STALLED_SECONDS if stands else SILENT_SECONDS))
        if self._pipeline is None:
            if now >= self._retry_at:
                self.begin()
        elif any(feed.present for feed in self.feeds):
            self.error = ""
        elif min(now - self._begun, *since) > STALLED_SECONDS:
            self.error = self.error or "nothing came"
            self.end()

    def _stands(self, lively: bool) -> bool:
        """Whether it may give no new picture for a while: a shared screen nobody touches."""
        alone = len(self.feeds) == 1
        return self._pipeline is not None and self._specification["stands"] and (alone or lively)

    def end(self, retry_seconds: float = RETRY_SECONDS) -> None:
        """Let go of the device, in a thread: a driver may hang."""
        pipeline, self._pipeline = self._pipeline, None
        self._retry_at = monotonic() + retry_seconds
        if pipeline is not None:
            pipeline.get_bus().remove_signal_watch()
            threading.Thread(target=pipeline.set_state, args=[Gst.State.NULL], daemon=True).start()

    def input(self) -> str:
        """What the device itself sends, such as `1920x1080@50/1`."""
        element = self._pipeline and self._pipeline.get_by_name("seen")
        caps = element and element.get_static_pad("sink").get_current_caps()
        if not caps:
            return ""
        seen = caps.get_structure(0)
        rate = seen.get_fraction("framerate")
        at = f"@{rate.value_numerator}/{rate.value_denominator}" if rate[0] else ""
        return f"{seen.get_int('width').value}x{seen.get_int('height').value}{at}"

    def _sample(self, sink: Any, feed: Any, pipeline: Any) -> Any:
        sample = sink.emit("pull-sample")
        if sample is None or pipeline is not self._pipeline:
            return Gst.FlowReturn.EOS
        buffer = sample.get_buffer()
        running = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
        if running == Gst.CLOCK_TIME_NONE:
            return Gst.FlowReturn.OK
        base = self._output.get_base_time()
        now = self._output.get_clock().get_time() - base
        with self._lock:
            if self._timeline is None:
                self._timeline = Timeline(pipeline.get_base_time() - base)
            time = self._timeline.place(feed.kind, running, now)
            settled, offset = self._timeline.settled, self._timeline.offset
        if time is not None:
            late = self._arrivals.late
            came = time if late is None else running + pipeline.get_base_time() - base + late
            wanted = self._specification.get("channels", {}).get(feed.kind)
            if wanted:
                there = sample.get_caps().get_structure(0).get_value("channels")
                if max(wanted) > there:
                    self.error = f"it has {there} channels, none with the number {max(wanted)}"
                    return Gst.FlowReturn.OK
                buffer = of_channels(buffer, there, wanted)
            moved = self._offsets.get(feed.kind, offset) != offset
            self._offsets[feed.kind] = offset
            feed.take(buffer, time, settled, time - came, moved)
        return Gst.FlowReturn.OK

    def _set_up_inside(self, decoder: Any, inner: Any, element: Any, pipeline: Any) -> None:
        factory = element.get_factory()
        name = factory.get_name() if factory is not None else ""
        if name == "decodebin":
            for property_, value in QUEUED.items():
                element.set_property(property_, value)
        elif name == "multiqueue" and self._specification.get("far"):
            element.connect("pad-added", self._watch_arrivals, pipeline)

    def _watch_arrivals(self, queue: Any, pad: Any, pipeline: Any) -> None:
        """What comes waits here until it is shown: see when it came."""
        if pad.direction == Gst.PadDirection.SINK:
            pad.add_probe(Gst.PadProbeType.BUFFER, self._arrived, pipeline)

    def _arrived(self, pad: Any, information: Any, pipeline: Any) -> Any:
        segment = pad.get_sticky_event(Gst.EventType.SEGMENT, 0)
        time = information.get_buffer().pts
        if segment is not None and time != Gst.CLOCK_TIME_NONE and pipeline is self._pipeline:
            running = segment.parse_segment().to_running_time(Gst.Format.TIME, time)
            now = self._output.get_clock().get_time() - pipeline.get_base_time()
            if running != Gst.CLOCK_TIME_NONE:
                with self._lock:
                    self._arrivals.came(running, now)
        return Gst.PadProbeReturn.OK

    def _failed(self, bus: Any, message: Any) -> None:
        error, _ = message.parse_error()
        self.error = " ".join(error.message.split())
        self.end()

    def _ended(self, bus: Any, message: Any) -> None:
        self.end(0)


def _fit_range(pad: Any, information: Any, ranged: Any) -> Any:
    """Have full range converted by way of RGB: from YUV to YUV it would be left or be two off."""
    event = information.get_event()
    if event.type == Gst.EventType.CAPS:
        colours = event.parse_caps().get_structure(0).get_string("colorimetry") or ""
        by_rgb = Gst.Caps.from_string("video/x-raw,format=BGRx")
        ranged.set_property("caps", by_rgb if colours.startswith("1:") else Gst.Caps.new_any())
    return Gst.PadProbeReturn.OK


def _has_latency(bus: Any, message: Any, pipeline: Any) -> None:
    """A part was added or learned how long it takes; the sinks have to know."""
    pipeline.recalculate_latency()


SOURCES = {
    "rtspsrc": {"protocols": "tcp", "latency": "200", "tcp-timeout": "3000000"},
    "udpsrc": {"buffer-size": "4194304"},  # bytes, as far as the kernel allows
}
"""Element that reads an address -> what it needs besides the address."""


LOGIN = {"user": "user-id", "password": "user-pw", "passphrase": "passphrase"}
"""What opens an address -> the property of what reads it."""


def _set_up(decoder: Any, source: Any, login: dict[str, str]) -> None:
    for name, value in login.items():
        if source.find_property(LOGIN[name]):
            source.set_property(LOGIN[name], value)
    kind = source.get_factory().get_name()
    for name, value in SOURCES.get(kind, {}).items():
        Gst.util_set_object_arg(source, name, value)
    # A redirection would have it say the login to whomever that names.
    if login and source.find_property("automatic-redirect"):
        source.set_property("automatic-redirect", False)
    if login and kind == "rtspsrc":
        source.connect(
            "before-send", _tell_only, urlsplit(source.get_property("location")).hostname
        )


def _tell_only(source: Any, message: Any, host: str) -> bool:
    """Forget the login before anything is asked of another host; true: it is asked."""
    asked = urlsplit(message.parse_request()[2] or "").hostname
    if asked != host:
        for name in LOGIN.values():
            if source.find_property(name):
                source.set_property(name, None)
    return True


class Capture:
    """The output and its sources."""

    def __init__(self, specification: Json) -> None:
        self._loop = GLib.MainLoop()
        self._status = 0
        self._output = Gst.parse_launch(specification["output"])
        clock = Gst.SystemClock.obtain()
        self._output.use_clock(clock)
        # GStreamer sets the time last of all; a mixer that wakes up before is at once too late.
        self._output.set_start_time(Gst.CLOCK_TIME_NONE)
        self._output.set_base_time(clock.get_time())
        servers = map(self._output.get_by_name, ("server", "loopback"))
        self._servers = [one for one in servers if one and one.find_property("bytes-to-serve")]
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
    sys.exit(main())

"""A device or address that is captured, begun anew whenever it ends or gives nothing.

A pipeline of its own hands over finished pictures and sound. Run within the capture program.
"""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from fleet.programs.feeds import SILENT_SECONDS, Pictures, keep_threads, of_channels
from fleet.programs.plugged import ANY, the_only
from fleet.programs.stamp import Arrivals
from fleet.programs.timing import Timeline

with contextlib.suppress(ImportError, ValueError):  # the program says what lacks
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

Json = dict[str, Any]

STALLED_SECONDS = 8.0
"""A source that gives nothing for so long is begun anew."""
RETRY_SECONDS = 1.0
_STILL_SECONDS = 4.0
"""After so long a still picture is read again: by then it may be another."""
_SLIDE_SECONDS = 600.0
"""So long a picture of a file may stand that has no sound."""
_CONNECT_SECONDS = 0.5
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
        self._connections: list[socket.socket] = []
        self._begun = 0.0
        self._came: Counter[str] = Counter()
        """Samples of each feed since it was begun."""
        self._over: set[str] = set()
        """The feeds whose end has come since."""
        self._still = False
        """Whether there was but one picture in it the last time."""
        self._retry_at = 0.0
        self._protocols = "tcp"
        """By which RTSP is read: by UDP only what comes no other way, for there some is lost."""
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
        except OSError as error:
            self.error = str(error)  # and the next look tries again: that costs nothing

    def _begin(self) -> None:
        wanted = self._specification.get("connect", {})
        connections = {element: connect(address) for element, address in wanted.items()}
        pipeline = Gst.parse_launch(self._specification["pipeline"])
        for element, connection in connections.items():
            pipeline.get_by_name(element).set_property("fd", connection.fileno())
        self._connections = [*connections.values()]
        keep_threads(pipeline)
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
            sink.connect("eos", self._feed_over, feed, pipeline)
            if isinstance(feed, Pictures):
                feed.begins()
                thin = pipeline.get_by_name("thin").get_static_pad("src")
                thin.add_probe(Gst.PadProbeType.BUFFER, feed.thin)
                seen = pipeline.get_by_name("seen").get_static_pad("sink")
                ranged = pipeline.get_by_name("range")
                seen.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, _fit_range, ranged)
        decoder = pipeline.get_by_name("decoder")
        if decoder is not None:
            login = self._specification.get("login", {})
            decoder.connect("source-setup", _set_up, login, self._protocols)
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
        self._came, self._over = Counter(), set()
        self._begun = monotonic()
        pipeline.set_state(Gst.State.PLAYING)

    def look(self) -> None:
        """Begin again where it has ended or gives nothing."""
        now = monotonic()
        since = [now - feed.last for feed in self.feeds]
        lively = min(since) < SILENT_SECONDS
        stands = self._stands(lively)
        for feed, seconds in zip(self.feeds, since, strict=True):
            feed.look(seconds < (stands if feed.kind == "picture" else SILENT_SECONDS))
        if self._pipeline is None:
            if now >= self._retry_at:
                self.begin()
        elif self._is_over(now):
            self.end(0)
        elif any(feed.present for feed in self.feeds):
            self.error = ""
        elif min(now - self._begun, *since) > max(stands, STALLED_SECONDS):
            self.error = self.error or "nothing came"
            self.end()

    def _is_over(self, now: float) -> bool:
        """Whether all that is there came to its end, though something is wanted that is not."""
        there = set(self._came)
        over = bool(there) and there <= self._over
        return over and now - self._begun > SILENT_SECONDS  # by then all is there that comes

    def _feed_over(self, sink: Any, feed: Any, pipeline: Any) -> None:
        if pipeline is self._pipeline:
            self._over.add(feed.kind)

    def _stands(self, lively: bool) -> float:
        """For how many seconds it may give no new picture: a shared screen nobody touches."""
        alone, there = len(self.feeds) == 1, self._pipeline is not None or self._still
        if not (there and self._specification["stands"] and (alone or lively)):
            return SILENT_SECONDS
        slides = alone and bool(self._came) and not self._specification["far"]
        return _SLIDE_SECONDS if slides else STALLED_SECONDS

    def end(self, retry_seconds: float = RETRY_SECONDS) -> None:
        """Let go of the device, in a thread: a driver may hang."""
        pipeline, self._pipeline = self._pipeline, None
        connections, self._connections = self._connections, []
        self._retry_at = monotonic() + retry_seconds
        if pipeline is not None:
            pipeline.get_bus().remove_signal_watch()
            threading.Thread(target=_let_go, args=[pipeline, connections], daemon=True).start()

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
        base = self._output.get_base_time()
        now = self._output.get_clock().get_time() - base
        if buffer.pts == Gst.CLOCK_TIME_NONE:  # a picture that has no time is shown as it comes
            running = now + base - pipeline.get_base_time()
        if running == Gst.CLOCK_TIME_NONE:
            return Gst.FlowReturn.OK
        with self._lock:
            if self._timeline is None:
                self._timeline = Timeline(pipeline.get_base_time() - base)
            time = self._timeline.place(feed.kind, running, now)
            settled, offset = self._timeline.settled, self._timeline.offset
        if time is not None:
            self._came[feed.kind] += 1
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
        elif name == "multipartdemux":
            # It would wait for further streams for ever; and web cameras tell no times.
            element.set_property("single-stream", True)
            decoder.get_property("source").set_property("do-timestamp", True)
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
        self.error, self._still = " ".join(error.message.split()), False
        if error.matches(Gst.CoreError.quark(), Gst.CoreError.MISSING_PLUGIN):
            self._protocols = "udp"  # what RTSP says where its camera does not take the way
        self.end()

    def _ended(self, bus: Any, message: Any) -> None:
        alone = [feed.kind for feed in self.feeds] == ["picture"]
        self._still = alone and self._came["picture"] == 1
        self.end(_STILL_SECONDS if self._still else 0)


def connect(address: Sequence[Any]) -> socket.socket:
    """A connection to host and port of a program on this machine.

    Raises:
        OSError: there is none.
    """
    connection = socket.create_connection(tuple(address), _CONNECT_SECONDS)
    connection.settimeout(None)
    return connection


def _let_go(pipeline: Any, connections: list[socket.socket]) -> None:
    pipeline.set_state(Gst.State.NULL)
    for connection in connections:
        connection.close()


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
    "rtspsrc": {"latency": "200", "tcp-timeout": "3000000"},
    "udpsrc": {"buffer-size": "4194304"},  # bytes, as far as the kernel allows
}
"""Element that reads an address -> what it needs besides the address."""


LOGIN = {"user": "user-id", "password": "user-pw", "passphrase": "passphrase"}
"""What opens an address -> the property of what reads it."""


def _set_up(decoder: Any, source: Any, login: dict[str, str], protocols: str) -> None:
    for name, value in login.items():
        if source.find_property(LOGIN[name]):
            source.set_property(LOGIN[name], value)
    kind = source.get_factory().get_name()
    for name, value in SOURCES.get(kind, {}).items():
        Gst.util_set_object_arg(source, name, value)
    if kind == "rtspsrc":
        Gst.util_set_object_arg(source, "protocols", protocols)
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

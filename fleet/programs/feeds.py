"""The way of pictures and sound from whichever source has them into the output."""

import contextlib
import ctypes
import threading
import time as clocks
from array import array
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any

from fleet.programs.stamp import in_bytes
from fleet.programs.timing import Frames, Share, following, rate_of, unplanned

with contextlib.suppress(ImportError, ValueError):  # the program says what lacks
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

TOGETHER = 21_000_000
"""Nanoseconds the picture is held, because AAC delays sound."""
GAP = 40_000_000
"""Nanoseconds of sound that the mixer evens out."""
FULL = 2_900_000_000
"""Nanoseconds waiting for the output, above which some are dropped."""
STANDS = 3_600_000_000_000
"""Nanoseconds a picture is repeated while it counts as present; any time that is long."""
SILENT_SECONDS = 2.0
"""Without a sample for so long, picture or sound counts as lost."""
_REMEMBERED = 500
"""Pictures whose times are kept: more than are on their way."""
_known = threading.local()
"""Of each thread of GStreamer's, whether Python was told to keep it in mind."""
ENOUGH, HEARD = 200, 8_000_000_000
"""Pictures, and nanoseconds of sound, from which on a share of them says something."""


def keep_threads(pipeline: Any) -> None:
    """Have Python know the threads of a pipeline for as long as they run.

    By itself it forgets one after each call out of it, and to make up what it has to know of one
    takes longer than what most calls do.
    """
    pipeline.get_bus().set_sync_handler(_thread_comes_or_goes)


def _thread_comes_or_goes(bus: Any, message: Any) -> Any:
    if message.type == Gst.MessageType.STREAM_STATUS:
        kind, _ = message.parse_stream_status()
        kept = getattr(_known, "kept", False)  # not all are seen to come, or to go
        if kind == Gst.StreamStatusType.ENTER and not kept:
            _known.kept = True
            ctypes.pythonapi.PyGILState_Ensure()
        elif kind == Gst.StreamStatusType.LEAVE and kept:
            _known.kept = False
            ctypes.pythonapi.PyGILState_Release(0)  # that of this call is left
    return Gst.BusSyncReply.PASS


class Feed:
    """Picture or sound on its way from whichever source has it to the output."""

    def __init__(self, appsrc: Any, kind: str) -> None:
        self._appsrc = appsrc
        self.kind = kind
        self.last = 0.0
        """When something came, on the monotonic clock."""
        self.present = False
        """Whether it is to be seen or heard now."""

    def push(self, buffer: Any, time: int) -> bool:
        """Hand a buffer over for a time of the output; whether another was dropped for it."""
        copy = buffer.copy()
        copy.pts, copy.dts = time, Gst.CLOCK_TIME_NONE
        self.last = monotonic()
        self._appsrc.emit("push-buffer", copy)
        return bool(self._appsrc.get_property("current-level-time") > FULL)

    def look(self, present: bool) -> None:
        """Learn whether it is there."""
        self.present = present


class Pictures(Feed):
    """Pictures, in frames of the rate that leaves."""

    def __init__(self, appsrc: Any, pad: Any, rate: tuple[int, int]) -> None:
        super().__init__(appsrc, "picture")
        self._pad = pad
        self._rate = rate[0] / rate[1]
        self.frame = 1e9 / self._rate
        """Nanoseconds of one."""
        self._frames = Frames(*rate)
        self._least = int(0.55e9 / self._rate)
        self._kept = -self._least
        self._spare = 0
        self._told = 0.0
        """The rate that comes in, as its source says; 0 where it does not."""
        self._of_late: deque[int] = deque(maxlen=25)
        """When the last ones are to be shown, by their source."""
        self._shares = Share(), Share()
        self._came = 0
        self.held = 0
        """For how many nanoseconds the last was kept since it came."""
        self._times: dict[int, int] = {}
        """Frame -> when its picture was taken, or came; of the last few."""

    @property
    def counts(self) -> tuple[int, int]:
        """Pictures left out and pictures repeated."""
        return self._frames.dropped + self._spare, self._frames.repeated

    def begins(self) -> None:
        """Know that the times of what comes begin again."""
        self._kept = -self._least

    def thin(self, pad: Any, information: Any) -> Any:
        """Leave out what no frame is there for, before it costs anything."""
        time = information.get_buffer().pts
        if self._came % 25 == 0:  # it changes seldom, and asking takes long
            rate = pad.get_current_caps().get_structure(0).get_fraction("framerate")
            self._told = rate.value_numerator / rate.value_denominator if rate[0] else 0.0
        self._came += 1
        if time != Gst.CLOCK_TIME_NONE:
            self._of_late.append(time)
        if 0 <= time - self._kept < self._least:
            self._spare += 1
            return Gst.PadProbeReturn.DROP
        self._kept = time
        return Gst.PadProbeReturn.OK

    def take(self, buffer: Any, time: int, settled: bool, held: int, moved: bool) -> None:
        """Show it from the frame it falls into, and keep in mind that it came `held` before."""
        self.held = held
        before, last = (self._frames.dropped, self._frames.repeated), self.last
        frame = self._frames.put(time + TOGETHER, settled)
        if frame is None:
            self.last = monotonic()
        else:
            self._times[self._number(frame)] = time - held
            if len(self._times) > _REMEMBERED:
                del self._times[next(iter(self._times))]
            if self.push(buffer, max(frame, 0)):
                self._frames.dropped += 1
        if not (settled and self.present) or self.last - last > SILENT_SECONDS:
            # It was not there, or is one that stands: that is no loss.
            self._frames.dropped, self._frames.repeated = before

    def _number(self, time: int) -> int:
        return round(time * self._rate / 1e9)

    def taken(self, shown: int) -> int:
        """When what is shown at a time of the output was taken, or came."""
        return self._times.get(self._number(shown), shown - TOGETHER)

    def look(self, present: bool) -> None:
        """The last one stands until the picture counts as lost; then it is black."""
        if present != self.present:
            self._pad.set_property("max-last-buffer-repeat", STANDS if present else 0)
        self.present = present

    def lost(self) -> tuple[float, float]:
        """Which share was left out, and which repeated, beyond what the rates make necessary."""
        dropped, repeated = self.counts
        given, rate = self._told or rate_of(self._of_late) or self._rate, self._rate
        left_out = self._shares[0].of(dropped, self._came, ENOUGH)
        again = self._shares[1].of(repeated, self._came - dropped + repeated, ENOUGH)
        return unplanned(left_out, given, rate), unplanned(again, rate, given)


class Sounds(Feed):
    """Sound, without a break where it can be."""

    def __init__(self, appsrc: Any, kind: str) -> None:
        super().__init__(appsrc, kind)
        self._end: int | None = None
        self._share = Share()
        self._heard = 0
        self.missing = 0
        """Nanoseconds left out, or silent between two that were heard."""

    def take(self, buffer: Any, time: int, settled: bool, held: int, moved: bool) -> None:
        """Hear it from its time on, also where all of its source has `moved` by a little."""
        off = 0 if self._end is None else abs(time - self._end)
        if off > GAP or moved:
            buffer = buffer.copy()
            buffer.set_flags(Gst.BufferFlags.DISCONT)  # else the mixer takes it up a second later
            self.missing += off if off > GAP and settled and self.present else 0
        if self.push(buffer, max(time, 0)):
            self.missing += buffer.duration
        self._end = time + buffer.duration
        self._heard += buffer.duration

    def lost(self) -> float:
        """Which share is missing."""
        return self._share.of(self.missing, self._heard + self.missing, HEARD)


def of_channels(buffer: Any, there: int, wanted: Sequence[int]) -> Any:
    """The same sound of the channels that are `wanted`, of 16 bits each; the first is 1."""
    every = array("h", buffer.extract_dup(0, buffer.get_size()))
    some = array("h", bytes(2 * len(every) // there * len(wanted)))
    for place, channel in enumerate(wanted):
        some[place :: len(wanted)] = every[channel - 1 :: there]
    picked = Gst.Buffer.new_wrapped(some.tobytes())
    picked.copy_into(buffer, Gst.BufferCopyFlags.FLAGS, 0, buffer.get_size())
    picked.pts, picked.duration = buffer.pts, buffer.duration
    return picked


class Encoded:
    """Pictures on their way to the muxer; key frames, where they are encoded, get their time."""

    def __init__(self, output: Any, pictures: Pictures) -> None:
        self.frames = 0
        self.reached = 0
        """Where the picture is, in nanoseconds of the output."""
        self._output = output
        self._pictures = pictures
        self._appsrc = output.get_by_name("dated")
        encoded = output.get_by_name("encoded")
        if self._appsrc is None:  # they leave as they are
            encoded.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self._count)
        else:
            encoded.connect("new-sample", self._sample)

    def _count(self, pad: Any, information: Any) -> Any:
        self.frames += 1
        self.reached = information.get_buffer().pts
        return Gst.PadProbeReturn.OK

    def _sample(self, sink: Any) -> Any:
        sample = sink.emit("pull-sample")
        if sample is None:
            return Gst.FlowReturn.EOS
        caps, segment, buffer = sample.get_caps(), sample.get_segment(), sample.get_buffer()
        if self.frames == 0:
            self._appsrc.set_property("caps", caps)
        time = segment.to_running_time(Gst.Format.TIME, buffer.pts)
        shown = following(time, self.reached if self.frames else None, self._pictures.frame)
        dated = buffer.copy()
        if not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT):
            codec = caps.get_structure(0).get_name().removeprefix("video/x-")
            data = buffer.extract_dup(0, buffer.get_size())
            dated = Gst.Buffer.new_wrapped(in_bytes(codec, data, self._time_of_day(shown)))
            kept = Gst.BufferCopyFlags.FLAGS | Gst.BufferCopyFlags.META
            dated.copy_into(buffer, kept, 0, buffer.get_size())
            dated.duration = buffer.duration
        dated.pts = shown
        dated.dts = segment.to_running_time(Gst.Format.TIME, buffer.dts) + shown - time
        self.frames += 1
        self.reached = shown
        return self._appsrc.emit("push-buffer", dated)

    def _time_of_day(self, shown: int) -> float:
        """Unix time at which what is shown then was taken, or came."""
        now = self._output.get_clock().get_time() - self._output.get_base_time()
        ago: int = now - self._pictures.taken(shown)
        return clocks.time() - ago / 1e9

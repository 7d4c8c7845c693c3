"""A role that is one ffmpeg which reads a source, whatever that source's clock does.

Where the clock is not ours, another ffmpeg reads the source, and `programs.retime` stands between
the two: no time jumps after it. A track that comes late, or another codec, ends the three; they
are begun anew with what comes now.
"""

import asyncio
import contextlib
import re
import time
from collections import deque
from typing import Protocol, TypeVar

from prometheus_client import Counter

from fleet.host import Failed, Host
from fleet.media.again import Again
from fleet.media.encoders import Chosen, choose
from fleet.media.ffmpeg import UNKNOWN_TAG, FfmpegRole
from fleet.media.passing import Passing, copies
from fleet.media.playlist import EndedList
from fleet.media.progress import whole
from fleet.media.reach import webward, within
from fleet.media.sources import (
    EVERY_STREAM,
    FileSource,
    Reference,
    Source,
    UrlSource,
    guarded,
    private,
)
from fleet.programs.retime import UNCARRIED, UNTIMED

_NOTED_SECONDS = 60.0
"""How long it is said that a clock jumped or something changed."""
_NEW_TRACK = re.compile(r"New (?:audio|video) stream \d")
_PARSER = "[NULL @ "
"""How ffmpeg begins what it says of packets that it only passes on."""
_COMPLAINTS = 3
_LOOK_SECONDS = 3.0
_CHANGES = 3
"""After so many changes in that time what is left out is left out."""
_LOOK_AGAIN_SECONDS = 0.1


class HasSource(Protocol):
    """Settings that say what is read."""

    @property
    def source(self) -> Source:
        """Where picture and sound come from."""


S = TypeVar("S", bound=HasSource)


class SourceRole(FfmpegRole[S]):
    """Does with a source what `arguments()`, without any input, tell ffmpeg to do with it."""

    patience_seconds = 10.0
    """How long a source of a station of ours may take to begin."""

    def __init__(self, host: Host, settings: S) -> None:
        super().__init__(host, settings)
        self._waited = False
        self._turned: tuple[str, str] | None = None
        """What is said of pictures that lie on their side."""
        self._seen_upright = False
        self.chosen: Chosen | None = None
        """What encodes pictures, where they are encoded."""
        self._passing = Passing(host, settings.source, self.source())
        self.encoded = frozenset({"audio"}) if self._passing.decoded else self.encoded
        self._again = Again()
        self._jumps = self._others = self._waits = 0
        """How often its clock jumped, its pictures became others, and it waited for what is due, in
        this running."""
        self._changes: deque[float] = deque(maxlen=_CHANGES)
        """When it was begun anew of late."""
        self._ended_list = EndedList(settings.source, host.state / "ended-list")
        self._whatever_comes = False
        self._looked = 0.0
        self._noted: float | None = None
        self._anew: asyncio.Task[None] | None = None
        self._jumped = Counter(
            "fleet_source_clock_jumps_total",
            "How often the source's clock jumped or began again.",
            registry=host.registry,
        )
        self._changed = Counter(
            "fleet_source_changes_total",
            "How often a file was begun for what came otherwise, or began again.",
            registry=host.registry,
        )

    @property
    def retimed(self) -> bool:
        """Whether a program stands between two ffmpegs."""
        return self._passing.retimed

    def source(self) -> str:
        """What it reads, as messages name it; a file by its whole path."""
        source = self.settings.source
        return str(self.host.recorded(source.path) if isinstance(source, FileSource) else source)

    def reached(self) -> list[str]:
        """The addresses that it has business with."""
        source = self.settings.source
        return [source.url] if isinstance(source, UrlSource) else []

    def argv(self) -> list[str]:
        """The whole command line."""
        since = time.monotonic() - _NOTED_SECONDS
        self._whatever_comes = len([at for at in self._changes if at > since]) == _CHANGES
        return [
            *webward(*self.reached()),
            *guarded(self.settings.source),
            *self._passing.argv(
                self.streams(), self.arguments(), whatever_comes=self._whatever_comes
            ),
        ]

    async def choose_encoder(self, wanted: str, codec: str) -> None:
        """Find out what encodes pictures, once for this running."""
        if self.chosen is None:
            self.chosen = await choose(self.host, wanted, "ffmpeg", codec)
            if self.chosen.fallback is not None:
                self._quiet()

    def _quiet(self) -> None:
        """Nothing but what is always so is to be said."""
        fallback = self.chosen.fallback if self.chosen else None
        self.host.note(*(self._turned or fallback or (None, None)))

    def stdin(self) -> bytes | None:
        """What opens the source, where somebody asks."""
        return private(self.settings.source, self.host)

    def streams(self) -> list[str]:
        """How ffmpeg is told what to take of a source: one picture and all sound."""
        return list(EVERY_STREAM)

    def heads(self) -> list[str]:
        """Has each segment of a transport stream begin with the head of a codec that is copied.

        A transport stream that is read has them already, and nothing else is known of it.
        """
        return ["-bsf:v", "{heads}"] if self.retimed else []

    def not_yet(self, waited: float) -> bool:
        """What a station of ours offers may begin after what reads it: that is no failure."""
        if not isinstance(self.settings.source, Reference) or waited > self.patience_seconds:
            return False
        self.host.note("SourceNotYet", f"waits for {self.source()}, which offers nothing yet")
        self.host.progress()
        self._waited = True
        return True

    async def start(self) -> None:
        """Start, unless it has ended."""
        self._waited = False
        while not self._started:
            try:
                await super().start()
            except Failed as failure:
                if failure.reason == "SourceEnded":
                    await self._ended_list.keep()
                self._may_come_again(failure)
                self.host.progress()
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        if self._waited:
            self._quiet()
        self._see_back()

    def _see_back(self) -> None:
        if self._again.back():
            self._changed.inc()
            self._note(
                "SourceChanged",
                f"{self.source()} ended and began again: in a new file; what it sent before it was "
                "read anew is missing",
            )

    def _may_come_again(self, failure: Failed) -> None:
        """Return where to look a moment longer for an address that came to its end.

        Raises:
            Failed: it is no such, or is not there.
        """
        if not isinstance(self.settings.source, UrlSource) or self._ended_list.listed:
            raise failure
        if failure.reason == "SourceEnded":
            self._see_back()
        values = self._report.values if self._report else {}
        played = whole(values.get("out_time_us")) / 1e6
        self._again.judge(failure, time.monotonic(), played)

    async def begin(self) -> None:
        """One attempt, but not of what came to its end and is not there anew.

        Raises:
            Failed: `SourceEnded`, or why nothing came.
        """
        if await self._ended_list.still():
            raise Failed(
                "SourceEnded",
                f"{self.source()} came to its end: it is read again when its list goes on",
            )
        source = self.settings.source
        to_see = not (self._seen_upright or self._turned)  # once for this running
        if isinstance(source, FileSource) and to_see and copies(self.arguments(), "-c:v"):
            await self._see_how_shown(source)
        self._again.attempt(time.monotonic())
        if (form := (self._report.values if self._report else {}).get("format")) is not None:
            self._passing.tabled = form == "mpegts"
        await super().begin()
        unknown = re.search(UNKNOWN_TAG, self.child.last_words(20))
        if self.retimed and unknown:  # it goes on all the same, without that track
            await self.stop()
            raise Failed("CodecUnsuitable", f"{self.source()} cannot be passed on: {unknown[0]}")

    async def _see_how_shown(self, source: FileSource) -> None:
        """Turn pictures that are to be turned, which no copy would tell; else say that they are.

        What is not to be shown of a file that was cut, no copy would tell either.
        """
        first = ("-select_streams", "v:0", "-read_intervals", "%+#1")
        show = (*first, "-show_entries", "stream_side_data=rotation:packet=flags")
        path = self.host.readable(source.path)
        if path.is_fifo():  # what is looked at there is gone
            return
        argv = ["ffprobe", "-v", "quiet", *show, "-of", "csv=p=0", *within("file:"), f"file:{path}"]
        looking = await self.host.spawn(argv, name="turned", report=True)
        await looking.wait()
        with contextlib.suppress(OSError):
            said = looking.output.read_bytes()
            if b"D" in said and "video" in self.copied():
                self.encoded |= self.copied()
                self._passing.by_itself = True
                return
            if not re.search(rb"[1-9]", said):
                self._seen_upright = True
                return
            if "video" in self.copied():
                self.encoded |= {"video"}
                self._passing.by_itself = True
            else:
                self._turned = (
                    "PictureTurned",
                    f"the pictures of {self.source()} lie on their side, and no copy says so "
                    'to players: set video_codec = "auto" to have them upright',
                )
                self._quiet()

    def otherwise(self, failure: Failed) -> frozenset[str] | None:
        """What to encode instead; of what cannot be passed on sound is decoded before.

        Where that does not help, or nothing else than a copy is wanted, the one ffmpeg reads it.
        """
        if failure.reason == "SourceChanged":
            self._change(failure)
            return frozenset()
        if failure.reason == "CodecUnsuitable" and not self._passing.by_itself:
            words = self.child.last_words(20)
            if UNTIMED in words:
                self._passing.by_itself = self._passing.untimed = True
                return self.copied()
            if UNCARRIED in words or re.search(UNKNOWN_TAG, words):
                copied = "audio" not in self.copied() and copies(self.arguments(), "-c:a")
                self._passing.unpassable(decodes=not copied)
                return self.copied() & {"audio"} if self._passing.decoded else frozenset()
        return super().otherwise(failure)

    async def spawned(self) -> None:
        """The child runs."""
        await super().spawned()
        self._jumps, self._others, self._waits, self._looked = 0, 0, 0, time.monotonic()

    def nothing_came(self) -> Failed:
        """A file does not send."""
        if not isinstance(self.settings.source, FileSource):
            return super().nothing_came()
        return Failed(
            "SourceUnreadable",
            f"no picture or sound could be read of {self.source()} in {self.start_seconds:g} s: "
            "turn it into another format, such as mkv",
        )

    def waits(self) -> bool:
        """A file's next picture may be due in a minute."""
        before, values = self._waits, self._report.values if self._report else {}
        self._waits = whole(values.get("waits"))
        return self._waits > before

    def tick(self) -> None:
        """See what was done, and what the source's clock did."""
        super().tick()
        values = self._report.values if self._report else {}
        jumps = whole(values.get("jumps"))
        if jumps > self._jumps:
            self._jumped.inc(jumps - self._jumps)
            self._jumps = jumps
            self._note(
                "ClockJumped",
                f"the clock of {self.source()} jumped by {values.get('jumped')} s: its picture and "
                "sound go on by the station's clock",
            )
        others = whole(values.get("changes"))
        if others > self._others:
            self._changed.inc(others - self._others)
            self._others = others
            self._note(
                "SourceChanged", f"{self.source()} sends other pictures than before: in a new file"
            )
        if self._started and self._anew is None:
            self._see_changes()
        if self._noted is not None and time.monotonic() - self._noted > _NOTED_SECONDS:
            self._noted = None
            self._quiet()

    def _see_changes(self) -> None:
        """Whether ffmpeg, reading by itself, complains of what it does not copy or understand."""
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS or self._whatever_comes:
            return
        words = self.child.last_words(20)
        came = _NEW_TRACK.search(words)
        if came or words.count(_PARSER) >= _COMPLAINTS:
            self._looked = now
            self._anew = self.host.task(self._look(bool(came)), "look")

    async def _look(self, came: bool) -> None:
        try:
            if came or not await self.readable():
                await self.stop()
                self._change(
                    Failed(
                        "SourceChanged",
                        f"{self.source()} sends something else than before: it is begun anew with "
                        "that",
                    )
                )
                self._started = False
                await self._begin_anew()
        finally:
            self._anew = None

    async def readable(self) -> bool:
        """Whether what was written of late can be read; asked where ffmpeg complains."""
        return False

    def broken(self, failure: Failed) -> None:
        """Begin anew at once where that helps: what is read has changed, or is to be encoded."""
        unfit = self.otherwise(failure)
        if failure.reason == "SourceEnded":
            self._anew = self.host.task(self._end(failure), "end")
        elif unfit is None:
            super().broken(failure)
        else:
            self.encoded |= unfit
            self._started = False
            self._anew = self.host.task(self._go_on(), "begin anew")

    async def stop(self) -> None:
        """Stop the child, and do not begin anew."""
        if self._anew is not None and self._anew is not asyncio.current_task():
            self._anew.cancel()
            self._anew = None
        await super().stop()

    async def _end(self, failure: Failed) -> None:
        await self._ended_list.keep()
        try:
            self._may_come_again(failure)
        except Failed:
            self.host.fail(failure.reason, failure.message)
        else:
            self._started = False
            await self._go_on()

    async def _go_on(self) -> None:
        try:
            await self._begin_anew()
        finally:
            self._anew = None

    async def _begin_anew(self) -> None:
        try:
            await self.start()
        except Failed as failure:
            self.host.fail(failure.reason, failure.message)

    def _change(self, changed: Failed) -> None:
        self._changed.inc()
        self._changes.append(time.monotonic())
        self.encoded = frozenset()
        self._passing.forget()
        self._note(changed.reason, changed.message)

    def _note(self, reason: str, message: str) -> None:
        self._noted = time.monotonic()
        self.host.note(reason, message)

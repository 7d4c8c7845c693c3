"""A role that is one ffmpeg: its progress becomes metrics, its last output becomes reasons."""

import asyncio
import re
import time
from abc import abstractmethod
from signal import SIGINT
from typing import TypeVar

from fleet.host import Failed, Host
from fleet.media.child import ChildRole
from fleet.media.progress import Metrics, Report
from fleet.programs.camera import ELSEWHERE
from fleet.programs.retime import CHANGED, UNCARRIED, UNTIMED

S = TypeVar("S")

_AGAIN_SECONDS = 0.5
UNKNOWN_TAG = r"\[nut @ \S+\] \[error\] Unknown codec tag"
"""What ffmpeg says of what was passed on to it under a name that it does not know."""
_PRIVATE = "muxed as a private data stream"
"""ffmpeg's word for what it writes and nobody can read."""
_MANY = 500
"""Lines among which it is looked for: of such sound there may come another for each packet."""
QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "level+warning")
REPORTING = ("-nostats", "-stats_period", "1", "-progress", "pipe:1")


FILTERS = "bwdif=mode=send_frame:deint=interlaced,crop=trunc(iw/2)*2:trunc(ih/2)*2"
PICTURE = ("-vf", FILTERS, "-pix_fmt", "yuv420p")
"""How a picture is encoded: what is interlaced made progressive, a line less where a side is odd;
colours, and the shape of pixels, are told as they came."""


class FfmpegRole(ChildRole[S]):
    """Runs `ffmpeg` with `arguments()`; it has started when the first output is there."""

    stop_signal = SIGINT  # ffmpeg then writes what it holds and closes its files
    grace = 10.0
    report = True
    start_seconds = 15.0
    """How long the first output may take."""
    output = "ffmpeg"
    """What the metrics of the output are named after: `fleet_<output>_bytes_total`."""

    def __init__(self, host: Host, settings: S) -> None:
        super().__init__(host, settings)
        self.metrics = Metrics(host, self.output)
        self._report: Report | None = None
        self._work = (0, 0)
        """Bytes written; where those are unknown, what `Report.done` says."""
        self._ended = False
        self._not_due = False
        """Whether it has told of late that the next of what it reads is not due yet."""
        self._started = False
        self._failure: Failed | None = None
        """Why it ended, where that was not its end."""
        self.encoded: frozenset[str] = frozenset()
        """Which of `video` and `audio` is encoded because its copy did not fit the output."""

    @abstractmethod
    def arguments(self) -> list[str]:
        """What ffmpeg is told, without the program and how it is to report."""

    @abstractmethod
    def source(self) -> str:
        """What it reads, as messages name it."""

    @abstractmethod
    def target(self) -> str:
        """Where it writes, as messages name it."""

    def argv(self) -> list[str]:
        """The whole command line."""
        return [*QUIET, *REPORTING, *self.arguments()]

    def written(self) -> tuple[int | None, float | None]:
        """Bytes this role has seen written, and when last (Unix time); None where unknown."""
        size = (self._report.values if self._report else {}).get("total_size", "")
        return (int(size), time.time()) if size.isdecimal() else (None, None)

    def copied(self) -> frozenset[str]:
        """Which of `video` and `audio` is copied now and may be encoded instead."""
        return frozenset()

    async def unfit(self) -> frozenset[str]:
        """Which of them does not fit the output after all, now that some of it is there."""
        return self.copied() if _PRIVATE in self.child.last_words(_MANY) else frozenset()

    async def start(self) -> None:
        """Start or take over ffmpeg and wait for its first output.

        What may be copied is copied first: only the output tells whether it fits, and many a
        source does not bear being looked at before.
        """
        begun = time.monotonic()
        while not self._started:
            try:
                await self.begin()
                unfit: frozenset[str] | None = await self.unfit()
                if not unfit and self._failure is not None:
                    raise self._failure
                self._started = not unfit
            except Failed as failure:
                unfit = self.otherwise(failure)
                waited = time.monotonic() - begun
                again = failure.reason.endswith("Unreachable") and (
                    (self.encoded and waited < self.start_seconds) or self.not_yet(waited)
                )
                if unfit is None and not again:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)  # some serve one at a time, and begin anew
            self.encoded |= unfit or frozenset()
            if unfit:
                await self.stop()
        if self._ended:
            self._complete()

    def not_yet(self, waited: float) -> bool:  # noqa: ARG002 (as others have it)
        """Whether what it reads, which is not there after so many seconds, is about to be."""
        return False

    def otherwise(self, failure: Failed) -> frozenset[str] | None:
        """What to encode instead of a copy that failed; None if nothing else is to be tried."""
        return (self.copied() or None) if failure.reason == "CodecUnsuitable" else None

    async def begin(self) -> None:
        """One attempt at a start."""
        self._work, self._ended, self._failure, self._report = (0, 0), False, None, None
        self.metrics.begin()
        await super().start()
        try:
            await self.spawned()
            await self._first_output()
        except Failed:
            await self.stop()
            raise

    async def _first_output(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not self._ended:
            self.tick()
            if any(self._work):
                return
            self.host.progress()  # the deadline here is the one that counts
            if self._not_due:
                deadline = time.monotonic() + self.start_seconds
            if time.monotonic() > deadline:
                raise self.nothing_came()
            await asyncio.sleep(0.05)
        if self._failure is not None:
            raise self._failure

    async def spawned(self) -> None:
        """The child runs: get hold of what it is doing."""
        self._report = Report(self.child.output)

    def tick(self) -> None:
        """See what ffmpeg has done since the last time."""
        if self._report is None:
            return
        self._report.read()
        size, at = self.written()
        self.metrics.show(self._report.values, size, at)
        work = self._report.done if size is None else (size, 0)
        self._not_due = self.waits()
        if work > self._work or self._not_due:
            self._work = max(work, self._work)
            self.host.progress()

    def nothing_came(self) -> Failed:
        """What it means that nothing was written for so long."""
        return Failed(
            "SourceUnreachable",
            f"nothing came from {self.source()} in {self.start_seconds:g} s: check that it sends",
        )

    def waits(self) -> bool:
        """Whether it has told since the last time that the next of what it reads is not due yet."""
        return False

    def finished(self, status: int | None) -> bool:
        """Whether ffmpeg came to the end of what it had to do."""
        clean = self._report is not None and self._report.values.get("progress") == "end"
        return clean and not status

    def exited(self, status: int | None) -> None:
        """Its last output say why."""
        if self._report is not None:
            self._report.read()
        self._ended = True
        self._failure = None if self.finished(status) else self.failure(status)
        unknown = self._failure is None or self._failure.reason == "ChildExited"
        if unknown and status == 0 and not (self._report and any(self._report.done)):
            self._failure = Failed(
                "SourceUnreadable",
                f"{self.source()} came to its end, and no picture or sound was in it: check it",
            )
        if not self._started:  # what it has written is looked at first, or tried otherwise
            return
        if self._failure is None:
            self._complete()
        else:
            self.broken(self._failure)

    def _complete(self) -> None:
        self.host.complete(f"{self.source()} came to its end")

    def broken(self, failure: Failed) -> None:
        """It ended though it was not to."""
        self.host.fail(failure.reason, failure.message)

    def failure(self, status: int | None) -> Failed:
        """What its end means."""
        killed = status is not None and status < 0
        words = "" if killed else self.child.last_words(20)
        return diagnose(words, self.source(), self.target()) or super().failure(status)


_REASONS = (
    (
        rf".*{CHANGED}.*",
        "SourceChanged",
        "{source} sends something else than before: it is begun anew with that",
    ),
    (
        rf"{UNCARRIED}|{UNTIMED}|{UNKNOWN_TAG}",
        "CodecUnsuitable",
        "what {source} sends cannot be copied: set its codecs to auto",
    ),
    (
        r"Device or resource busy",
        "DeviceBusy",
        "{source} is in use: let an ingest open it, and all others read that",
    ),
    (
        r"(?i:cannot open (?:video device|audio device|display) .*|No such device)",
        "DeviceMissing",
        "{source} is not there: plug it in, or correct its name",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "DiskFull",
        "no space is left for {target}: delete or move recordings",
    ),
    (
        r"Read-only file system",
        "NotWritable",
        "{target} is read-only: check its disk, remount it",
    ),
    (
        r"av_interleaved_write_frame\(\): (?:Invalid (?:argument|data).*|Operation not permitted)"
        r"|first pts and dts value must be set|Can't write packet with unknown timestamp"
        r"|Malformed AAC bitstream.*|Error applying bitstream filters.*",
        "CodecUnsuitable",
        "what {source} sends cannot be copied into {target}: set its codecs to auto, or another",
    ),
    (
        r"(?:av_interleaved_write_frame\(\)|Error writing trailer of .*?): .*",
        "NotWritable",
        "{target} cannot be written to: check its disk",
    ),
    (
        r"Unknown (?:en|de)coder '.*'",
        "CodecMissing",
        "this station's ffmpeg lacks a codec: choose another or install one that has it",
    ),
    (
        r".*(?:codec not currently supported in container|Could not find tag for codec"
        r"|is not supported by the .* muxer|Could not write header).*",
        "CodecUnsuitable",
        "what {source} sends does not fit the container: choose another codec or container",
    ),
    (
        r"Format not on whitelist",
        "SourceUnreadable",
        "{source} is in a format that is not read, for it may name other files or addresses: turn "
        "it into another, such as mkv",
    ),
    (
        r"Invalid data found when processing input|does not contain any stream"
        r"|matches no streams|moov atom not found|file:.*: End of file",
        "SourceUnreadable",
        "what {source} sends is not a picture or sound that ffmpeg can read: check it",
    ),
    (
        r"Server returned 40[13].*|HTTP error 40[13].*|.*401 Unauthorized.*",
        "SourceRefused",
        "{source} wants a login: check its user and password",
    ),
    (
        rf"{ELSEWHERE}: .*",
        "SourceRefused",
        "{source} leads elsewhere, where its login does not go along: name that address instead, "
        "if it is right",
    ),
    (
        r"Connection refused|Connection timed out|Operation timed out|No route to host"
        r"|Network is unreachable|Connection reset by peer|Failed to resolve hostname .*"
        r"|Server returned .*|HTTP error .*|Input/output error|Broken pipe"
        r"|Cannot assign requested address|Immediate exit requested|: End of file",
        "SourceUnreachable",
        "{source} cannot be read: check its address and that it sends",
    ),
    (
        r"No such file or directory",
        "FileMissing",
        "{source} is not on this station: put it there or correct the path",
    ),
    (
        r"Permission denied|Operation not permitted",
        "NotPermitted",
        "{source} may not be read, or {target} not be written: give it to the agent's user",
    ),
)


_DEVICE = r"\[(?:video4linux2,v4l2|alsa|x11grab) @ |^camera: "


def diagnose(words: str, source: str, target: str) -> Failed | None:
    """The reason in ffmpeg's last output: what is said of a device, or the last line understood."""
    lines = words.splitlines()
    for line in [*filter(re.compile(_DEVICE).search, lines), *reversed(lines)]:
        for pattern, reason, advice in _REASONS:
            found = re.search(pattern, line)
            if found:
                advice = advice.format(source=source, target=target)
                return Failed(reason, f"{advice} ({found[0].strip()})")
    return None

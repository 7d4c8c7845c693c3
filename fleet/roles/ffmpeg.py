"""A role that is one ffmpeg: its progress becomes metrics, its last words become reasons."""

import asyncio
import re
import time
from abc import abstractmethod
from signal import SIGINT
from typing import TypeVar

from fleet.roles import ChildRole, Failed, Host
from fleet.roles.progress import Metrics, Report

S = TypeVar("S")

_COMMON = (
    *("-hide_banner", "-nostdin", "-loglevel", "level+warning"),
    *("-nostats", "-stats_period", "1", "-progress", "pipe:1"),
)


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
        self._metrics = Metrics(host, self.output)
        self._report: Report | None = None
        self._work = 0
        self._ended = False
        self._failure: Failed | None = None
        """Why it ended, where that was not its end."""

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
        return ["ffmpeg", *_COMMON, *self.arguments()]

    def written(self) -> tuple[int | None, float | None]:
        """Bytes this role has seen written, and when last (Unix time); None where unknown."""
        size = (self._report.values if self._report else {}).get("total_size", "")
        return (int(size), time.time()) if size.isdecimal() else (None, None)

    async def start(self) -> None:
        """Start or take over ffmpeg and wait for its first output."""
        await super().start()
        try:
            self.spawned()
            await self._first_output()
        except Failed:
            await self.stop()
            raise

    async def _first_output(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not self._ended:
            self.tick()
            if self._work:
                return
            self.host.progress()  # the deadline here is the one that counts
            if time.monotonic() > deadline:
                raise Failed(
                    "SourceUnreachable",
                    f"nothing came from {self.source()} in {self.start_seconds:g} s: "
                    "check that it sends",
                )
            await asyncio.sleep(0.05)
        if self._failure is not None:
            raise self._failure

    def spawned(self) -> None:
        """The child runs: get hold of what it is doing."""
        self._report = Report(self.child.output)

    def tick(self) -> None:
        """See what ffmpeg has done since the last time."""
        if self._report is None:
            return
        self._report.read()
        size, at = self.written()
        self._metrics.show(self._report.values, size, at)
        work = self._report.frames if size is None else size
        if work > self._work:
            self._work = work
            self.host.progress()

    def finished(self, status: int | None) -> bool:
        """Whether ffmpeg came to the end of what it had to do."""
        clean = self._report is not None and self._report.values.get("progress") == "end"
        return clean and not status

    def exited(self, status: int | None) -> None:
        """Its last words say why."""
        if self._report is not None:
            self._report.read()
        self._ended = True
        if self.finished(status):
            self.host.complete(f"{self.source()} came to its end")
        else:
            self._failure = self.failure(status)
            self.host.fail(self._failure.reason, self._failure.message)

    def failure(self, status: int | None) -> Failed:
        """What its end means."""
        killed = status is not None and status < 0
        words = "" if killed else self.child.last_words(20)
        return diagnose(words, self.source(), self.target()) or super().failure(status)


_REASONS = (
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
        r"Invalid data found when processing input|does not contain any stream"
        r"|matches no streams|moov atom not found",
        "SourceUnreadable",
        "what {source} sends is no picture or sound that ffmpeg can read: check it",
    ),
    (
        r"Connection refused|Connection timed out|Operation timed out|No route to host"
        r"|Network is unreachable|Connection reset by peer|Failed to resolve hostname .*"
        r"|Server returned .*|HTTP error .*|Input/output error|Broken pipe"
        r"|Cannot assign requested address|Immediate exit requested",
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
        "{source} or {target} is not open to the agent: give it to the agent's user",
    ),
)


def diagnose(words: str, source: str, target: str) -> Failed | None:
    """The reason in ffmpeg's last words: the last line that is understood."""
    for line in reversed(words.splitlines()):
        for pattern, reason, advice in _REASONS:
            found = re.search(pattern, line)
            if found:
                advice = advice.format(source=source, target=target)
                return Failed(reason, f"{advice} ({found[0].strip()})")
    return None

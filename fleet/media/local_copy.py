"""The copy of what an ingest offers on the station's own disk.

It makes way: when the disk runs short it stops before any recording does, and it never holds up
what is offered. While it cannot be written it is tried again, and the ingest says so.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from signal import SIGINT
from typing import Annotated

from attrs import frozen
from msgspec import Meta
from prometheus_client import Counter, Gauge

from fleet.host import Child, Failed, Host
from fleet.media.disk import DiskWork
from fleet.media.segments import FLUSHED, Segments, short_of
from fleet.media.sources import below, reading

_RETRY_SECONDS = 5.0
_AGAIN = 1.2
"""How many times the minimum must be free before it begins again."""


@frozen
class LocalCopySettings:
    """Whether and how what is offered is kept on the station itself."""

    enabled: bool = True
    segment_seconds: Annotated[
        int,
        Meta(ge=1, le=86400, description="length of a file", extra_json_schema={"unit": "s"}),
    ] = 180
    directory: Annotated[
        str, Meta(description="where to, below the station's recordings"), below
    ] = "local-copy"
    minimum_free_gib: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="with less free it stops, so that recordings go on",
            extra_json_schema={"unit": "GiB"},
        ),
    ] = 10.0


LOCAL_COPY = LocalCopySettings()
"""As it is unless the conference file says otherwise."""


class LocalCopy:
    """A reader of the ingest's own port that writes segments."""

    def __init__(self, host: Host, settings: LocalCopySettings, address: str, port: int) -> None:
        self._host = host
        self._settings = settings
        self._url = f"tcp://{f'[{address}]' if ':' in address else address}:{port}"
        self._directory = host.recordings / settings.directory
        self._disk, self._search = DiskWork(self._directory), DiskWork(host.recordings)
        self._child: Child | None = None
        self._segments: Segments | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = True
        self._begun = asyncio.Event()
        """It goes on, or why it cannot is known."""
        self.trouble: tuple[str, str] | None = None
        """Reason and message while it is wanted and not written."""
        self._writing = Gauge(
            "fleet_ingest_local_copy", "1 while a local copy is written.", registry=host.registry
        )
        self._bytes = Counter(
            "fleet_ingest_local_copy_bytes_total", "Bytes written.", registry=host.registry
        )
        self._seen = 0

    async def start(self) -> None:
        """Begin, now or when it can be; what an earlier agent has begun is taken over by then."""
        if self._settings.enabled:
            self._stopped = False
            self._task = self._host.task(self._keep_on(), "local copy")
            await self._begun.wait()

    async def stop(self) -> None:
        """End, so that the last segment is whole."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            self._task = None
        await self._end()

    def tick(self) -> None:
        """Publish what was written."""
        if self._segments is None or self._child is None:
            return
        try:
            self._host.records()
            self._disk.look(self._segments.publish)
        except Failed as failure:
            self._trouble(failure)
            return
        grown = self._segments.written - self._seen
        if grown > 0:
            self._bytes.inc(grown)
            self._seen = self._segments.written
            self._writing.set(1)
            self.trouble = None

    async def _keep_on(self) -> None:
        while not self._stopped:
            try:
                self._host.records()
                times = 1.0 if self.trouble is None else _AGAIN
                await self._disk.do(lambda: self._check_space(times))  # noqa: B023 (waited for)
                await self._write()
            except Failed as failure:
                self._trouble(failure)
            self._begun.set()
            await self._end()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _write(self) -> None:
        """Until there is something wrong, which is raised."""
        self._disk.forget()
        segments = await self._disk.do(self._open)
        self._seen = 0
        argv = [
            *("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "level+warning"),
            *(*reading(self._url), "-map", "0", "-c", "copy"),
            *("-f", "segment", "-segment_time", str(self._settings.segment_seconds)),
            *("-segment_format", "mpegts", "-segment_format_options", FLUSHED),
            segments.pattern,
        ]
        child = await self._host.spawn(argv, name="copy", stop_signal=SIGINT, grace=10.0)
        self._begun.set()
        if child.adopted:
            file = Path(child.argv[-1].replace("%%", "%"))
            await self._disk.do(segments.close)
            segments = self._segments = await self._disk.do(lambda: Segments.of(self._host, file))
        self._search.begin(segments.sweep)
        self._child = child
        ended = asyncio.create_task(child.wait())
        begun = time.monotonic()
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=1.0)
                await self._disk.do(lambda: self._check_space(1.0))
                if self.trouble and time.monotonic() - begun > _RETRY_SECONDS:
                    return  # what it writes to was taken away: begin a new file
        finally:
            ended.cancel()
        raise Failed("LocalCopyFailed", f"the local copy ended: {child.last_words(2)}")

    def _check_space(self, times: float) -> None:
        short = short_of(self._settings.minimum_free_gib * times, self._directory)
        if short:
            raise Failed(
                "LocalCopyStopped",
                f"{short} for {self._directory}: the local copy makes way for recordings; delete "
                "or move old ones",
            )

    def _trouble(self, failure: Failed) -> None:
        self.trouble = (failure.reason, f"no local copy: {failure.message}")
        self._writing.set(0)

    def _open(self) -> Segments:
        # Kept here, so that it is closed also where nobody waits for it any more.
        self._segments = Segments.begin(self._host, self._directory, ".ts")
        return self._segments

    def _close(self) -> None:
        segments, self._segments = self._segments, None
        if segments is not None:
            segments.close()

    async def _end(self) -> None:
        child, self._child = self._child, None
        self._writing.set(0)
        if child is not None:
            await child.stop()
        with contextlib.suppress(Failed):  # it is said, and closed once the disk is back
            await self._disk.do(self._close)

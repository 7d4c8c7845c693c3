"""Copies what is recorded off the station, and knows of each file whether it really arrived.

A file counts once checksums of both sides say that it is the same. What goes wrong ends nothing:
the instance says so, and tries again. Files that are verified may be deleted here, when they are
old or the disk runs short; each is compared once more before.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from attrs import frozen
from prometheus_client import Gauge

from fleet import kept
from fleet.media.archive import FinishedFile, finished
from fleet.media.copies import MOST_BYTES, CopyMemory, deletable, listed, pending
from fleet.media.copying import Copier
from fleet.media.disk import DiskWork
from fleet.media.rsync import CopyState
from fleet.media.segments import short_of
from fleet.media.storage import Storage
from fleet.roles import (
    CommandFailed,
    Failed,
    Host,
    Meta,
    Role,
    RoleFactory,
    command,
    register_factory,
)

_LOOK_SECONDS: Final = 10.0
"""Between two looks for what is finished."""
_RETRY_SECONDS: Final = 5.0
_LONGEST_RETRY: Final = 60.0
_DIFFERS_SECONDS: Final = 600.0
"""So long after one that differs was compared it is left alone."""
_SCAN_SECONDS: Final = 120.0
"""What a look at the whole archive may take."""
_BATCH: Final = 100
"""Files that are compared at once."""
_FEW: Final = 3
"""So few are copied at once; of more it is asked first which are there."""
_TO_DELETE: Final = 10
"""Files that are compared once more, and then deleted, at once."""
_MOST_LISTED: Final = 500
_OF_ONE_FILE: Final = ("NotPermitted", "TargetNotWritable", "CopyFailed")
"""What is wrong with one file, and may not hold up the others."""
_MEMORY: Final = "verified.json"
_DIFFERENCES: Final[Mapping[CopyState, str]] = {
    CopyState.DIFFERENT: "has the same size and another content",
    CopyState.OTHER_SIZE: "has another size",
}


@frozen
class SyncSettings:
    """Where to, how fast, and what may be deleted once it is there."""

    target: Annotated[Storage, Meta(description="where copies go, below a directory of the room")]
    bandwidth_mbit: Annotated[
        int | None,
        Meta(
            ge=1,
            le=100_000,
            description="at most so fast; null: no limit",
            extra_json_schema={"unit": "Mbit/s"},
        ),
    ] = None
    delete_verified_after_hours: Annotated[
        float | None,
        Meta(
            ge=0,
            le=100_000,
            description="delete here what was verified so long ago; null: never",
            extra_json_schema={"unit": "h"},
        ),
    ] = None
    minimum_free_gib: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="with less free the oldest verified files are deleted; local copies stop "
            "at 10 and recordings at 1",
            extra_json_schema={"unit": "GiB"},
        ),
    ] = 12.0


@frozen
class CopiesAsked:
    """Which files to list."""

    after: Annotated[str, Meta(max_length=4096, description="those whose path comes after it")] = ""
    limit: Annotated[int, Meta(ge=1, le=_MOST_LISTED)] = _MOST_LISTED
    verified: Annotated[bool | None, Meta(description="only those that are, or are not")] = None


@frozen
class CopiedFile:
    """One recording."""

    path: str
    """Below the station's recordings, and below the target's directory of the room."""
    bytes: int
    verified: datetime | None
    """When it was seen to be the same on both sides."""
    here: bool
    """Whether it is still on the station."""


@frozen
class CopiesListed:
    """Files by path. `more`: there are others, after the last."""

    target: str
    files: tuple[CopiedFile, ...]
    more: bool


@frozen
class CopyNow:
    """Nothing has to be said."""


@frozen
class CopyBegun:
    """What waits."""

    pending_files: int
    pending_bytes: int


class Sync(Role[SyncSettings]):
    """One target."""

    taken_live = frozenset(("bandwidth_mbit", "delete_verified_after_hours", "minimum_free_gib"))

    def __init__(self, host: Host, settings: SyncSettings) -> None:
        super().__init__(host, settings)

        def gauge(name: str, documentation: str) -> Gauge:
            return Gauge(f"fleet_sync_{name}", documentation, registry=host.registry)

        self._pending_files = gauge("pending_files", "Finished files that are not verified yet.")
        self._pending_bytes = gauge("pending_bytes", "Bytes of them.")
        self._oldest = gauge(
            "oldest_unverified_timestamp_seconds",
            "When the oldest file that is not verified was finished; 0 where there is none.",
        )
        self._verified_files = gauge("verified_files", "Files that are verified.")
        self._verified_bytes = gauge("verified_bytes", "Bytes of them.")
        self._verified_at = gauge(
            "last_verified_timestamp_seconds", "When a file was verified last; 0 for never."
        )
        self._error_at = gauge(
            "last_error_timestamp_seconds", "When something went wrong last; 0 for never."
        )
        room = host.room or host.name
        self._target = f"{str(settings.target).rstrip('/')}/{room}"
        self._copier, self._checker = (
            Copier(host, name, settings.target, room) for name in ("copy", "check")
        )
        self._archive, self._own = DiskWork(host.recordings), DiskWork(host.state)
        self._memory = CopyMemory(str(settings.target))
        self._files: list[FinishedFile] = []
        self._looked: float | None = None
        self._differing: dict[str, tuple[FinishedFile, float, str]] = {}
        """Path -> the file that differs at the target, when that was seen, and in what."""
        self._trouble: dict[str, Failed] = {}
        """What went wrong last, by what was being done."""
        self._work: list[asyncio.Task[None]] = []
        self._wake = {name: asyncio.Event() for name in ("copy", "check")}

    async def start(self) -> None:
        """Returns once it is known what is verified; then the copies begin."""
        self._copier.check_key()
        self._memory = await self._own.do(self._remembered)
        self._show()
        for copier in (self._copier, self._checker):
            await copier.clean()
        for name, work in (("copy", self._copy), ("check", self._make_room)):
            self._work.append(self.host.task(self._keep_on(name, work), name))

    async def stop(self) -> None:
        """What was sent of a file is kept at the target."""
        while self._work:
            self._work.pop().cancel()
        for copier in (self._copier, self._checker):
            await copier.stop()

    async def update(self, settings: SyncSettings) -> bool:
        """Limits hold from the next file on."""
        if not self.takes_live(settings):
            return False
        self.settings = settings
        self._begin_now()
        return True

    def tick(self) -> None:
        """Say what is wrong."""
        trouble = next(iter(self._trouble.values()), None)
        if trouble is not None:
            self.host.note(trouble.reason, trouble.message)
        elif self._differing:
            path, (_, _, how) = min(self._differing.items())
            others = len(self._differing) - 1
            more = f" (and {others} more)" if others else ""
            self.host.note(
                "TargetDiffers",
                f"{self._target}/{path} {how}{more}: it is not replaced. See which is right and "
                f"move the other away; fleet call {self.host.name} sync now looks again at once",
            )
        else:
            self.host.note(None)

    @command
    async def list(self, asked: CopiesAsked) -> CopiesListed:
        """Which files are verified, and which are not yet."""
        await self._look_for_command()
        found = sorted(listed(self._files, self._memory).items())
        wanted = [
            CopiedFile(path, size, None if at is None else datetime.fromtimestamp(at, UTC), here)
            for path, (size, at, here) in found
            if path > asked.after and asked.verified in (None, at is not None)
        ]
        return CopiesListed(self._target, tuple(wanted[: asked.limit]), len(wanted) > asked.limit)

    @command
    async def now(self, asked: CopyNow) -> CopyBegun:  # noqa: ARG002 (nothing is asked)
        """Copy what waits at once, and compare again what differed."""
        await self._look_for_command()
        self._differing.clear()
        self._begin_now()
        waiting = pending(self._files, self._memory)
        return CopyBegun(len(waiting), sum(one.size for one in waiting))

    def _begin_now(self) -> None:
        for wake in self._wake.values():
            wake.set()

    async def _look_for_command(self) -> None:
        try:
            await self._look()
        except Failed as failure:
            raise CommandFailed(failure.message) from None

    async def _keep_on(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it again and again; what goes wrong is said, and tried again later and later."""
        later = _RETRY_SECONDS
        while True:
            self._wake[name].clear()
            try:
                await work()
                self._trouble.pop(name, None)
                wait, later = _LOOK_SECONDS, _RETRY_SECONDS
            except Failed as failure:
                before = self._trouble.get(name)
                if before is None or before.reason != failure.reason:
                    self.host.log(f"{failure.reason}: {failure.message}")
                self._trouble[name] = failure
                self._error_at.set(time.time())
                wait, later = later, min(_LONGEST_RETRY, later * 2)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake[name].wait()

    async def _look(self) -> None:
        """See what is finished."""
        roots = [self.host.recordings, *filter(None, [self.host.former_recordings])]
        memory = self._memory
        self._files = await self._archive.do(lambda: finished(roots, memory.has), _SCAN_SECONDS)
        self._looked = time.monotonic()
        here = {one.path: one for one in self._files}
        for path, (file, _, _) in [*self._differing.items()]:
            if here.get(path) != file:
                del self._differing[path]
        self._show()

    async def _copy(self) -> None:
        await self._look()
        waiting = [one for one in pending(self._files, self._memory) if not self._left_alone(one)]
        for index in range(0, len(waiting), _BATCH):
            batch: Sequence[FinishedFile] = waiting[index : index + _BATCH]
            if len(batch) > _FEW:
                there = await self._copier.compare(batch, sizes=True)
                present = [
                    one
                    for one in batch
                    if there.get(one.path, CopyState.ABSENT) is not CopyState.ABSENT
                ]
                await self._verify(self._copier, present)
                batch = [one for one in batch if one not in present]
            failures: list[Failed] = []
            for one in batch:
                try:
                    await self._copy_one(one)
                except Failed as failure:
                    failures.append(failure)
                    if failure.reason not in _OF_ONE_FILE or len(failures) > _FEW:
                        raise
                if self._looked is None or time.monotonic() - self._looked > _LOOK_SECONDS:
                    await self._look()
            if failures:
                raise failures[0]
        if waiting:
            self._wake["check"].set()

    async def _copy_one(self, file: FinishedFile) -> None:
        try:
            await self._copier.copy(file, self.settings.bandwidth_mbit)
            await self._verify(self._copier, [file])
        except Failed:
            if await self._archive.do(file.unchanged):
                raise
            return  # somebody took it away
        known = self._memory.has(file) or file.path in self._differing
        if not known and await self._archive.do(file.unchanged):
            raise Failed("CopyFailed", f"{file.path} is not at {self._target} after it was copied")

    def _left_alone(self, file: FinishedFile) -> bool:
        known = self._differing.get(file.path)
        return known is not None and time.monotonic() - known[1] < _DIFFERS_SECONDS

    async def _verify(
        self, copier: Copier, files: Sequence[FinishedFile]
    ) -> Sequence[FinishedFile]:
        """Compare by checksums, and keep in mind what was found; those that are the same."""
        if not files:
            return ()
        states = await copier.compare(files)
        whole = await self._archive.do(lambda: [one for one in files if one.unchanged()])
        same = [one for one in whole if states.get(one.path) is CopyState.SAME]
        for one in files:
            if one.path in states:
                self._memory.files.pop(one.path, None)
        for one in same:
            self._memory.add(one, time.time())
            self._differing.pop(one.path, None)
        for one in whole:
            how = _DIFFERENCES.get(states[one.path]) if one.path in states else None
            if how:
                if one.path not in self._differing:
                    self.host.log(f"TargetDiffers: {self._target}/{one.path} {how}")
                self._differing[one.path] = (one, time.monotonic(), how)
                self._error_at.set(time.time())
        await self._own.do(self._keep_in_mind)
        self._show()
        return same

    async def _make_room(self) -> None:
        """Delete what is verified and old, and more of it while the disk is short."""
        hours = self.settings.delete_verified_after_hours
        if hours is not None:
            before = time.time() - hours * 3600
            aged = deletable(self._files, self._memory, before)
            for index in range(0, len(aged), _TO_DELETE):
                await self._delete(await self._again(aged[index : index + _TO_DELETE]))
        while await self._short():
            oldest: Sequence[FinishedFile] = deletable(self._files, self._memory)[:_TO_DELETE]
            if not oldest:
                return
            try:
                oldest = await self._again(oldest)
            except Failed as failure:
                # It was the same when it was compared, and recordings need the space.
                self.host.log(f"the disk is short, and {failure.message}: deleted all the same")
                oldest = oldest[:1]
            for one in oldest:
                if await self._short():
                    await self._delete([one])

    async def _again(self, files: Sequence[FinishedFile]) -> Sequence[FinishedFile]:
        """Those that are still the same; what is there no more is copied anew."""
        same = await self._verify(self._checker, files)
        if len(same) < len(files):
            self._wake["copy"].set()
        return same

    async def _short(self) -> str | None:
        minimum, place = self.settings.minimum_free_gib, self.host.recordings
        return await self._archive.do(lambda: short_of(minimum, place))

    async def _delete(self, files: Sequence[FinishedFile]) -> None:
        def delete() -> None:
            for one in files:
                if one.unchanged():
                    one.file.unlink(missing_ok=True)

        try:
            await self._archive.do(delete)
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
            raise Failed("NotPermitted", f"a verified file cannot be deleted: {why}") from None
        for one in files:
            self.host.log(f"deleted {one.path}: it is verified at {self._target}")
        self._files = [one for one in self._files if one not in files]

    def _remembered(self) -> CopyMemory:
        target, file = str(self.settings.target), self.host.state / _MEMORY
        try:
            found = kept.read(file, lambda text: CopyMemory.decode(target, text), MOST_BYTES)
        except (OSError, ValueError) as error:
            kept.set_aside(file, error)
            found = None
        return found or CopyMemory(target)

    def _keep_in_mind(self) -> None:
        # Where it cannot be kept, it is verified again: nothing is lost but time.
        with contextlib.suppress(OSError):
            kept.replace(self.host.state / _MEMORY, self._memory.encode(), sync=False)

    def _show(self) -> None:
        waiting, verified = pending(self._files, self._memory), self._memory.files.values()
        self._pending_files.set(len(waiting))
        self._pending_bytes.set(sum(one.size for one in waiting))
        self._oldest.set(min((one.changed for one in waiting), default=0) / 1e9)
        self._verified_files.set(len(verified))
        self._verified_bytes.set(sum(one.size for one in verified))
        self._verified_at.set(max((one.at for one in verified), default=0))


class SyncFactory(RoleFactory[SyncSettings]):
    """As many as there are targets."""

    role = Sync
    settings = SyncSettings
    tools: Mapping[str, str] = {"rsync": "rsync", "ssh": "openssh-client"}


register_factory("sync", SyncFactory())

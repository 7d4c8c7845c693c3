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

from fleet.media.archive import FinishedFile
from fleet.media.copies import listed
from fleet.media.copying import Copier
from fleet.media.disk import DiskWork
from fleet.media.rsync import CopyState
from fleet.media.segments import short_of
from fleet.media.storage import Storage
from fleet.media.verifying import TargetKnowledge
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
_BATCH: Final = 100
"""Files that are compared at once."""
_FEW: Final = 3
"""So few are copied at once; of more it is asked first which are there."""
_TO_DELETE: Final = 10
"""Files that are compared once more, and then deleted, at once."""
_MOST_LISTED: Final = 500
_OF_ONE_FILE: Final = ("NotPermitted", "TargetNotWritable", "CopyFailed")
"""What is wrong with one file, and may not hold up the others."""


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
        room = host.room or host.name
        self._target = f"{str(settings.target).rstrip('/')}/{room}"
        self._copier, self._checker = (
            Copier(host, name, settings.target, room) for name in ("copy", "check")
        )
        self._archive = DiskWork(host.recordings)
        self._known = TargetKnowledge(host, str(settings.target), self._target)
        self._trouble: dict[str, Failed] = {}
        """What went wrong last, by what was being done."""
        self._work: list[asyncio.Task[None]] = []
        self._wake = {name: asyncio.Event() for name in ("copy", "check")}

    async def start(self) -> None:
        """Returns once it is known what is verified, and the first copy goes on or has begun.

        What an earlier agent had begun is taken over by then: afterwards it would be ended.
        """
        self._copier.check_key()
        await self._known.recall()
        for copier in (self._copier, self._checker):
            await copier.clean()
        for name, work in (("copy", self._copy), ("check", self._make_room)):
            self._work.append(self.host.task(self._keep_on(name, work), name))
        await self._copier.begun.wait()

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
        elif self._known.difference is not None:
            self.host.note(
                "TargetDiffers",
                f"{self._known.difference}: it is not replaced. See which is right and move the "
                f"other away; fleet call {self.host.name} sync now looks again at once",
            )
        else:
            self.host.note(None)

    @command
    async def list(self, asked: CopiesAsked) -> CopiesListed:
        """Which files are verified, and which are not yet."""
        await self._look_for_command()
        found = sorted(listed(self._known.files, self._known.memory).items())
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
        self._known.look_anew()
        self._begin_now()
        waiting = self._known.waiting
        return CopyBegun(len(waiting), sum(one.size for one in waiting))

    def _begin_now(self) -> None:
        for wake in self._wake.values():
            wake.set()

    async def _look_for_command(self) -> None:
        try:
            await self._known.look()
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
                self._known.went_wrong()
                wait, later = later, min(_LONGEST_RETRY, later * 2)
            if name == "copy":  # there was nothing to begin, or it cannot be
                self._copier.begun.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake[name].wait()

    async def _copy(self) -> None:
        await self._known.look()
        waiting = [one for one in self._known.waiting if not self._known.left_alone(one)]
        for index in range(0, len(waiting), _BATCH):
            batch: Sequence[FinishedFile] = waiting[index : index + _BATCH]
            if len(batch) > _FEW:
                there = await self._copier.compare(batch, sizes=True)
                present = [
                    one
                    for one in batch
                    if there.get(one.path, CopyState.ABSENT) is not CopyState.ABSENT
                ]
                await self._known.verify(self._copier, present)
                batch = [one for one in batch if one not in present]
            failures: list[Failed] = []
            for one in batch:
                try:
                    await self._copy_one(one)
                except Failed as failure:
                    failures.append(failure)
                    if failure.reason not in _OF_ONE_FILE or len(failures) > _FEW:
                        raise
                await self._known.look(after=_LOOK_SECONDS)
            if failures:
                raise failures[0]
        if waiting:
            self._wake["check"].set()

    async def _copy_one(self, file: FinishedFile) -> None:
        try:
            await self._copier.copy(file, self.settings.bandwidth_mbit)
            await self._known.verify(self._copier, [file])
        except Failed:
            if await self._archive.do(file.unchanged):
                raise
            return  # somebody took it away
        if not self._known.is_known(file) and await self._archive.do(file.unchanged):
            raise Failed("CopyFailed", f"{file.path} is not at {self._target} after it was copied")

    async def _make_room(self) -> None:
        """Delete what is verified and old, and more of it while the disk is short."""
        hours = self.settings.delete_verified_after_hours
        if hours is not None:
            before = time.time() - hours * 3600
            aged = self._known.deletable(before)
            for index in range(0, len(aged), _TO_DELETE):
                await self._known.delete(await self._again(aged[index : index + _TO_DELETE]))
        while await self._short():
            oldest: Sequence[FinishedFile] = self._known.deletable()[:_TO_DELETE]
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
                    await self._known.delete([one])

    async def _again(self, files: Sequence[FinishedFile]) -> Sequence[FinishedFile]:
        """Those that are still the same; what is there no more is copied anew."""
        same = await self._known.verify(self._checker, files)
        if len(same) < len(files):
            self._wake["copy"].set()
        return same

    async def _short(self) -> str | None:
        minimum, place = self.settings.minimum_free_gib, self.host.recordings
        return await self._archive.do(lambda: short_of(minimum, place))


class SyncFactory(RoleFactory[SyncSettings]):
    """As many as there are targets."""

    role = Sync
    settings = SyncSettings
    tools: Mapping[str, str] = {"rsync": "rsync", "ssh": "openssh-client"}


register_factory("sync", SyncFactory())

"""One rsync after the other, each a child of its own, with an end for each that stands still."""

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

from fleet.host import Child, Failed, Host
from fleet.media.archive import FinishedFile
from fleet.media.disk import DiskWork
from fleet.media.rsync import CopyState, RsyncJob, compared, diagnosed
from fleet.media.storage import SshStorage, Storage, check_private_key, clear, forget
from fleet.model import plain

_STALL_SECONDS: Final = 120.0
"""Without a word of a copy for so long, or longer than this for a comparison, it stands still."""
_SLOWEST: Final = 2_000_000
"""Bytes a second that a checksum takes at least."""
_LOOK_SECONDS: Final = 5.0
_PARTLY: Final = (23, 24)
"""How a comparison ends that could not look at all files: what it said of the others counts."""


class Copier:
    """Copies and compares at one target. `name` is that of its child."""

    def __init__(self, host: Host, name: str, storage: Storage, room: str) -> None:
        self._host = host
        self._name = name
        self._storage = storage
        self._place = f"{storage.place}/{room}"
        self._directory = host.state / name
        self._disk = DiskWork(host.state)
        self._child: Child | None = None
        self.begun = asyncio.Event()
        """Something is under way, be it what an earlier agent has begun."""

    def check_key(self) -> str:
        """The private key, empty where none is needed.

        Raises:
            Failed: it is not on this station, or cannot be one.
        """
        if not isinstance(self._storage, SshStorage):
            return ""
        key = self._host.secret(self._storage.key, self._storage.secrets_to)
        check_private_key(self._storage.key.secret, key)
        return key

    async def copy(self, file: FinishedFile, mbit: int | None) -> None:
        """Copy a file that may be there in part, or whole.

        Raises:
            Failed: it is not there now.
        """
        await self._run([file], lambda job: job.copying(mbit), None)

    async def compare(
        self, files: Sequence[FinishedFile], *, sizes: bool = False
    ) -> dict[str, CopyState]:
        """What is there under the paths of `files`, by checksums or by `sizes` alone.

        Raises:
            Failed: the target cannot be asked.
        """
        found: dict[str, CopyState] = {}
        for _, one in groupby(sorted(files, key=lambda one: one.root), lambda one: one.root):
            same = list(one)
            patience = _STALL_SECONDS + (0 if sizes else sum(it.size for it in same) / _SLOWEST)
            said = await self._run(same, lambda job: job.comparing(sizes=sizes), patience)
            found |= compared(said, [it.path for it in same])
        return found

    async def stop(self) -> None:
        """End what is under way, and leave no key behind."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()
        await self.clean()

    async def clean(self) -> None:
        """Have nothing left of an earlier running, above all no key."""
        await self._disk.do(lambda: forget(self._directory))

    async def _run(
        self,
        files: Sequence[FinishedFile],
        argv: Callable[[RsyncJob], list[str]],
        patience: float | None,
    ) -> bytes:
        """What it printed. `patience`: seconds it may take; None where it prints all the time."""
        job = await self._disk.do(lambda: self._prepare(files))
        try:
            while True:
                child = self._child = await self._host.spawn(
                    argv(job), name=self._name, report=True
                )
                self.begun.set()
                status = await self._end(child, patience)
                if not child.adopted:
                    break  # what an earlier agent has begun was another job
            self._child = None
            if status and not (patience is not None and status in _PARTLY):
                raise diagnosed(child.last_words(30), status, str(self._storage))
            return await self._disk.do(child.output.read_bytes)
        finally:
            self._disk.begin(lambda: forget(self._directory))

    def _prepare(self, files: Sequence[FinishedFile]) -> RsyncJob:
        clear(self._directory)
        key = self.check_key()
        rsh = (
            self._storage.prepare(self._directory, key)
            if isinstance(self._storage, SshStorage)
            else []
        )
        names = self._directory / "names"
        job = RsyncJob(files[0].root, [one.path for one in files], names, rsh, self._place)
        try:
            job.list_files()
        except OSError as error:
            raise Failed("NotWritable", f"{names} cannot be written: {plain(error)}") from None
        return job

    async def _end(self, child: Child, patience: float | None) -> int | None:
        ended = asyncio.ensure_future(child.wait())
        printed, since = child.printed, time.monotonic()
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=_LOOK_SECONDS)
                if patience is None and child.printed != printed:
                    printed, since = child.printed, time.monotonic()
                if time.monotonic() - since > (patience or _STALL_SECONDS) and not ended.done():
                    await child.stop()
                    raise Failed(
                        "TargetHangs",
                        f"{self._storage} has not answered for "
                        f"{time.monotonic() - since:.0f} s: check it and the network",
                    )
        finally:
            ended.cancel()
        return ended.result()

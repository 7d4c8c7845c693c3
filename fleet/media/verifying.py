"""What is known of one target: which finished files are there, verified, and which differ.

Kept beside the role's state, where an agent's restart finds it, and shown as metrics.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import Gauge

from fleet import kept
from fleet.host import Failed, Host
from fleet.media.archive import FinishedFile, finished
from fleet.media.copies import MOST_BYTES, CopyMemory, deletable, pending
from fleet.media.copying import Copier
from fleet.media.disk import DiskWork
from fleet.media.rsync import CopyState

_DIFFERS_SECONDS: Final = 600.0
"""So long after one that differs was compared it is left alone."""
_SCAN_SECONDS: Final = 120.0
"""What a look at the whole archive may take."""
_MEMORY: Final = "verified.json"
_DIFFERENCES: Final[Mapping[CopyState, str]] = {
    CopyState.DIFFERENT: "has the same size and another content",
    CopyState.OTHER_SIZE: "has another size",
}


class TargetKnowledge:
    """Of the target with this name; `place`: what people call the directory there."""

    def __init__(self, host: Host, target: str, place: str) -> None:
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
        self.place = place
        self._host = host
        self._archive, self._own = DiskWork(host.recordings), DiskWork(host.state)
        self.memory = CopyMemory(target)
        self.files: list[FinishedFile] = []
        """What is finished here, as it was seen last."""
        self._looked: float | None = None
        self._differing: dict[str, tuple[FinishedFile, float, str]] = {}
        """Path -> the file that differs at the target, when that was seen, and in what."""

    async def recall(self) -> None:
        """Have in mind what an earlier running knew."""
        self.memory = await self._own.do(self._remembered)
        self._show()

    async def look(self, after: float = 0.0) -> None:
        """See what is finished, unless that was looked at less than `after` seconds ago.

        Raises:
            Failed: the disk does not say.
        """
        if self._looked is not None and time.monotonic() - self._looked < after:
            return
        roots = [self._host.recordings, *filter(None, [self._host.former_recordings])]
        memory = self.memory
        self.files = await self._archive.do(lambda: finished(roots, memory.has), _SCAN_SECONDS)
        self._looked = time.monotonic()
        here = {one.path: one for one in self.files}
        for path, (file, _, _) in [*self._differing.items()]:
            if here.get(path) != file:
                del self._differing[path]
        self._show()

    @property
    def waiting(self) -> list[FinishedFile]:
        """What is not verified, the oldest first."""
        return pending(self.files, self.memory)

    def deletable(self, before: float | None = None) -> list[FinishedFile]:
        """What is verified (`before` that moment, Unix time, if given), the oldest first."""
        return deletable(self.files, self.memory, before)

    def left_alone(self, file: FinishedFile) -> bool:
        """Whether it was seen to differ a short while ago."""
        known = self._differing.get(file.path)
        return known is not None and time.monotonic() - known[1] < _DIFFERS_SECONDS

    def is_known(self, file: FinishedFile) -> bool:
        """Whether it is verified, or seen to differ."""
        return self.memory.has(file) or file.path in self._differing

    @property
    def difference(self) -> str | None:
        """The first that differs, in what, and how many more do; None where none does."""
        if not self._differing:
            return None
        path, (_, _, how) = min(self._differing.items())
        others = len(self._differing) - 1
        return f"{self.place}/{path} {how}" + (f" (and {others} more)" if others else "")

    def look_anew(self) -> None:
        """Leave alone nothing of what differed."""
        self._differing.clear()

    def went_wrong(self) -> None:
        """Something could not be done."""
        self._error_at.set(time.time())

    async def verify(self, copier: Copier, files: Sequence[FinishedFile]) -> Sequence[FinishedFile]:
        """Compare by checksums, and keep in mind what was found; those that are the same.

        Raises:
            Failed: the target cannot be asked.
        """
        if not files:
            return ()
        states = await copier.compare(files)
        whole = await self._archive.do(lambda: [one for one in files if one.unchanged()])
        same = [one for one in whole if states.get(one.path) is CopyState.SAME]
        for one in files:
            if one.path in states:
                self.memory.files.pop(one.path, None)
        for one in same:
            self.memory.add(one, time.time())
            self._differing.pop(one.path, None)
        for one in whole:
            how = _DIFFERENCES.get(states[one.path]) if one.path in states else None
            if how:
                if one.path not in self._differing:
                    self._host.log(f"TargetDiffers: {self.place}/{one.path} {how}")
                self._differing[one.path] = (one, time.monotonic(), how)
                self.went_wrong()
        await self._own.do(self._keep_in_mind)
        self._show()
        return same

    async def delete(self, files: Sequence[FinishedFile]) -> None:
        """Delete here what is verified there.

        Raises:
            Failed: it cannot be deleted.
        """

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
            self._host.log(f"deleted {one.path}: it is verified at {self.place}")
        self.files = [one for one in self.files if one not in files]

    def _remembered(self) -> CopyMemory:
        target, file = self.memory.target, self._host.state / _MEMORY
        try:
            found = kept.read(file, lambda text: CopyMemory.decode(target, text), MOST_BYTES)
        except (OSError, ValueError) as error:
            kept.set_aside(file, error)
            found = None
        return found or CopyMemory(target)

    def _keep_in_mind(self) -> None:
        # Where it cannot be kept, it is verified again: nothing is lost but time.
        with contextlib.suppress(OSError):
            kept.replace(self._host.state / _MEMORY, self.memory.encode(), sync=False)

    def _show(self) -> None:
        waiting, verified = self.waiting, self.memory.files.values()
        self._pending_files.set(len(waiting))
        self._pending_bytes.set(sum(one.size for one in waiting))
        self._oldest.set(min((one.changed for one in waiting), default=0) / 1e9)
        self._verified_files.set(len(verified))
        self._verified_bytes.set(sum(one.size for one in verified))
        self._verified_at.set(max((one.at for one in verified), default=0))

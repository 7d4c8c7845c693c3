"""Which recordings are copied already, which are next, and which may go. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Final, Self

from attrs import define, field, frozen

from fleet.media.archive import FinishedFile

MOST_BYTES: Final = 64 * 1024 * 1024
"""What the memory may have on disk."""
_MOST: Final = 100_000
"""Files that are remembered; those verified first are forgotten first."""


@frozen
class VerifiedCopy:
    """A file that was the same here and at the target. `changed` as `FinishedFile` has it."""

    size: int
    changed: int
    at: float
    """When that was seen, Unix time."""


@define
class CopyMemory:
    """The files that are verified at one target, by their path.

    It may be lost: what is at the target is then verified again, and copied no second time.
    """

    target: str
    files: dict[str, VerifiedCopy] = field(factory=dict)

    def has(self, file: FinishedFile) -> bool:
        """Whether this very file is verified."""
        known = self.files.get(file.path)
        return known is not None and (known.size, known.changed) == (file.size, file.changed)

    def add(self, file: FinishedFile, at: float) -> None:
        """It is verified."""
        self.files.pop(file.path, None)
        self.files[file.path] = VerifiedCopy(file.size, file.changed, at)
        while len(self.files) > _MOST:
            self.files.pop(next(iter(self.files)))

    def encode(self) -> bytes:
        """As it is kept."""
        files = {path: [one.size, one.changed, one.at] for path, one in self.files.items()}
        return json.dumps({"target": self.target, "files": files}).encode()

    @classmethod
    def decode(cls, target: str, text: bytes) -> Self:
        """What was kept; nothing of it where it is about another target.

        Raises:
            ValueError: it is damaged.
        """
        try:
            said = json.loads(text)
            if said["target"] != target:
                return cls(target)
            files = {
                str(path): VerifiedCopy(int(size), int(changed), float(at))
                for path, (size, changed, at) in said["files"].items()
            }
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not what it was written as: {error!r}") from None
        return cls(target, files)


def pending(files: Iterable[FinishedFile], memory: CopyMemory) -> list[FinishedFile]:
    """Those that are not verified, the oldest first."""
    return sorted((one for one in files if not memory.has(one)), key=lambda one: one.age)


def deletable(
    files: Iterable[FinishedFile], memory: CopyMemory, before: float | None = None
) -> list[FinishedFile]:
    """Those that are verified (`before` that moment, if given), the oldest first."""
    return sorted(
        (
            one
            for one in files
            if memory.has(one) and (before is None or memory.files[one.path].at < before)
        ),
        key=lambda one: one.age,
    )


def listed(
    files: Iterable[FinishedFile], memory: CopyMemory
) -> Mapping[str, tuple[int, float | None, bool]]:
    """Path -> bytes, when it was verified (None: it is not), and whether it is still here."""
    here = {one.path: one for one in files}
    gone = {
        path: (one.size, one.at, False) for path, one in memory.files.items() if path not in here
    }
    return gone | {
        path: (one.size, memory.files[path].at if memory.has(one) else None, True)
        for path, one in here.items()
    }

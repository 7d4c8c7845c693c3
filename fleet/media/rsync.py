"""How rsync copies and compares, and what its words and those of ssh mean.

Existing files at a target are never replaced: `--ignore-existing` leaves them alone, and whether
they are what we have is told by checksums that both sides make. What was sent of a file whose copy
broke off is kept in a hidden directory beside it, and the next copy goes on from there.
"""

import os
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from attrs import frozen

from fleet.host import Failed

_PARTIAL: Final = ".fleet-partial"
_COMMON: Final = ("rsync", "-8", "--times", "--from0", "--no-implied-dirs")
_ITEM: Final = re.compile(rb"([.<>ch*])f(.)(.).{7} (.+)", re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\#([0-7]{3})")


class CopyState(Enum):
    """What is at a target under the name of a file."""

    ABSENT = "absent"
    SAME = "same"
    DIFFERENT = "different"
    OTHER_SIZE = "other size"


@frozen
class RsyncJob:
    """What one rsync is told. `files` are below `root`; `names` is the file that lists them."""

    root: Path
    files: Sequence[str]
    names: Path
    rsh: Sequence[str]
    """How it reaches a host; nothing for a directory of this station."""
    place: str
    """With the room."""

    def list_files(self) -> None:
        """Write `names`.

        Raises:
            OSError: it cannot be written.
        """
        self.names.write_bytes(b"".join(os.fsencode(one) + b"\0" for one in self.files))

    def copying(self, mbit: int | None) -> list[str]:
        """Copy what is not there yet; it prints something each second."""
        limit = [f"--bwlimit={max(1, mbit * 1_000_000 // 8 // 1024)}"] if mbit else []
        kept = ("--ignore-existing", f"--partial-dir={_PARTIAL}", "--no-whole-file")
        return self._argv(*kept, *limit, "--info=progress2", "--outbuf=L")

    def comparing(self, *, sizes: bool = False) -> list[str]:
        """Say what is there: by checksums of both sides, or by `sizes` alone."""
        how = "--size-only" if sizes else "--checksum"
        return self._argv(how, "--dry-run", "-ii", "--out-format=%i %n")

    def _argv(self, *options: str) -> list[str]:
        paths = (f"--files-from={self.names}", f"{self.root}/", f"{self.place}/")
        return [*_COMMON, *options, *self.rsh, *paths]


def compared(report: bytes, files: Iterable[str]) -> dict[str, CopyState]:
    r"""What a comparison said of each of `files`; of some it may have said nothing.

    >>> said = b"created directory x\n<fc.t...... a.ts\n.f          b.ts\n<f+++++++++ c\\#134.ts\n"
    >>> [one.value for one in compared(said, ["a.ts", "b.ts", "c\\.ts", "d.ts"]).values()]
    ['different', 'same', 'absent']
    """
    said: dict[bytes, CopyState] = {}
    for line in report.split(b"\n"):
        found = _ITEM.fullmatch(line)
        if found is None:
            continue
        name = _ESCAPED.sub(lambda code: bytes([int(code[1], 8)]), found[4])
        if found[2] == b"+":
            said[name] = CopyState.ABSENT
        elif found[3] == b"s":
            said[name] = CopyState.OTHER_SIZE
        else:
            said[name] = CopyState.DIFFERENT if found[2] == b"c" else CopyState.SAME
    return {one: said[os.fsencode(one)] for one in files if os.fsencode(one) in said}


_NETWORK = (
    r"ssh: connect to host|Could not resolve hostname|kex_exchange_identification"
    r"|Connection (?:refused|timed out)|No route to host|Network is unreachable"
    r"|banner exchange"
)
_CUT = (
    r"closed by remote host|Broken pipe|Connection reset|not responding"
    r"|connection unexpectedly closed|error in socket IO|Connection to \S+ closed"
)
_REASONS: Final = (
    (
        r"The fingerprint for the \S+ key sent by the remote host is\s+SHA256:\S+"
        r"|Host key verification failed",
        "HostKeyChanged",
        "{target} shows another host key than the host_key of the settings: nothing was sent. If "
        "its host was installed anew, set host_key to its new ssh_host_ed25519_key.pub; if not, "
        "somebody else answers there",
    ),
    (
        r"Permission denied \([a-z,-]+\)|Too many authentication failures|Load key \"",
        "KeyRefused",
        "{target} refuses the key: put the public half of the secret into authorized_keys of that "
        "user",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "TargetFull",
        "no space is left at {target}: free some, or take a larger one; what was sent is kept",
    ),
    (
        r"\[sender\].*Permission denied",
        "NotPermitted",
        "a recording may not be read: give it to the agent's user",
    ),
    (
        r"Read-only file system|Permission denied \(13\)|Operation not permitted",
        "TargetNotWritable",
        "{target} may not be written to: give it to that user, remount its disk",
    ),
    (
        r"rsync: (?:command )?not found|rsync: No such file|exec request failed",
        "TargetUnsuitable",
        "rsync is not at {target}: install it there",
    ),
    (
        r"is your shell clean|account is currently not available",
        "TargetUnsuitable",
        "{target} does not let this user run rsync, or prints something before it: give the user "
        "a shell such as /bin/sh, which prints nothing by itself",
    ),
    (
        r"Not a directory \(20\)",
        "TargetNotWritable",
        "a file is where {target} is to have a directory: move the file away",
    ),
    (
        r"mkdir \".*\" failed|change_dir.* failed",
        "TargetMissing",
        "{target} is not there: make it or mount its disk",
    ),
    (
        _NETWORK,
        "TargetUnreachable",
        "{target} cannot be reached: check its address, the network, and that its sshd runs",
    ),
    (
        _CUT,
        "LinkCut",
        "the connection to {target} was cut: what was sent is kept, and the copy goes on there",
    ),
)


def diagnosed(words: str, status: int | None, target: str) -> Failed:
    """What it means that an rsync failed, by its last output."""
    for pattern, reason, advice in _REASONS:
        found = re.search(rf".*(?:{pattern}).*", words)
        if found:
            said = " ".join(found[0].split())[:200]
            return Failed(reason, f"{advice.format(target=target)} ({said})")
    lines = words.strip().splitlines() or [f"it ended with status {status}"]
    told = [line for line in lines if line.startswith("rsync: [")] or lines
    return Failed("CopyFailed", f"rsync could not copy to {target}: {told[-1][:300]}")

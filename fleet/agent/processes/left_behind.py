"""Children that an earlier agent left running: found by a mark in their environment.

The mark is there from the child's first instruction and goes with it, so there is no moment in
which a child runs and no record of it exists, and nothing to clean up after it. What it says
is enough to take the child over: whose it is, the digest of its settings, how to stop it.

The kernel shows a process's environment to its own user alone, and not where the program gains
rights (setuid, file capabilities) or may not be read: such a child is `hidden`.
"""

import json
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Final

import attrs
from attrs import frozen

from fleet.agent.engine.reconcile import Key
from fleet.agent.processes import cgroups

VARIABLE: Final = "FLEET_CHILD"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START_SPREAD: Final = 10.0
"""Seconds between writing the mark and the first instruction of the child, at most: a box may be
short of CPU, and its disk slow."""
_GONE: Final = frozenset("ZXx")
"""States of a process that has ended, whether its parent has noticed or not."""


@frozen
class Mark:
    """Says whose child a process is, and how it is to be treated.

    `stop`: number of the signal that ends it gently; `grace`: seconds it then has; `report`:
    its standard output is no log. The rest is of one start of it: a random `id`, the seconds
    the machine was up, the bytes that were in its logs already, the station's id, the revision that
    was in force.
    """

    state_dir: str
    role: str
    instance: str
    name: str
    digest: str
    stop: int
    grace: float
    report: bool
    id: str = ""
    uptime: float = 0.0
    output_at: int = 0
    errors_at: int = 0
    station: str = ""
    revision: int = 0

    @property
    def key(self) -> Key:
        """The instance it belongs to."""
        return Key(self.role, self.instance)

    def encode(self) -> str:
        """As it stands in the environment."""
        return json.dumps(attrs.asdict(self), separators=(",", ":"))


_FIELDS: Final = frozenset(attrs.fields_dict(Mark))
"""A mark of another release may have more or, where there are defaults, fewer."""


@frozen
class Stat:
    """What the kernel says of a process. `started`: seconds of uptime when it began."""

    pid: int
    state: str
    group: int
    session: int
    started: float
    parent: int = 0

    def is_(self, then: "Stat") -> bool:
        """Whether it is that process: numbers are given again."""
        return (self.pid, self.started) == (then.pid, then.started)

    @property
    def gone(self) -> bool:
        """Whether it has ended; a zombie has."""
        return self.state in _GONE


@frozen
class Marked:
    """A process with a mark."""

    stat: Stat
    mark: Mark


def uptime() -> float:
    """Seconds the machine has been up, as the start times of processes are counted.

    It is asked of the kernel: in a container `/proc/uptime` may tell how long that has been up.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def stat(pid: int) -> Stat | None:
    """What the kernel says of `pid`, None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # a program's name may hold anything
    started = int(fields[19]) / _TICKS
    return Stat(pid, fields[0], int(fields[2]), int(fields[3]), started, int(fields[1]))


def mark_of(pid: int) -> Mark | None:
    """The mark of a process of our own user, None if it has none that can be read.

    Others' are not believed: root may read them all, and anybody may write one.
    """
    try:
        place = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        # Who owns the directory is whom it runs as, but root where it may not be looked into.
        if os.fstat(place).st_uid != os.geteuid() or _user(place) != os.geteuid():
            return None
        environ = _content(place, "environ")
    except OSError:
        return None
    finally:
        os.close(place)
    start = f"{VARIABLE}=".encode()
    for entry in environ.split(b"\0"):
        if entry.startswith(start):
            try:
                told = json.loads(entry[len(start) :])
                return Mark(**{key: told[key] for key in _FIELDS & told.keys()})
            except (ValueError, TypeError, AttributeError):
                return None  # somebody else's variable
    return None


def _user(place: int) -> int:
    """The real user of the process whose directory below /proc this is."""
    line = next(one for one in _content(place, "status").splitlines() if one.startswith(b"Uid:"))
    return int(line.split()[1])


def _content(place: int, name: str) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=place), "rb") as file:
        return file.read()


def hidden(pid: int) -> bool:
    """Whether the environment of a process may not be read, so that no mark is found there."""
    try:
        Path(f"/proc/{pid}/environ").read_bytes()
    except OSError as error:
        return isinstance(error, PermissionError)  # else it has ended
    return False


def written_by(pid: int, number: int, path: Path) -> Path:
    """Where to read what a child writes as its output or errors, which was to be at `path`.

    What is there now may be a copy that somebody has put back: the child does not know of it.
    """
    own = Path(f"/proc/{pid}/fd/{number}")
    try:
        theirs = own.stat()
        moved = S_ISREG(theirs.st_mode) and not (
            path.exists() and os.path.samestat(theirs, path.stat())
        )
    except OSError:
        return path
    return own if moved else path


def argv_of(pid: int) -> list[str]:
    """A process's arguments, empty if it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in raw.split(b"\0")[:-1]]


def pids() -> list[int]:
    """Every process there is."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def scan(state_dir: Path, station: str) -> Iterator[Marked]:
    """The living processes that belong to the agent of `state_dir`.

    So do those of this station's agent whose state directory is not there any more: it was moved.
    Those of an agent in a container do not, whatever it calls its station and its directory.
    """
    for pid in pids():
        mark = mark_of(pid)
        if mark is None:
            continue
        moved = mark.station == station and not Path(mark.state_dir).exists()
        if (mark.state_dir != str(state_dir) and not moved) or _elsewhere(pid, mark.state_dir):
            continue
        now = stat(pid)
        if now is not None and not now.gone:
            yield Marked(now, mark)


def leaders_and_orphans(found: Iterable[Marked]) -> tuple[list[Marked], list[Marked]]:
    """Those an agent started itself, and those whose leader is gone (pure).

    A leader leads its session, and began when its mark was made: a grandchild that made
    itself a session carries the same mark, but came later. What still belongs to a leader is
    in neither list.
    """
    by_id: dict[str, list[Marked]] = {}
    for one in found:
        by_id.setdefault(one.mark.id, []).append(one)
    leaders: list[Marked] = []
    orphans: list[Marked] = []
    for family in by_id.values():
        first = min(family, key=lambda one: one.stat.started)
        late = first.stat.started - first.mark.uptime
        if first.stat.session == first.stat.pid and abs(late) < _START_SPREAD:
            leaders.append(first)
        else:
            orphans.extend(family)
    return leaders, orphans


def kin(
    leader: Stat, id_: str, logs: Collection[str] = (), known: Collection[Stat] = ()
) -> list[int]:
    """The living processes of a child, and what those have started.

    A child's are those in its cgroup, group or session, those with its mark, those that write to
    its `logs`, and those `known` as its own from before.

    A process id is not given to another as long as a group or session bears it; where it was
    given to another, nobody of ours was left in there.
    """
    reused = stat(leader.pid)
    ours = reused is None or reused.started == leader.started
    living = {pid: now for pid in pids() if (now := stat(pid)) is not None and not now.gone}
    found = {one.pid for one in known if one.pid in living and one.is_(living[one.pid])}
    found |= living.keys() & set(cgroups.members(id_))
    for pid, now in living.items():
        if (ours and leader.pid in (now.group, now.session)) or pid in found:
            found.add(pid)
        elif now.started < leader.started:
            continue  # it was there before: to look closer at all of a busy box holds the loop
        elif (mark := mark_of(pid)) is not None:
            found |= {pid} if mark.id == id_ else set()
        elif logs:
            own = _writes_to(pid).intersection(logs)
            found |= {pid} if any(not _elsewhere(pid, path) for path in own) else set()
    while more := {pid for pid, now in living.items() if now.parent in found} - found:
        found |= more
    return sorted(found)


def descendants(pid: int) -> list[Stat]:
    """What a process has started, and what that has, as far as those live that did."""
    found: list[Stat] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                now = stat(child)
                found += [now] if now is not None else []
                found += descendants(child)
    return found


def _writes_to(pid: int) -> set[str]:
    """Where its output and its errors go: what hides keeps those, unless it becomes a daemon."""
    found = set()
    for number in (1, 2):
        with suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))  # noqa: PTH115 (may be no path)
    return found


def _elsewhere(pid: int, path: str) -> bool:
    """Whether a process has another file by that name, in a container, than this one (or none)."""
    try:
        theirs = Path(f"/proc/{pid}/root{path}").stat()
    except OSError:
        return False
    try:
        return not os.path.samestat(theirs, Path(path).stat())
    except OSError:
        return True

"""Who takes over what an earlier agent left running, and who ends it.

Each child that was left is either taken by the instance it belongs to, if that wants the very
settings it was started with, or stopped. Nothing new starts in its place before it is gone.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from attrs import Factory, field, frozen

from fleet import kept
from fleet.agent.engine.reconcile import Key
from fleet.agent.processes import cgroups
from fleet.agent.processes.left_behind import Marked, leaders_and_orphans, mark_of, pids, scan
from fleet.agent.processes.process import Process, kill
from fleet.agent.secret_files import SecretFiles
from fleet.model import counted, plain

log = logging.getLogger(__name__)


@frozen
class Place:
    """Where this station keeps what it runs."""

    station: str
    state_dir: Path
    recordings: Path
    secrets_dir: Path
    former: Path | None = None
    """Where recordings went under an earlier release, if there are any."""
    adopt: bool = True
    """Whether children an earlier agent left are taken over (else they are stopped)."""
    media: tuple[Path, ...] = ()
    """Directories besides the recordings whose files may be a source."""

    secrets: SecretFiles = field(
        init=False,
        eq=False,
        default=Factory(
            lambda self: SecretFiles(self.secrets_dir, self.state_dir / "secrets"), takes_self=True
        ),
    )
    """Its owner's secrets, and those that were sent here."""


class Adoption:
    """The children of an earlier agent that nobody has taken yet."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._left: dict[tuple[Key, str], Process] = {}
        self._stops: dict[Key, asyncio.Task[None]] = {}

    async def find(self) -> None:
        """Look who is there; grandchildren whose parent is gone are killed."""
        leaders, orphans = leaders_and_orphans(self._scan())
        if orphans:
            log.warning("killing %s of children that are gone", counted(len(orphans), "orphan"))
            ids = {orphan.mark.id for orphan in orphans}
            await kill(lambda: [one.stat.pid for one in self._scan() if one.mark.id in ids])
        await self._end_hidden()
        for leader in leaders:
            mark = leader.mark
            process = Process.take_over(leader, logs(self._place, mark.key))
            if process is None:
                continue
            twin = self._left.pop((mark.key, mark.name), None)
            if twin is not None:  # cannot be; but two writers are worse than none
                await asyncio.gather(process.stop(), twin.stop())
            else:
                self._left[mark.key, mark.name] = process

    async def _end_hidden(self) -> None:
        """End what hides in the cgroups of children that are gone."""
        marks = map(mark_of, pids()) if cgroups.tree() else ()
        for id_ in set(cgroups.children()) - {mark.id for mark in marks if mark}:
            await kill(partial(cgroups.members, id_))
            cgroups.remove(id_)

    def _scan(self) -> Iterator[Marked]:
        return scan(self._place.state_dir, self._place.station)

    def keep_only(self, wanted: Collection[Key], waiting: Mapping[Key, str]) -> None:
        """Begin to stop those that are of no instance in `wanted`.

        `waiting`: instances that cannot be run now, and the digest of their settings; what runs of
        them with these runs on.
        """
        for key in {key for key, _ in self._left}:
            kept = key in wanted or (key in waiting and self.runs(key, waiting[key]))
            if not kept or not self._place.adopt:
                self.dismiss(key)

    def runs(self, key: Key, digest: str) -> bool:
        """Whether children of this instance are left, all with the settings of `digest`."""
        mine = {child.mark.digest for (k, _), child in self._left.items() if k == key}
        return bool(mine) and mine <= {digest} | self._live(key, digest)

    def since(self, revision: int) -> dict[Key, str]:
        """The instances that have children which a later revision began, with their digests."""
        marks = [child.mark for child in self._left.values()]
        return {mark.key: mark.digest for mark in marks if mark.revision > revision}

    async def settle(self, key: Key, digest: str) -> None:
        """Wait until nothing stands in the way of running `key` with the settings of `digest`.

        What was left of it with other settings is stopped, and so is what was left of its role
        and is not wanted: it may hold a device or a port.
        """
        taken = self.runs(key, digest)
        if not taken:
            self.dismiss(key)
            self._forget(key)
        stops = [task for k, task in self._stops.items() if k.role == key.role]
        if stops and not taken:
            await asyncio.wait(stops)

    def dismiss(self, key: Key) -> None:
        """Begin to stop what was left of one instance."""
        mine = [self._left.pop(at) for at in list(self._left) if at[0] == key]
        if mine:
            log.info(
                "stopping %s an earlier agent left of %s",
                counted(len(mine), "child", "children"),
                key,
            )
            before = self._stops.get(key)
            self._stops[key] = asyncio.create_task(_stop_all(mine, before))

    def take(self, key: Key, name: str) -> Process | None:
        """The child that was left under this name, None if there is none that lives."""
        process = self._left.pop((key, name), None)
        return None if process is None or process.ended else process

    def waiting(self) -> list[Key]:
        """The instances of which children are left that nobody has taken."""
        return sorted({key for key, _ in self._left}, key=str)

    async def stopped(self) -> None:
        """Stop all that nobody has taken and wait until it is gone."""
        for key in {key for key, _ in self._left}:
            self.dismiss(key)
        if self._stops:
            await asyncio.wait(self._stops.values())

    async def end_left(self) -> list[Key]:
        """Find what was left and end it; the instances it was of."""
        await self.find()
        ended = self.waiting()
        await self.stopped()
        return ended

    def let_go(self) -> None:
        """Let all run on that are not being stopped."""
        for process in self._left.values():
            process.let_go()

    def updated(self, key: Key, earlier: set[str], now: str) -> None:
        """Note that children marked with `earlier` digests have taken newer settings live."""
        known = earlier | {d for digest in earlier for d in self._live(key, digest)}
        path = self._live_path(key)
        try:
            kept.make_directory(path.parent)
            kept.replace(path, "\n".join([now, *sorted(known)]).encode(), sync=False)
        except OSError as error:
            log.warning(
                "%s cannot be written, a later agent will restart %s: %s", path, key, plain(error)
            )

    def _forget(self, key: Key) -> None:
        """The children that took newer settings live are gone."""
        kept.make_way(self._live_path(key))
        try:
            self._live_path(key).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed: %s", self._live_path(key), plain(error))

    def _live(self, key: Key, now: str) -> set[str]:
        try:
            latest, *earlier = self._live_path(key).read_text().splitlines()
        except (OSError, ValueError):
            return set()
        return set(earlier) if latest == now else set()

    def _live_path(self, key: Key) -> Path:
        return self._place.state_dir / "instances" / key.role / f"{key.instance}.live"


async def _stop_all(processes: list[Process], before: "asyncio.Task[None] | None") -> None:
    if before is not None:
        await before
    await asyncio.gather(*(process.stop() for process in processes))


def logs(place: Place, key: Key) -> Path:
    """Where the output of an instance's children goes."""
    return place.state_dir / "logs" / key.role / key.instance

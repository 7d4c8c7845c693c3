"""Takes the running rollout from step to step, and boxes that are replaced to their end.

`rollout` says what comes next; here it is done. Progress is written with the revisions of each
step, in one transaction; what only the stations say is looked at anew by the next manager.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts import inherited, replacing
from fleet.manager.rollouts.model import (
    BROKEN,
    Begin,
    Calm,
    End,
    Outcome,
    Phase,
    Rollout,
    RolloutTarget,
    Undo,
    look,
    what_next,
)
from fleet.manager.rollouts.revisions import Draft
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.state import ReportedState
from fleet.manager.store import AppliedFile, BadStore
from fleet.manager.store.ledger import Ledger
from fleet.model import CommandFailed, PresenceState, Roles, counted
from fleet.strict import same

log = logging.getLogger(__name__)

_RETURN: Final = 15.0
"""Seconds stations may take to a broker that has just come back."""
_REST: Final = 5.0
"""Seconds to leave the store to others after it failed."""
_NOTHING_WANTED: Final[Roles] = {}


class Rollouts:
    """One rollout after another; `publish` is given the stations whose config has changed."""

    def __init__(
        self,
        ledger: Ledger,
        inventory: Inventory,
        publish: Callable[[Iterable[str]], None],
    ) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._publish = publish
        self._calm = Calm()
        self._saved: Rollout | None = None
        self._resumed: Rollout | None = None
        self._replaced: frozenset[str] | None = None
        """The boxes that an earlier manager was replacing; None before the first connection."""
        self._connected_at = 0.0
        self._error: str | None = None
        self._rests_until = 0.0

    @property
    def _timezone(self) -> str | None:
        return self._ledger.rooms.header.timezone

    def connected(self) -> None:
        """There is a broker (again), and what it kept was read."""
        self._connected_at = time.monotonic()
        if self._replaced is None:
            self._saved = self._resumed = self._ledger.running
            self._replaced = frozenset(self._ledger.replacing)

    async def refuse_another(self) -> None:
        """Make sure that a rollout may begin now; `ledger.writing` is held.

        Raises:
            CommandFailed: a rollout is running; the text says whose.
        """
        await self._let_go()
        while await self._step():
            pass
        running = self._ledger.running
        if running is not None:
            raise CommandFailed(
                f"{describe(running, self._timezone)} is running ({_progress(running)} so far); "
                "wait for it (fleet rollout), or end it with: fleet rollout --stop"
            )

    async def begin(
        self,
        rollout: Rollout,
        facts: Mapping[str, Facts],
        replaced: Mapping[str, str | None],
        conference: AppliedFile | None,
    ) -> dict[str, int]:
        """Write a new rollout with its first batch, and publish that; its revisions.

        `ledger.writing` is held, and none is running.

        Raises:
            BadStore: it could not be written; nothing has begun.
        """
        self._calm = Calm()
        draft = self._draft(rollout)
        draft.facts |= facts
        draft.replaced |= replaced
        rollout = self._begun(rollout, rollout.targets[: rollout.batch], draft)
        if not rollout.targets:
            rollout = evolve(rollout, phase=Phase.DONE)
        await self._write(rollout, draft, conference, new=True)
        return {one.station: one.revision for one, _ in draft.issues}

    async def stop(self, caller: str) -> None:
        """End the running rollout; what it has begun stays begun.

        Raises:
            CommandFailed: none is running.
        """
        async with self._ledger.writing:
            running = self._ledger.running
            if running is None:
                raise CommandFailed("no rollout is running; fleet history shows those that were")
            stopped = evolve(running, phase=Phase.STOPPED, why=f"stopped by {caller}")
            await self._write(stopped, self._draft(stopped))

    async def work(self) -> None:
        """Do what can be done now."""
        if self._ledger.running is None and not self._ledger.replacing:
            return
        if time.monotonic() < self._rests_until:
            return
        async with self._ledger.writing:
            try:
                await self._let_go()
                while await self._step():
                    pass
                await self._replace()
                self._error = None
            except BadStore as error:
                if str(error) != self._error:
                    log.error("the rollout waits: %s", error)
                self._error = str(error)
                self._rests_until = time.monotonic() + _REST

    async def _step(self) -> bool:
        """Take the next step of the running rollout; whether there may be another."""
        rollout = self._ledger.running
        if rollout is None or self._unsure(rollout):
            return False
        now = time.monotonic()
        rollout = look(self._followed(rollout), self._reported, partial(self._calm.believe, now))
        self._calm.note(rollout, now)
        self._ledger.rollout = rollout
        draft = self._draft(rollout)
        match what_next(rollout, self._calm.since, now):
            case Begin(targets):
                await self._write(self._begun(rollout, targets, draft), draft)
            case Undo(targets):
                await self._write(await self._undone(rollout, targets, draft), draft)
            case End(phase):
                ended = evolve(rollout, phase=phase, why=rollout.why or _why(rollout))
                await self._write(ended, draft)
                log.info(
                    "%s is %s (%s)%s",
                    describe(ended, self._timezone),
                    phase,
                    _progress(ended),
                    f": {ended.why}" if ended.why else "",
                )
            case _:
                return False
        return True

    async def _let_go(self) -> None:
        """End what an earlier manager had under way, where it is not to be gone on with."""
        running = self._ledger.running
        if running is None or self._resumed is None or running.number != self._resumed.number:
            running = None
        replaced = self._ledger.replacing & (self._replaced or frozenset())
        if running is None and not replaced:
            return
        why = self._ledger.older
        if why is None:
            why = inherited.too_old(self._ledger.last_use, datetime.now(UTC))
            replaced = set()  # a new box may lie in its carton for days
            if running is None or why is None:
                return
        ended = evolve(running, phase=Phase.STOPPED, why=why) if running else None
        await self._ledger.write(
            (),
            rollout=ended,
            targets=_changed(self._saved, ended) if ended else None,
            replaced=dict.fromkeys(replaced),
        )
        self._resumed, self._replaced = None, frozenset()
        if ended:
            self._saved = ended
            log.warning("%s is stopped: %s; apply again", describe(ended, self._timezone), why)
        for station in sorted(replaced):
            log.warning("%s is no longer being replaced: %s; apply again", station, why)

    def _reported(self, station: str) -> ReportedState:
        return self._inventory.reported(station, self._ledger[station].heard)

    def _unsure(self, rollout: Rollout) -> bool:
        """Whether stations may only not have come back yet to a broker that was away."""
        return (
            self._resumed is not None
            and self._resumed.number == rollout.number
            and time.monotonic() - self._connected_at < _RETURN
            and any(one.outcome is Outcome.WAITING for one in rollout.targets)
            and any(
                self._inventory.presence(one.station) is PresenceState.UNKNOWN
                for one in rollout.targets
                if one.revision is not None
            )
        )

    def _followed(self, rollout: Rollout) -> Rollout:
        """The rollout with the numbers under which its configs are wanted by now."""
        changed = []
        for one in rollout.targets:
            config = self._ledger[one.station].config
            if one.revision is None or one.outcome in BROKEN or config is None:
                continue
            if config.revision != one.revision and same(config.roles, one.roles):
                changed.append(evolve(one, revision=config.revision))
        return rollout.with_targets(changed) if changed else rollout

    def _begun(self, rollout: Rollout, targets: Iterable[RolloutTarget], draft: Draft) -> Rollout:
        begun = []
        for one in targets:
            entry = self._ledger[one.station]
            before = entry.config.revision if entry.config else None
            number = draft.add(one.station, one.roles, one.facts)
            if number is None:
                why = (
                    "it claims the highest revision there is; delete decision.json in its state "
                    "directory, then systemctl restart fleet-agent"
                )
                begun.append(evolve(one, outcome=Outcome.FAILED, why=why))
                continue
            replaced = one.replaced
            if one.replaces is not None:
                old = self._ledger[one.replaces].config
                replaced = old.revision if old else None
                draft.replaced[one.replaces] = one.station
            if entry.replaced_by is not None:
                draft.replaced[one.station] = None
            begun.append(
                evolve(
                    one,
                    before=before,
                    replaced=replaced,
                    revision=number,
                    outcome=Outcome.BEGUN,
                    why=None,
                )
            )
        return rollout.with_targets(begun)

    async def _undone(
        self, rollout: Rollout, targets: Iterable[RolloutTarget], draft: Draft
    ) -> Rollout:
        targets = tuple(targets)
        numbers = {one.station: one.before for one in targets if one.before is not None}
        numbers |= {one.replaces: one.replaced for one in targets if one.replaces and one.replaced}
        old = {
            id_: config
            for id_, (_, config) in (await self._ledger.history.revisions(numbers)).items()
        }
        message = f"as before rollout {rollout.number}, which failed"
        undone = []
        for one in targets:
            if one.revision is not None:
                roles = old[one.station].roles if one.station in old else _NOTHING_WANTED
                draft.add(one.station, roles, one.facts_before, message)
            if one.replaces is not None and one.revision is not None:
                if self._ledger[one.replaces].replaced_by == one.station:
                    draft.replaced[one.replaces] = None
                elif one.replaces in old:
                    roles = old[one.replaces].roles
                    draft.add(one.replaces, roles, one.facts, message)
            why = f"{one.outcome}: {one.why}" if one.outcome in BROKEN else None
            undone.append(evolve(one, outcome=Outcome.UNDONE, why=why))
        return evolve(rollout.with_targets(undone), why=_why(rollout))

    async def _replace(self) -> None:
        draft = replacing.next_draft(self._ledger, self._inventory, self._connected_at)
        if draft is not None:
            await self._ledger.write(draft.issues, draft.facts.items(), replaced=draft.replaced)
            self._publish(draft.stations)

    def _draft(self, rollout: Rollout) -> Draft:
        at = datetime.now(UTC)
        return Draft(self._ledger, self._inventory, at, rollout.by, rollout.message)

    async def _write(
        self,
        rollout: Rollout,
        draft: Draft,
        conference: AppliedFile | None = None,
        *,
        new: bool = False,
    ) -> None:
        targets = None if new else _changed(self._saved, rollout)
        await self._ledger.write(
            draft.issues,
            draft.facts.items(),
            conference,
            rollout=rollout,
            targets=targets,
            replaced=draft.replaced,
        )
        self._saved = rollout
        self._publish(draft.stations)


def describe(rollout: Rollout, timezone: str | None) -> str:
    """`rollout 7 of democon.toml by ann at 10:12:03 CET`."""
    at = rollout.at.astimezone(ZoneInfo(timezone or "UTC"))
    what = "rollback" if rollout.kind == "rollback" else "rollout"
    of = f" of {rollout.file}" if rollout.file else ""
    return f"{what} {rollout.number}{of} by {rollout.by} at {at:%H:%M:%S %Z}"


def _progress(rollout: Rollout) -> str:
    done = sum(one.outcome not in (Outcome.WAITING, Outcome.BEGUN) for one in rollout.targets)
    return f"{done} of {counted(len(rollout.targets), 'station')}"


def _why(rollout: Rollout) -> str | None:
    """The first thing that went wrong."""
    for one in rollout.targets:
        if one.outcome in BROKEN:
            return f"{one.facts.name or one.station} {one.outcome}: {one.why}"
    return None


def _changed(saved: Rollout | None, now: Rollout) -> frozenset[str]:
    before = {one.station: one for one in saved.targets} if saved else {}
    return frozenset(one.station for one in now.targets if before.get(one.station) is not one)

"""Takes the running roll-out from step to step, and boxes that are replaced to their end.

`rollout` says what comes next; here it is done. Progress is written with the revisions of each
step, in one transaction; what only the stations say is looked at anew by the next manager.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

from attrs import evolve

from fleet.manager.conference.plan import same
from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts import replacing
from fleet.manager.rollouts.model import (
    BROKEN,
    Begin,
    Calm,
    End,
    Outcome,
    Phase,
    Rollout,
    Seen,
    Target,
    Undo,
    look,
    what_next,
)
from fleet.manager.rollouts.steps import Step
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import BadStore, Conference
from fleet.manager.store.ledger import Ledger
from fleet.model import CommandFailed, PresenceState, Roles

log = logging.getLogger(__name__)

_RETURN: Final = 15.0
"""Seconds stations may take to a broker that has just come back."""
_NOTHING_WANTED: Final[Roles] = {}


class Rollouts:
    """One roll-out after another; `publish` is given the stations whose config has changed."""

    def __init__(
        self, ledger: Ledger, inventory: Inventory, publish: Callable[[Iterable[str]], None]
    ) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._publish = publish
        self._calm = Calm()
        self._saved = self._resumed = ledger.running
        self._connected_at = 0.0
        self._error: str | None = None

    def connected(self) -> None:
        """There is a broker (again), and what it kept was read."""
        self._connected_at = time.monotonic()

    async def refuse_another(self) -> None:
        """Make sure that a roll-out may begin now; `ledger.writing` is held.

        Raises:
            CommandFailed: a roll-out is running; the text says whose.
        """
        while await self._step():
            pass
        running = self._ledger.running
        if running is not None:
            raise CommandFailed(
                f"{describe(running)}, is running; wait for it (fleet rollout), or end it with: "
                "fleet rollout --stop"
            )

    async def begin(
        self,
        rollout: Rollout,
        facts: Mapping[str, Facts],
        replaced: Mapping[str, str | None],
        conference: Conference | None,
    ) -> dict[str, int]:
        """Write a new roll-out with its first batch, and publish that; its revisions.

        `ledger.writing` is held, and none is running.

        Raises:
            BadStore: it could not be written; nothing has begun.
        """
        self._calm = Calm()
        step = self._new_step(rollout)
        step.facts |= facts
        step.replaced |= replaced
        rollout = self._begun(rollout, rollout.targets[: rollout.batch], step)
        if not rollout.targets:
            rollout = evolve(rollout, phase=Phase.DONE)
        await self._write(rollout, step, conference, new=True)
        return {one.station: one.revision for one, _ in step.issues}

    async def stop(self, caller: str) -> None:
        """End the running roll-out; what it has begun stays begun.

        Raises:
            CommandFailed: none is running.
        """
        async with self._ledger.writing:
            running = self._ledger.running
            if running is None:
                raise CommandFailed("no roll-out is running; fleet history shows those that were")
            stopped = evolve(running, phase=Phase.STOPPED, why=f"stopped by {caller}")
            await self._write(stopped, self._new_step(stopped))

    async def work(self) -> None:
        """Do what can be done now."""
        if self._ledger.running is None and not self._ledger.replacing:
            return
        async with self._ledger.writing:
            try:
                while await self._step():
                    pass
                await self._replace()
                self._error = None
            except BadStore as error:
                if str(error) != self._error:
                    log.error("the roll-out waits: %s", error)
                self._error = str(error)

    async def _step(self) -> bool:
        """Take the next step of the running roll-out; whether there may be another."""
        rollout = self._ledger.running
        if rollout is None or self._unsure(rollout):
            return False
        now = time.monotonic()
        rollout = look(self._followed(rollout), self._see, partial(self._calm.believe, now))
        self._calm.note(rollout, now)
        self._ledger.rollout = rollout
        step = self._new_step(rollout)
        match what_next(rollout, self._calm.since, now):
            case Begin(targets):
                await self._write(self._begun(rollout, targets, step), step)
            case Undo(targets):
                await self._write(await self._undone(rollout, targets, step), step)
            case End(phase):
                ended = evolve(rollout, phase=phase, why=rollout.why or _why(rollout))
                log.info(
                    "%s is %s%s", describe(ended), phase, f", {ended.why}" if ended.why else ""
                )
                await self._write(ended, step)
            case _:
                return False
        return True

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
        """The roll-out with the numbers under which its configs are wanted by now."""
        changed = []
        for one in rollout.targets:
            config = self._ledger[one.station].config
            if one.revision is None or one.outcome in BROKEN or config is None:
                continue
            if config.revision != one.revision and same(config.roles, one.roles):
                changed.append(evolve(one, revision=config.revision))
        return rollout.with_targets(changed) if changed else rollout

    def _see(self, station: str) -> Seen:
        heard = self._inventory.get(station)
        presence = self._inventory.presence(station)
        if heard is None:
            return Seen(presence, None, None)
        return Seen(presence, heard.ack, heard.status, heard.conflict)

    def _begun(self, rollout: Rollout, targets: Iterable[Target], step: Step) -> Rollout:
        begun = []
        for one in targets:
            entry = self._ledger[one.station]
            before = entry.config.revision if entry.config else None
            number = step.add(one.station, one.roles, one.facts)
            if number is None:
                why = "it claims the highest revision there is; remove its state directory"
                begun.append(evolve(one, outcome=Outcome.FAILED, why=why))
                continue
            replaced = one.replaced
            if one.replaces is not None:
                old = self._ledger[one.replaces].config
                replaced = old.revision if old else None
                step.replaced[one.replaces] = one.station
            if entry.replaced_by is not None:
                step.replaced[one.station] = None
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

    async def _undone(self, rollout: Rollout, targets: Iterable[Target], step: Step) -> Rollout:
        targets = tuple(targets)
        numbers = {one.station: one.before for one in targets if one.before is not None}
        numbers |= {one.replaces: one.replaced for one in targets if one.replaces and one.replaced}
        old = {id_: config for id_, (_, config) in (await self._ledger.revisions(numbers)).items()}
        message = f"as before the roll-out {rollout.number}, which failed"
        undone = []
        for one in targets:
            if one.revision is not None:
                roles = old[one.station].roles if one.station in old else _NOTHING_WANTED
                step.add(one.station, roles, one.facts_before, message)
            if one.replaces is not None and one.revision is not None:
                if self._ledger[one.replaces].replaced_by == one.station:
                    step.replaced[one.replaces] = None
                elif one.replaces in old:
                    roles = old[one.replaces].roles
                    step.add(one.replaces, roles, one.facts, message)
            why = f"{one.outcome}: {one.why}" if one.outcome in BROKEN else None
            undone.append(evolve(one, outcome=Outcome.UNDONE, why=why))
        return evolve(rollout.with_targets(undone), why=_why(rollout))

    async def _replace(self) -> None:
        step = replacing.next_step(self._ledger, self._inventory, self._connected_at)
        if step is not None:
            await self._ledger.write(step.issues, step.facts.items(), replaced=step.replaced)
            self._publish(step.stations)

    def _new_step(self, rollout: Rollout) -> Step:
        at = datetime.now(UTC)
        return Step(self._ledger, self._inventory, at, rollout.by, rollout.message)

    async def _write(
        self,
        rollout: Rollout,
        step: Step,
        conference: Conference | None = None,
        *,
        new: bool = False,
    ) -> None:
        targets = None if new else _changed(self._saved, rollout)
        await self._ledger.write(
            step.issues,
            step.facts.items(),
            conference,
            rollout=rollout,
            targets=targets,
            replaced=step.replaced,
        )
        self._saved = rollout
        self._publish(step.stations)


def describe(rollout: Rollout) -> str:
    """`the roll-out 7 of democon.toml, begun by ann at 09:12:03Z, 3 of 12 stations done`."""
    of = f" of {rollout.file}" if rollout.file else " back" if rollout.kind == "rollback" else ""
    done = sum(one.outcome not in (Outcome.WAITING, Outcome.BEGUN) for one in rollout.targets)
    return (
        f"the roll-out {rollout.number}{of}, begun by {rollout.by} at {rollout.at:%H:%M:%S}Z, "
        f"{done} of {len(rollout.targets)} stations done"
    )


def _why(rollout: Rollout) -> str | None:
    """The first thing that went wrong."""
    for one in rollout.targets:
        if one.outcome in BROKEN:
            return f"{one.facts.name or one.station} {one.outcome}: {one.why}"
    return None


def _changed(saved: Rollout | None, now: Rollout) -> frozenset[str]:
    before = {one.station: one for one in saved.targets} if saved else {}
    return frozenset(one.station for one in now.targets if before.get(one.station) is not one)

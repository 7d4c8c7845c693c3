"""Takes the steps that `reconcile` finds, and keeps one `Instance` per thing that is wanted.

One timer serves all instances: once a second, faster while something starts or writes much.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from attrs import evolve
from prometheus_client import CollectorRegistry

from fleet.agent.engine.clock import Clock, Timer
from fleet.agent.engine.host import Surroundings
from fleet.agent.engine.instance import Instance
from fleet.agent.engine.reconcile import (
    Held,
    Key,
    Start,
    Step,
    Stop,
    Target,
    Unrunnable,
    Update,
    Wanted,
    honour,
    reconcile,
)
from fleet.agent.engine.recordings import RecordingsDisk
from fleet.agent.engine.tidying import Tidying
from fleet.agent.processes.adoption import Adoption, Place
from fleet.agent.processes.output import OutputLine
from fleet.guard import Guard
from fleet.host import Command
from fleet.loop import LoopWatch
from fleet.model import (
    CommandFailed,
    InstanceStatus,
    LogLine,
    NoSuchInstance,
    State,
    StopByHand,
    UnknownCommand,
)
from fleet.role import RoleFactory, factories
from fleet.strict import close_match

log = logging.getLogger(__name__)

LEAVE_SECONDS: Final = 3.0
"""Seconds an agent that leaves its children waits for roles that do something just now."""
TICK: Final = 1.0
SOON: Final = 0.1
"""Seconds between two ticks, and while something is under way."""


class Supervisor:
    """All instances of a station.

    `changed` is called whenever `statuses` would answer otherwise, `lines` with each line a
    child wrote, `thumbnail` with each picture an instance shows. They are called from the event
    loop and must not raise.
    """

    def __init__(
        self,
        place: Place,
        *,
        changed: Callable[[], None],
        lines: Callable[[LogLine], None],
        thumbnail: Callable[[Key, bytes], None] = lambda key, jpeg: None,  # noqa: ARG005
        clock: Clock | None = None,
        guard: Guard | None = None,
        watch: LoopWatch | None = None,
        disk: RecordingsDisk | None = None,
    ) -> None:
        clock = clock or Clock()
        place = evolve(
            place, state_dir=place.state_dir.resolve(), recordings=place.recordings.absolute()
        )
        self._adoption = Adoption(place)
        self._around = Surroundings(
            place,
            clock,
            self._adoption,
            self._changed,
            lines,
            thumbnail,
            guard or Guard(sleep=clock.sleep, now=clock.monotonic),
            watch or LoopWatch(),
            disk or RecordingsDisk(place.recordings, place.state_dir, needs_mount=False),
        )
        self._report = changed
        self._clock = clock
        self._instances: dict[Key, Instance] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._timer: Timer | None = None
        self._hurried = False
        self._over = False
        self._tidying = Tidying(
            self._around,
            lambda role: frozenset(key.instance for key in self._instances if key.role == role),
        )
        self._wanted: Mapping[Key, Wanted | Unrunnable] | None = None
        """By the config; None before there is one."""
        self._revision = 0
        self._stops: Sequence[StopByHand] = ()

    async def take_over(self) -> None:
        """Find the children an earlier agent left; to be called once, before `apply`."""
        await self._adoption.find()

    async def apply(
        self,
        wanted: Mapping[Key, Wanted | Unrunnable],
        *,
        name: str | None = None,
        room: str | None = None,
        revision: int = 0,
    ) -> None:
        """Make `wanted` what runs. Returns when that has begun; may be called again at once.

        `revision`: the one that wants it. `name` and `room` are the station's in the conference
        file: what starts from now on has them, what runs is not touched for them.
        """
        if self._over:
            return
        self._around.name, self._around.room = name or "", room
        self._wanted, self._revision = wanted, revision
        self._around.revision = revision
        self._settle(honour(wanted, self._stops, self._clock.now()))

    def keep_stopped(self, stops: Sequence[StopByHand]) -> None:
        """Have nothing run that one of `stops` names, whatever is wanted; all else is untouched."""
        self._stops = stops
        if self._wanted is not None and not self._over:
            self._settle(honour(self._wanted, stops, self._clock.now()))

    def _settle(self, wanted: Mapping[Key, Target]) -> None:
        self._adoption.keep_only(
            [key for key, target in wanted.items() if isinstance(target, Wanted)],
            {
                key: target.digest
                for key, target in wanted.items()
                if isinstance(target, Unrunnable) and target.digest is not None
            },
        )
        running = {
            key: instance.target
            for key, instance in self._instances.items()
            if instance.target is not None
        }
        for step in reconcile(running, wanted):
            log.info("%s %s", self._word(step), step.key)
            match step:
                case Stop(key):
                    self._tidying.look_again()
                    self._instances[key].want(None)
                case Update(key, target):
                    if isinstance(target, Held):
                        self._tidying.look_again()
                    self._instances[key].want(target)
                case Start(key, target):
                    self._start(key, target)
        for key, target in wanted.items():
            self._instances[key].renew(target)
            self._instances[key].wanted_by(self._revision)
        self._changed()

    async def tidy(self, factories: Mapping[str, RoleFactory[Any]]) -> None:
        """Let roles finish what instances have left that are gone."""
        await self._tidying.tidy(factories)

    def _word(self, step: Step) -> str:
        """What is done, as the log says it: who goes on with what runs starts nothing."""
        if not isinstance(step, Stop) and isinstance(step.wanted, Held):
            return "keep stopped"
        taken = (
            isinstance(step, Start)
            and step.wanted.digest is not None
            and self._adoption.runs(step.key, step.wanted.digest)
        )
        return "take over" if taken else type(step).__name__.lower()

    def left(self, key: Key, digest: str) -> bool:
        """Whether children of an instance were left, all with the settings of `digest`."""
        return self._adoption.runs(key, digest)

    def left_since(self, revision: int) -> dict[Key, str]:
        """The instances of which children were left that a later revision has begun, and the digest
        of the settings of these.
        """
        return self._adoption.since(revision)

    def _start(self, key: Key, target: Target) -> None:
        if key in self._instances:  # it is being stopped, and goes on afterwards
            self._instances[key].want(target)
            return
        self._instances[key] = Instance(key, target, self._slots_of, self._around, self._gone)

    def _slots_of(self, key: Key, wanted: Wanted) -> asyncio.Semaphore:
        limit = wanted.factory.instances or sys.maxsize
        return self._slots.setdefault(key.role, asyncio.Semaphore(limit))

    def _gone(self, key: Key) -> None:
        if not self._over:  # at the end they stay in view, as stopped
            del self._instances[key]
        self._changed()

    def statuses(self) -> dict[str, dict[str, InstanceStatus]]:
        """Role -> instance -> what it does now."""
        roles: dict[str, dict[str, InstanceStatus]] = {}
        for key, instance in sorted(self._instances.items()):
            status = evolve(
                instance.status,
                revision=instance.revision,
                restarts_last_hour=instance.restarts_last_hour,
            )
            roles.setdefault(key.role, {})[key.instance] = status
        return roles

    def registries(self) -> dict[Key, CollectorRegistry]:
        """The metrics of each instance that runs or is about to."""
        return {
            key: instance.host.registry
            for key, instance in sorted(self._instances.items())
            if instance.host is not None and instance.host.readable_metrics
        }

    def working_for(self, key: Key) -> AbstractContextManager[None]:
        """Have the watch over the loop name an instance; nothing may be awaited."""
        one = self._instances.get(key)
        return self._around.watch.working_for(str(key)) if one is None else one.working()

    def metrics_read(self, key: Key, error: str | None, *, again: bool = True) -> None:
        """The metrics of an instance were read, or could not be: why; not `again`: never more."""
        instance = self._instances.get(key)
        if instance is not None and instance.host is not None:
            instance.host.readable_metrics = again
            instance.host.metrics_read(error)

    async def restart(self, key: Key) -> None:
        """Start an instance again by hand: what runs is stopped, what waits starts at once.

        Raises:
            NoSuchInstance: none is there, or its saved settings are not valid.
            CommandFailed: somebody has stopped it.
        """
        one = self._instance(key)
        if isinstance(one.target, Held):
            name = self._around.name or self._around.place.station
            raise CommandFailed(
                f"{key} is {one.target.message}; fleet start {name} {key} ends that"
            )
        one.restart()

    def last_lines(self, key: Key, lines: int) -> list[OutputLine]:
        """The last lines the children of an instance wrote; each was given to `lines` by then.

        Raises:
            NoSuchInstance: none is there.
        """
        logs = self._instance(key).logs
        logs.read()
        return logs.last(lines)

    def take_dropped(self) -> int:
        """Lines left out since this was last asked, because there were too many."""
        dropped, self._around.dropped = self._around.dropped, 0
        return dropped

    def command(self, role: str, instance: str | None, name: str) -> Command:
        """The command `name` of a running instance; of the one that runs where none is named.

        Raises:
            UnknownCommand: no such role is here, or it has no such command.
            NoSuchInstance: the instance does not run, or none was named and not one runs.
        """
        offers = {
            key.instance: one.host.commands
            for key, one in sorted(self._instances.items())
            if key.role == role and one.status.state is State.RUNNING and one.host is not None
        }
        known = {command for commands in offers.values() for command in commands}
        if role in factories:
            known |= factories[role].role.declared_commands().keys()
        if name not in known:
            hint = close_match(name, sorted(known))
            raise UnknownCommand(
                f"{role!r} has no command {name!r} here{hint}, "
                f"it has: {', '.join(sorted(known)) or 'none'}"
            )
        if instance is None and len(offers) == 1:
            (instance,) = offers
        if instance is None or instance not in offers:
            which = f"{role}/{instance} does not run" if instance else f"which {role} is meant"
            raise NoSuchInstance(f"{which}: {', '.join(offers) or 'none'} running, name one")
        if name not in offers[instance]:
            raise UnknownCommand(f"{role}/{instance} does not offer {name!r} now")
        return offers[instance][name]

    def _instance(self, key: Key) -> Instance:
        try:
            return self._instances[key]
        except KeyError:
            some = ", ".join(map(str, sorted(self._instances))) or "none"
            raise NoSuchInstance(f"{key} is not here; there are: {some}") from None

    async def stop(self) -> None:
        """End every instance and every child; returns when all is finalised and gone."""
        self._over = True
        instances = list(self._instances.values())
        for instance in instances:
            instance.want(None)
        await asyncio.gather(*(instance.stopped() for instance in instances))
        await self._adoption.stopped()
        self._quiet()

    async def leave(self) -> None:
        """Let go of every instance; the children run on for a later agent."""
        self._over = True
        for instance in self._instances.values():
            instance.let_go()
        self._adoption.let_go()
        self._quiet()
        ends = [asyncio.create_task(one.stopped()) for one in self._instances.values()]
        if ends:
            await asyncio.wait(ends, timeout=LEAVE_SECONDS)

    async def end_left(self) -> None:
        """End what `leave` has let go after all; what still works on it here is past."""
        await Adoption(self._around.place).end_left()

    def _changed(self) -> None:
        self._schedule()
        self._report()

    def _schedule(self) -> None:
        """Tick soon while something starts, else once a second, else not at all."""
        states = {instance.status.state for instance in self._instances.values()}
        if not states or self._over:
            return
        soon = State.STARTING in states
        if self._timer is None or (soon and not self._hurried):
            self._arm(SOON if soon else TICK)

    def _arm(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._hurried = delay == SOON
        self._timer = self._clock.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        soon = []
        try:
            for instance in list(self._instances.values()):
                soon.append(instance.tick())  # noqa: PERF401 (what was looked at counts)
        finally:  # whatever one of them did, the others are looked at again
            if self._instances and not self._over:
                self._arm(SOON if any(soon) else TICK)

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""Carries out what `accept` decides: save, answer, and only then have it run.

One config after the other, and each to its end, whatever becomes of the connection it came by.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve

from fleet.agent.config.accept import Decision, Memory, current_ack, decide, reject
from fleet.agent.config.catalogue import Catalogue
from fleet.agent.config.store import StateDirectory
from fleet.agent.config.validate import examine, invalid
from fleet.agent.engine.policy import STATE_PUT_BACK
from fleet.agent.engine.reconcile import Key, Unrunnable, Wanted
from fleet.agent.engine.supervisor import Supervisor
from fleet.model import Boot, Config, plain
from fleet.wire import encode

log = logging.getLogger(__name__)

_HOLD: Final = 60.0
"""Seconds that a manager has to say what is wanted where what runs is later than what was saved."""
SAVE_AGAIN: Final = 60.0
"""Seconds after which a config that could not be saved is tried again."""


class Configs:
    """What is in force on this station.

    `answer` publishes an encoded ack where there is a broker. `name` is what the station
    is called while no config names it. `bound` tells which secrets may go where.
    """

    def __init__(
        self,
        boot: Boot,
        name: str | None,
        store: StateDirectory,
        supervisor: Supervisor,
        answer: Callable[[bytes], None],
        bound: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        self._boot = boot
        self._name = name
        self._store = store
        self._supervisor = supervisor
        self._answer = answer
        self._bound = bound
        self.memory = Memory()
        """What was decided last."""
        self.turn = asyncio.Lock()
        """Held while a config is dealt with."""
        self._wanted: Mapping[Key, Wanted | Unrunnable] = {}
        self._closing = False
        self._again: asyncio.TimerHandle | None = None
        self._put_off: Mapping[Key, Wanted | Unrunnable] | None = None
        """What was saved, where something runs that a later config wanted: it waits to be told."""
        self._hold: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, catalogue: Catalogue) -> None:
        """Run what was saved; needs no broker."""
        self.memory = self._store.load()
        config = self.memory.in_force
        if config is not None:
            wanted = self._resumed(config, catalogue)
            if later := self._supervisor.left_since(config.revision):
                log.warning(
                    "the state directory was put back from a copy: it knows revision %d, a later "
                    "one has begun %s; that runs on until the manager says what is wanted",
                    *(config.revision, ", ".join(map(str, sorted(later)))),
                )
                self._put_off, wanted = wanted, _holding(wanted, later)
            await self._apply(config, wanted)
            self._keep(asyncio.to_thread(self._store.keep_copy))

    def _resumed(self, config: Config, catalogue: Catalogue) -> dict[Key, Wanted | Unrunnable]:
        """What was saved; what still runs of it goes on, also where its programs are gone.

        They may only be gone while they are replaced, and whoever runs does not need to be found.
        """
        instances = dict(examine(config.roles, catalogue).instances)
        whole = evolve(catalogue, factories={**catalogue.factories, **catalogue.unequipped})
        for key, target in examine(config.roles, whole).instances.items():
            if key.role not in catalogue.unequipped or isinstance(target, Unrunnable):
                continue
            if self._supervisor.left(key, target.digest):
                instances[key] = target
        return instances

    async def recover(self, catalogue: Catalogue) -> None:
        """Run what could not be run so far and can be now, such as when its tools are installed.

        What runs goes on, also where its tools are gone: they may be being replaced. Where its
        role file has changed, what is there now is used from its next start on.
        """
        async with self.turn:
            config = self.memory.in_force
            if config is None or self._closing or self._put_off is not None:
                return
            now = examine(config.roles, catalogue).instances
            keep = {
                key: target
                for key, target in self._wanted.items()
                if isinstance(target, Wanted) and isinstance(now[key], Unrunnable)
            }
            wanted = {key: now[key] for key in self._wanted} | keep
            if wanted != self._wanted:
                await self._apply(config, wanted)

    async def _go_by_what_was_saved(self) -> None:
        async with self.turn:
            await self._hold_no_longer()

    async def _hold_no_longer(self) -> None:
        config, wanted = self.memory.in_force, self._put_off
        if config is not None and wanted is not None and not self._closing:
            self._put_off = None
            await self._apply(config, wanted)

    async def _apply(self, config: Config, wanted: Mapping[Key, Wanted | Unrunnable]) -> None:
        self._wanted = wanted
        await self._supervisor.apply(
            wanted,
            name=config.name or self._name,
            room=config.room,
            revision=config.revision,
        )

    async def close(self) -> None:
        """Take no more; what is being dealt with is finished first."""
        self._closing = True
        for timer in (self._again, self._hold):
            if timer is not None:
                timer.cancel()
        async with self.turn:
            pass

    def ack(self) -> bytes:
        """The last decision once more, as it travels to whoever may know a later one."""
        if self._put_off is not None and self._hold is None:
            loop = asyncio.get_running_loop()
            self._hold = loop.call_later(_HOLD, lambda: self._keep(self._go_by_what_was_saved()))
        return encode(current_ack(self.memory, self._boot, datetime.now(UTC)))

    async def received(self, payload: bytes, catalogue: Catalogue) -> None:
        """Deal with a payload of the config topic, to its end also if the caller is cancelled."""
        await asyncio.shield(self._begin(payload, catalogue))

    def _begin(self, payload: bytes, catalogue: Catalogue) -> asyncio.Task[None]:
        return self._keep(self._deal_with(payload, catalogue))

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="a config")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deal_with(self, payload: bytes, catalogue: Catalogue) -> None:
        async with self.turn:
            now = datetime.now(UTC)
            bound = await asyncio.to_thread(self._bound)
            decision = decide(self.memory, payload, catalogue, self._boot, now, bound)
            if decision is None or self._closing:
                return
            before, decision = self.memory, await self._saved(decision, payload, catalogue)
            self.memory = decision.memory
            changed = decision.memory is not before
            self._answer(decision.payload)
            await self._run(decision)
            if decision.wanted is None and decision.ack.error is None:
                await self._hold_no_longer()  # the broker keeps no later one either
            if changed:
                self._keep(asyncio.to_thread(self._store.keep_copy))

    async def _run(self, decision: Decision) -> None:
        if decision.ack.error is not None:
            log.warning("revision %s: %s", decision.ack.revision, decision.ack.error.message)
        config = decision.memory.in_force
        if decision.wanted is not None and config is not None:
            log.info("revision %s is in force", config.revision)
            self._put_off = None
            await self._apply(config, decision.wanted)

    async def _saved(self, decision: Decision, payload: bytes, catalogue: Catalogue) -> Decision:
        """The decision, once it is on the disk; where that fails, a rejection tried again."""
        if decision.memory == self.memory:
            return decision
        if self._again is not None:
            self._again.cancel()
            self._again = None
        try:
            await asyncio.to_thread(self._store.save, decision.memory)
        except OSError as error:
            log.error("the decision cannot be saved: %s", plain(error))
            config = decision.memory.in_force
            if decision.wanted is None or config is None:
                return decision
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(SAVE_AGAIN, self._begin, payload, catalogue)
            problem = invalid(f"the config cannot be saved: {plain(error)}")
            return reject(self.memory, config.revision, [problem], self._boot, decision.ack.at)
        return decision


def _holding(
    wanted: Mapping[Key, Wanted | Unrunnable], later: Mapping[Key, str]
) -> dict[Key, Wanted | Unrunnable]:
    """What is wanted, but that nothing is done to what runs with settings of `later` digests."""
    held = dict(wanted)
    for key, digest in later.items():
        target = wanted.get(key)
        if not (isinstance(target, Wanted) and target.digest == digest):
            held[key] = Unrunnable(
                STATE_PUT_BACK,
                "it runs on by a later config than the one saved here: the state directory was put "
                "back from a copy; the manager says what is wanted",
                digest,
            )
    return held

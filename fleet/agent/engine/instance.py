"""One instance's life: a task that runs its role, again and again, as long as it is wanted.

                 +------------------- wanted otherwise, or by hand ------------------+
                 v                                                                   |
    (wanted) starting ---------> running ----------- no longer so wanted --------> stopping
                 |                 |   ^                                             |
                 |                 |   +-- new settings taken live                   | no longer
                 | Failed,         | the child died, Failed,                         | wanted
                 | an exception    | Stalled, an exception                           v
                 v                 v                                              stopped
        backoff  or  failed <------+------> completed                             (forgotten)
                 |                              |
                 +-- after the policy's delay,  +-- new settings, or by hand: starting
                     new settings, or by hand: starting

An adopted child makes `starting` short: the role starts as ever, and what it spawns is there
already. `stopping` is also shown when something must be stopped before it can be tried again.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from attrs import evolve

from fleet.agent.engine.host import Completed, InstanceHost, Surroundings
from fleet.agent.engine.policy import ROLE_CRASHED, STALLED, Ending, History, decide, remember
from fleet.agent.engine.reconcile import Held, Key, Target, Unrunnable, Wanted, same
from fleet.agent.engine.told import ToldStatus
from fleet.agent.processes.adoption import logs
from fleet.agent.processes.output import Logs
from fleet.guard import contained, containing, describe
from fleet.host import Failed
from fleet.loop import is_ours, theirs
from fleet.model import STOPPED_BY_HAND, InstanceStatus, State
from fleet.role import Role
from fleet.shared import Changed, unchanged

log = logging.getLogger(__name__)
T = TypeVar("T")

STOP_SECONDS: Final = 60.0
"""Seconds a role may take to stop before its children are stopped without it."""


class _Woken(Exception):
    """Something else is to be done than what is being done."""


async def _ended(task: "asyncio.Task[Any]") -> None:
    await asyncio.wait({task})


class Instance:
    """What is wanted under one key, run until nothing is; then `gone` is called.

    `slots`: as many places as instances of the role may run at once.
    """

    def __init__(
        self,
        key: Key,
        target: Target,
        slots: Callable[[Key, Wanted], asyncio.Semaphore],
        around: Surroundings,
        gone: Callable[[Key], None],
    ) -> None:
        self.key = key
        self.target: Target | None = target
        """What it is there for; None when it is to go."""
        self.logs = Logs(
            key,
            logs(around.place, key) / "role.log",
            around.clock,
            around.lines,
            around.drop,
            around.place.secrets.hidden,
        )
        self.host: InstanceHost | None = None
        """That of the present running."""
        self._around = around
        self._clock = around.clock
        self._told = ToldStatus(around.clock, around.changed)
        self._slots = slots
        self._gone = gone
        self._role: Role[Any] | None = None
        self._renewed: Wanted | None = None
        """The same as `target`, of a role file that has changed since."""
        self._used: Target = target
        """What the present running, or the last, was told to do."""
        self._started = False
        """Whether the start of the present running is over."""
        self._running_since: float | None = None
        self._history: History = ()
        self._again = False
        self._wanted_by = self._of = 0
        self._wake = asyncio.Event()
        self._task = around.guard.keep(f"instance {key}", self._live)

    def wanted_by(self, revision: int) -> None:
        """What it is there for is what this revision wants."""
        self._wanted_by = revision

    @property
    def revision(self) -> int:
        """The latest whose settings are the ones that its status is about."""
        if self.target is not None and same(self._used, self.target):
            self._of = self._wanted_by
        return self._of

    @property
    def status(self) -> InstanceStatus:
        """What it does."""
        return self._told.status

    @property
    def restarts_last_hour(self) -> int:
        """How often it was restarted in the last hour."""
        return self._told.restarts_last_hour

    def want(self, target: Target | None) -> None:
        """Want something else of it; what it is doing is cut short where it does not fit."""
        self._of = self.revision
        self.target, self._renewed = target, None
        self._history = ()
        self._wake.set()

    def renew(self, target: Target) -> None:
        """Use this from the next start on, where its role file is another; it asks for the same."""
        now = self.target
        if not isinstance(target, Wanted) or not isinstance(now, Wanted):
            return
        if target.factory is now.factory or not same(target, now):
            return
        if self.host is not None and self._renewed is not target:
            self.host.outdated()
        self._renewed = target

    def restart(self) -> None:
        """Stop it and start it again, or start it at once if it waits."""
        self._again = True
        self._history = ()
        self._wake.set()

    async def stopped(self) -> None:
        """Wait until it is gone; after `want(None)`."""
        await asyncio.wait({self._task})

    @property
    def is_theirs(self) -> bool:
        """Whether the role that it runs is none that comes with fleet."""
        return isinstance(self._used, Wanted) and not is_ours(self._used.factory)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have it named as the one that the loop works for, and see what it changes for all."""
        watch = self._around.watch
        before = theirs.set(self.is_theirs)  # also for what it begins beside itself
        try:
            with watch.working_for(str(self.key), theirs=self.is_theirs), unchanged(self._changed):
                yield
        finally:
            theirs.reset(before)

    @property
    def _changed(self) -> Changed | None:
        """Who is told what its role changes of what all share; nobody of what comes with fleet."""
        return self.host.has_changed if self.host is not None and self.is_theirs else None

    def let_go(self) -> None:
        """End supervision; its children run on."""
        if self.host is not None:
            self.host.let_go()
        self._task.cancel()

    def tick(self) -> bool:
        """Read what it wrote, let the role look, see whether it stalls; True: look again soon."""
        self._told.follow_clock()
        with self.working():
            much = self.logs.read()
            role, host = self._role, self.host
            if role is None or host is None or host.ending is not None:
                return much
            try:
                with containing():
                    self._look(role, host)
            except Failed as failed:
                host.fail(failed.reason, failed.message)
            except Exception as error:
                host.crashed(error)
            return much or self.status.state is State.STARTING

    def _look(self, role: Role[Any], host: InstanceHost) -> None:
        role.tick()
        for child in host.children.values():
            child.trim()
        quiet = self._clock.monotonic() - host.progressed
        if role.stall_seconds is not None and quiet > role.stall_seconds:
            host.fail(
                STALLED,
                f"made no progress for {quiet:.0f} s: {role.stall_advice}; it is begun again",
            )

    async def _live(self) -> None:
        """What `guard` keeps going: a fault of the engine itself ends this running, no more."""
        try:
            await self._life()
        except Exception as error:
            self._role, self._started = None, False
            if self.host is not None:
                await self.host.close()
            self.host = self._running_since = None
            self._told.tell(State.FAILED, ROLE_CRASHED, describe(error))
            raise

    async def _life(self) -> None:
        while (target := self.target) is not None:
            self._wake.clear()
            self._again = False
            if self._renewed is not None:
                target = self.target = self._renewed
                self._renewed = None
            self._used = target
            if not isinstance(target, Wanted):
                match target:
                    case Held(message):
                        self._told.tell(State.STOPPED, STOPPED_BY_HAND, message)
                    case Unrunnable(reason, message):
                        self._told.tell(State.FAILED, reason, message)
                await self._wake.wait()
                continue
            # Why it has to start again stays in view until it runs.
            why = self._history[-1:] and (self.status.reason, self.status.message)
            self._told.tell(State.STARTING, *why)
            slots = self._slots(self.key, target)
            try:
                await self._unless_woken(slots.acquire())
            except _Woken:
                continue
            try:
                await self._unless_woken(self._around.adoption.settle(self.key, target.digest))
                ending = await self._run(target)
            except _Woken:
                continue
            finally:
                slots.release()
            if ending is not None:
                await self._pause(ending)
        self._told.tell(State.STOPPED)
        self._gone(self.key)

    async def _run(self, wanted: Wanted) -> Ending | Completed | None:
        """One running from start to stop; how it ended, None if something else is wanted."""
        around = self._around
        host = self.host = InstanceHost(
            self.key,
            wanted.digest,
            around,
            logs=self.logs,
            ended=self._wake.set,
            noted=self._noted,
            first_progress=self._first_progress,
        )
        stop: Callable[[], Coroutine[Any, Any, None]] | None = None
        theirs.set(self.is_theirs)
        try:
            with self.working(), containing():
                role = wanted.factory.build(host, wanted.settings)
                for command in role.commands():
                    host.register(command)
                stop = role.stop
            await self._unless_woken(self._start(role))
            self._around.adoption.dismiss(self.key)
            self._started = True
            if role.stall_seconds is None or host.has_progressed:
                self._begun(host)
            await self._keep(role, host, wanted)
        except _Woken:
            pass
        except Failed as failed:
            host.fail(failed.reason, failed.message)
        except Exception as error:
            host.crashed(error)
        ending = host.ending
        if isinstance(ending, Ending) and self._running_since is not None:
            ending = evolve(ending, ran=self._clock.monotonic() - self._running_since)
        await self._end(host, stop, ending)
        return ending

    async def _start(self, role: Role[Any]) -> None:
        """Its ticks come from here on, and none after a start that failed."""
        self._role = role
        try:
            await role.start()
        except BaseException:
            self._role = None
            raise

    def _first_progress(self) -> None:
        """A role that reports progress runs from the first on that it reports."""
        if self.host is not None and self._started and self._running_since is None:
            self._begun(self.host)

    def _begun(self, host: InstanceHost) -> None:
        self._running_since = self._clock.monotonic()
        since = [child.since for child in host.children.values() if child.adopted]
        self._told.tell(State.RUNNING, *host.shown, since=min(since, default=None))

    async def _keep(self, role: Role[Any], host: InstanceHost, wanted: Wanted) -> None:
        """Returns when this running has ended or is to end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            target = self.target
            if host.ending is not None or self._again or not isinstance(target, Wanted):
                return
            if target.digest != wanted.digest:
                if target.factory is not wanted.factory:  # its settings are of another class
                    return
                if not await self._unless_woken(role.update(target.settings)):
                    return
                host.updated(target.digest)
                self._used = wanted = target
                self._around.changed()

    async def _end(
        self,
        host: InstanceHost,
        stop: Callable[[], Coroutine[Any, Any, None]] | None,
        ending: Ending | Completed | None,
    ) -> None:
        self._role, self._started = None, False
        if ending is None or not host.idle:
            reason = ending.reason if isinstance(ending, Ending) else None
            message = ending.message if ending is not None else None
            self._told.tell(State.STOPPING, reason, message)
        if stop is not None:
            try:
                await self._clock.within(STOP_SECONDS, contained(stop(), self._changed))
            except Exception:
                log.exception("%s: its stop failed; its children are stopped", self.key)
        await host.close()
        if ending is not None:  # what is shown as ended must not write on, unseen
            self._around.adoption.dismiss(self.key)
        self.host = self._running_since = None

    async def _pause(self, ending: Ending | Completed) -> None:
        """Show how it ended, until it is to be started again."""
        if self.target is not self._used or self._again:
            return
        self._wake.clear()
        if isinstance(ending, Completed):
            self._told.tell(State.COMPLETED, None, ending.message)
            await self._wake.wait()
            return
        self._history = remember(self._history, ending)
        verdict = decide(self._history, self._around.jitter())
        log.warning("%s %s: %s", self.key, verdict.reason, verdict.message)
        self._told.tell_ending(
            verdict.state, verdict.reason, verdict.message, first=len(self._history) == 1
        )
        timer = self._clock.call_later(verdict.delay, self._wake.set)
        await self._wake.wait()
        timer.cancel()
        if self.target is self._used:
            self._told.count_restart()

    async def _unless_woken(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cut short with `_Woken` where it is in the way."""
        task = asyncio.create_task(contained(work, self._changed), name=str(self.key))
        wake = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({task, wake}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not task.cancelled():
                return task.result()
            task.cancel()
            with suppress(TimeoutError):
                await self._clock.within(STOP_SECONDS, _ended(task))
            if task.done() and not task.cancelled() and (error := task.exception()):
                log.warning("%s: was cut short: %s", self.key, error)
            raise _Woken
        finally:
            wake.cancel()
            task.cancel()

    def _noted(self) -> None:
        if self.host is None:
            return
        waits = self.status.state is State.STARTING and self.host.shown[0] is not None
        if waits or self.status.state is State.RUNNING:
            self._told.tell(self.status.state, *self.host.shown)

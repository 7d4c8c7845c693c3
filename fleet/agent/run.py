"""One run of the agent: builds its parts, lets them work, and ends them in order.

SIGTERM and SIGINT stop the instances and say `offline`. SIGHUP leaves the children to the next
agent and says nothing: for everybody else the station was never away for long.
"""

import asyncio
import logging
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen
from prometheus_client import CollectorRegistry

from fleet.agent.box import machine
from fleet.agent.box.devices import CaptureDevices
from fleet.agent.box.figures import AgentFigures, MachineFigures, clock_offset
from fleet.agent.box.hardware import LOOK_SECONDS as HARDWARE_SECONDS
from fleet.agent.box.hardware import HardwareFigures
from fleet.agent.called import HERE
from fleet.agent.config import catalogue
from fleet.agent.config.store import StateDirectory
from fleet.agent.credential import WayIn
from fleet.agent.engine.recordings import LOOK_SECONDS, RecordingsDisk
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.hidden import HidingFilter
from fleet.agent.local.socket import LocalServer, LocalStatus
from fleet.agent.outgoing import Identity
from fleet.agent.processes.adoption import Place
from fleet.agent.recordings.keeper import IndexKeeper
from fleet.agent.session import StationSession
from fleet.agent.settings import AgentSettings
from fleet.agent.station_commands import StationCommands
from fleet.guard import Guard
from fleet.host import Command, Failed
from fleet.loop import LoopWatch
from fleet.media.disk import DiskWork
from fleet.model import CommandRequest, PresenceState
from fleet.mqtt import Broker, keep
from fleet.notify import Notifier
from fleet.shared import Shared
from fleet.station import STATION, RestartArguments, RestartResult
from fleet.topics import Topics
from fleet.version import __version__

log = logging.getLogger(__name__)
T = TypeVar("T")

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end an agent."""
_FINISH: Final = 3.0
"""Seconds the config that is being dealt with has to be finished at the end."""
_GOODBYE = 5.0
"""Seconds the broker has to take the last words."""
_PATIENCE: Final = 2.0
"""Seconds that disk and drivers may take to tell of themselves at the start."""
_CLOCK_GAP = 60.0
"""Seconds between two looks at the clock's offset."""


@frozen
class _Nothing:
    """No arguments."""


@frozen
class _Stopping:
    """The agent ends."""

    stopping: bool = True


@frozen
class _Reloaded:
    """What can be run now, and what is there and cannot, with the reason."""

    roles: tuple[str, ...]
    broken: Mapping[str, str]


class Agent:
    """The parts of one running agent."""

    def __init__(self, settings: AgentSettings, way: WayIn, store: StateDirectory) -> None:
        """Raises: BadState."""
        self._settings = settings
        self._way = way
        self._store = store
        self._notifier = Notifier()
        self._ending: asyncio.Future[signal.Signals] = asyncio.Future()
        self.stopped = False
        """Whether nothing is to run on; also asked for by a signal after one that lets go."""
        self.left = False
        """Whether it was let go."""
        station = store.station(way.station, machine.mac())
        key = store.key()
        self._place = Place(
            station,
            settings.state,
            settings.recordings_dir,
            settings.secrets,
            settings.former_recordings,
            settings.adopt,
            settings.media,
        )
        self._place.secrets.hide_all()
        for handler in logging.getLogger().handlers:
            handler.addFilter(HidingFilter(self._place.secrets.hidden))
        self._offset: float | None = None
        self._guard, self._watch = Guard(), LoopWatch()
        self._disk = RecordingsDisk(
            self._place.recordings, self._place.state_dir, settings.recordings_mount
        )
        own = CollectorRegistry()
        self._figures = MachineFigures({"recordings": self._place.recordings}, lambda: self._offset)
        own.register(self._figures)
        self._hardware = HardwareFigures()
        own.register(self._hardware)
        own.register(AgentFigures(self._guard, self._watch))
        self._supervisor = Supervisor(
            self._place,
            changed=self._changed,
            lines=lambda line: self._session.outgoing.line(line),
            thumbnail=lambda key, jpeg: self._session.outgoing.thumbnail(key, jpeg),
            guard=self._guard,
            watch=self._watch,
            disk=self._disk,
        )
        self._devices = CaptureDevices()
        self._index = IndexKeeper(
            self._place,
            lambda: self._session.configs.memory.in_force,
            lambda segment: self._session.outgoing.segment(segment),
            lambda: self._disk.trouble is None or not self._disk.trouble.elsewhere,
        )
        self._commands = StationCommands(
            self._place,
            self._supervisor,
            lambda: self._session.configs.memory.in_force,
            self._index,
            lambda sealed: way.keep(key.unseal(sealed)),
            key.unseal,
            lambda: self._session.abilities.tell_what_is_new(),
        )
        self._files = catalogue.RoleFiles(settings.roles)
        self._has_own_roles = settings.roles is not None
        self._session = StationSession(
            Identity(
                station,
                secrets.token_hex(8),
                Topics(way.prefix),
                settings.interval,
                key.public,
                self._place.secrets,
                settings.name,
            ),
            store,
            self._supervisor,
            lambda: self._catalogue(settings.blocked),
            own,
            self._commands.all(),
            self._guard,
            self._devices,
            way,
        )
        local = (
            Command("status", _Nothing, LocalStatus, self._status),
            Command("restart", RestartArguments, RestartResult, self._restart),
            Command("stop", _Nothing, _Stopping, self._stop),
            Command("reload", _Nothing, _Reloaded, self._reload),
        )
        self._local = LocalServer(settings.state, {command.name: command for command in local})

    async def run(self, early: Sequence[signal.Signals] = ()) -> None:
        """Work until a signal ends it. `early`: those that came before this."""
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self.end, number)
        for number in early:
            self.end(number)
        log.info("fleet-agent %s, station %s", __version__, self._place.station)
        keep = self._guard.keep
        keep("the watch over the loop", self._watch.run)
        for look in (self._look_at_disk, self._devices.look, self._hardware.look):
            with suppress(TimeoutError):  # one that hangs must not hold up the others
                await asyncio.wait_for(asyncio.to_thread(look), _PATIENCE)
        shared = Shared.now()
        await self._supervisor.take_over()
        if not self._ending.done():  # else nothing new is begun: what was left is let go, or ended
            await self._session.begin()
        await self._local.start()
        self._notifier.ready()
        talking = keep("the conversation with the broker", self._talk)
        keep("the watchdog's feeding", self._notifier.keep_alive)
        keep("the keeping of what was called", self._session.called.run)
        keep("the look at the clock", self._watch_clock)
        keep("the look at the disk", self._watch_disk)
        if self._has_own_roles:  # what comes with fleet changes nothing of it
            keep("the look at what roles share", shared.keep)
        keep("the look at the hardware", self._watch_hardware)
        keep("the look at the box", self._session.abilities.look_around)
        keep("the look for devices", self._session.abilities.look_for_devices)
        reading = [
            keep("the index of recordings", self._index.run),
            keep("the reading back of recordings", self._index.run_reading),
        ]
        try:
            number = await self._ending
            for task in reading:  # the next agent sees what is closed now
                task.cancel()
            await self._finish(number, talking)
        finally:
            await self._guard.close()
            await self._local.close()

    async def _finish(self, number: signal.Signals, talking: asyncio.Task[None]) -> None:
        log.info("%s: the agent ends", number.name)
        self._notifier.stopping()
        with suppress(TimeoutError):  # a disk that has died must not hold up the end
            await asyncio.wait_for(self._session.close(), _FINISH)
            await asyncio.wait_for(self._session.called.save(), _FINISH)
        if number == signal.SIGHUP:
            await self._supervisor.leave()
            if self.stopped:
                await self._supervisor.end_left()
            self.left = not self.stopped
        else:
            await self._supervisor.stop()
        self._session.end(PresenceState.OFFLINE if self.stopped else None)
        if self._session.outgoing.link is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(talking, _GOODBYE)

    async def _talk(self) -> None:
        # Whoever knows a client id can push it off the broker: it is told to nobody.
        await keep(self._next_broker, f"fleet-agent-{secrets.token_hex(8)}", self._session)

    def _next_broker(self) -> Broker:
        broker = self._way.try_next()
        if broker.password is not None:
            self._place.secrets.hidden.hide(broker.password)
        return broker

    async def _watch_clock(self) -> None:
        while True:
            self._offset = await asyncio.to_thread(clock_offset)
            await asyncio.sleep(_CLOCK_GAP)

    async def _watch_hardware(self) -> None:
        await _look_again(Path("/sys"), HARDWARE_SECONDS, self._hardware.look)

    async def _watch_disk(self) -> None:
        await _look_again(self._place.recordings, LOOK_SECONDS, self._look_at_disk)

    def _look_at_disk(self) -> None:
        self._disk.look()
        self._figures.look()

    def end(self, number: signal.Signals) -> None:
        """Begin to end, as that signal asks; a later one may have what was let go ended."""
        if not self._ending.done():  # a second signal must not break what the first began
            self._ending.set_result(number)
        elif number != signal.SIGHUP and not self.stopped:
            log.info("%s: nothing runs on after all", number.name)
        self.stopped = self.stopped or number != signal.SIGHUP

    def _changed(self) -> None:
        self._session.changed()
        statuses = self._supervisor.statuses()
        states = Counter(one.state.value for named in statuses.values() for one in named.values())
        self._index.ends.note(statuses, time.time())
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        self._notifier.status(counts or "nothing to run")

    async def _status(self, _: _Nothing) -> LocalStatus:
        memory = self._session.configs.memory
        return LocalStatus(
            self._place.station,
            __version__,
            str(self._way),
            self._session.outgoing.link is not None,
            self._session.trouble,
            memory.revision,
            memory.rejection.error if memory.rejection else None,
            self._supervisor.statuses(),
        )

    async def _restart(self, asked: RestartArguments) -> RestartResult:
        self._note("restart", role=asked.role, instance=asked.instance)
        return await self._commands.restart(asked)

    def _catalogue(self, blocked: frozenset[str]) -> catalogue.Catalogue:
        self._files.look()
        return catalogue.offer(self._files.broken, blocked)

    def _note(self, command: str, **given: str) -> None:
        """Somebody typed that on the box: it is told as what came past the manager."""
        self._session.called.note(HERE, STATION, command, CommandRequest(None, given))

    async def _reload(self, _: _Nothing) -> _Reloaded:
        self._note("reload")
        known = await self._session.abilities.reload()
        return _Reloaded(tuple(known.factories), dict(known.broken))

    async def _stop(self, _: _Nothing) -> _Stopping:
        self._note("stop")
        self.end(signal.SIGTERM)
        return _Stopping()


async def _look_again(place: Path, seconds: float, look: Callable[[], object]) -> None:
    """Look there for ever, each time in a short thread that the loop does not wait for.

    Of threads that are kept, whatever wakes one wakes all the others too.
    """
    work = DiskWork(place)
    while True:
        await asyncio.sleep(seconds)
        with suppress(Failed):  # it hangs, and nobody waits for it
            work.look(look)

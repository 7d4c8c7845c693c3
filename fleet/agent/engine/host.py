"""What one running of an instance gets from the station: the `Host` that roles are given."""

import asyncio
import logging
import random
import signal
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from attrs import define, frozen
from prometheus_client import CollectorRegistry

from fleet import kept
from fleet.agent.engine.clock import Clock
from fleet.agent.engine.policy import HELD_LOOP, ROLE_CRASHED, Ending
from fleet.agent.engine.reconcile import Key
from fleet.agent.engine.recordings import RecordingsDisk
from fleet.agent.processes.adoption import Adoption, Place, logs
from fleet.agent.processes.left_behind import Mark
from fleet.agent.processes.output import Logs
from fleet.agent.processes.process import Process
from fleet.guard import Guard, HeldUp, contained, describe
from fleet.host import Child, Failed, Host, Secret, check_thumbnail
from fleet.loop import LoopWatch, theirs
from fleet.model import LogLine, is_name

log = logging.getLogger(__name__)
T = TypeVar("T")

_CHANGES: Final = 16
"""Different ones of what a role changed for all that are logged of one running."""
_LOOK_SECONDS: Final = 0.5
"""Seconds all roles may have to wait for a look at the disk of recordings."""
"""The variable by which systemd says where a service's credentials are."""


@frozen
class Completed:
    """The work of an instance is done."""

    message: str | None


@define
class Surroundings:
    """What all instances of a station share."""

    place: Place
    clock: Clock
    adoption: Adoption
    changed: Callable[[], None]
    """Called when a status is another than before."""
    lines: Callable[[LogLine], None]
    thumbnail: Callable[[Key, bytes], None]
    guard: Guard
    watch: LoopWatch
    disk: RecordingsDisk
    jitter: Callable[[], float] = random.random
    """Gives a number from 0 to 1."""
    name: str = ""
    """The station's name in the conference file."""
    room: str | None = None
    revision: int = 0
    """The one in force."""
    dropped: int = 0
    """Lines left out since this was last set to 0, because there were too many."""

    def drop(self, lines: int) -> None:
        """Count lines that were left out."""
        self.dropped += lines


class InstanceHost(Host):
    """The host of one running; `ended` is called once, when the role ends it."""

    def __init__(
        self,
        key: Key,
        digest: str,
        around: Surroundings,
        *,
        logs: Logs,
        ended: Callable[[], None],
        noted: Callable[[], None],
        first_progress: Callable[[], None],
    ) -> None:
        place = around.place
        self.role, self.instance = key
        self.station = place.station
        self.name = around.name or place.station
        self.room = around.room
        self.recordings = place.recordings.absolute()
        self.former_recordings = place.former
        self.media_dirs = place.media
        self.state = place.state_dir / "instances" / key.role / key.instance
        self.registry = CollectorRegistry()
        self.key = key
        self.ending: Ending | Completed | None = None
        self.shown: tuple[str | None, str | None] = (None, None)
        """Reason and message while it runs."""
        self.commands = {}
        self.children: dict[str, Process] = {}
        self.progressed = around.clock.monotonic()
        self.readable_metrics = True
        """Whether its metrics are read, which may take too long."""
        self.has_progressed = False
        """Whether the role has reported progress at all."""
        self._digest = digest
        self._revision = around.revision
        self._place = place
        self._clock = around.clock
        self._adoption = around.adoption
        self._logs = logs
        self._hidden = place.secrets.hidden
        self._ended = ended
        self._noted = noted
        self._first_progress = first_progress
        self._picture = around.thumbnail
        self._disk = around.disk
        self._records = False
        self._said: tuple[str | None, str | None] = (None, None)
        """What the role itself noted."""
        self._found: dict[str, str] = {}
        """What the agent finds of it, reason and message; what the role says goes before that."""
        self._changes: set[str] = set()
        """What it was told to have changed for all."""
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._make_state()

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        name: str = "main",
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 5.0,
        report: bool = False,
        stdin: bytes | None = None,
    ) -> Child:
        """Take over the child an earlier agent left, or start a new one."""
        if not is_name(name):
            raise ValueError(f"{name!r} cannot be the name of a child")
        if self._closed:
            raise Failed("Stopped", "this running of the role is over, it starts nothing any more")
        before = self.children.get(name)
        if before is not None:
            if not before.ended:
                raise ValueError(f"a child {name!r} is running already")
            self._logs.read()
        process = self._adoption.take(self.key, name)
        if process is None:
            mark = Mark(
                state_dir=str(self._place.state_dir),
                role=self.role,
                instance=self.instance,
                name=name,
                digest=self._digest,
                stop=stop_signal,
                grace=grace,
                report=report,
                station=self.station,
                revision=self._revision,
            )
            self._place.secrets.hide_all()
            process = Process.spawn(
                argv, mark, env or {}, self.state, logs(self._place, self.key), stdin
            )
        self.children[name] = process
        self._logs.follow(*process.files)
        return process

    def _make_state(self) -> None:
        # A full disk is no reason not to record on another one: roles that need it will say.
        try:
            kept.make_directory(self.state)
        except OSError:
            return

    def records(self) -> None:
        """Looked at when it begins, then as the last look found it."""
        if not self._records:
            self._disk.look_within(_LOOK_SECONDS)
        self._records = True
        if self._disk.refused and self._disk.trouble is not None:
            raise Failed(self._disk.trouble.reason, self._disk.trouble.message)
        self._show()

    def secret(self, secret: Secret, to: str | None = None) -> str:
        """From the station's secrets, or systemd's credentials; nothing shows it."""
        return self._place.secrets.read(secret.secret, to)

    def progress(self) -> None:
        """Now."""
        self.progressed = self._clock.monotonic()
        if not self.has_progressed:
            self.has_progressed = True
            self._first_progress()

    def note(self, reason: str | None, message: str | None = None) -> None:
        """Shown with the state `running`."""
        reason = None if reason is None else self._shown(reason)
        message = None if message is None else self._shown(message)
        self._said = (reason, message)
        self._show()

    def _show(self) -> None:
        trouble = self._disk.trouble if self._records else None
        found = next(iter(self._found.items()), (None, None))
        said = self._said if self._said != (None, None) else found
        shown = (trouble.reason, trouble.message) if trouble else said
        if self.shown != shown:
            self.shown = shown
            self._noted()

    def log(self, text: str) -> None:
        """Read on with what its children write."""
        self._logs.write(_text(text))

    def outdated(self) -> None:
        """Its role file has changed since it was built."""
        text = f"its role file has changed: fleet restart {self.name} {self.key} uses what is there"
        self._found["RoleFileChanged"] = text
        self._show()

    def has_changed(self, what: str) -> None:
        """Its role changed what it shares with all others, which was put back."""
        text = (
            f"its role changed, for the agent and all its roles: {what}; that is put back: its "
            "role's author has to do without, or in a child (spawn)"
        )
        if text not in self._changes and len(self._changes) < _CHANGES:  # else at every step
            self._changes.add(text)
            log.error("%s: %s", self.key, text)
        self._found = {"AgentChanged": text} | self._found  # the first stays in view
        self._show()

    def metrics_read(self, error: str | None) -> None:
        """Its metrics were read, or why they could not be."""
        text = f"its metrics cannot be read: {error}: its role's author has to mend that"
        if error is None:
            self._found.pop("MetricsUnreadable", None)
        elif self._found.get("MetricsUnreadable") != text:  # else every few seconds
            log.error("the metrics of %s cannot be read: %s", self.key, error)
            self._found = {"MetricsUnreadable": text} | self._found
        self._show()

    def thumbnail(self, jpeg: bytes) -> None:
        """Given to whoever publishes it."""
        check_thumbnail(jpeg)
        if not self._closed:
            self._picture(self.key, jpeg)

    def fail(self, reason: str, message: str) -> None:
        """The first word counts."""
        self._end(Ending(self._shown(reason), self._shown(message)))

    def complete(self, message: str | None = None) -> None:
        """The first word counts."""
        self._end(Completed(None if message is None else self._shown(message)))

    def _shown(self, message: object) -> str:
        return self._hidden.without(_text(message))

    def _end(self, ending: Ending | Completed) -> None:
        if self.ending is None and not self._closed:
            self.ending = ending
            self._ended()

    def crashed(self, error: BaseException) -> None:
        """The role's own code failed."""
        told = "".join(traceback.format_exception(error))
        if (shown := self._hidden.without(told)) == told:
            log.error("%s: its role failed", self.key, exc_info=error)
        else:
            for line in shown.splitlines():
                log.error("%s: its role failed: %s", self.key, line)
        if isinstance(error, HeldUp):
            self.fail(HELD_LOOP, str(error))
        else:
            self.fail(ROLE_CRASHED, describe(error))

    def task(self, work: Coroutine[Any, Any, T], name: str = "task") -> asyncio.Task[T]:
        """Named after the instance, too."""
        task = asyncio.create_task(self._beside(work), name=f"{self.key} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _beside(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await contained(work, self.has_changed if theirs.get() else None)
        except Failed as failed:
            self.fail(failed.reason, failed.message)
            raise
        except Exception as error:
            self.crashed(error)
            raise

    @property
    def idle(self) -> bool:
        """Whether no child of it is alive."""
        return all(child.ended for child in self.children.values())

    def updated(self, digest: str) -> None:
        """The role took newer settings live: a later agent is to know that its children did."""
        marks = {child.mark.digest for child in self.children.values() if not child.ended}
        self._adoption.updated(self.key, marks, digest)
        self._digest = digest

    async def close(self) -> None:
        """End what this running still has: its commands, and every child of it."""
        self._closed = True
        self.commands.clear()
        self._end_tasks()
        living = [child.stop() for child in self.children.values() if not child.ended]
        if living:
            await asyncio.gather(*living)
        self._logs.read()

    def let_go(self) -> None:
        """Leave the children to a later agent."""
        self._closed = True
        self._end_tasks()
        for child in self.children.values():
            child.let_go()

    def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


def _text(said: object) -> str:
    """What a role said, as text: it may have given an exception, or bytes."""
    try:
        return str(said)
    except Exception:
        return f"(a {type(said).__name__} without words)"

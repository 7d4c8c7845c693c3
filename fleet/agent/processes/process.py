"""One child process: started or taken over, watched by its pidfd, stopped with all its kin.

Children the agent started and children an earlier agent left are handled alike: a pidfd tells
of the death of either, with no thread and no polling. A child leads a session of its own, and
whatever it started goes with it, also what made itself a session or hides otherwise: at once where
the child has a cgroup, else as far as its parents, its mark or its output tell whose it is.
"""

import asyncio
import logging
import os
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Self

import attrs

from fleet import kept
from fleet.agent.processes import cgroups, left_behind
from fleet.agent.processes.left_behind import Mark, Marked, Stat
from fleet.agent.processes.output import REPORT, LogFile, by_age, empty, size
from fleet.host import Child, Failed, startable
from fleet.model import plain

log = logging.getLogger(__name__)

TERM_SECONDS: Final = 2.0
"""Seconds between SIGTERM and SIGKILL."""
_SWEEP_SECONDS: Final = 0.01
_PASSED_ON: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "PULSE_SERVER"),
)
"""What a child has of the agent's environment; the rest (passwords, sockets) is not its own."""


class Process(Child):
    """A child process, alive or ended."""

    def __init__(
        self, mark: Mark, stat: Stat, pidfd: int, argv: Sequence[str], since: datetime, logs: Path
    ) -> None:
        self.mark = mark
        self.pid = stat.pid
        self.argv = tuple(argv)
        self.since = since
        self.adopted = True
        self.output = _output(logs, mark)
        self.files = [LogFile(_errors(logs, mark), "stderr", mark.errors_at)]
        if not mark.report:
            self.files.append(LogFile(self.output, "stdout", mark.output_at))
        self._stat = stat
        self._pidfd = pidfd
        self._popen: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int | None] = self._loop.create_future()
        self._stopping: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._is_let_go = False
        self._known: Collection[Stat] = ()
        """What it had started when it was told to end: what hides is found by its parent."""
        self._loop.add_reader(pidfd, self._died)

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        mark: Mark,
        env: Mapping[str, str],
        cwd: Path,
        logs: Path,
        stdin: bytes | None = None,
    ) -> Self:
        """Start one. `mark` is completed here; `env` is added to the usual environment.

        `stdin`: what it finds on its standard input; else nothing.

        Raises:
            Failed: the program is missing or cannot be run.
            TypeError, ValueError: no program can be started so.
        """
        argv = startable(argv, env, mark.stop, mark.grace)
        output, errors = _output(logs, mark), _errors(logs, mark)
        mark = attrs.evolve(
            mark,
            id=secrets.token_hex(8),
            uptime=left_behind.uptime(),
            output_at=size(output),
            errors_at=size(errors),
        )
        environment = _environment(env, mark)
        if shutil.which(argv[0], path=environment["PATH"]) is None:
            raise Failed("ProgramMissing", f"{argv[0]} is not on this station: install it")
        out, err = _sink(output, fresh=mark.report), _sink(errors, fresh=False)
        given, door = _given(stdin), cgroups.door(mark.id)
        # A child begins with SIGHUP held back: it is for the agent alone, also where somebody sends
        # it to the whole unit. One that comes in this moment reaches the agent afterwards.
        held = set() if mark.stop == signal.SIGHUP else {signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
        try:
            popen = subprocess.Popen(
                argv,
                stdin=given,
                stdout=out,
                stderr=err,
                cwd=cwd if cwd.is_dir() else "/",
                env=environment,
                start_new_session=True,
                preexec_fn=None if door is None else partial(cgroups.enter, door),
            )
        except OSError as error:
            cgroups.remove(mark.id)
            raise Failed("ProgramUnusable", f"{argv[0]} cannot be run: {plain(error)}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for number in (given, out, err, *([] if door is None else [door])):
                os.close(number)
        try:
            stat, pidfd = left_behind.stat(popen.pid), os.pidfd_open(popen.pid)
        except OSError as error:
            popen.kill()
            popen.wait()
            raise Failed(
                "ProgramUnusable", f"{argv[0]} cannot be watched: {plain(error)}"
            ) from None
        assert stat is not None, "a child is there until it was waited for"  # noqa: S101
        if left_behind.hidden(popen.pid):
            log.warning(
                "%s %s hides its environment: an agent that follows a killed one will not find it",
                mark.key,
                argv[0],
            )
        process = cls(mark, stat, pidfd, argv, datetime.now(UTC), logs)
        process.adopted = False
        for file in process.files:
            file.rewind()  # it may have said something already
        process._popen = popen
        return process

    @classmethod
    def take_over(cls, marked: Marked, logs: Path) -> Self | None:
        """One that an earlier agent started, None if it has ended meanwhile."""
        pid = marked.stat.pid
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        # From here on the pidfd stands for one process; make sure it is the one that was meant.
        argv = left_behind.argv_of(pid)
        same = left_behind.mark_of(pid) == marked.mark
        if not argv or not same or select.select([pidfd], [], [], 0)[0]:
            os.close(pidfd)
            return None
        since = datetime.now(UTC) - timedelta(seconds=left_behind.uptime() - marked.stat.started)
        process = cls(marked.mark, marked.stat, pidfd, argv, since, logs)
        process._find_output()
        return process

    def _find_output(self) -> None:
        """Read what it writes where it does so."""
        own = {
            path: left_behind.written_by(self.pid, number, path)
            for path, number in ((self.output, 1), (self.files[0].path, 2))
        }
        self.output = own[self.output]
        self.files = [
            file
            if own[file.path] == file.path
            else LogFile(own[file.path], file.stream, file.begun)
            for file in self.files
        ]

    @property
    def ended(self) -> bool:
        """Whether it and its kin are gone."""
        return self._ended.done()

    async def wait(self) -> int | None:
        """Its exit status once it and its kin are gone; None if it was adopted."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Stop signal, grace, SIGTERM, SIGKILL; returns when the whole group is gone.

        A stop that has begun goes on, also if nobody waits for it any more.
        """
        if self._is_let_go:
            return
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._alive:
            self._known = left_behind.descendants(self.pid)
            with suppress(OSError):  # an earlier agent took any number for a signal
                signal.pidfd_send_signal(self._pidfd, self.mark.stop)
            self._signal_group(signal.SIGCONT)  # what was halted (SIGSTOP) hears no other signal
        if await self._gone_in(self.mark.grace):
            return
        self._signal_group(signal.SIGTERM)
        if await self._gone_in(TERM_SECONDS):
            return
        log.warning("%s %s had to be killed", self.mark.key, self.argv[0])
        self._signal_group(signal.SIGKILL)
        await asyncio.shield(self._ended)

    @property
    def _alive(self) -> bool:
        return self._pidfd >= 0 and not self.ended

    async def _gone_in(self, seconds: float) -> bool:
        await asyncio.wait({self._ended}, timeout=seconds)
        return self.ended

    def _signal_group(self, number: signal.Signals) -> None:
        # While the leader is there (as a zombie even) its number is nobody else's.
        if self._alive:
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                log.info("%s: nobody is left in group %s", self.mark.key, self.pid)

    def _died(self) -> None:
        self._loop.remove_reader(self._pidfd)
        if self._popen is not None:
            self._signal_group(signal.SIGKILL)
        os.close(self._pidfd)
        self._pidfd = -1
        self._sweeping = self._loop.create_task(self._sweep())

    async def _sweep(self) -> None:
        """Kill what it leaves, then take note of its status: until then its number is its own."""
        await kill(self._kin)
        cgroups.remove(self.mark.id)
        if not self.ended:
            self._ended.set_result(None if self._popen is None else self._popen.wait())

    def _kin(self) -> list[int]:
        logs = {os.path.realpath(file.path) for file in self.files}
        return left_behind.kin(self._stat, self.mark.id, logs, self._known)

    def last_words(self, lines: int = 5) -> str:
        """The last lines it wrote to its log."""
        said = [line for file in by_age(self.files) for line in file.words(lines)]
        return "\n".join(said[-lines:])

    @property
    def printed(self) -> int:
        """What stands in its files now; they are emptied when they have grown long."""
        begun = {file.path: file.begun for file in self.files}
        paths = {self.output, *begun}
        return sum(max(0, size(path) - begun.get(path, 0)) for path in paths)

    def trim(self) -> None:
        """Keep its report short; to be called when its role has read it."""
        if self.mark.report and size(self.output) > REPORT:
            empty(self.output)

    def let_go(self) -> None:
        """Let it run on without this agent."""
        self._is_let_go = True
        if self._alive:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        for task in (self._stopping, self._sweeping):
            if task is not None:
                task.cancel()
        if self._popen is not None and self._popen.returncode is None:
            self._popen.returncode = 0  # nobody here waits for it any more


async def kill(find: Callable[[], list[int]]) -> None:
    """SIGKILL what `find()` lists until it lists nothing."""
    while left := [pid for pid in find() if pid > 0]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except PermissionError:
                return  # it has become another user's: not ours to kill
        await asyncio.sleep(_SWEEP_SECONDS)


def _environment(extra: Mapping[str, str], mark: Mark) -> dict[str, str]:
    usual = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PATH": os.defpath,
        "HOME": "/",
        **usual,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        **extra,
        left_behind.VARIABLE: mark.encode(),
    }


def _output(logs: Path, mark: Mark) -> Path:
    return logs / f"{mark.name}.{'report' if mark.report else 'stdout'}"


def _errors(logs: Path, mark: Mark) -> Path:
    return logs / f"{mark.name}.stderr"


def _given(stdin: bytes | None) -> int:
    """A file without a name, to be read from its begin."""
    if stdin is None:
        return os.open(os.devnull, os.O_RDONLY)
    number = os.memfd_create("stdin")
    with os.fdopen(os.dup(number), "wb") as file:
        file.write(stdin)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _sink(path: Path, fresh: bool) -> int:
    """A file to append to. Without one (disk full) the work goes on unlogged."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | (os.O_TRUNC if fresh else 0)
    try:
        kept.make_directory(path.parent)
        kept.make_way(path)
        return os.open(path, flags, 0o600)
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error.strerror)
        return os.open(os.devnull, os.O_WRONLY)

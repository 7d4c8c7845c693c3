"""Runs `bench.push` with 1 and with 1,000 stations, and makes the table."""

import asyncio
import statistics
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.table import Table

from bench.push import Observer, Run, conference, median
from tests.processes import Mosquitto, Program, Programs, free_port

COUNTS = {1: 100, 1000: 7}
"""Stations -> runs."""
WARM = 2
"""Runs before those that count: caches fill and the processor wakes up."""


async def _start(*argv: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, stdin=PIPE, stdout=PIPE
    )
    await _line(process, "ready")
    return process


async def _line(process: Process, expected: str) -> None:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    if line != expected:
        raise RuntimeError(f"a part of the bench said {line!r}, not {expected!r}")


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


class _Stand:
    """A broker with stations, an observer and one of the two managers at a time."""

    def __init__(self, broker: Mosquitto, programs: Programs, count: int) -> None:
        self._broker = broker
        self._programs = programs
        self._count = count
        self._observer = Observer()
        self._revision = 0

    async def measure(self, runs: int) -> tuple[list[Run], list[Run]]:
        """Runs of the thin manager, and of the real one."""
        port = str(self._broker.port)
        stations = await _start("bench.stations", port, str(self._count))
        await self._observer.open(self._broker.port)
        floor = await _start("bench.floor", port)
        thin = await self._runs(runs, lambda: self._push(floor), self._nothing_left, floor.pid)
        await _end(floor)
        manager = await self._manager()
        real = await self._runs(runs, self._apply, self._rolled_out, manager.pid)
        manager.terminate()
        await manager.ended()
        self._observer.close()
        await _end(stations)
        return thin, real

    async def _manager(self) -> Program:
        name = f"manager-{self._count}"
        # A warm one shares its memory with others, and pays for each page that it writes to.
        manager = Program(
            [
                *(str(Path(sys.executable).with_name("fleet-manager")), "run"),
                *("--broker", self._broker.url, "--http", f"127.0.0.1:{free_port()}"),
                *("--state-dir", str(self._programs.directory / name)),
            ],
            self._programs.directory / f"{name}.log",
            self._programs.environment(),
            name,
            cold=True,
        )
        self._programs.started.append(manager)
        await manager.says("connected")
        while not (await self._observer.ask("status", {}))["in_sync"]:
            await asyncio.sleep(0.5)  # it adopts what the thin one left
        return manager

    async def _runs(
        self,
        runs: int,
        change: Callable[[], object],
        over: Callable[[], Awaitable[None]],
        pid: int,
    ) -> list[Run]:
        done = []
        for number in range(WARM + runs):
            self._revision += 1
            done.append(await self._observer.run(self._count, change, pid))  # type: ignore[arg-type]
            await over()  # what goes on after the last ack is not in the next run
            if number >= WARM and self._count > 1:
                await asyncio.sleep(0.5)
        return done[WARM:]

    async def _nothing_left(self) -> None:
        """The thin manager keeps nothing."""

    async def _rolled_out(self) -> None:
        while (await self._observer.ask("rollout", {}))["rollout"]["phase"] == "running":
            await asyncio.sleep(0.02)

    async def _push(self, floor: Process) -> None:
        assert floor.stdin is not None
        floor.stdin.write(f"{self._count} {self._revision}\n".encode())
        await _line(floor, "done")

    async def _apply(self) -> None:
        text = conference(self._count, self._revision)
        await self._observer.ask("apply", {"text": text, "name": "bench.toml"})


async def measure(broker: Mosquitto, programs: Programs) -> list[Table]:
    """The table of `make bench`'s first part."""
    table = Table(title="Change asked for -> ack heard, ms (medians over the runs)")
    for column in ("stations", "manager", "first config", "p50", "p99", "total", "CPU", "runs"):
        table.add_column(column, justify="left" if column == "manager" else "right")
    for count, runs in COUNTS.items():
        broker.stop()
        broker.start()
        thin, real = await _Stand(broker, programs, count).measure(runs)
        rows = {"thin": _row(thin, count), "fleet-manager": _row(real, count)}
        for name, row in rows.items():
            table.add_row(f"{count:,}", name, *(f"{cell:.2f}" for cell in row), str(runs))
        ratio = [b / a if a else 0 for a, b in zip(*rows.values(), strict=True)]
        table.add_row("", "ratio", *(f"{cell:.2f}" for cell in ratio), "")
        after = (_after_first(real) / _after_first(thin)) if count > 1 else 0
        if after:
            table.add_row("", "ratio after the first config", "", "", "", f"{after:.2f}", "", "")
    return [table]


def _row(runs: Sequence[Run], count: int) -> list[float]:
    """First config, p50, p99, total, CPU."""
    if count == 1:  # one ack a run: the parts are over the runs
        acks = sorted(run.total for run in runs)
        parts = [acks[len(acks) // 2], acks[int(0.99 * len(acks))], acks[-1]]
    else:
        parts = [
            median(runs, lambda run: run.at(0.5)),
            median(runs, lambda run: run.at(0.99)),
            median(runs, lambda run: run.total),
        ]
    return [median(runs, lambda run: run.first), *parts, statistics.fmean(run.cpu for run in runs)]


def _after_first(runs: Sequence[Run]) -> float:
    return median(runs, lambda run: run.total - run.first)

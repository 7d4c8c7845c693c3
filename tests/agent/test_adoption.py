"""Children outlive the agent: the next one takes them over, or ends them; never two writers."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from attrs import evolve

from fleet.agent.processes import left_behind
from fleet.agent.processes.left_behind import Mark, Marked, Stat, leaders_and_orphans
from fleet.agent.processes.process import Process
from tests.agent.engine import begun, marked
from tests.processes import ROOT, Started, until, warm
from tests.roles.disk import Disk

WRITER = (
    "exec 9>>{lock}; flock -n 9 || echo two writers >> {base}/two; "
    "echo began >> {base}/began; while :; do date +%s.%N >> {base}/beats; sleep 0.02; done"
)


class SmallAgent:
    """A small agent that can be killed and started again."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.process: subprocess.Popen[bytes] | Started | None = None
        self.within: tuple[str, ...] = ()
        """What starts it, if anything."""

    def want(self, **instances: tuple[list[str], float]) -> None:
        (self.base / "wanted.json").write_text(json.dumps(instances))
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)

    def start(self, adopt: str = "adopt") -> None:
        place = (str(self.base), adopt)
        with (self.base / "agent.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
            if self.within:
                argv = [*self.within, sys.executable, "-m", "tests.agent.small_agent", *place]
                self.process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
            else:
                files = (nothing.fileno(), log.fileno(), log.fileno())
                self.process = warm().start(["small-agent", *place], os.environ, ROOT, files)

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)

    def status(self, name: str) -> list[Any] | None:
        """[state, restarts, since] as the present agent says, None if it does not say."""
        try:
            told = json.loads((self.base / "statuses.json").read_text())
        except FileNotFoundError:
            return None
        assert self.process is not None
        status: list[Any] | None = told["statuses"].get(name)
        return status if told["pid"] == self.process.pid else None

    async def running(self, name: str = "main") -> None:
        await until(lambda: (self.status(name) or [None])[0] == "running", what=f"{name} running")
        await begun(self.base / "state", name)

    def children(self) -> list[psutil.Process]:
        return marked(self.base / "state")

    def leaders(self) -> list[int]:
        stats = [left_behind.stat(one.pid) for one in self.children()]
        return [stat.pid for stat in stats if stat is not None and stat.session == stat.pid]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[SmallAgent]:
    agent = SmallAgent(tmp_path)
    yield agent
    if agent.process is not None:
        agent.process.kill()
        agent.process.wait()
    while left := agent.children():
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def sleeper(seconds: int = 1000, patience: float = 0.0) -> tuple[list[str], float]:
    return ["sleep", str(seconds)], patience


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
async def test_children_run_on_without_the_agent_and_the_next_one_takes_them_over(
    agent: SmallAgent, number: signal.Signals
) -> None:
    agent.want(main=sleeper(), other=sleeper())
    agent.start()
    await agent.running("main")
    await agent.running("other")
    before = agent.leaders()
    began = psutil.Process(before[0]).create_time()
    agent.end(number)
    assert agent.leaders() == before
    agent.start()
    await agent.running("main")
    await agent.running("other")
    assert agent.leaders() == before
    state, restarts, since = agent.status("main") or []
    assert (state, restarts) == ("running", 0)
    assert abs(since - began) < 10
    said = re.findall(
        r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    (\w[\w ]+) child/main$",
        (agent.base / "agent.log").read_text(),
        re.MULTILINE,
    )
    assert said == ["start", "take over"], "what runs on is not started"
    agent.end(signal.SIGTERM)
    assert agent.children() == []


async def test_a_sighup_to_the_whole_unit_is_for_the_agent_alone(agent: SmallAgent) -> None:
    agent.want(main=(["sh", "-c", "sleep 1000 & wait"], 0.0))
    agent.start()
    await agent.running()
    await until(lambda: len(agent.children()) == 2)
    before = {one.pid for one in agent.children()}
    for pid in before:
        os.kill(pid, signal.SIGHUP)
    agent.end(signal.SIGHUP)
    assert {one.pid for one in agent.children()} == before
    agent.start()
    await agent.running()
    agent.end(signal.SIGTERM)
    assert agent.children() == []


async def test_a_child_that_is_to_end_by_sighup_hears_it(tmp_path: Path) -> None:
    mark = Mark(str(tmp_path), "child", "main", "main", "d", signal.SIGHUP, 5.0, False)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as after nohup it is not
    try:
        process = Process.spawn(["sleep", "1000"], mark, {}, tmp_path, tmp_path / "logs")
    finally:
        signal.signal(signal.SIGHUP, before)
    await process.stop()
    assert await process.wait() == -signal.SIGHUP


async def test_in_a_container_that_tells_another_uptime_children_are_taken_over_all_the_same(
    agent: SmallAgent, tmp_path: Path
) -> None:
    (tmp_path / "uptime").write_text("12.34 5.67\n")
    container = Disk("1m")
    try:
        container.run(f"mount --bind {tmp_path}/uptime /proc/uptime")
        holder = container.path.parts[2]
        agent.within = ("nsenter", "-t", holder, "--user", "--mount", "--preserve-credentials")
        agent.want(main=sleeper())
        agent.start()
        await agent.running()
        before = agent.leaders()
        agent.end(signal.SIGKILL)
        agent.start()
        await agent.running()
        assert agent.leaders() == before
        agent.end(signal.SIGTERM)
    finally:
        container.close()


async def test_the_death_of_an_adopted_child_is_noticed_and_it_is_replaced(
    agent: SmallAgent,
) -> None:
    agent.want(main=sleeper())
    agent.start()
    await agent.running()
    agent.end(signal.SIGKILL)
    agent.start()
    await agent.running()
    (child,) = agent.leaders()
    os.kill(child, signal.SIGKILL)
    await until(lambda: (agent.status("main") or [None, 0])[1] == 1)
    await agent.running()
    assert child not in agent.leaders()


async def test_there_are_never_two_writers_however_often_the_agent_is_killed(
    agent: SmallAgent, tmp_path: Path
) -> None:
    chance = random.Random(7)
    script = WRITER.format(base=tmp_path, lock=tmp_path / "lock")
    agent.want(main=(["bash", "-c", script], 0.0))
    agent.start()
    await until((tmp_path / "beats").exists)
    for _ in range(10):
        time.sleep(chance.uniform(0, 0.6))  # noqa: ASYNC251 (the agent is another process)
        agent.end(signal.SIGKILL)
        agent.start()
    await agent.running()
    agent.end(signal.SIGTERM)
    assert not (tmp_path / "two").exists()
    assert (tmp_path / "began").read_text() == "began\n"
    beats = [float(line) for line in (tmp_path / "beats").read_text().split()]
    assert max(b - a for a, b in pairwise(beats)) < 10
    assert agent.children() == []


async def test_a_child_whose_settings_changed_meanwhile_is_replaced(
    agent: SmallAgent, tmp_path: Path
) -> None:
    agent.want(main=sleeper(1000), other=sleeper(1000))
    agent.start()
    await agent.running("main")
    await agent.running("other")
    before = agent.leaders()
    agent.end(signal.SIGKILL)
    agent.want(main=sleeper(2000), other=sleeper(1000))
    agent.start()
    await agent.running("main")
    await agent.running("other")
    after = agent.leaders()
    assert len(after) == 2
    assert len({*before} & {*after}) == 1
    assert ["sleep", "2000"] in [psutil.Process(pid).cmdline() for pid in after]


async def test_a_child_that_took_its_settings_live_is_taken_over_with_them(
    agent: SmallAgent,
) -> None:
    agent.want(main=sleeper(patience=0.0))
    agent.start()
    await agent.running()
    before = agent.leaders()
    for patience in (1.0, 2.0):
        agent.want(main=sleeper(patience=patience))
        record = agent.base / "state/instances/child/main.live"
        await until(lambda: record.exists() and f"patience={patience}" in record.read_text())  # noqa: B023
    agent.end(signal.SIGKILL)
    agent.start()
    await agent.running()
    assert agent.leaders() == before
    agent.end(signal.SIGKILL)
    agent.want(main=sleeper(patience=1.0))  # not what it works with now
    agent.start()
    await agent.running()
    assert agent.leaders() != before


async def test_what_is_not_wanted_any_more_is_stopped_by_the_next_agent(
    agent: SmallAgent,
) -> None:
    agent.want(main=sleeper(), other=sleeper())
    agent.start()
    await agent.running("main")
    await agent.running("other")
    agent.end(signal.SIGKILL)
    agent.want(other=sleeper())
    agent.start()
    await agent.running("other")
    await until(lambda: len(agent.leaders()) == 1)


async def test_where_adoption_is_off_the_child_is_ended_before_its_successor_begins(
    agent: SmallAgent, tmp_path: Path
) -> None:
    script = WRITER.format(base=tmp_path, lock=tmp_path / "lock")
    agent.want(main=(["bash", "-c", script], 0.0))
    agent.start()
    await until((tmp_path / "beats").exists)
    before = agent.leaders()
    agent.end(signal.SIGKILL)
    agent.start("refuse")
    await agent.running()
    await until(lambda: (tmp_path / "began").read_text() == "began\nbegan\n")
    assert agent.leaders() != before
    assert not (tmp_path / "two").exists()


async def test_grandchildren_whose_parent_is_gone_are_killed_by_the_next_agent(
    agent: SmallAgent,
) -> None:
    agent.want(main=(["bash", "-c", "sleep 1001 & setsid sleep 1002 & sleep 1003"], 0.0))
    agent.start()
    await until(lambda: len(agent.children()) == 4)
    before = {one.pid for one in agent.children()}
    assert agent.process is not None
    (child,) = (one for one in agent.children() if one.ppid() == agent.process.pid)
    agent.end(signal.SIGKILL)
    child.kill()
    agent.start()
    await agent.running()
    await until(lambda: len(agent.children()) == 4)
    assert not before & {one.pid for one in agent.children()}


async def test_the_mark_of_another_release_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    told = json.loads(MARK.encode()) | {"colour": "blue"}
    del told["uptime"]
    environment = {left_behind.VARIABLE: json.dumps(told)}
    with subprocess.Popen(["sleep", "1000"], env=environment | os.environ) as child:  # noqa: ASYNC220
        try:
            mark = await until(lambda: left_behind.mark_of(child.pid))
            assert mark == evolve(MARK, uptime=0.0)
        finally:
            child.kill()


MARK = Mark("/state", "record", "main", "main", "d", 15, 5.0, False, id="a", uptime=100.0)


def process(pid: int, session: int, started: float, mark: Mark = MARK) -> Marked:
    return Marked(Stat(pid, "S", session, session, started), mark)


@pytest.mark.parametrize(
    ("found", "leaders"),
    [
        ([process(10, 10, 100.01)], [10]),
        ([process(10, 10, 100.01), process(11, 10, 100.02), process(12, 12, 100.03)], [10]),
        ([process(11, 10, 100.01)], []),
        ([process(12, 12, 160.0)], []),
        (
            [process(10, 10, 100.0), process(20, 20, 300, evolve(MARK, id="b", uptime=300))],
            [10, 20],
        ),
    ],
    ids=["leader", "with kin", "leader gone", "only a session made later", "two children"],
)
def test_a_leader_is_told_from_its_kin(found: list[Marked], leaders: list[int]) -> None:
    assert [one.stat.pid for one in leaders_and_orphans(found)[0]] == leaders


async def test_a_number_that_was_given_to_another_process_is_not_taken_over(
    tmp_path: Path,
) -> None:
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)  # noqa: ASYNC220
    try:
        found = Marked(evolve(process(1, 1, 0).stat, pid=stranger.pid), MARK)
        assert Process.take_over(found, tmp_path) is None
        now = left_behind.stat(stranger.pid)
        assert now is not None
        earlier = evolve(now, started=now.started - 10)
        assert left_behind.kin(earlier, "no such child") == []
        assert left_behind.kin(now, "no such child") == [stranger.pid]
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_mark_that_another_user_has_forged_is_not_believed(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "only root can read what others forge"
    mark = Mark(str(tmp_path), "child", "main", "main", "digest", 15, 1.0, False, id="forged")
    environ = {"PATH": os.defpath, left_behind.VARIABLE: evolve(mark, station="forged").encode()}
    started = [
        subprocess.Popen(  # noqa: ASYNC220
            ["sleep", "1000"], env=environ, cwd="/", start_new_session=True, user=user
        )
        for user in (65534, None)
    ]
    try:
        foreign, own = (one.pid for one in started)
        processes = [psutil.Process(foreign), psutil.Process(own)]
        # A program's environment is there a moment after it began.
        await until(lambda: all(left_behind.VARIABLE in one.environ() for one in processes))
        assert left_behind.mark_of(foreign) is None
        found = [one.stat.pid for one in left_behind.scan(tmp_path, "forged")]
        assert found == [own]
        stat = left_behind.stat(own)
        assert stat is not None
        assert foreign not in left_behind.kin(stat, "forged")
    finally:
        for one in started:
            one.kill()
            one.wait()

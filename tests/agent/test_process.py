"""Real children: deaths are noticed, stops are complete, output hurts nobody."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from fleet.agent.engine.reconcile import Key
from fleet.agent.processes import cgroups, left_behind, output
from fleet.model import State
from tests.agent.engine import ChildFactory, Station, begun
from tests.processes import until

MAIN, OTHER = Key("child", "main"), Key("child", "other")
CHILD = ChildFactory()
DEAF = "trap '' INT TERM HUP; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    station = Station(tmp_path)
    yield station
    await station.supervisor.stop()
    assert station.processes() == []


async def running(station: Station, *keys: Key) -> None:
    keys = keys or (MAIN,)
    await until(lambda: all(station.state(key) is State.RUNNING for key in keys))
    await begun(station.state_dir, *(key.instance for key in keys))


async def said(station: Station, text: str) -> None:
    await until(lambda: any(line.text == text for line in station.lines), what=text)


def leader(station: Station, key: Key = MAIN) -> psutil.Process:
    (process,) = (
        one
        for one in station.processes()
        if (now := left_behind.stat(one.pid)) is not None
        and now.parent == os.getpid()
        and f'"instance":"{key.instance}"' in str(one.environ())
    )
    return process


async def test_a_killed_child_is_back_at_once_and_its_neighbour_never_notices(
    station: Station,
) -> None:
    await station.supervisor.apply(
        {MAIN: CHILD.wanted("sleep", "1000"), OTHER: CHILD.wanted("sleep", "1000")}
    )
    await running(station, MAIN, OTHER)
    neighbour, before = leader(station, OTHER), station.status(OTHER)
    leader(station).kill()
    await until(lambda: station.status(MAIN).restarts == 1)
    await running(station)
    assert "sleep was ended by SIGKILL" in station.messages
    assert leader(station, OTHER) == neighbour
    assert station.status(OTHER) == before


async def test_the_last_words_of_a_child_are_in_the_message(station: Station) -> None:
    script = "for n in 1 2 3 4 5 6 7; do echo word $n >&2; done; exit 3"
    await station.supervisor.apply({MAIN: CHILD.wanted("sh", "-c", script)})
    await until(lambda: station.state(MAIN) is State.BACKOFF)
    status = station.status(MAIN)
    assert status.reason == "ChildExited"
    assert status.message is not None
    assert "status 3" in status.message
    assert "word 7" in status.message
    assert "word 2" not in status.message
    assert station.supervisor.last_lines(MAIN, 2)[-1].text == "word 7"


HIDES = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if sys.argv[1] == "daemon":
        for number in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        os.chdir("/")
        if os.fork():
            os._exit(0)
    os.execve("/bin/sleep", ["sleep", "1000", sys.argv[2]], {})
if sys.argv[1] == "orphan":
    while not os.path.exists(sys.argv[3]):
        time.sleep(0.02)
    sys.exit(1)
print("ready", flush=True)
time.sleep(1000)
"""


def hiding(mark: str) -> list[psutil.Process]:
    lives = psutil.process_iter(["cmdline"])
    return [one for one in lives if (one.info["cmdline"] or [])[::2] == ["sleep", mark]]


async def test_what_hides_from_its_child_ends_with_it(station: Station, tmp_path: Path) -> None:
    mark = f"0.{os.getpid()}"  # sleep adds it up
    await station.supervisor.apply({MAIN: CHILD.wanted(sys.executable, "-c", HIDES, "env", mark)})
    await said(station, "ready")
    (hidden,) = await until(lambda: hiding(mark))
    assert hidden.environ() == {}
    assert os.getsid(hidden.pid) == hidden.pid
    await station.supervisor.apply({})
    await until(lambda: not hiding(mark), what="its end")


async def test_what_hides_from_a_child_that_died_is_found_by_its_output(
    station: Station, tmp_path: Path
) -> None:
    mark = f"0.{os.getpid()}"  # sleep adds it up
    seen = tmp_path / "seen"
    child = CHILD.wanted(sys.executable, "-c", HIDES, "orphan", mark, str(seen))
    await station.supervisor.apply({MAIN: child})
    (first,) = await until(lambda: hiding(mark))
    seen.touch()
    await until(lambda: station.state(MAIN) is State.BACKOFF)
    assert first not in hiding(mark)


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A cgroup that is this process's own, as systemd gives one with `Delegate=yes`."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    root = next(Path(line.split()[1]) for line in lines if line.split()[2] == "cgroup2")
    before = Path("/proc/self/cgroup").read_text().partition("0::/")[2].splitlines()[0]
    place = root / f"test-{os.getpid()}"
    place.mkdir()
    os.setxattr(place, "user.delegate", b"1")
    (place / "cgroup.procs").write_text(str(os.getpid()))
    cgroups.tree.cache_clear()
    yield place
    (root / before / "cgroup.procs").write_text(str(os.getpid()))
    cgroups.tree.cache_clear()
    place.rmdir()


async def test_where_there_is_a_cgroup_a_daemon_ends_with_its_child_too(
    delegated: Path, station: Station, tmp_path: Path
) -> None:
    mark = f"0.{os.getpid()}"  # sleep adds it up
    child = CHILD.wanted(sys.executable, "-c", HIDES, "daemon", mark)
    await station.supervisor.apply({MAIN: child})
    await said(station, "ready")
    (hidden,) = await until(lambda: hiding(mark))
    assert hidden.pid in cgroups.members(cgroups.children()[0])
    await station.supervisor.apply({})
    await until(lambda: not hiding(mark), what="its end")
    await until(lambda: station.processes() == [] and not list(delegated.glob("child-*")))
    later = delegated / "child-gone"  # of an agent that was killed, as its child was
    later.mkdir()
    left = psutil.Popen(["sleep", "1000"])
    (later / "cgroup.procs").write_text(str(left.pid))
    await Station(tmp_path / "next").supervisor.take_over()
    assert left.wait(60) == -signal.SIGKILL
    assert not later.exists()


def test_a_process_that_is_outside_of_our_namespace_is_none_of_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two containers may share a tree: a file stands in for what the kernel would say then."""
    monkeypatch.setattr(cgroups, "tree", lambda: tmp_path)
    (tmp_path / "child-x").mkdir()
    (tmp_path / "child-x/cgroup.procs").write_text("0\n17\n0\n")
    assert cgroups.members("x") == [17]


async def test_a_missing_program_and_one_that_cannot_be_run_say_so(
    station: Station, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    text.chmod(0o755)
    await station.supervisor.apply(
        {MAIN: CHILD.wanted("no-such-program"), OTHER: CHILD.wanted(str(text))}
    )
    await until(lambda: {station.state(MAIN), station.state(OTHER)} == {State.FAILED})
    assert station.status(MAIN).reason == "ProgramMissing"
    assert "no-such-program" in str(station.status(MAIN).message)
    assert station.status(OTHER).reason == "ProgramUnusable"


async def test_a_child_has_a_small_environment_its_own_session_and_no_files_of_the_agent(
    station: Station, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLEET_PASSWORD_FILE", "/secret")
    code = (
        "import json, os, sys, time; "
        "print(json.dumps({'env': dict(os.environ), 'sid': os.getsid(0), 'pid': os.getpid(), "
        "'fds': sorted(map(int, os.listdir('/proc/self/fd'))), 'cwd': os.getcwd(), "
        "'in': sys.stdin.read()}), flush=True); time.sleep(1000)"
    )
    with (tmp_path / "open").open("w"):
        await station.supervisor.apply(
            {MAIN: CHILD.wanted(sys.executable, "-c", code, env=(("EXTRA", "yes"),), report=True)}
        )
        report = station.state_dir / "logs/child/main/main.report"
        await until(lambda: report.exists() and report.read_text().endswith("\n"))
    told = json.loads(report.read_text())
    assert told["sid"] == told["pid"]
    assert told["env"]["EXTRA"] == "yes"
    assert told["env"]["LC_ALL"] == "C.UTF-8"
    assert told["env"]["PATH"] == os.environ["PATH"]
    assert "FLEET_PASSWORD_FILE" not in told["env"]
    assert [fd for fd in told["fds"] if fd > 2] in ([3], [])  # 3: the listing itself
    assert told["cwd"] == str((station.state_dir / "instances/child/main").resolve())
    assert told["in"] == ""
    assert station.lines == []


async def test_a_stop_signal_goes_to_the_leader_alone_and_lets_it_finish(
    station: Station, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    script = (
        "(trap 'echo grandchild was signalled' INT; while :; do sleep 0.05; done) & "
        f"trap 'sleep 0.3; echo finalised > {done}; exit 0' INT; echo ready; "
        "while :; do sleep 0.05; done"
    )
    await station.supervisor.apply(
        {MAIN: CHILD.wanted("bash", "-c", script, grace=30, stop_signal=int(signal.SIGINT))}
    )
    await said(station, "ready")
    await station.supervisor.apply({})
    await until(lambda: station.state(MAIN) is None)
    assert done.read_text() == "finalised\n"
    assert "grandchild was signalled" not in [line.text for line in station.lines]
    assert station.processes() == []


async def test_a_child_deaf_to_all_but_sigkill_is_gone_after_grace_and_sigterm(
    station: Station,
) -> None:
    await station.supervisor.apply(
        {MAIN: CHILD.wanted("sh", "-c", DEAF, grace=0.2, stop_signal=int(signal.SIGINT))}
    )
    await said(station, "ready")
    begun = time.monotonic()
    await station.supervisor.stop()
    assert time.monotonic() - begun >= 2.2
    assert station.processes() == []
    assert station.state(MAIN) is State.STOPPED


async def test_a_halted_child_is_stopped_as_gently_and_as_soon_as_any(
    station: Station, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    script = (
        f"trap 'echo finalised > {done}; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    await station.supervisor.apply({MAIN: CHILD.wanted("bash", "-c", script, grace=30)})
    await said(station, "ready")
    os.killpg(leader(station).pid, signal.SIGSTOP)
    await station.supervisor.apply({})
    await until(lambda: station.state(MAIN) is None)
    assert done.read_text() == "finalised\n"


def test_a_child_whose_environment_may_not_be_read_is_known_as_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not left_behind.hidden(os.getpid())
    assert not left_behind.hidden(2**22 + 1)  # there is no such process

    def refuse(self: Path) -> bytes:
        raise PermissionError(str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert left_behind.hidden(os.getpid())


@pytest.mark.parametrize("death", ["stop", "kill"])
async def test_no_grandchild_survives_not_even_one_with_a_session_of_its_own(
    station: Station, death: str
) -> None:
    script = f'sh -c "{DEAF}" & setsid sh -c "{DEAF}" & setsid -f sleep 1000; wait; sleep 1000'
    await station.supervisor.apply({MAIN: CHILD.wanted("bash", "-c", script, grace=0.2)})
    await until(lambda: [line.text for line in station.lines].count("ready") == 2)
    await until(lambda: len(station.processes()) >= 4)
    first = {one.pid for one in station.processes()}
    if death == "stop":
        await station.supervisor.apply({})
        await until(lambda: station.state(MAIN) is None)
        assert station.processes() == []
    else:
        leader(station).kill()
        await until(lambda: station.status(MAIN).restarts == 1)
        await running(station)
        assert not first & {one.pid for one in station.processes()}


async def test_a_hundred_megabytes_of_output_hurt_neither_agent_nor_network(
    station: Station,
) -> None:
    await station.supervisor.apply({OTHER: CHILD.wanted("sh", "-c", "echo calm; sleep 1000")})
    await said(station, "calm")
    memory = psutil.Process().memory_info().rss
    script = "yes 0123456789012345678901234567890123456789 | head -c 100000000; echo; echo end >&2"
    await station.supervisor.apply(
        {
            MAIN: CHILD.wanted("sh", "-c", f"{script}; sleep 1000"),
            OTHER: CHILD.wanted("sh", "-c", "echo calm; sleep 1000"),
        }
    )
    begun, worst, dropped = time.monotonic(), 0.0, 0
    while dropped < 2_000_000:  # 100 MB are 2.3 million lines
        tick = time.monotonic()
        await asyncio.sleep(0.01)
        worst = max(worst, time.monotonic() - tick)
        dropped += station.supervisor.take_dropped()
    seconds = time.monotonic() - begun
    assert len([line for line in station.lines if line.instance == "main"]) <= 50 * (seconds + 2)
    assert psutil.Process().memory_info().rss - memory < 20_000_000
    assert worst < 20
    logs = station.state_dir / "logs/child/main"
    await until(lambda: sum(f.stat().st_size for f in logs.iterdir()) < 4 * output.ROTATE)


async def test_a_report_is_kept_short_while_its_child_writes_on(station: Station) -> None:
    script = "while :; do head -c 20000 /dev/zero; sleep 0.02; done"
    await station.supervisor.apply({MAIN: CHILD.wanted("sh", "-c", script, report=True)})
    report = station.state_dir / "logs/child/main/main.report"
    await until(lambda: report.exists() and report.stat().st_size > output.REPORT)
    await until(lambda: report.stat().st_size < output.REPORT)
    await until(lambda: report.stat().st_size > 0)


async def test_where_no_log_can_be_written_the_work_is_done_all_the_same(
    station: Station,
) -> None:
    station.state_dir.mkdir()
    for name in ("logs", "instances"):
        (station.state_dir / name).symlink_to("/proc/nothing")
    await station.supervisor.apply({MAIN: CHILD.wanted("sh", "-c", "echo lost; sleep 1000")})
    await running(station)
    assert leader(station).cwd() == "/"
    assert station.supervisor.last_lines(MAIN, 5) == []

"""What a person at the box can type, against real agents."""

import asyncio
import json
import os
import pwd
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet.agent.config.store import StateDirectory
from fleet.agent.local import check, socket
from tests.agent import roles
from tests.processes import Mosquitto, Programs, run
from tests.stranger import Stranger

BASE = "fleet/v1/station/b1"


class Typed:
    """Runs `fleet-agent` as somebody at the box would."""

    def __init__(self, programs: Programs, state: Path, settings: Path) -> None:
        self._programs = programs
        self.state = state
        self.settings = settings

    def __call__(self, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
        places = {"FLEET_STATE_DIR": str(self.state), "FLEET_SETTINGS": str(self.settings)}
        return run("fleet-agent", *args, env=self._programs.environment(**(places | env)))


@pytest.fixture
def fleet_agent(programs: Programs, tmp_path: Path) -> Typed:
    place = tmp_path / "b1"
    place.mkdir()
    settings = place / "agent.toml"
    settings.write_text(f'roles_dir = "{roles.write(tmp_path / "roles")}"\n')
    return Typed(programs, place / "state", settings)


async def typed(fleet_agent: Typed, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(fleet_agent, *args, **env)


async def start(programs: Programs, broker: Mosquitto, stranger: Stranger, wanted: Any) -> None:
    programs.agent(broker, "b1")
    await stranger.expect(f"{BASE}/presence", lambda p: p["state"] == "online")
    config = {"revision": 1, "at": None, "by": None, "roles": wanted}
    await stranger.publish(f"{BASE}/config", config, retain=True)
    await stranger.expect(
        f"{BASE}/status",
        lambda s: (
            all(
                one["state"] in ("running", "backoff")
                for named in s["roles"].values()
                for one in named.values()
            )
            and s["revision"] == 1
        ),
    )


async def test_status_is_told_and_is_the_exit_status(
    fleet_agent: Typed, programs: Programs, broker: Mosquitto, stranger: Stranger
) -> None:
    nobody = await typed(fleet_agent, "status")
    assert nobody.returncode == 4
    assert "no fleet-agent answers" in nobody.stderr
    await start(programs, broker, stranger, {"echo": {"main": {}}})
    well = await typed(fleet_agent, "status")
    assert well.returncode == 0
    assert "echo/main" in well.stdout
    assert "running" in well.stdout
    value = json.loads((await typed(fleet_agent, "status", "--json")).stdout)
    assert value["station"] == "b1"
    assert value["connected"] is True
    assert value["roles"]["echo"]["main"]["state"] == "running"
    broker.stop()
    await programs.started[0].says("not connected")
    alone = await typed(fleet_agent, "status")
    assert alone.returncode == 3
    assert "NOT connected" in alone.stdout


async def test_an_agent_that_does_not_answer_is_told_from_none(
    fleet_agent: Typed,
    programs: Programs,
    broker: Mosquitto,
    stranger: Stranger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await start(programs, broker, stranger, {"echo": {"main": {}}})
    agent = programs.started[0]
    agent.signal(signal.SIGSTOP)
    monkeypatch.setattr(socket, "_PATIENCE", 0.2)
    with pytest.raises(socket.SilentAgent, match=r"not answered for 0\.2 s: systemctl restart"):
        await asyncio.to_thread(socket.status, fleet_agent.state)
    agent.signal(signal.SIGHUP)  # as systemd does it where it restarts
    agent.signal(signal.SIGCONT)
    assert await agent.ended() == 0
    with pytest.raises(socket.NoAgent, match="no fleet-agent answers"):
        await asyncio.to_thread(socket.status, fleet_agent.state)


async def test_a_changed_role_file_is_used_once_it_is_read_again_and_restarted(
    fleet_agent: Typed, programs: Programs, broker: Mosquitto, stranger: Stranger, tmp_path: Path
) -> None:
    await start(programs, broker, stranger, {"echo": {"main": {}}})
    file = tmp_path / "roles" / "echo.py"
    source = file.read_text()
    file.write_text(source.replace("instances = 3", "instances = 2"))
    (file.parent / "broken.py").write_text("1 / 0")
    reload = await typed(fleet_agent, "reload")
    assert reload.returncode == 1
    assert re.search(r"roles: .*echo", reload.stdout)
    assert f"broken is broken: ZeroDivisionError: division by zero ({file.parent}" in reload.stdout
    said = await stranger.expect(f"{BASE}/registration", lambda r: "broken" in r["broken_roles"])
    assert said["factories"]["echo"]["instances"] == 2
    status = await stranger.expect(
        f"{BASE}/status",
        lambda s: s["roles"] and s["roles"]["echo"]["main"]["reason"] == "RoleFileChanged",
    )
    assert status["roles"]["echo"]["main"]["state"] == "running"
    (file.parent / "broken.py").unlink()
    assert (await typed(fleet_agent, "reload")).returncode == 0
    mark = stranger.mark()
    await typed(fleet_agent, "restart", "echo/main")
    status = await stranger.expect(
        f"{BASE}/status",
        lambda s: (
            s["roles"]["echo"]["main"]["state"] == "running"
            and s["roles"]["echo"]["main"]["reason"] is None
        ),
        after=mark,
    )
    told = [(one["by"], *one["what"].split()[:2]) for one in status["called"]]
    typed_here = ["reload", "reload", "restart"]
    assert told == [("the box itself", "station", what) for what in typed_here]


def test_the_word_of_an_earlier_design_is_answered_with_todays() -> None:
    command = [sys.executable, "-m", "manager"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "python -m fleet.manager" in done.stderr


async def test_restart_and_stop_need_no_broker(
    fleet_agent: Typed, programs: Programs, broker: Mosquitto, stranger: Stranger
) -> None:
    await start(programs, broker, stranger, {"echo": {"main": {}}})
    broker.stop()
    assert (await typed(fleet_agent, "restart", "echo/main")).returncode == 0
    wrong = await typed(fleet_agent, "restart", "echo/other")
    assert wrong.returncode == 1
    assert "echo/main" in wrong.stderr
    assert (await typed(fleet_agent, "restart", "echo")).returncode == 2
    stopped = await typed(fleet_agent, "stop")
    assert stopped.returncode == 0
    assert await programs.started[0].ended() == 0
    assert (await typed(fleet_agent, "stop")).returncode == 4
    store = StateDirectory(fleet_agent.state)
    assert store.calls()[-1].what == "station stop", "the next agent tells of it"
    store.close()


async def test_state_directory_may_have_a_long_path(
    fleet_agent: Typed, programs: Programs, broker: Mosquitto, stranger: Stranger, tmp_path: Path
) -> None:
    fleet_agent.state = tmp_path / ("long" * 20) / ("longer" * 20)
    programs.start(
        *("fleet-agent", "run", "--broker", broker.url, "--station", "b1"),
        *("--state-dir", str(fleet_agent.state)),
    )
    await stranger.expect(f"{BASE}/presence")
    assert (await typed(fleet_agent, "status")).returncode == 0


async def test_check_says_what_is_missing(
    fleet_agent: Typed, programs: Programs, broker: Mosquitto, tmp_path: Path
) -> None:
    address = {"FLEET_BROKER": broker.url}
    fine = await typed(fleet_agent, "check", **address)
    assert fine.returncode == 0, fine.stdout
    assert re.search(r"^ok +devices?  ", fine.stdout, re.MULTILINE)
    assert all(line.startswith(("ok", "unused")) for line in fine.stdout.splitlines())
    fleet_agent.state.mkdir()
    wanted: Any = {"record": {"main": {}}, "nix": {"main": {}}}
    decision = {"in_force": {"revision": 1, "at": None, "by": None, "roles": wanted}}
    (fleet_agent.state / "decision.json").write_text(json.dumps(decision | {"rejection": None}))
    empty = tmp_path / "empty"
    empty.mkdir()
    bare = await typed(fleet_agent, "check", PATH=str(empty), **address)
    assert bare.returncode == 1
    assert "missing  role record  ffmpeg" in bare.stdout
    assert "apt install ffmpeg" in bare.stdout
    assert "missing  role nix  the saved config needs it" in bare.stdout
    broker.stop()
    alone = await typed(fleet_agent, "check", **address)
    assert "missing  broker" in alone.stdout


async def test_check_says_who_looks_and_whether_something_can_be_recorded(
    fleet_agent: Typed, broker: Mosquitto
) -> None:
    fleet_agent.state.mkdir()
    me = pwd.getpwuid(os.geteuid()).pw_name
    mine = await typed(fleet_agent, "check", FLEET_BROKER=broker.url)
    assert mine.returncode == 0
    assert f"ok       user  checked as {me}, like the agent" in mine.stdout
    assert re.search(
        r"^ok +recordings  .*fleet-recordings, .* GiB are free", mine.stdout, re.MULTILINE
    )
    (fleet_agent.state.parent / "file").write_text("no directory")
    with fleet_agent.settings.open("a") as file:
        file.write(f'recordings = "{fleet_agent.state.parent}/file"\n')
    barred = await typed(fleet_agent, "check", FLEET_BROKER=broker.url)
    assert barred.returncode == 1
    assert "missing  recordings" in barred.stdout


def test_check_run_by_somebody_else_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)  # root may not be at hand to be another
    finding = check.user(tmp_path)
    owner = pwd.getpwuid(tmp_path.stat().st_uid).pw_name
    assert finding.verdict == "unsure"
    assert f"run by 12345, but the agent's files belong to {owner}" in finding.text
    assert f"sudo -u {owner} fleet-agent check --state-dir {tmp_path}" in finding.text


async def test_check_says_that_no_disk_is_mounted_where_one_is_asked_for(
    fleet_agent: Typed, broker: Mosquitto
) -> None:
    with fleet_agent.settings.open("a") as file:
        file.write('recordings = "/recordings-of-nobody"\nrecordings_mount = true\n')
    done = await typed(fleet_agent, "check", FLEET_BROKER=broker.url)
    assert done.returncode == 1
    assert "missing  recordings  no disk is mounted at /recordings-of-nobody" in done.stdout


async def test_check_does_not_push_the_agent_off_the_broker(
    fleet_agent: Typed, programs: Programs, broker: Mosquitto, stranger: Stranger
) -> None:
    await start(programs, broker, stranger, {})
    mark = stranger.mark()
    checked = await typed(fleet_agent, "check", FLEET_BROKER=broker.url)
    assert "the agent is connected" in checked.stdout
    assert not [m for m in stranger.heard[mark:] if m.topic == f"{BASE}/presence"]


@pytest.mark.parametrize("command", ["run", "check", "roles", "status"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("block_roles = []", "did you mean 'blocked_roles'"),
        ("interval = '5'", "expected a number"),
        ("interval = 0", "0.1 to 3600"),
        ("station = 'A'", "a station's id"),
        ("prefix = 'a/+'", "prefix"),
        ("= 5", "is not TOML"),
    ],
)
def test_mistake_in_the_settings_is_named(
    fleet_agent: Typed, command: str, settings: str, said: str
) -> None:
    fleet_agent.settings.write_text(settings)
    done = fleet_agent(command)
    assert done.returncode == 1
    assert said in done.stderr + done.stdout
    assert str(fleet_agent.settings) in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"FLEET_BROKER": "http://x"}, "mqtt://HOST:PORT"),
        ({"FLEET_BROKER": "mqtt://a:b@x"}, "FLEET_PASSWORD_FILE"),
        ({"FLEET_PASSWORD_FILE": "/nothing/there"}, "password file"),
        ({"FLEET_STATION": "Not An Id"}, "cannot be a station's id"),
        ({"FLEET_STATION": "B8:27:EB:00:00:A1"}, "did you mean 'b827eb0000a1'?"),
        ({"FLEET_STATE_DIR": "/proc/nothing"}, "cannot be used"),
        ({"FLEET_SETTINGS": "/nothing/there"}, "cannot be read"),
        ({"FLEET_PREFIX": "a/+"}, "cannot be a prefix of topics"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_said_in_a_sentence(
    fleet_agent: Typed, env: dict[str, str], said: str
) -> None:
    done = fleet_agent("run", **env)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


async def test_second_agent_on_one_state_directory_ends_at_once(
    fleet_agent: Typed, programs: Programs, broker: Mosquitto, stranger: Stranger
) -> None:
    await start(programs, broker, stranger, {})
    second = await typed(fleet_agent, "run", FLEET_BROKER=broker.url)
    assert second.returncode == 1
    assert f"process {programs.started[0].pid}" in second.stderr


def test_roles_are_shown_with_limits_types_and_defaults(fleet_agent: Typed) -> None:
    text = fleet_agent("roles").stdout
    assert "echo (at most 3 instances)" in text
    assert "number  integer 1 to 9  1" in text
    assert "command say" in text
    assert re.search(r"^ +passphrase .*\n +secret +string", text, re.MULTILINE), "what may be null"
    value = json.loads(fleet_agent("roles", "--json").stdout)
    assert value["factories"]["echo"]["instances"] == 3
    seconds = value["factories"]["record"]["settings"]["properties"]["segment_seconds"]
    assert (seconds["minimum"], seconds["maximum"], seconds["default"]) == (1, 86400, 180)


def test_flag_goes_before_environment_before_file(fleet_agent: Typed, tmp_path: Path) -> None:
    for name in ("file", "env", "flag"):
        (tmp_path / name).mkdir()
    with fleet_agent.settings.open("a") as file:
        file.write(f'state_dir = "{tmp_path}/file"\n')
    env = {"FLEET_STATE_DIR": str(tmp_path / "env")}
    by_flag = fleet_agent("status", "--state-dir", str(tmp_path / "flag"), **env)
    assert f"{tmp_path}/flag" in by_flag.stderr
    assert f"{tmp_path}/env" in fleet_agent("status", **env).stderr
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FLEET_")}
    by_file = run("fleet-agent", "status", "--settings", str(fleet_agent.settings), env=environment)
    assert f"{tmp_path}/file" in by_file.stderr


def test_root_is_no_agent_unless_that_is_said(fleet_agent: Typed) -> None:
    assert os.geteuid() == 0, "who is refused is root"
    refused = fleet_agent("run", FLEET_ALLOW_ROOT="")
    assert refused.returncode == 1
    assert "fleet-agent run --allow-root" in refused.stderr
    assert not fleet_agent.state.exists()
    for said, env in ((["--allow-root"], ""), ([], "1")):
        broken = ("run", *said, "--broker", "nonsense://x")
        assert "allow-root" not in fleet_agent(*broken, FLEET_ALLOW_ROOT=env).stderr


def test_version_is_said(fleet_agent: Typed) -> None:
    assert fleet_agent("--version").stdout.startswith("fleet-agent 0.")

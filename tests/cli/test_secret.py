"""A secret is set from afar, reaches the box it is for, and is to be seen nowhere else."""

import io
import json
import re
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer

from fleet.cli import passwords
from tests.cli.conftest import Fleet
from tests.manager.station import PretendStation, apply, ask
from tests.processes import ROOT, Mosquitto, Program, Programs
from tests.stranger import Stranger

CANARY = "a-bird-in-a-mine-4711"
ROLES = """
from attrs import frozen
from fleet.roles import ChildRole, RoleFactory, Secret, register_factory

@frozen
class KeyedSettings:
    key: Secret

class Keyed(ChildRole[KeyedSettings]):
    def argv(self) -> list[str]:
        key = self.host.secret(self.settings.key, "live.example.org")
        self.host.log("goes out with " + key)
        self.host.note("Odd", "nobody answers at rtmp://live.example.org/" + key)
        return ["sleep", "1000"]

class KeyedFactory(RoleFactory[KeyedSettings]):
    role = Keyed
    settings = KeyedSettings

register_factory("keyed", KeyedFactory())
"""
FILE = """
[rooms.hall1]
[stations.cam]
id = "cam1"
room = "hall1"
roles.keyed.main = {key = {secret = "stream-key"}}
roles.keyed.other = {key = {secret = "another"}}
"""


def told(texts: dict[str, str]) -> list[str]:
    return [where for where, text in texts.items() if CANARY in text]


def of_processes(programs: Programs) -> dict[str, str]:
    found = {}
    for process in [*programs.leftovers(), *map(psutil.Process, _pids(programs))]:
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                found[f"argv {one.pid}"] = " ".join(one.cmdline())
                found[f"environ {one.pid}"] = str(one.environ())
    return found


def _pids(programs: Programs) -> list[int]:
    return [one.pid for one in programs.started if one.running]


def of_files(directory: Path, besides: Path) -> dict[str, str]:
    found = {}
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):  # what is put in another's place has another name before
            if path.is_file() and path != besides:
                found[str(path)] = path.read_bytes().decode(errors="replace")
    return found


def core_of(pid: int, file: Path) -> bytes:
    """The core of a process that runs on, as the kernel would write it."""
    words = ("gdb", "-nx", "-batch", "-iex", "set auto-solib-add off", "-p", str(pid))
    done = subprocess.run(
        [*words, "-ex", f"gcore {file}"], capture_output=True, text=True, check=False
    )
    assert file.exists(), done.stdout + done.stderr
    found = file.read_bytes()
    file.unlink()
    return found


def cores(programs: Programs, file: Path) -> dict[str, str]:
    """Of all that runs with a secret in its memory; of a program that hides nothing, too."""
    said = (
        f"import time; said = '{CANARY[:9]}' + '{CANARY[9:]}'; print(1, flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", said], stdout=subprocess.PIPE) as plain:
        assert plain.stdout is not None
        plain.stdout.readline()
        assert CANARY.encode() in core_of(plain.pid, file), "there is something to be found"
        plain.kill()
    found = {}
    for process in map(psutil.Process, _pids(programs)):
        for one in [process, *process.children(recursive=True)]:
            try:
                name, limits = one.name(), Path(f"/proc/{one.pid}/limits").read_text()
                found[f"core {one.pid} {name}"] = core_of(one.pid, file).decode(errors="replace")
            except (AssertionError, OSError, psutil.NoSuchProcess):
                if one.is_running():
                    raise
                continue  # it has just ended
            assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), one
    return found


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        text: str = answer.read().decode()
    return text


async def test_a_secret_reaches_its_box_and_is_seen_nowhere_else(
    fleet: Fleet,
    broker: Mosquitto,
    programs: Programs,
    stranger: Stranger,
    manager: Program,
    tmp_path: Path,
) -> None:
    roles = programs.directory / "roles"
    roles.mkdir()
    (roles / "keyed.py").write_text(ROLES)
    own = f'roles_dir = "{roles}"\nsecrets_dir = "{programs.directory}/own"\ninterval = 1.0\n'
    programs.agent(broker, "cam1", own)
    await stranger.expect(
        "fleet/v1/station/cam1/presence", lambda said: said and said["state"] == "online"
    )
    old = PretendStation(stranger, "old1")  # of a release that knows of none
    await old.come_online(interval=60)
    await apply(stranger, FILE)

    missing = await fleet("secret", "list")
    assert missing.code == 3
    assert [line.split()[:2] for line in missing.lines[1:]] == [
        ["another", "cam"],
        ["stream-key", "cam"],
    ]
    assert "fleet secret set stream-key --station cam" in missing.err

    wrong = await fleet("secret", "set", "stream-key", "--allow", "x.org:443", stdin=CANARY)
    assert wrong.code == 2
    assert "live.example.org" in wrong.err
    hosts = ("--allow", "live.example.org")
    done = await fleet("secret", "set", "stream-key", *hosts, stdin=f"{CANARY}\n")
    assert done.code == 3, "one of the two could not"
    assert done.lines == [
        "cam: done; restarted: keyed/main",
        "old1: its agent is an earlier release, which takes none from afar",
    ]
    status: Any = await stranger.expect(
        "fleet/v1/station/cam1/status",
        lambda said: said["roles"].get("keyed", {}).get("main", {}).get("state") == "running",
    )
    assert status["roles"]["keyed"]["other"]["reason"] == "SecretMissing"
    await stranger.expect(
        "fleet/v1/station/cam1/status",
        lambda said: (
            said["roles"].get("keyed", {}).get("main", {}).get("message")
            == "nobody answers at rtmp://live.example.org/…"
        ),
    )
    kept = programs.directory / "cam1" / "state" / "secrets" / "stream-key"
    assert kept.read_text() == CANARY
    logs = await fleet("logs", "cam", "keyed/main")
    assert "goes out with …" in logs.out

    shown = json.loads((await fleet("secret", "list", "stream-key", "--json")).out)
    (box,) = shown["stations"]
    (one,) = (one for one in box["secrets"] if one["name"] == "stream-key")
    assert one["allow"] == ["live.example.org"]
    assert one["at"] is not None

    here = ("secret", "set", "stream-key", "--station", "cam")
    bound = await fleet(*here, "--allow", "x.org", stdin="k")
    assert bound.code == 0
    await stranger.expect(
        "fleet/v1/station/cam1/status",
        lambda said: (
            said["roles"].get("keyed", {}).get("main", {}).get("reason") == "SecretRefused"
        ),
    )
    again = await fleet(*here, *hosts, stdin=CANARY)
    assert again.code == 0

    address = manager.log().partition("serving ")[2].split("/metrics")[0]
    questions: tuple[tuple[str, dict[str, Any]], ...] = (
        ("status", {}),
        ("secrets", {}),
        ("show", {"station": "cam"}),
        ("history", {"station": "cam"}),
        ("export", {}),
        ("doctor", {}),
        ("plan", {"text": FILE, "name": "conference.toml"}),
    )
    asked = {
        what: json.dumps(await ask(stranger, what, **arguments)) for what, arguments in questions
    }
    assert "secret stream-key set" in asked["history"]
    heard = {
        f"{one.topic} {n}": one.payload.decode(errors="replace")
        for n, one in enumerate(stranger.heard)
    }
    pages = {path: read(f"{address}{path}") for path in ("/metrics", "/rooms.json", "/talks", "/")}
    kinds = {one.topic.split("/")[4] for one in stranger.heard if "/station/cam1/" in one.topic}
    assert kinds > {"registration", "status", "ack", "config", "telemetry", "log", "command"}
    assert told(asked | heard | pages) == []
    assert told(of_processes(programs)) == []
    dumped = cores(programs, tmp_path / "core")
    assert len(dumped) >= 3, "agent, manager, and what the agent runs"
    assert told(dumped) == []
    assert told(of_files(programs.directory, kept)) == []

    misspelt = await fleet("secret", "remove", "stream-keys")
    assert (misspelt.code, "did you mean 'stream-key'?" in misspelt.err) == (2, True)
    gone = await fleet("secret", "remove", "stream-key")
    assert gone.code == 0
    assert not kept.exists()


SENT_ELSEWHERE = """
[rooms.hall1]
[stations.cam]
id = "cam1"
room = "hall1"
[stations.cam.roles.stream.main]
source = {type = "test"}
target = {type = "rtmp", url = "rtmp://127.0.0.1:9/app", key = {secret = "stream-key"}}
"""


async def test_a_config_that_sends_a_bound_secret_elsewhere_is_refused_until_it_is_bound_anew(
    fleet: Fleet, broker: Mosquitto, programs: Programs, stranger: Stranger, manager: Program
) -> None:
    programs.agent(broker, "cam1", f'secrets_dir = "{programs.directory}/own"\ninterval = 1.0\n')
    await stranger.expect(
        "fleet/v1/station/cam1/presence", lambda said: said and said["state"] == "online"
    )
    file = programs.directory / "conference.toml"
    file.write_text(SENT_ELSEWHERE)
    bound = await fleet(
        *("secret", "set", "stream-key", "--allow", "live.example.org"), stdin=CANARY
    )
    assert bound.code == 0, bound.err
    await stranger.expect(
        "fleet/v1/station/cam1/registration", lambda said: said and said["secrets"]
    )
    where = "may go to live.example.org alone, not to 127.0.0.1"
    plan = await fleet("plan", str(file))
    assert where in plan.out + plan.err
    unforced = await fleet("apply", str(file), "--yes")
    assert unforced.code == 2
    assert where in unforced.out + unforced.err
    forced = await fleet("apply", str(file), "--force", "--yes")
    assert forced.code == 1, "the station refuses it all the same"
    ack: Any = await stranger.expect(
        "fleet/v1/station/cam1/ack", lambda said: said["result"] == "rejected"
    )
    (problem,) = ack["error"]["problems"]
    assert (problem["type"], problem["path"]) == ("InvalidConfiguration", "/target/key")
    assert where in problem["message"]
    anew = await fleet("secret", "set", "stream-key", "--allow", "127.0.0.1", stdin=CANARY)
    assert anew.code == 0, anew.err
    taken: Any = await stranger.expect(
        "fleet/v1/station/cam1/ack", lambda said: said["result"] == "accepted"
    )
    assert taken["revision"] == ack["revision"], "it is the same one, asked again"


def test_no_unit_leaves_a_core_with_secrets_in_it() -> None:
    for name in ("fleet-agent", "fleet-manager"):
        assert "\nLimitCORE=0\n" in (ROOT / f"systemd/{name}.service").read_text()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (f"{CANARY}\xff".encode("latin-1"), "not text in UTF-8"),
        (f"{CANARY}\0".encode(), "not text in UTF-8"),
        (f"{CANARY}\n".encode() * 50, "at most 1000 bytes"),
        (b"\n", "nothing was said"),
    ],
    ids=["latin 1", "zero", "long", "nothing"],
)
def test_what_can_be_no_secret_is_refused_and_not_repeated(
    said: bytes, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said), "utf-8"))
    with pytest.raises(typer.Exit):
        passwords.secret("stream-key", 1000)
    told = capsys.readouterr().err
    assert why in told
    assert CANARY not in told

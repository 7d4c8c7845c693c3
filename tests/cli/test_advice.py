"""What doctor and runbook advise is done word for word, and heals.

Each test reads the advice itself and has it carried out by `Hands`, which do what the words say
and fail where they cannot: a broker's configuration and a conference file are edited, commands
are typed. `systemctl` alone has a stand-in: it starts and ends the programs that its units would.
"""

import ast
import asyncio
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import tomlkit
from attrs import evolve

from fleet.cli.examine import BURST
from fleet.cli.fixes import findings
from fleet.manager.fixes import crowd, ending, fixes, open_page
from fleet.manager.people.keeper import People
from fleet.manager.people.rights import Rights
from fleet.manager.store import ManagerStore
from fleet.manager.store.ledger import Ledger
from fleet.mqtt import Broker
from fleet.operations.doctor import DoctorFinding
from fleet.version import __version__
from tests.agent.test_clock_offset import source  # noqa: F401 (a fixture)
from tests.cli.conftest import Fleet, Outcome, Play
from tests.cli.test_doctor import DEFAULTS, FINE, NOW
from tests.manager.station import NOW as NOW_TEXT
from tests.manager.station import PretendStation, ask, conference, presence
from tests.manager.test_fixes import AT, CAM
from tests.processes import ROOT, Mosquitto, Program, Programs, free_port, run, until
from tests.stranger import Stranger
from tests.test_broker import ANN, MANAGER, Users, login, passwords, users  # noqa: F401 (fixtures)

FOLLOWED: set[str] = set()
NO_MANAGER = {"fleet.cli.connection.REACH": 0.1}
"""Seconds in which one is looked for where there is none."""


def follows(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks a test that follows what is advised about findings of these kinds."""
    FOLLOWED.update(kinds)
    return lambda test: test


def test_each_advice_of_doctor_is_followed_by_a_test_here() -> None:
    given = set()
    for path in (ROOT / "fleet/cli/fixes.py", ROOT / "fleet/manager/fixes.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DoctorFinding":
                kind = node.args[0]
                if isinstance(kind, ast.Constant):  # else it is a finding's, as the runbook has it
                    given.add(kind.value)
    assert given == FOLLOWED


class Hands:
    """Somebody who does what is written. `box`: where the files of a box lie."""

    def __init__(self, fleet: Fleet, programs: Programs, tmp_path: Path) -> None:
        self.fleet = fleet
        self.programs = programs
        self.tmp_path = tmp_path
        self.box = tmp_path / "box"
        self.file = tmp_path / "conference.toml"
        self.units: dict[str, Callable[[str], Any]] = {}
        """What stands in for systemd: a unit's name -> what is done on a verb."""

    def configure(self, config: str, fix: str) -> str:
        """A broker's configuration once it was changed so."""
        lines, done = config.splitlines(), 0
        words = fix.partition("; mosquitto/mosquitto.conf")[0]
        for name in re.findall(r"\bremove (\w+)", words):
            lines, done = [one for one in lines if not one.startswith(f"{name} ")], done + 1
        for name, value in re.findall(r"\bset (\w+) (?:to )?(\S+)", words):
            path = ROOT / value
            lines = [one for one in lines if not one.startswith(f"{name} ")]
            lines.append(f"{name} {path if path.is_file() else value}")
            done += 1
        if "make users with mosquitto_passwd" in words:
            passwords = self.tmp_path / "passwords"
            passwords.touch(0o600)
            for user in (ANN, MANAGER):
                subprocess.run(["mosquitto_passwd", "-b", passwords, user, user], check=True)
            lines.append(f"password_file {passwords}")
        assert done, f"{fix!r} says nothing that can be done"
        return "\n".join(lines) + "\n"

    async def edit_and_apply(self, fix: str) -> Outcome:
        """Put a line into the conference file, and type what follows."""
        said = re.fullmatch(
            r"put (\w+) = (\S+) in \[stations\.(\S+)\] of the conference file, then: (.+)", fix
        )
        assert said, fix
        key, value, station, command = said.groups()
        file = tomlkit.parse(self.file.read_text())
        stations: Any = file["stations"]
        stations[station][key] = tomlkit.value(value)
        self.file.write_text(tomlkit.dumps(file))
        return await self.type(command)

    async def type(self, command: str) -> Outcome:
        """Type one command; a question is answered with yes."""
        program, *words = shlex.split(command.replace("FILE", str(self.file)))
        if program == "fleet":
            code, out = await self.fleet.on_terminal(*words, columns=200, types="y\n")
            return Outcome(code, out, "")
        if program == "systemctl":
            (verb, *flags), unit = words[:-1], words[-1]
            done = self.units[unit](" ".join((verb, *flags)))
            if asyncio.iscoroutine(done):
                await done
            return Outcome(0, "", "")
        if program == "rm":
            command = command.replace(" /", f" {self.box}/")
        argv = ["sh", "-c", command]
        done = await asyncio.to_thread(
            subprocess.run, argv, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def hands(fleet: Fleet, programs: Programs, tmp_path: Path) -> Hands:
    return Hands(fleet, programs, tmp_path)


async def found(fleet: Fleet, **env: str) -> dict[str, list[DoctorFinding]]:
    """What doctor finds, by its kind."""
    said = json.loads((await fleet("doctor", "--json", env=env)).out)["findings"]
    kinds: dict[str, list[DoctorFinding]] = {}
    for one in said:
        kinds.setdefault(one["kind"], []).append(DoctorFinding(**one))
    return kinds


async def finds(fleet: Fleet, kind: str) -> DoctorFinding:
    """The one of its kind, once doctor finds it."""
    async with asyncio.timeout(120):
        while kind not in (kinds := await found(fleet)):
            pass
    (one,) = kinds[kind]
    return one


async def manager_finds(
    stranger: Stranger, enough: Callable[[dict[str, str]], bool]
) -> dict[str, str]:
    """Kind and fix of what the manager finds, once that is enough."""
    async with asyncio.timeout(60):
        while True:
            said = (await ask(stranger, "doctor"))["result"]["fixes"]
            if enough(kinds := {one["kind"]: one["fix"] for one in said}):
                return kinds
            await asyncio.sleep(0.1)


@follows("OpenBroker", "OpenTopics", "QueueLimit", "HeldBack", "PacketLimit")
async def test_a_broker_with_defaults_is_mended_by_what_is_said_of_it(
    hands: Hands, brokers: Callable[[str], Mosquitto], tmp_path: Path
) -> None:
    config = DEFAULTS + "user root\nmax_packet_size 100000\nmessage_size_limit 100000\n"
    broker = brokers(config)
    await hands.programs.manager(broker).says("connected")
    wrong = await found(hands.fleet, FLEET_BROKER=broker.url)
    assert set(wrong) == {"OpenBroker", "OpenTopics", "QueueLimit", "HeldBack", "PacketLimit"}
    assert "kept 1020 and silently dropped the others" in wrong["QueueLimit"][0].message
    for (one,) in wrong.values():
        config = hands.configure(config, one.fix)
    broker = brokers(config)
    manager = ("run", "--broker", broker.url, "--state-dir", str(tmp_path / "new"))
    env = login(MANAGER, tmp_path)
    new = hands.programs.start(
        "fleet-manager", *manager, "--http", "127.0.0.1:0", name="new", **env
    )
    await new.says("connected")
    ann = {"FLEET_BROKER": broker.url, **login(ANN, tmp_path)}
    assert await found(hands.fleet, **ann) == {}


@follows("ClearText", "OldBroker")
def test_what_no_test_can_install_is_said_as_what_makes_it_vanish() -> None:
    clear = evolve(FINE, broker=Broker("broker.example.org", 1883))
    (one,) = findings(clear)
    assert "say mqtts:// everywhere; docs/tls.md has each step" in one.fix  # its test takes them
    assert findings(evolve(clear, broker=Broker("broker.example.org", 8883, tls=True))) == ()
    old = evolve(FINE, examined=evolve(FINE.examined, version="mosquitto version 1.6.9"))
    (one,) = findings(old)
    (release,) = re.findall(r"install Mosquitto (\d+\.\d+)", one.fix)
    new = evolve(FINE.examined, version=f"mosquitto version {release}.0")
    assert findings(evolve(old, examined=new)) == ()
    assert findings(evolve(FINE, examined=evolve(FINE.examined, kept=BURST))) == ()


@follows("ManagerVersion", "AgentVersion")
def test_the_same_release_on_both_sides_is_what_is_asked_for() -> None:
    (one,) = findings(evolve(FINE, version="1.1"))
    assert one.fix == "install the same release for both"
    assert findings(FINE) == ()
    older = evolve(CAM, agent="0.9", reached_as=None)
    (one,) = fixes(older, "1.0", AT, {})
    assert one.fix.startswith("install the manager's release on the box, then systemctl restart")
    assert list(fixes(evolve(older, agent="1.0"), "1.0", AT, {})) == []


@follows("SaysTooMuch")
def test_a_station_that_says_too_much_is_named_until_its_words_fit() -> None:
    loud = evolve(CAM, left_out=3, reached_as=None)
    (one,) = fixes(loud, "1.0", AT, {})
    assert "3 messages left out" in one.message
    assert one.fix.endswith("give it another password")  # which no test of ours can take away
    assert list(fixes(evolve(loud, left_out=0), "1.0", AT, {})) == []


@follows("StopNotKept")
def test_a_box_that_cannot_keep_a_stop_is_named_until_it_can() -> None:
    deaf = evolve(CAM, not_kept=("record/main",), reached_as=None)
    (one,) = fixes(deaf, "1.0", AT, {})
    assert "somebody stopped record/main, and it cannot keep that stopped" in one.message
    assert "put mosquitto/stations.acl in its place" in one.fix
    acl = (ROOT / "mosquitto/stations.acl").read_text()
    assert "pattern read fleet/v1/station/%u/stops\n" in acl
    assert list(fixes(evolve(deaf, not_kept=()), "1.0", AT, {})) == []


@follows("TooManyStrangers")
async def test_strangers_without_number_stay_out_of_a_broker_that_has_users(
    users: Users,  # noqa: F811
) -> None:
    (one,) = crowd(5)
    assert "5 messages of others left out" in one.message
    assert "as mosquitto/mosquitto.conf has it" in one.fix  # that is the broker of `users`
    with pytest.raises(aiomqtt.MqttError, match="Not authorized"):
        async with aiomqtt.Client(
            "127.0.0.1", users.ports["stations"], protocol=aiomqtt.ProtocolVersion.V5
        ):
            pass
    assert list(crowd(0)) == []


@follows("CredentialEnds")
def test_a_credential_that_ends_is_named_until_it_is_another() -> None:
    (one,) = ending(CAM, AT + timedelta(days=13), AT)
    assert "could not be renewed by itself" in one.message
    assert f"fleet rotate {CAM.name}" in one.fix  # which tests/access/test_joining.py does
    assert list(ending(CAM, AT + timedelta(days=15), AT)) == []
    assert list(ending(CAM, None, AT)) == []


@follows("OpenPage")
async def test_a_page_for_everybody_asks_who_they_are_once_somebody_is_in_the_list(
    tmp_path: Path,
) -> None:
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    people = People(ledger.let_in, lambda _: False, reached_at="10.0.0.2:9700")
    (one,) = open_page(people.open_at)
    assert "whoever reaches 10.0.0.2:9700 sees everything" in one.message
    assert one.fix.startswith("fleet user add NAME --rights admin")
    await people.add("ann", "ann", Rights.parse("admin"), "korrekt-pferd")
    assert list(open_page(people.open_at)) == []
    await ledger.close()


@follows("NotRunning", "Offline", "Lost")
@pytest.mark.long
async def test_a_box_that_is_ill_off_or_lost_is_mended_without_a_manager(
    hands: Hands, broker: Mosquitto, stranger: Stranger
) -> None:
    hands.programs.instead = NO_MANAGER
    file = {"type": "file", "path": "/nowhere.mkv"}
    config = {
        "revision": 1,
        "at": NOW_TEXT,
        "by": "ann",
        "roles": {"record": {"main": {"source": file}}},
    }
    stranger.publish("fleet/v1/station/cam1/config", config, retain=True)
    agent = hands.programs.agent(broker, "cam1")
    await stranger.expect(
        "fleet/v1/station/cam1/status",
        lambda said: said["roles"].get("record", {}).get("main", {}).get("state") == "failed",
    )
    ill = await finds(hands.fleet, "NotRunning")  # but for the moments in which it tries again
    assert (await hands.type(ill.fix.removeprefix("why: "))).code == 0

    async def start(_: str) -> None:
        nonlocal agent
        mark = stranger.mark()
        agent = hands.programs.agent(broker, "cam1")
        await stranger.expect(
            "fleet/v1/station/cam1/presence", lambda said: said["state"] == "online", after=mark
        )

    hands.units["fleet-agent"] = start
    agent.terminate()
    assert await agent.ended() == 0
    off = await finds(hands.fleet, "Offline")
    await hands.type(off.fix.removeprefix("where it should run: "))
    assert "Offline" not in await found(hands.fleet)
    mark = stranger.mark()
    agent.kill()
    await stranger.expect(
        "fleet/v1/station/cam1/presence", lambda said: said["state"] == "lost", after=mark
    )
    lost = await finds(hands.fleet, "Lost")
    assert lost.fix == "look at its power and its network"
    await start("its power is back")
    assert "Lost" not in await found(hands.fleet)


@follows("ClockOffset")
@pytest.mark.usefixtures("source")
def test_chrony_is_told_to_step_a_clock_that_is_off() -> None:
    """This chronyd leaves the clock alone: that what is typed exists is all there is to see."""
    late = evolve(CAM, clock_offset=-7.0, reached_as=None)
    (of_station,) = fixes(late, "1.0", AT, {})
    (of_manager,) = findings(evolve(FINE, now=NOW.replace(second=9)))
    for one in (of_station, of_manager):
        package, command = re.findall(r"apt install (\w+), then (.+)", one.fix)[0]
        assert subprocess.run(["apt-cache", "show", package], capture_output=True, check=True)
        env = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        typed = shlex.split(command)  # by a person, whom no systemd started
        done = subprocess.run(typed, env=env, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert said.strip() == "500 Failure", "understood, and refused: it is not to step"
    assert list(fixes(evolve(late, clock_offset=0.0), "1.0", AT, {})) == []


@follows("NoManager", "SecondManager")
async def test_one_manager_is_started_and_the_second_ended(
    hands: Hands, broker: Mosquitto, stranger: Stranger
) -> None:
    hands.programs.instead = NO_MANAGER
    (none,) = (await found(hands.fleet))["NoManager"]
    hands.programs.instead = {}
    hands.units["fleet-manager"] = lambda verb: {"start": hands.programs.manager}[verb](broker)
    command = re.findall(r"systemctl start [\w-]+", none.fix)[0]
    await hands.type(command)
    # It began in the past, so that the real one stays; a real second one would leave.
    other = presence("online", "other-boot") | {"at": "2020-01-01T00:00:00.000Z"}

    async def stay() -> None:
        try:
            while True:
                await stranger.publish("fleet/v1/manager/presence", other, retain=True)
                await asyncio.sleep(0.2)
        finally:
            gone = other | {"state": "offline"}
            await stranger.publish("fleet/v1/manager/presence", gone, retain=True)

    await stranger.expect("fleet/v1/manager/presence")
    second = asyncio.create_task(stay())
    wrong = await found(hands.fleet)
    assert "NoManager" not in wrong
    (two,) = wrong["SecondManager"]
    hands.units["fleet-manager"] = lambda verb: {"disable --now": second.cancel}[verb]()
    await hands.type(re.findall(r"systemctl disable --now [\w-]+", two.fix)[0])
    await asyncio.gather(second, return_exceptions=True)
    assert "SecondManager" not in await found(hands.fleet)


@follows("WrongAddress", "NameUnresolved", "StationAbsent", "Leftover")
async def test_stations_and_what_they_left_are_mended_by_what_is_said_of_them(
    hands: Hands, play: Play, stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await play("moved", agent=__version__)
    await play("cam", agent=__version__)
    with monkeypatch.context() as patch:
        patch.setattr("tests.manager.station.AHEAD", timedelta(days=-3))
        absent = await play("absent", obedient=False, agent=__version__)
        await absent.presence("lost")
    topics = [f"fleet/v1/station/{one}/config" for one in ("b827eb00dead", "it's gone")]
    for topic in topics:
        await stranger.publish(topic, {}, retain=True)
    hands.file.write_text(
        conference(
            extra='[stations.hall1-moved]\nid = "moved"\nroom = "hall1"\naddress = "198.51.100.4"\n'
            '[stations.hall1-moved.roles.record.main]\nsource = {role = "ingest", seat = "cam"}\n'
            '[stations.hall1-cam]\nid = "cam"\nroom = "hall1"\nseat = "cam"\n'
            '[stations.hall1-cam.roles.ingest.main]\npicture = {type = "test"}\n'
        )
    )
    assert (await hands.type("fleet apply FILE")).code == 0
    wrong = await found(hands.fleet)
    assert {"WrongAddress", "NameUnresolved", "StationAbsent", "Leftover"} <= wrong.keys()
    for kind in ("WrongAddress", "NameUnresolved"):
        (one,) = wrong[kind]
        assert (await hands.edit_and_apply(one.fix)).code == 0
    (one,) = wrong["StationAbsent"]
    (command,) = re.findall(r"fleet retire .+", one.fix)
    assert (await hands.type(command)).code == 0
    for one in wrong["Leftover"]:
        done = await hands.type(one.fix.partition(", then clear them: ")[2])
        assert done.code == 0, done
    left = await found(hands.fleet)
    assert not {"WrongAddress", "NameUnresolved", "StationAbsent", "Leftover"} & left.keys(), left


@follows("DuplicateId")
async def test_a_copied_box_forgets_who_it_was_by_what_doctor_says(
    hands: Hands, manager: Program, broker: Mosquitto, stranger: Stranger
) -> None:
    """The box that was copied is played, so that the two do not evict each other for long.

    How a box is installed anew is tried on whole Debians.
    """
    first = PretendStation(stranger, "b1")

    async def live() -> None:
        while True:
            await first.come_online(interval=1)
            await asyncio.sleep(0.5)

    living = asyncio.create_task(live())
    state, etc = hands.box / "var/lib/fleet-agent", hands.box / "etc/fleet"
    state.mkdir(parents=True)
    etc.mkdir(parents=True)
    for name in ("station", "station.copy"):
        (state / name).write_text("b1\n")
    (etc / "agent.password").write_text("not used here")
    settings = f'broker = "{broker.url}"\nstation = "b1"\nrecordings = "{hands.box}/recordings"\n'
    settings += "interval = 1.0\n"
    (etc / "agent.toml").write_text(settings)
    recorded = state / "decision.json"
    recorded.write_text('{"in_force": null, "rejection": null}')

    def start(*more: str, **env: str) -> Program:
        place = ("run", "--state-dir", str(state), *more)
        return hands.programs.start("fleet-agent", *place, name="copy", **env)

    copy = start("--settings", str(etc / "agent.toml"))
    await until(lambda: "as station b1" in copy.log(), what="the copy")
    fix = (await manager_finds(stranger, lambda kinds: "DuplicateId" in kinds))["DuplicateId"]
    steps = [step.strip() for step in fix.split(";")]
    assert steps[0].startswith("on the box that is the copy: rm ")
    assert (await hands.type(steps[0].partition(": ")[2])).code == 0
    assert [path.name for path in hands.box.rglob("*") if path.is_file()].count("lock") == 1
    assert recorded.exists(), "nothing else is forgotten"
    assert not list(state.glob("station*"))
    assert not list(etc.iterdir())
    assert steps[-1] == "installed otherwise: set FLEET_STATION there"
    copy.terminate()
    await copy.ended()
    again = start(FLEET_STATION="b2", FLEET_BROKER=broker.url)
    await again.says("as station b2")
    await stranger.expect("fleet/v1/station/b2/presence", lambda said: said["state"] == "online")
    await manager_finds(stranger, lambda kinds: "DuplicateId" not in kinds)
    living.cancel()


RUNBOOK = (ROOT / "docs/runbook.md").read_text()
IN_TEXT = [" ".join(one.split()) for one in re.findall(r"`(fleet(?:-agent)? [^`]+)`", RUNBOOK)]
TYPED = {*IN_TEXT, *re.findall(r"^    (fleet(?:-agent)? .+)$", RUNBOOK, re.MULTILINE)}
CAMERA = f"""
[stations.hall1-cam]
id = "b1"
room = "hall1"
seat = "cam"
[stations.hall1-cam.roles.ingest.main]
picture = {{type = "test"}}
size = "160x90"
rate = 5
port = {free_port()}
[stations.hall1-cam.roles]
record.main.source = {{type = "test", size = "160x90", rate = 4}}
monitor.main.source = {{type = "test", size = "160x90", rate = 4}}
"""


@pytest.mark.long
async def test_whatever_the_runbook_or_a_finding_has_typed_does_something(
    hands: Hands, manager: Program, broker: Mosquitto, stranger: Stranger, tmp_path: Path
) -> None:
    """The names in capitals are put in; nothing else is changed."""
    assert len(TYPED) > 15
    hands.programs.agent(broker, "b1")
    await stranger.expect("fleet/v1/station/b1/presence", lambda said: said["state"] == "online")
    hands.file.write_text(f"[rooms.hall1]\n{CAMERA}")
    done = await hands.type("fleet apply FILE")
    assert done.code == 0, done.out
    hands.file.write_text(hands.file.read_text().replace("rate = 4", "rate = 5"))
    done = await hands.type("fleet apply FILE --interrupt")  # so that there is a way back
    assert done.code == 0, done.out
    await stranger.expect(
        "fleet/v1/station/b1/status",
        lambda said: (
            said["revision"] == 2
            and said["roles"]["record"]["main"]["state"] == "running"
            and said["roles"]["monitor"]["main"]["state"] == "running"
        ),
    )
    names = {"STATION": "hall1-cam", "ROOM": "hall1", "ROLE/INSTANCE": "record/main"}
    box = {"FLEET_STATE_DIR": str(tmp_path / "b1/state")}
    shown = json.loads((await hands.fleet("status", "--json")).out)
    found = [one for room in shown["rooms"] for one in room["findings"]]
    found += [one for station in shown["stations"] for one in station["findings"]]
    commands = {*TYPED, *(one["command"] for one in found)}
    for command in sorted(commands, key=lambda one: "rollback" in one):
        for name, value in names.items():
            command = command.replace(name, value)
        for choice in ("on", "off", "auto") if "on|off|auto" in command else ("",):
            typed = command.replace("on|off|auto", choice)
            if typed.startswith("fleet-agent"):
                env = hands.programs.environment(**box)
                at_box = await asyncio.to_thread(partial(run, *shlex.split(typed), env=env))
                code, said = at_box.returncode, str(at_box)
            else:
                done = await hands.type(typed.replace("URL", "http://127.0.0.1:1/schedule.json"))
                code, said = done.code, f"{typed}: {done.out}"
            codes = next((it for words, it in ENDS.items() if typed.startswith(words)), (0,))
            assert code in codes, said


ENDS = {
    "fleet status": (0, 3),
    "fleet schedule check URL": (1,),
    "fleet receipt TALK": (2,),
    "fleet-agent reset": (1,),  # it asks first, and nobody says yes here
    "fleet start": (2,),  # nobody has stopped anything
    "fleet retire": (2,),  # it is online
    **dict.fromkeys(("fleet cut", "fleet blank", "fleet live"), (2,)),
    # For a broker whose accounts are the manager's, in tests/access.
    **dict.fromkeys(("fleet token", "fleet revoke", "fleet rotate"), (2,)),
    **dict.fromkeys(
        (f"fleet {what} hall1-cam {role}" for what in ("call", "logs") for role in ("mix", "sync")),
        (1,),
    ),
}
"""How what begins so may end; but for status, because nothing answers there or runs here."""

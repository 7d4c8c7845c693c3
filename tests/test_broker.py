"""The production broker, as `mosquitto/` configures it: who may say and hear what."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.processes import ROOT, Mosquitto, Programs, free_port
from tests.stranger import Stranger

ANN, MANAGER = "ann", "manager"
STATION, OTHER = "b827eb0000a1", "b827eb0000b2"
REFUSED = 135
OWN = ("registration", "presence", "status", "ack", "telemetry", "log")


class Users:
    """Clients of a broker with passwords; everybody's password is their name."""

    def __init__(self, stations: int, operators: int, stack: AsyncExitStack) -> None:
        self.ports = {"stations": stations, "operators": operators}
        self._stack = stack

    async def station(self, name: str, *listen: str) -> Stranger:
        return await self._connect("stations", name, *listen)

    async def operator(self, name: str, *listen: str) -> Stranger:
        return await self._connect("operators", name, *listen)

    async def _connect(self, listener: str, name: str, *listen: str) -> Stranger:
        port = self.ports[listener]
        client = Stranger(port, *listen, username=name, password=name)
        return await self._stack.enter_async_context(client)


@pytest.fixture
def passwords(tmp_path: Path) -> None:
    """A password file for each listener."""
    for listener, names in (("stations", (STATION, OTHER)), ("operators", (ANN, MANAGER))):
        file = tmp_path / f"{listener}.passwd"
        file.touch(0o600)
        for name in names:
            subprocess.run(["mosquitto_passwd", "-b", file, name, name], check=True)


@pytest.fixture
async def users(
    tmp_path: Path, brokers: Callable[[str], Mosquitto], passwords: None
) -> AsyncIterator[Users]:
    """The broker of mosquitto.conf with its paths and ports exchanged for the test's."""
    operators = free_port()
    config = (ROOT / "mosquitto/mosquitto.conf").read_text()
    config = config.replace("listener 1883", "listener {port} 127.0.0.1")
    config = config.replace("listener 1884", f"listener {operators} 127.0.0.1")
    for name in ("stations", "operators"):
        config = config.replace(f"/etc/mosquitto/{name}.acl", f"{ROOT}/mosquitto/{name}.acl")
    config = config.replace("/etc/mosquitto/", f"{tmp_path}/")
    # Files of a test belong to whoever runs it, and the user mosquitto may not read them.
    broker = brokers(config + "\nuser root\n")
    async with AsyncExitStack() as stack:
        yield Users(broker.port, operators, stack)


def login(name: str, directory: Path) -> dict[str, str]:
    """The environment of a program that is `name` to the broker."""
    file = directory / f"{name}.password"
    file.write_text(name)
    return {"FLEET_USERNAME": name, "FLEET_PASSWORD_FILE": str(file)}


def station(id_: str, kind: str) -> str:
    return f"fleet/v1/station/{id_}/{kind}"


async def test_a_station_says_what_is_its_own(users: Users) -> None:
    box = await users.station(STATION)
    for kind in (*OWN, "thumbnail/record/main", "reply/ann"):
        assert await box.publish(station(STATION, kind), {}) != REFUSED, kind


async def test_a_station_cannot_say_what_is_anothers(users: Users) -> None:
    box = await users.station(STATION)
    for kind in (*OWN, "thumbnail/record/main", "reply/ann", "config", "command/ann/record/split"):
        assert await box.publish(station(OTHER, kind), {}) == REFUSED, kind
    manager = await users.operator(MANAGER, "fleet/v1/station/+/presence")
    who = {"username": STATION, "password": STATION}
    for id_ in (OTHER, STATION):  # nor does it leave behind what is not its own
        will = (station(id_, "presence"), {"of": id_})
        left = Stranger(users.ports["stations"], will=will, **who)
        await left.__aenter__()
        await left.vanish()
    await manager.expect(station(STATION, "presence"))
    assert [one.json["of"] for one in manager.heard] == [STATION]


async def test_a_station_cannot_configure_itself_nor_ask_the_manager(users: Users) -> None:
    box = await users.station(STATION)
    for topic in (
        station(STATION, "config"),
        "fleet/v1/manager/presence",
        f"fleet/v1/manager/request/{STATION}/apply",
        f"fleet/v1/manager/request/{ANN}/apply",
        f"fleet/v1/manager/reply/{ANN}",
    ):
        assert await box.publish(topic, {}) == REFUSED, topic


async def test_a_station_hears_its_own_config_and_commands_alone(users: Users) -> None:
    box = await users.station(STATION, "#")
    manager = await users.operator(MANAGER)
    for id_ in (OTHER, STATION):
        await manager.publish(station(id_, "config"), {"of": id_}, retain=True)
        await manager.publish(station(id_, "command/manager/record/split"), {"of": id_})
    await box.expect(station(STATION, "command/manager/record/split"))
    assert {message.json["of"] for message in box.heard} == {STATION}


async def test_nobody_gets_in_without_a_password_or_through_the_wrong_door(
    users: Users, programs: Programs, tmp_path: Path
) -> None:
    for listener, name in (("stations", ANN), ("operators", STATION), ("operators", "")):
        who = login(name, tmp_path) if name else {}
        url = f"mqtt://127.0.0.1:{users.ports[listener]}"
        status = programs.start("fleet", "--broker", url, "status", name=f"{name}-status", **who)
        assert await status.ended() == 4
        assert re.search("[Nn]ot authori", status.log()), status.log()


async def test_an_operator_asks_in_their_own_name_alone(users: Users) -> None:
    ann = await users.operator(ANN)
    manager = await users.operator(MANAGER, "fleet/v1/manager/request/#")
    assert await ann.publish("fleet/v1/manager/request/bob/apply", {}) == REFUSED
    assert await ann.publish(station(STATION, "command/bob/record/split"), {}) == REFUSED
    assert await ann.publish(station(STATION, "config"), {}) == REFUSED
    assert await ann.publish("fleet/v1/manager/request/ann/plan", {}) == 0
    await manager.expect("fleet/v1/manager/request/ann/plan")


async def test_an_operator_hears_replies_to_themselves_alone(users: Users) -> None:
    ann = await users.operator(ANN, "#")
    manager = await users.operator(MANAGER)
    for topic in ("fleet/v1/manager/reply/bob", "fleet/v1/manager/reply/ann"):
        await manager.publish(topic, {})
    await ann.expect("fleet/v1/manager/reply/ann")
    assert not ann.on("fleet/v1/manager/reply/bob")


@pytest.mark.parametrize(
    ("password", "id_", "said"),
    [
        ("wrong", STATION, "are the user name and the password right"),
        (STATION, OTHER, f"may this user speak for (station )?{OTHER}"),
    ],
    ids=["wrong password", "id of another"],
)
async def test_an_agent_that_is_not_welcome_says_so_once_and_check_says_it_too(
    users: Users, programs: Programs, tmp_path: Path, password: str, id_: str, said: str
) -> None:
    url = f"mqtt://127.0.0.1:{users.ports['stations']}"
    who = login(STATION, tmp_path)
    (tmp_path / f"{STATION}.password").write_text(password)
    place = ("--broker", url, "--station", id_, "--state-dir", str(tmp_path / "station"))
    check = programs.start("fleet-agent", "check", *place, name="check", **who)
    assert await check.ended() == 1
    (missing,) = (line for line in check.log().splitlines() if line.startswith("missing"))
    assert re.search(said, missing)
    agent = programs.start("fleet-agent", "run", *place, **who)
    await agent.says(said)
    await asyncio.sleep(2)  # it tries again meanwhile
    agent.terminate()
    assert await agent.ended() == 0
    assert "Traceback" not in agent.log()
    assert len(re.findall(said, agent.log())) == 1


async def test_real_programs_work_through_this_broker(
    users: Users, programs: Programs, tmp_path: Path
) -> None:
    stations, operators = (f"mqtt://127.0.0.1:{users.ports[x]}" for x in ("stations", "operators"))

    manager = programs.start(
        "fleet-manager",
        *("run", "--broker", operators, "--state-dir", str(tmp_path / "manager")),
        *("--http", "127.0.0.1:0"),
        **login(MANAGER, tmp_path),
    )
    agent = programs.start(
        "fleet-agent",
        *("run", "--broker", stations, "--station", STATION),
        *("--state-dir", str(tmp_path / "station")),
        **login(STATION, tmp_path),
    )
    await manager.says("connected")
    await agent.says("connected")
    conference = tmp_path / "conference.toml"
    conference.write_text(
        f'[rooms.hall1]\n[stations.hall1-cam]\nid = "{STATION}"\nroom = "hall1"\n'
        f'roles.record.main.source = {{type = "test", size = "320x180", rate = 5}}\n'
    )
    fleet = ("--broker", operators)
    apply = programs.start(
        "fleet", *fleet, "apply", "--yes", str(conference), name="apply", **login(ANN, tmp_path)
    )
    assert await apply.ended() == 0, apply.log()
    wait = programs.start("fleet", *fleet, "wait", name="wait", **login(ANN, tmp_path))
    assert await wait.ended() == 0, wait.log()

    # Nobody pushes a box off the broker by its id, whichever door they come in by.
    reply = station(STATION, f"reply/{ANN}")
    for door, who in (("operators", ANN), ("stations", OTHER)):
        thief = Stranger(users.ports[door], client_id=STATION, username=who, password=who)
        async with thief:
            person = await users.operator(ANN, reply)
            command = station(STATION, f"command/{ANN}/station/info")
            asked = await person.publish(command, {}, correlation=b"1", response_topic=reply)
            assert asked != REFUSED
            await person.expect_message(reply)
    assert agent.log().count("INFO    connected") == 1

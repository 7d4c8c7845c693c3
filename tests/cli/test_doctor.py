"""`fleet doctor`: what it finds, and that all that is as it should be yields nothing.

That its advice heals is tried in `test_advice`, and each finding provoked there.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import evolve

from fleet.cli.examine import BrokerFacts
from fleet.cli.fixes import Examination, findings
from fleet.mqtt import Broker
from fleet.operations.doctor import DoctorResult
from fleet.topics import Topics
from fleet.version import __version__
from tests.cli.conftest import Fleet, Outcome, Play
from tests.manager.station import PretendStation, apply, conference
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger
from tests.test_broker import ANN, MANAGER, STATION, Users, login

DEFAULTS = "listener {port} 127.0.0.1\nallow_anonymous true\n"


def kinds(found: Outcome) -> set[tuple[str, str]]:
    """Kind and subject of each finding; each says how to fix it."""
    said = json.loads(found.out)["findings"]
    assert all(one["fix"] and one["message"] for one in said)
    return {(one["kind"], one["subject"]) for one in said}


async def test_nothing_is_found_where_all_is_as_the_repository_configures_it(
    users: Users, fleet: Fleet, programs: Programs, tmp_path: Path
) -> None:
    urls = {name: f"mqtt://127.0.0.1:{port}" for name, port in users.ports.items()}
    watcher = await users.operator(MANAGER, "fleet/v1/#")
    state = ("--state-dir", str(tmp_path / "manager"), "--http", "127.0.0.1:0")
    programs.start(
        "fleet-manager", "run", "--broker", urls["operators"], *state, **login(MANAGER, tmp_path)
    )
    await watcher.expect("fleet/v1/manager/presence")
    place = ("--station", STATION, "--state-dir", str(tmp_path / "station"))
    programs.start(
        "fleet-agent", "run", "--broker", urls["stations"], *place, **login(STATION, tmp_path)
    )
    await watcher.expect(f"fleet/v1/station/{STATION}/presence")
    ann = {"FLEET_BROKER": urls["operators"], **login(ANN, tmp_path)}
    found = await fleet("doctor", "--json", env=ann)
    assert found.code == 0, found
    value = json.loads(found.out)
    assert (value["findings"], value["not_well"]) == ([], 0)
    broker = value["broker"]
    assert broker["version"].startswith("mosquitto version")
    assert (broker["anonymous"], broker["open"], broker["kept"]) == (False, False, 1200)
    assert broker["refused"] is None
    assert broker["delivery"] > 0
    assert broker["managers"]


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        ("max_packet_size 100000", "256 KiB"),
        ("message_size_limit 100000", "256 KiB"),
        ("max_packet_size 1000000", "16384 KiB"),
    ],
)
async def test_a_broker_that_takes_only_small_messages_is_found_out(
    fleet: Fleet, programs: Programs, brokers: Callable[[str], Mosquitto], limit: str, size: str
) -> None:
    broker = brokers(f"{DEFAULTS}{limit}\n")
    manager = programs.manager(broker)
    await manager.says("connected")
    found = await fleet("doctor", env={"FLEET_BROKER": broker.url})
    heads = {line.split(":")[0]: fix for line, fix in pairwise(found.lines)}
    assert "max_packet_size 17825792" in heads["PacketLimit broker"]
    assert f"a message of {size} is too large for it" in found.out


async def test_what_is_wrong_with_stations_is_found_and_nothing_of_those_that_are_well(
    fleet: Fleet,
    play: Play,
    stranger: Stranger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def clocks_are(ahead: timedelta) -> None:
        monkeypatch.setattr("tests.manager.station.AHEAD", ahead)

    await play("well", agent=__version__)
    older = await play("older", agent="0.0.1")
    await older.status()
    await play("moved", agent=__version__)
    extra = '[stations.hall1-moved]\nid = "moved"\nroom = "hall1"\naddress = "198.51.100.4"\n'
    extra += '[stations.hall1-well]\nid = "well"\nroom = "hall1"\naddress = "192.0.2.7"\n'
    await apply(stranger, conference(extra=extra))
    for station in ("well", "moved"):
        await stranger.expect(
            f"fleet/v1/station/{station}/status", lambda said: said["revision"] == 1
        )
    clocks_are(timedelta(hours=1))
    await play("skewed", agent=__version__)
    clocks_are(timedelta(days=-3))
    absent = await play("absent", obedient=False, agent=__version__)
    await absent.presence("lost")
    clocks_are(timedelta(0))
    for boot in ("one", "other", "one"):
        box = PretendStation(stranger, "double", boot)
        await box.register(agent=__version__)
        await box.ack()
        await box.status()
        await box.presence()
    left = "fleet/v1/station/b827eb00dead/config"
    for topic in (left, "fleet/v1/station/NOT AN ID/status"):
        await stranger.publish(topic, {}, retain=True)
    found = await fleet("doctor", "--json")
    assert found.code == 1
    stations = {one for one in kinds(found) if one[1] != "broker"}
    assert stations == {
        ("AgentVersion", "older"),
        ("WrongAddress", "hall1-moved"),
        ("ClockOffset", "skewed"),
        ("StationAbsent", "absent"),
        ("DuplicateId", "double"),
        ("Leftover", "b827eb00dead"),
        ("Leftover", "fleet/v1/station/NOT AN ID/status"),
    }
    said = {one["subject"]: one for one in json.loads(found.out)["findings"]}
    assert "host-one and host-other" in said["double"]["message"]
    assert "fleet retire absent" in said["absent"]["fix"]
    assert 'address = "192.0.2.7"' in said["hall1-moved"]["fix"]
    assert f"-r -n -t {left}" in said["b827eb00dead"]["fix"]


async def test_without_a_manager_it_tells_what_stations_last_said(
    fleet: Fleet, programs: Programs, stranger: Stranger
) -> None:
    for id_, presence in (("cam1", "online"), ("cam2", "lost"), ("cam3", "offline")):
        box = PretendStation(stranger, id_)
        await box.register()
        await box.presence(presence)
    ill = PretendStation(stranger, "cam4")
    ill.roles = {"record": {"main": {}}}
    await ill.presence()
    await ill.status("failed", reason="NoSignal", message="no cable")
    await stranger.publish("fleet/v1/station/cam5/presence", "nonsense", retain=True)
    programs.instead = {"fleet.cli.connection.REACH": 0.1}
    found = await fleet("doctor")
    assert found.code == 4
    heads = [line for line in found.lines if not line.startswith((" ", "OpenBroker", "OpenTopics"))]
    assert [line.split(":")[0].split(" (")[0] for line in heads if "broker" not in line] == [
        "NoManager manager",
        "Lost cam2",
        "Offline cam3",
        "NotRunning cam4",
    ]
    assert "record/main failed (NoSignal: no cable)" in found.out
    assert "stations: 2 online, 1 offline, 1 lost, as they last said" in found.err


async def test_without_a_broker_it_says_so(fleet: Fleet) -> None:
    found = await fleet("doctor", env={"FLEET_BROKER": "mqtt://127.0.0.1:1"})
    assert found.code == 4
    assert "no broker could be reached at mqtt://127.0.0.1:1" in found.err


NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)
OF_A_STATION = tuple(
    f"fleet/v1/station/b827eb0000a1/{kind}"
    for kind in ("registration", "presence", "status", "config", "stops", "ack")
)
FINE = Examination(
    version="1.0",
    broker=Broker("broker", 8883, tls=True),
    topics=Topics(),
    facts=DoctorResult("boot", "1.0", NOW, ()),
    examined=BrokerFacts(
        version="mosquitto version 2.0.11",
        anonymous=False,
        open=False,
        round_trip=0.001,
        delivery=0.001,
        kept=1200,
        refused=None,
        retained=("fleet/v1/manager/presence", "fleet/v1/manager/store"),
        managers=("boot",),
    ),
    boots=frozenset({"boot"}),
    now=NOW,
)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (FINE, []),
        (evolve(FINE, version="1.1"), ["ManagerVersion"]),
        (
            evolve(FINE, facts=None, examined=evolve(FINE.examined, retained=OF_A_STATION)),
            ["NoManager"],
        ),
        (evolve(FINE, broker=Broker("10.0.0.2", 1883)), ["ClearText"]),
        (evolve(FINE, broker=Broker("broker.local", 1883)), ["ClearText"]),
        (evolve(FINE, broker=Broker("127.0.0.3", 1883)), []),
        (evolve(FINE, broker=Broker("::1", 1883)), []),
        (evolve(FINE, broker=Broker("localhost", 1883)), []),
        (evolve(FINE, now=NOW + timedelta(seconds=9)), ["ClockOffset"]),
        (
            evolve(FINE, examined=evolve(FINE.examined, version="mosquitto version 1.6.9")),
            ["OldBroker"],
        ),
        (
            evolve(FINE, examined=evolve(FINE.examined, delivery=None, kept=None, anonymous=None)),
            [],
        ),
        (evolve(FINE, examined=evolve(FINE.examined, delivery=0.031, round_trip=0.03)), []),
    ],
    ids=[
        "fine",
        "versions",
        "no manager",
        *["clear text"] * 2,
        *["loopback"] * 3,
        "our clock",
        "old broker",
        "nothing to see",
        "a slow network",
    ],
)
def test_what_no_test_can_install_is_judged_too(seen: Examination, expected: list[str]) -> None:
    assert [one.kind for one in findings(seen)] == expected

"""docs/metrics.md lists what a real manager, a real agent and each real role show, and no more."""

import re
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from fleet.agent.box.figures import AgentFigures, MachineFigures
from fleet.agent.box.hardware import HardwareFigures
from fleet.guard import Guard
from fleet.loop import LoopWatch
from fleet.manager.store import KeptCredential
from fleet.manager.web.access_metrics import access_metrics
from tests.board.page import Metric, metrics
from tests.manager.station import apply, ask
from tests.processes import Mosquitto, Programs, free_port, until
from tests.roles.mixing import own_address, two_ports
from tests.schedule.publish import HOUR, event, published
from tests.stranger import Stranger

ALL = {
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/capacity": "80",
    "sys/class/thermal/cooling_device0/type": "Processor",
    "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "0",
    "proc/net/snmp": "Tcp: OutSegs RetransSegs\nTcp: 1 0",
}
"""Files of a machine that tells of its power and its heat."""
_SOURCE = 'source = {type = "test", size = "160x90", rate = 5}'


def conference(port: int, mix: int, schedule: Path) -> str:
    """One station with each role that there is, in a room with talks."""
    device = f'{{picture = {{type = "test"}}, sound = {{type = "test"}}, port = {port}'
    return f"""
        [schedule]
        file = "{schedule}"
        [rooms.hall1]
        [stations.hall1-cam]
        id = "station1"
        room = "hall1"
        roles.record.main = {{{_SOURCE}}}
        roles.stream.main = {{{_SOURCE}, target = {{type = "hls"}}}}
        roles.monitor.main = {{{_SOURCE}}}
        roles.monitor.spare = {{{_SOURCE}}}
        roles.sync.main = {{target = {{type = "path", path = "/nowhere"}}}}
        roles.ingest.main = {device}, size = "160x90", rate = 5}}
        [stations.hall1-cam.roles.mix.main]
        sources.cam = {{role = "ingest"}}
        audio = "cam"
        size = "160x90"
        rate = 5
        port = {mix}
        control_listen = "{own_address()}"
    """


def _shown(url: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Name as exposed -> type and labels of what /metrics shows now."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as reply:  # noqa: S310 (ours)
        text = reply.read().decode()
    return {
        sample.name: (family.type, frozenset(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _of_a_machine_that_tells_all(directory: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """What depends on the hardware: build machines have no sensors and no time servers."""
    own = frozenset({"station", "room"})
    for path, text in ALL.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    hardware = HardwareFigures(directory)
    hardware.look()
    return {
        metric.name + ("_total" if metric.type == "counter" else ""): (
            metric.type,
            own | set(getattr(metric, "_labelnames", ())),
        )
        for collector in (
            MachineFigures({"recordings": directory}, lambda: 0.1),
            hardware,
            AgentFigures(Guard(), LoopWatch()),
        )
        for metric in collector.collect()
    } | _of_a_fleet_that_was_joined()


def _of_a_fleet_that_was_joined() -> dict[str, tuple[str, frozenset[str]]]:
    """What depends on a broker with accounts and a certificate."""
    at = datetime(2026, 2, 1, tzinfo=UTC)
    kept = KeptCredential("station1", "key", at, at, None)
    found = access_metrics([kept], lambda _: "hall1", 0, at)
    return {one.name: (one.type, frozenset(one.samples[0].labels)) for one in found}


async def test_every_metric_is_listed_with_its_type_and_labels_and_no_other_is(
    broker: Mosquitto, stranger: Stranger, programs: Programs, tmp_path: Path
) -> None:
    manager = programs.manager(broker)
    await manager.says(r"serving http://\S+/metrics")
    found = re.search(r"serving (http://\S+)/metrics", manager.log())
    assert found
    programs.agent(broker, "station1", "interval = 1\n")
    now = datetime.now(UTC)
    (tmp_path / "schedule.json").write_bytes(
        published({"hall1": [event(n, now + n * HOUR) for n in (-2, 0, 1)]})
    )
    await apply(stranger, conference(free_port(), two_ports(), tmp_path / "schedule.json"))
    await ask(stranger, "stop", station="hall1-cam", role="monitor", instance="spare")
    about = "fleet/v1/station/station1"
    stranger.publish(f"{about}/command/me/station/info", {}, retain=True)
    stranger.publish("fleet/v1/station/garbage/ack", b"not JSON")
    listed = metrics()
    machine = _of_a_machine_that_tells_all(tmp_path)

    def shown() -> dict[str, tuple[str, frozenset[str]]]:
        return machine | _shown(found[1])

    try:
        await until(lambda: shown().keys() == listed.keys())
    except AssertionError:
        missing, extra = listed.keys() - shown().keys(), shown().keys() - listed.keys()
        raise AssertionError(f"never shown: {missing}; not listed: {extra}") from None
    for name, (type_, labels) in shown().items():
        assert Metric(name, type_, labels, listed[name].section) == listed[name]

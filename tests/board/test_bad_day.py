"""Real Prometheus, real manager, a simulated fleet: what boards and alerts say on a bad day."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.board import boards
from tests.board.day import CAST, Day
from tests.board.grafana import Grafana
from tests.board.page import metrics, recorded
from tests.board.prometheus import Prometheus, hastily, rules
from tests.manager.station import ask
from tests.processes import Mosquitto, Programs, free_port, until
from tests.stranger import Stranger

NEEDS_NOBODY_LEFT = {"ManagerSilent", "BrokerUnreachable"}
OF_ONE_THAT_BOXES_JOINED = {"CredentialEnds", "CertificateEnds"}
"""Of a broker with TLS and accounts of the manager's, which this day has not: the rules' own tests
have them.
"""
_NOT_TODAY = {
    "fleet_boxes_waiting",
    "fleet_broker_certificate_ends_timestamp_seconds",
    "fleet_instance_stopped_by_hand",
    "fleet_station_credential_ends_timestamp_seconds",
}
"""Metrics of such a broker, and of what somebody stops: see test_metrics_page."""
ALERTS = {rule["alert"] for rule in rules() if "alert" in rule}
_STATION = next(one.id for one in CAST if one.name == "hall2-mix")


@pytest.fixture
async def prometheus(tmp_path: Path) -> Any:
    port = free_port()
    server = Prometheus(tmp_path, f"127.0.0.1:{port}")
    server.start()
    try:
        await server.ready()
        yield server, port
    finally:
        server.stop()


def chosen(expression: str) -> str:
    """With the variables as somebody chose them who looks for trouble."""
    return expression.replace("$room", "hall2").replace("$station", _STATION)


@pytest.mark.long
async def test_on_a_bad_day_every_alert_fires_and_no_panel_is_empty(
    broker: Mosquitto,
    stranger: Stranger,
    programs: Programs,
    prometheus: tuple[Prometheus, int],
    tmp_path: Path,
) -> None:
    server, port = prometheus
    manager = programs.manager(broker, http=port)
    async with Day(stranger, tmp_path) as day:
        await until(lambda: server.query("fleet_station_up == 1"), what="stations in Prometheus")
        await day.goes_wrong()
        wanted = ALERTS - NEEDS_NOBODY_LEFT - OF_ONE_THAT_BOXES_JOINED
        try:
            await until(lambda: all_fire(server, wanted), 120)
        except AssertionError:
            fires = server.firing()
            why = f"does not fire: {wanted - fires}; fires too: {fires - wanted}"
            raise AssertionError(why) from None
        every_rule_has_data(server)
        every_panel_has_data(server)
        every_variable_has_options(server)
        each_alert_names_its_box(server)
        every_metric_is_listed(server)
        if url := os.environ.get("FLEET_GRAFANA_URL"):
            grafana = Grafana(url)
            with grafana.holding(server.url):
                grafana.every_panel_has_data(chosen)
        server.moment = None
        gone = '{station!="",name="hall2-spare"}'
        assert server.query(gone)
        reply = await ask(stranger, "retire", station="hall2-spare", force=False)
        assert reply["error"] is None, reply
        await until(lambda: not server.query(gone), what="a retired station without series")
    broker.stop()
    await until(lambda: "BrokerUnreachable" in server.firing())
    manager.kill()
    await until(lambda: "ManagerSilent" in server.firing())


def all_fire(server: Prometheus, wanted: set[str]) -> bool:
    """Whether exactly these fired just now, and nothing of a room that is well: about that moment,
    of which all is written, it is asked from now on.
    """
    server.moment = None
    server.moment = server.now() - 2
    well = server.query('room:fleet_trouble:level{room="hall1"}')
    return server.firing() == wanted and [one["value"][1] for one in well] == ["0"]


def every_rule_has_data(server: Prometheus) -> None:
    for rule in rules():
        if rule.get("alert") not in NEEDS_NOBODY_LEFT | OF_ONE_THAT_BOXES_JOINED:
            found = server.query(hastily(rule["expr"]))
            assert found, f"{rule.get('alert', rule.get('record'))} is empty"


def every_panel_has_data(server: Prometheus) -> None:
    wrong = [
        f"{why}: {query}" for query in boards.queries() for why in what_is_wrong(server, query)
    ]
    assert not wrong, "\n".join(wrong)


def what_is_wrong(server: Prometheus, query: boards.Query) -> Iterator[str]:
    found = server.query(chosen(query.expression))
    if not found:
        yield "empty"
    elif query.range and not server.range(chosen(query.expression), 10):
        yield "empty over time"
    words = boards.mapped(query.panel)
    said = {f"{float(one['value'][1]):g}" for one in found}
    if words and not said <= words:
        yield f"no word for {said - words}"
    for url in boards.links(query.panel):
        for label in re.findall(r"\$\{__(?:field\.labels|data\.fields)\.(\w+)\}", url):
            boxes = [one["metric"] for one in found if "room" in one["metric"]]
            if not all(label in box for box in boxes):
                yield f"no {label} for a link"


def every_variable_has_options(server: Prometheus) -> None:
    for uid, board in boards.every_board().items():
        for variable in board["templating"]["list"]:
            text = chosen(str(variable["query"]))
            if values := re.fullmatch(r"label_values\((.+), (\w+)\)", text):
                assert all(one["metric"][values[2]] for one in server.query(values[1])), uid
            elif result := re.fullmatch(r"query_result\((.+)\)", text):
                pattern = variable["regex"].strip("/").replace("(?<", "(?P<")
                options = {
                    found["text"]: found["value"]
                    for one in server.query(result[1])
                    if (found := re.search(pattern, _shown(one)))
                }
                assert options["hall2-mix"] == _STATION, options
            else:
                assert (variable["type"], text) == ("datasource", "prometheus")


def _shown(one: dict[str, Any]) -> str:
    """A series as Grafana shows it to a variable's regex."""
    labels = ",".join(f'{k}="{v}"' for k, v in one["metric"].items() if k != "__name__")
    return f"{one['metric']['__name__']}{{{labels}}} {one['value'][1]} {one['value'][0]}"


def each_alert_names_its_box(server: Prometheus) -> None:
    names = {one.name for one in CAST}
    for one in server.query('ALERTS{alertstate="firing", station!=""}'):
        labels = one["metric"]
        assert labels["name"] in names, labels
        assert labels["where"] == f"{labels['name']}, back wall", labels
        assert labels["room"] == labels["name"].partition("-")[0], labels


def every_metric_is_listed(server: Prometheus) -> None:
    series = server.query('{__name__=~"fleet_.+|.+:fleet_.+|fleet:.+"}')
    listed = metrics()
    shown = {one["metric"]["__name__"] for one in series}
    assert shown == (listed.keys() - _NOT_TODAY) | recorded()
    own = {"__name__", "instance", "job"}
    for one in series:
        if metric := listed.get(one["metric"]["__name__"]):
            # An empty label is none to Prometheus.
            assert one["metric"].keys() - own <= metric.labels, metric

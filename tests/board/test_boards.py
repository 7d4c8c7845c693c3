"""The boards are what the code makes, what Grafana's own types take, and hold together."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from fleet.model import PresenceState, State
from grafana import words
from grafana.build import DASHBOARDS, text
from grafana.build import boards as make
from tests.board import boards
from tests.board.page import metrics, recorded
from tests.board.prometheus import rules

PANELS = {"stat", "table", "timeseries", "state-timeline", "bargauge"}
UNITS = {value for name, value in vars(units).items() if not name.startswith("_")}
PROMETHEUS_OWN = {"up", "scrape_duration_seconds", "ALERTS"}
VARIABLES = {
    "fleet-rooms": ["datasource"],
    "fleet-room": ["datasource", "room"],
    "fleet-station": ["datasource", "room", "station"],
    "fleet-fleet": ["datasource"],
}
register_default_plugins()


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


@pytest.fixture(params=boards.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def board(name: str) -> dict[str, Any]:
    return boards.load(name)


def test_the_committed_board_is_what_the_code_makes(name: str) -> None:
    committed = (DASHBOARDS / f"{name}.json").read_text()
    assert committed == text(make()[name]), "run: python -m grafana.build"


def test_a_board_read_and_written_by_the_sdk_stays_the_same(name: str) -> None:
    committed = (DASHBOARDS / f"{name}.json").read_text()
    assert text(Dashboard.from_json(json.loads(committed))) == committed


def test_every_panel_is_of_a_known_type_and_explains_itself(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in boards.panels(board)]
    assert len(set(ids)) == len(ids)
    for panel in boards.panels(board):
        assert panel["type"] in PANELS
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_every_unit_is_one_of_grafanas(board: dict[str, Any]) -> None:
    for panel in boards.panels(board):
        shown = panel["fieldConfig"]
        assert shown["defaults"].get("unit", "none") in UNITS
        for override in shown.get("overrides", []):
            for one in override["properties"]:
                assert one["id"] != "unit" or one["value"] in UNITS
        if panel["type"] in {"timeseries", "bargauge"}:
            assert "unit" in shown["defaults"], panel["title"]


def test_panels_fill_the_grid_without_overlap(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in boards.panels(board):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    width, height = max(x for x, _ in taken) + 1, max(y for _, y in taken) + 1
    assert width == 24
    assert len(taken) == width * height, "there is a hole"


def test_every_datasource_is_the_variable(board: dict[str, Any]) -> None:
    sources = [one["datasource"] for one in walk(board) if "datasource" in one]
    assert sources
    assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in sources)


def test_variables_are_the_agreed_ones_and_all_that_are_used(board: dict[str, Any]) -> None:
    defined = [variable["name"] for variable in board["templating"]["list"]]
    assert defined == VARIABLES[board["uid"]]
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(board)))
    assert used <= set(defined)


def test_every_link_leads_to_a_board_that_takes_its_variables(board: dict[str, Any]) -> None:
    for url in boards.links(board):
        target = re.match(r"/d/([\w-]+)(?:\?(.*))?$", url)
        assert target, url
        assert target[1] in VARIABLES, url
        passed = re.findall(r"var-(\w+)=", target[2] or "")
        assert set(passed) <= set(VARIABLES[target[1]]), url


def test_every_table_that_links_keeps_the_column_the_link_needs(board: dict[str, Any]) -> None:
    for panel in boards.panels(board):
        needed = set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel)))
        for step in panel.get("transformations", []):
            assert not needed & set(step["options"].get("excludeByName", {}))


def test_values_have_the_types_that_grafana_reads(board: dict[str, Any]) -> None:
    for one in walk(board):
        for key in ("instant", "range", "hide", "transparent", "multi", "includeAll", "keepTime"):
            assert isinstance(one.get(key, False), bool | int), key
        for key in ("min", "max", "decimals", "w", "h", "x", "y", "id"):
            if key in one and not isinstance(one[key], str):
                assert isinstance(one[key], int | float), key
        if "steps" in one:
            values = [step["value"] for step in one["steps"]]
            assert values[0] is None, "the first step is the base"
            assert values[1:] == sorted(values[1:])
            assert len(values) == 1 or "mode" in one
    for panel in boards.panels(board):
        for target in panel["targets"]:
            assert target["instant"] is not target["range"]
            assert isinstance(target["expr"], str)


def test_a_state_has_one_word_and_one_colour_on_every_board() -> None:
    seen: dict[str, set[str]] = {}
    for board in boards.every_board().values():
        for one in walk(board):
            if "text" in one and "color" in one:
                seen.setdefault(one["text"], set()).add(one["color"])
    states = {word.text for word in (*words.STATES, *words.PRESENCE, *words.TROUBLE)}
    assert {
        text: colors for text, colors in seen.items() if len(colors) > 1 and text in states
    } == {}
    assert seen["unknown"] == {words.GREY}


def test_the_words_are_the_models_and_their_codes_those_of_the_rules() -> None:
    coded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    for table, members, record in (
        (words.STATES, State, "instance:fleet_state:code"),
        (words.PRESENCE, PresenceState, "station:fleet_presence:code"),
    ):
        codes = re.findall(r'state="(\w+)"\} \* (\d)', coded[record])
        assert {word.text: str(word.code) for word in table} == dict(codes)
        assert {word.text for word in table} == {member.value for member in members}


def test_boards_read_only_metrics_that_are_listed() -> None:
    known = metrics().keys() | recorded() | PROMETHEUS_OWN
    for query in boards.queries():
        assert boards.metric_names(query.expression) <= known, str(query)

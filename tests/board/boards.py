"""The committed boards, taken apart: panels, queries, variables, links."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

from tests.processes import ROOT

NAMES: Final = ("rooms", "room", "station", "fleet")


def load(name: str) -> dict[str, Any]:
    board: dict[str, Any] = json.loads((ROOT / f"grafana/dashboards/{name}.json").read_text())
    return board


def every_board() -> dict[str, dict[str, Any]]:
    """By the uid that links use."""
    return {board["uid"]: board for board in map(load, NAMES)}


@frozen
class Query:
    """One query of a panel."""

    board: str
    panel: dict[str, Any]
    expression: str
    range: bool

    def __str__(self) -> str:
        return f"{self.board}, {self.panel['title']}: {self.expression}"


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = board["panels"]
    return found


def queries() -> Iterator[Query]:
    for uid, board in every_board().items():
        for panel in panels(board):
            for target in panel.get("targets", []):
                yield Query(uid, panel, target["expr"], target["range"])


def links(value: Any) -> Iterator[str]:
    """Every URL of links anywhere in a board or panel."""
    if isinstance(value, dict):
        if "url" in value and "title" in value:
            yield value["url"]
        for inner in value.values():
            yield from links(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from links(inner)


def mapped(panel: dict[str, Any]) -> set[str]:
    """The numbers a panel has words for; empty where it shows numbers."""
    maps = panel["fieldConfig"]["defaults"].get("mappings", [])
    return {code for one in maps if one["type"] == "value" for code in one["options"]}


def metric_names(expression: str) -> set[str]:
    """The metrics an expression reads."""
    return set(re.findall(r"\b(?:\w+:)?fleet_\w+(?::\w+)?|\bfleet:\w+:\w+|\bALERTS\b", expression))

"""Writes the boards: `python -m grafana.build` after a change here; the JSON is committed."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.fleet import fleet
from grafana.room import room
from grafana.rooms import rooms
from grafana.station import station

DASHBOARDS: Final = Path(__file__).with_name("dashboards")


def boards() -> dict[str, Dashboard]:
    """Name of its file -> board."""
    return {"rooms": rooms(), "room": room(), "station": station(), "fleet": fleet()}


def text(board: Dashboard) -> str:
    """As it is committed."""
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, board in boards().items():
        (DASHBOARDS / f"{name}.json").write_text(text(board))

"""Schedules as somebody publishes them, made for a test."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PRETALX = {kind: HERE / f"pretalx.{kind}" for kind in ("json", "xml")}
"""Exports of pretalx 2025.2.2: one event, 36 talks in two rooms."""
GREEN = "0cb20b3c-378d-5c2e-b0df-4f337c14bce3"
"""The guid of its first room."""
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)


def event(number: int, begin: datetime = NOON, **more: Any) -> dict[str, Any]:
    """A talk of half an hour."""
    return {
        "guid": f"guid-{number}",
        "id": number,
        "title": f"Talk {number}",
        "date": begin.isoformat(),
        "duration": "0:30",
    } | more


def published(rooms: dict[str, list[dict[str, Any]]], **more: Any) -> bytes:
    """A schedule of one day as JSON."""
    conference = {
        "acronym": "democon",
        "title": "DemoCon",
        "time_zone_name": "Europe/Berlin",
        "days": [{"index": 1, "date": "2026-02-01", "rooms": rooms}],
    }
    schedule = {"version": "1", "conference": conference | more}
    return json.dumps({"schedule": schedule}).encode()


def moved(to: datetime) -> bytes:
    """The real export, its first talk beginning at `to`."""
    whole = json.loads(PRETALX["json"].read_text())
    events = [
        one
        for day in whole["schedule"]["conference"]["days"]
        for several in day["rooms"].values()
        for one in several
    ]
    by = to - min(datetime.fromisoformat(one["date"]) for one in events)
    for one in events:
        one["date"] = (datetime.fromisoformat(one["date"]) + by).isoformat()
    return json.dumps(whole).encode()

"""How what is written becomes rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from fleet.manager.conference.wanted import Facts
from fleet.manager.store.records import AppliedFile, Issue
from fleet.manager.store.tables import CONFERENCE, STATION
from fleet.model import Ack
from fleet.wire import dumps, format_time, to_json

_FACTS: Final = ("name", "room", "seat", "where", "address")
_FEW: Final = 500
"""Stations that are asked for by their ids."""
# Made once: to make and to recognise them takes longer than to run them.
_KEEP_FILE: Final = sa.insert(CONFERENCE)
_ALL: Final = sa.select(STATION.c.station)
_SOME: Final = _ALL.where(STATION.c.station.in_(sa.bindparam("ids", expanding=True)))
_ADD: Final = sa.insert(STATION)
_CHANGE: Final = sa.update(STATION).where(STATION.c.station == sa.bindparam("id"))
_WANT: Final = _CHANGE.values(wanted=sa.bindparam("new"), retired=False)
_NOTE: Final = _CHANGE.values({name: sa.bindparam(f"new_{name}") for name in _FACTS})
_REPLACE: Final = _CHANGE.values(replaced_by=sa.bindparam("by"))


def insert_conference(connection: sa.Connection, conference: AppliedFile) -> int:
    """Keep a conference file; its number."""
    inserted = connection.execute(_KEEP_FILE, to_json(conference)).inserted_primary_key
    assert inserted is not None  # noqa: S101 (an insert of one row always has one)
    return int(inserted[0])


def upsert_stations(
    connection: sa.Connection, issues: Sequence[Issue], facts: Mapping[str, Facts | None]
) -> None:
    """Make the stations known, each issue wanted of its station, and note the facts."""
    # Insert what is new, then update: the same on every database.
    ids = {issue.station for issue in issues} | facts.keys()
    asked = (_SOME, {"ids": sorted(ids)}) if len(ids) <= _FEW else (_ALL,)
    known = set(connection.execute(*asked).scalars())
    new = [{"station": station, "retired": False} for station in sorted(ids - known)]
    if new:
        connection.execute(_ADD, new)
    if issues:
        connection.execute(_WANT, [{"id": i.station, "new": i.revision} for i in issues])
    rows = [
        {"id": id_} | {f"new_{name}": getattr(one, name) for name in _FACTS}
        for id_, one in facts.items()
        if one is not None
    ]
    if rows:
        connection.execute(_NOTE, rows)


def mark_replaced(connection: sa.Connection, replaced: Mapping[str, str | None]) -> None:
    """Note which box takes the name of which station over."""
    rows = [{"id": station, "by": by} for station, by in replaced.items()]
    if rows:
        connection.execute(_REPLACE, rows)


def revision_row(issue: Issue, conference: int | None) -> dict[str, Any]:
    """A revision as it is kept."""
    return {
        "station": issue.station,
        "revision": issue.revision,
        "at": format_time(issue.at),
        "by": issue.by,
        "message": issue.message,
        "conference": conference,
        "config": issue.payload.decode(),
    }


def ack_row(station: str, at: datetime, ack: Ack) -> dict[str, Any]:
    """An ack as it is kept; `at`: when we heard it, for a station's clock may say anything."""
    return {
        "station": station,
        "at": format_time(at),
        "revision": ack.revision,
        "in_force": ack.in_force.revision,
        "signed": ack.in_force.signature is not None,
        "result": ack.result,
        "error": dumps(to_json(ack.error)).decode() if ack.error else None,
    }

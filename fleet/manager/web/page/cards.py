"""The room board: one card per room, worst first, as plain data. Pure.

It answers one question: is the right thing being captured, with usable sound, saved, and leaving
the building; and if not, which box does somebody walk to?
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from fleet.manager.stations.thumbnails import Thumbnail
from fleet.manager.web.page.seen import Level, Seen, Use
from fleet.manager.web.page.since import Began, began, clock, key
from fleet.manager.web.page.troubles import Kind, Trouble, find, noted
from fleet.model import PresenceState, State

WORDS: Final = {
    Level.FINE: "fine",
    Level.UNKNOWN: "unknown",
    Level.LOOK: "look",
    Level.GO: "go there",
}
THUMBNAIL_SECONDS: Final = 30.0
"""A picture older than this is stale."""
_HEARD: Final = {"silent": Kind.SILENCE, "low": Kind.LOW, "loud": Kind.LOUD}
_QUIETEST: Final = -120.0
"""dB that stand for nothing at all; JSON has no infinity."""
_CORE_SECONDS: Final = 30.0
"""Rooms lost within this have one cause."""


@frozen
class Room:
    """A room and what happens in it."""

    title: str
    use: Use


@frozen
class Line:
    """The one line that matters, and what to type."""

    level: str
    text: str
    command: str | None = None
    detail: str | None = None


@frozen
class View:
    """What one instance sees and hears; moments are Unix seconds."""

    station: str
    name: str
    """What it is called beside the others of its room: its seat."""
    instance: str
    picture: str | None
    """Where its newest picture is, None where there is none."""
    seen: float | None
    """When that came in."""
    stale: bool
    meters: bool
    """Whether its sound is measured at all."""
    lufs: float | None
    """Short-term loudness, None while nobody knows."""
    band: str
    """`good`, `quiet`, `low`, `loud`, `silent`, or `unknown`."""
    alarm: str
    """The level of that now: `go`, `look` or `fine`."""
    left: float | None
    right: float | None


@frozen
class Tally:
    """How many of the wanted instances run. `state`: `good`, `bad`, `unknown` or `none`."""

    running: int
    wanted: int
    state: str


@frozen
class Card:
    """One room."""

    room: str
    title: str
    level: str
    word: str
    talk: bool
    in_use: bool
    maintenance: tuple[str, ...]
    """Stations somebody works on."""
    record: Tally
    stream: Tally
    last_write: float | None
    """Of the recording that wrote longest ago."""
    disk_hours: float | None
    """Of the disk that is full first."""
    views: tuple[View, ...]
    line: Line | None
    more: tuple[Line, ...]
    """What else is wrong."""


@frozen
class Board:
    """All there is to show. `connected`: whether stations can be heard."""

    title: str
    timezone: str
    connected: bool
    line: Line
    cards: tuple[Card, ...]


Pictures = Mapping[str, Mapping[tuple[str, str], Thumbnail]]
"""By station (name), then role and instance; `at` in Unix seconds."""


def board(
    title: str,
    rooms: Mapping[str, Room],
    stations: Sequence[Seen],
    pictures: Pictures,
    connected: bool,
    before: Began,
    now: datetime,
) -> tuple[Board, Began]:
    """The board, and when each trouble on it began; `now` in the conference's time zone.

    `rooms`: all there are, '' for stations without one.
    """
    at = now.timestamp()
    of_room: dict[str, list[Seen]] = {name: [] for name in rooms}
    for one in stations:
        of_room[one.status.room or ""].append(one)
    found = {
        name: [trouble for one in of_room[name] for trouble in find(one, room.use, at)]
        for name, room in rooms.items()
    }
    since = began(before, (one for troubles in found.values() for one in troubles), at)
    for name, troubles in found.items():
        lasting = [one for one in troubles if at - since[key(one)] >= one.after]
        found[name] = sorted(lasting, key=lambda one: (-one.level, one.kind, since[key(one)]))
    order = sorted(rooms, key=lambda name: _rank(found[name], of_room[name]))
    cards = [
        _card(name, rooms[name], of_room[name], found[name], pictures, since, now) for name in order
    ]
    core = _core_lost([room for name, room in found.items() if rooms[name].use.in_use], since)
    line = _headline(cards, connected, core)
    zone = str(now.tzinfo or "UTC")
    return Board(title, zone, connected, line, tuple(cards)), since


def _rank(troubles: Sequence[Trouble], stations: Sequence[Seen]) -> tuple[int, int, int]:
    """Smaller is worse."""
    worst = troubles[0] if troubles else None
    level = worst.level if worst else Level.FINE if stations else Level.UNKNOWN
    return -level, worst.kind if worst else 0, -len(troubles)


def _core_lost(rooms: Sequence[Sequence[Trouble]], since: Began) -> int:
    """How many rooms were lost at once; 0 where fewer than two."""
    lost = sorted(since[key(room[0])] for room in rooms if room and room[0].kind is Kind.LOST)
    return (
        max(
            (sum(0 <= at - first <= _CORE_SECONDS for at in lost) for first in lost),
            default=0,
        )
        if len(lost) > 1
        else 0
    )


def _headline(cards: Sequence[Card], connected: bool, core: int) -> Line:
    if not connected:
        text = "the manager hears nobody: it has no connection to the broker"
        return Line("unknown", text, "systemctl status mosquitto")
    if core > 1:
        text = f"{core} rooms were lost at once: look at the network and the power between them"
        return Line("go", text, "fleet status")
    if not cards:
        return Line("unknown", "no room yet: apply a conference file", "fleet apply FILE")
    worst = cards[0]
    if worst.line is not None:
        return worst.line
    return Line("fine", "every room is fine" if len(cards) > 1 else "the room is fine")


def _card(
    name: str,
    room: Room,
    stations: Sequence[Seen],
    troubles: Sequence[Trouble],
    pictures: Pictures,
    since: Began,
    now: datetime,
) -> Card:
    known = any(one.status.presence is not PresenceState.UNKNOWN for one in stations)
    level = troubles[0].level if troubles else Level.FINE if stations else Level.UNKNOWN
    lines = [_line(one, since[key(one)], now) for one in troubles]
    if not stations:
        lines = [Line("unknown", "no station serves here")]
    elif not known:  # one line says it for all
        lines = lines[:1]
    left = [hours for one in stations if (hours := one.disk_seconds) is not None]
    return Card(
        name,
        room.title,
        level.name.lower(),
        WORDS[level],
        room.use.talk,
        room.use.in_use,
        tuple(one.name for one in stations if one.maintenance),
        _tally(stations, "record"),
        _tally(stations, "stream", "fleet_stream_connected"),
        _last_write(stations),
        round(min(left) / 3600, 1) if left else None,
        tuple(_views(stations, room.use, pictures, now.timestamp())),
        lines[0] if lines else None,
        tuple(lines[1:]),
    )


def _line(trouble: Trouble, since: float, now: datetime) -> Line:
    place = f"{trouble.station}, {trouble.where}" if trouble.where else trouble.station
    verb = {Level.GO: "go to ", Level.LOOK: "look at "}.get(trouble.level, "")
    dated = f" since {clock(since, now)}" if trouble.dated else ""
    text = f"{verb}{place}: {trouble.what}{dated}"
    return Line(trouble.level.name.lower(), text, trouble.command, trouble.detail)


def _tally(stations: Sequence[Seen], role: str, gauge: str | None = None) -> Tally:
    """`gauge`: a figure that is 0 where an instance runs in vain."""
    running = wanted = unknown = 0
    for seen in stations:
        for name, one in seen.instances(role):
            vain = gauge is not None and seen.readings.value(gauge, role, name) == 0
            wanted += 1
            running += one.state in (State.RUNNING, State.COMPLETED) and not vain
            unknown += one.state is State.UNKNOWN
    if not wanted:
        return Tally(0, 0, "none")
    state = "good" if running == wanted else "unknown" if running + unknown == wanted else "bad"
    return Tally(running, wanted, state)


def _last_write(stations: Sequence[Seen]) -> float | None:
    name = "fleet_recording_last_write_timestamp_seconds"
    wrote = [
        moment
        for seen in stations
        for instance in seen.wanted.get("record", {})
        if (moment := seen.readings.moment(name, "record", instance)) is not None
    ]
    return round(min(wrote), 1) if wrote else None


def _views(stations: Sequence[Seen], use: Use, pictures: Pictures, now: float) -> Iterator[View]:
    for seen in stations:
        own = pictures.get(seen.name, {})
        monitors = {("monitor", name) for name in seen.wanted.get("monitor", {})}
        for role, name in sorted(monitors.union(own)):
            if name in seen.status.roles.get(role, {}):
                yield _view(seen, use, role, name, own.get((role, name)), now)


def _view(
    seen: Seen, use: Use, role: str, name: str, picture: Thumbnail | None, now: float
) -> View:
    readings = seen.readings

    def level(gauge: str, channel: str | None = None) -> float | None:
        for labels, value in readings.values(f"fleet_monitor_{gauge}", role, name):
            if channel is None or labels.get("channel") == channel:
                return round(value, 1) if math.isfinite(value) else _QUIETEST
        return None

    online = seen.status.presence is PresenceState.ONLINE
    looked = readings.moment("fleet_monitor_last_update_timestamp_seconds", role, name)
    hears = (
        online and level("signal") != 0 and looked is not None and now - looked <= THUMBNAIL_SECONDS
    )
    lufs = level("loudness_short_term_lufs") if hears else None
    word = band(lufs, level("digital_silence") == 1)
    kind = _HEARD.get(word)
    alarm = Level.FINE if kind is None else noted(kind, seen.shows_slides(role, name), use)
    return View(
        seen.name,
        seen.seat if seen.seat and name == "main" else seen.name,
        f"{role}/{name}",
        f"thumbnail/{seen.name}/{role}/{name}.jpg" if picture else None,
        round(picture.at, 1) if picture else None,
        picture is None or not online or now - picture.at > THUMBNAIL_SECONDS,
        role == "monitor",
        lufs,
        word,
        alarm.name.lower(),
        level("true_peak_dbtp", "left") if hears else None,
        level("true_peak_dbtp", "right") if hears else None,
    )


def band(lufs: float | None, silent: bool = False) -> str:
    """A word for a loudness.

    >>> [band(lufs) for lufs in (-48.0, -31.0, -23.0, -13.0, None)]
    ['low', 'quiet', 'good', 'loud', 'unknown']
    """
    if lufs is None:
        return "unknown"
    if silent:
        return "silent"
    if lufs <= -48:
        return "low"
    return "quiet" if lufs < -30 else "good" if lufs <= -14 else "loud"

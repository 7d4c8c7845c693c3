"""The room board: one card per room, worst first, as plain data. Pure.

It answers one question: is the right thing being captured, with usable sound, saved, and leaving
the building; and if not, which box does somebody walk to?
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from fleet.manager.findings import (
    ABSENT,
    DISK_SECONDS,
    THUMBNAIL_SECONDS,
    WRITE_SECONDS,
    FindingKind,
)
from fleet.manager.health import band, heard_level, lost_at_once, severity
from fleet.manager.stations.state import RoomUse, StationState
from fleet.manager.stations.thumbnails import Thumbnail
from fleet.model import PresenceState, State
from fleet.operations import HealthFinding, HealthLevel

WORDS: Final = {
    HealthLevel.FINE: "fine",
    HealthLevel.UNKNOWN: "unknown",
    HealthLevel.LOOK: "look",
    HealthLevel.GO: "go there",
}
_QUIETEST: Final = -120.0
"""dB that stand for nothing at all; JSON has no infinity."""
_NAMED: Final = 3
"""How many are named in one line before `and 11 more`."""


@frozen
class RoomView:
    """A room, what happens in it, and what is wrong with it as a whole."""

    title: str
    use: RoomUse
    findings: tuple[HealthFinding, ...] = ()


@frozen
class Advice:
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
    disk_short: bool
    """Whether that is soon."""
    views: tuple[View, ...]
    line: Advice | None
    more: tuple[Advice, ...]
    """What else is wrong."""


@frozen
class Board:
    """All there is to show. `connected`: whether stations can be heard."""

    title: str
    timezone: str
    write_seconds: float
    """What a recording may take to write again."""
    connected: bool
    line: Advice
    cards: tuple[Card, ...]


Pictures = Mapping[str, Mapping[tuple[str, str], Thumbnail]]
"""By station (name), then role and instance; `at` in Unix seconds."""


def board(
    title: str,
    rooms: Mapping[str, RoomView],
    stations: Sequence[StationState],
    pictures: Pictures,
    connected: bool,
    now: datetime,
) -> Board:
    """The board; `now` in the conference's time zone.

    `rooms`: all there are, '' for stations without one.
    """
    of_room: dict[str, list[StationState]] = {name: [] for name in rooms}
    for one in stations:
        of_room[one.status.room or ""].append(one)
    found = {
        name: sorted(
            (*room.findings, *(it for one in of_room[name] for it in one.status.findings)),
            key=severity,
        )
        for name, room in rooms.items()
    }
    order = sorted(rooms, key=lambda name: _rank(found[name], of_room[name]))
    cards = [_card(name, rooms[name], of_room[name], found[name], pictures, now) for name in order]
    lost = lost_at_once((name, found[name]) for name in order if rooms[name].use.in_use)
    line = _headline(
        cards, [found[name] for name in order], connected, [rooms[name].title for name in lost], now
    )
    return Board(title, str(now.tzinfo or "UTC"), WRITE_SECONDS, connected, line, tuple(cards))


def _rank(findings: Sequence[HealthFinding], stations: Sequence[StationState]) -> tuple[int, ...]:
    """Smaller is worse."""
    if findings:
        return *severity(findings[0])[:2], -len(findings)
    level = HealthLevel.FINE if stations else HealthLevel.UNKNOWN
    return -level.rank, len(FindingKind), 0


def _headline(
    cards: Sequence[Card],
    found: Sequence[Sequence[HealthFinding]],
    connected: bool,
    lost: Sequence[str],
    now: datetime,
) -> Advice:
    """What matters most in all rooms; `found`: their findings, in the order of `cards`."""
    if not connected:
        text = "the manager hears nobody: it has no connection to the broker"
        return Advice("unknown", text, "systemctl status mosquitto")
    if lost:
        text = (
            f"{len(lost)} rooms were lost at once ({several(lost)}): look at the network and the "
            "power between them"
        )
        return Advice("go", text, "fleet status")
    if not cards:
        return Advice("unknown", "no room yet: apply a conference file", "fleet apply FILE")
    line = cards[0].line
    if line is not None:
        bad = [it for one in found for it in one if it.level.value == line.level]
        if bad and found[0]:
            line = evolve(line, text=_line(found[0][:1], now).text)
        empty = sum(card.line is not None and not it for card, it in zip(cards, found, strict=True))
        count = len(bad) + (empty if line.level == HealthLevel.UNKNOWN else 0)
        return line if count < 2 else evolve(line, text=f"{line.text}, and {count - 1} more")
    return Advice("fine", "every room is fine" if len(cards) > 1 else "the room is fine")


def several(names: Sequence[str]) -> str:
    """All there are, in a line.

    >>> several(["hall1", "hall2", "hall3", "hall4", "hall5"])
    'hall1, hall2, hall3 and 2 more'
    """
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _card(
    name: str,
    room: RoomView,
    stations: Sequence[StationState],
    findings: Sequence[HealthFinding],
    pictures: Pictures,
    now: datetime,
) -> Card:
    level = findings[0].level if findings else HealthLevel.FINE
    lines = list(_lines(findings, now))
    if not stations:
        level = HealthLevel.UNKNOWN
        lines = [Advice("unknown", f"{name}: no station serves here")]
    left = [hours for one in stations if (hours := one.disk_seconds) is not None]
    return Card(
        name,
        room.title,
        level.value,
        WORDS[level],
        room.use.talk,
        room.use.in_use,
        tuple(one.name for one in stations if one.maintenance),
        _tally(stations, "record"),
        _tally(stations, "stream", "fleet_stream_connected"),
        _last_write(stations),
        round(min(left) / 3600, 1) if left else None,
        bool(left) and min(left) < DISK_SECONDS,
        tuple(_views(stations, room.use, pictures, now.timestamp())),
        lines[0] if lines else None,
        tuple(lines[1:]),
    )


def _lines(findings: Sequence[HealthFinding], now: datetime) -> Iterator[Advice]:
    """One for each, but all stations that are away for one reason share theirs."""
    absent: dict[tuple[str, str], list[HealthFinding]] = {}
    for one in findings:
        if one.kind in ABSENT:
            absent.setdefault((one.kind, one.text), []).append(one)
    for one in findings:
        together = absent.get((one.kind, one.text), [one])
        if together[0] is one:
            yield _line(together, now)


def _line(findings: Sequence[HealthFinding], now: datetime) -> Advice:
    """What these have in common; the first began first."""
    finding = findings[0]
    place = ", ".join(filter(None, (finding.station or finding.room, finding.where)))
    command = finding.command
    if len(findings) > 1:
        place = ", ".join(str(one.station) for one in findings)
        command = f"fleet status {finding.room}" if finding.room else "fleet status"
    verb = {HealthLevel.GO: "go to ", HealthLevel.LOOK: "look at "}.get(finding.level, "")
    dated = f" since {clock(finding.since, now)}" if finding.since else ""
    whose = f"{verb}{place}: " if place else ""
    text = f"{whose}{finding.text}{dated}"
    return Advice(finding.level.value, text, command, finding.detail)


def clock(at: datetime, now: datetime) -> str:
    """A moment as people say it, in the time zone of `now`.

    >>> from datetime import UTC
    >>> now = datetime(1970, 1, 2, 9, tzinfo=UTC)
    >>> clock(now.replace(hour=8), now)
    '08:00 UTC'
    >>> clock(now.replace(day=1), now)
    'Thu 09:00 UTC'
    """
    local = at.astimezone(now.tzinfo)
    return f"{local:%H:%M %Z}" if local.date() == now.date() else f"{local:%a %H:%M %Z}"


def _tally(stations: Sequence[StationState], role: str, gauge: str | None = None) -> Tally:
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


def _last_write(stations: Sequence[StationState]) -> float | None:
    name = "fleet_recording_last_write_timestamp_seconds"
    wrote = [
        moment
        for seen in stations
        for instance in seen.wanted.get("record", {})
        if (moment := seen.readings.moment(name, "record", instance)) is not None
    ]
    return round(min(wrote), 1) if wrote else None


def _views(
    stations: Sequence[StationState], use: RoomUse, pictures: Pictures, now: float
) -> Iterator[View]:
    for seen in stations:
        own = pictures.get(seen.name, {})
        monitors = {("monitor", name) for name in seen.wanted.get("monitor", {})}
        for role, name in sorted(monitors.union(own)):
            if name in seen.status.roles.get(role, {}):
                yield _view(seen, use, role, name, own.get((role, name)), now)


def _view(
    seen: StationState, use: RoomUse, role: str, name: str, picture: Thumbnail | None, now: float
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
    alarm = heard_level(word, seen.shows_slides(role, name), use)
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
        alarm.value,
        level("true_peak_dbtp", "left") if hears else None,
        level("true_peak_dbtp", "right") if hears else None,
    )

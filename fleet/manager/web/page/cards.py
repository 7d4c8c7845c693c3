"""The room board: one card per room, worst first, as plain data. Pure.

It answers one question: is the right thing being captured, with usable sound, saved, and leaving
the building; and if not, which box does somebody walk to?
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from fleet.manager.findings import ABSENT, DISK_SECONDS, WRITE_SECONDS, FindingKind
from fleet.manager.health import lost_at_once, severity
from fleet.manager.stations.state import RoomUse, StationState, is_live
from fleet.manager.web.page.controls import RoomControls
from fleet.manager.web.page.views import Pictures, View, views
from fleet.model import State, clock
from fleet.operations.health import HealthFinding, HealthLevel
from fleet.operations.recordings import Receipt

WORDS: Final = {
    HealthLevel.FINE: "fine",
    HealthLevel.UNKNOWN: "unknown",
    HealthLevel.LOOK: "look",
    HealthLevel.GO: "go there",
}
_NAMED: Final = 3
"""How many are named in one line before `and 11 more`."""


@frozen
class RoomView:
    """A room, what happens in it, and what is wrong with it as a whole."""

    title: str
    use: RoomUse
    findings: tuple[HealthFinding, ...] = ()
    until: datetime | None = None
    """When the talk that is on ends, None where nobody knows."""
    receipts: tuple[Receipt, ...] = ()
    """Of its talks of today that are decided, by time."""
    controls: RoomControls = field(factory=RoomControls)


@frozen
class LastTalk:
    """How it stands with the recording of the talk that was decided last.

    `more`: how many talks of today before it are red.
    """

    talk: str
    """Its guid."""
    title: str
    verdict: str
    why: str
    more: int


@frozen
class Advice:
    """The one line that matters, and what to type."""

    level: str
    text: str
    command: str | None = None
    detail: str | None = None


@frozen
class Tally:
    """How many of the wanted instances run. `state`: `good`, `bad`, `unknown`, `stopped`
    by hand, or `none`.
    """

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
    mix: str | None
    """`live` or `blank`, where a mixer says so."""
    last_write: float | None
    """Of the recording that wrote longest ago."""
    disk_hours: float | None
    """Of the disk that is full first."""
    disk_short: bool
    """Whether that is soon."""
    views: tuple[View, ...]
    until: str | None
    """When the talk that is on ends, as people say it."""
    scheduled: str | None
    """The talk that is on by the schedule, or the one that is next."""
    last_talk: LastTalk | None
    line: Advice | None
    more: tuple[Advice, ...]
    """What else is wrong."""
    controls: RoomControls


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
    notes: tuple[Advice, ...] = ()
    """What is to be told of no room: a box that waits, a certificate that ends."""


def board(
    title: str,
    rooms: Mapping[str, RoomView],
    stations: Sequence[StationState],
    pictures: Pictures,
    connected: bool,
    now: datetime,
    besides: Sequence[HealthFinding] = (),
) -> Board:
    """The board; `now` in the conference's time zone; `besides`: findings of no room.

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
    notes = tuple(Advice(one.level.value, one.text, one.command) for one in besides)
    zone = str(now.tzinfo or "UTC")
    return Board(title, zone, WRITE_SECONDS, connected, line, tuple(cards), notes)


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
        _mix(stations),
        _last_write(stations),
        round(min(left) / 3600, 1) if left else None,
        bool(left) and min(left) < DISK_SECONDS,
        tuple(views(stations, room.use, pictures, now.timestamp())),
        clock(room.until, now) if room.until else None,
        _scheduled(room.use, now),
        _last_talk(room.receipts),
        lines[0] if lines else None,
        tuple(lines[1:]),
        room.controls,
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


def _scheduled(use: RoomUse, now: datetime) -> str | None:
    if use.talks is None:
        return None
    if use.talk and use.talks.on:
        return use.talks.on.title
    following = use.talks.next
    return f"next, {clock(following.begin, now)}: {following.title}" if following else None


def _last_talk(receipts: Sequence[Receipt]) -> LastTalk | None:
    if not receipts:
        return None
    last = max(receipts, key=lambda one: one.talk.end)
    more = sum(one.verdict == "red" for one in receipts if one is not last)
    return LastTalk(last.talk.guid, last.talk.title, last.verdict or "", last.why, more)


def _tally(stations: Sequence[StationState], role: str, gauge: str | None = None) -> Tally:
    """`gauge`: a figure that is 0 where an instance runs in vain."""
    running = wanted = unknown = 0
    stopped = any(stop.role == role for seen in stations for stop in seen.status.stops)
    for seen in stations:
        for name, one in seen.instances(role):
            vain = gauge is not None and seen.readings.value(gauge, role, name) == 0
            wanted += 1
            running += one.state in (State.RUNNING, State.COMPLETED) and not vain
            unknown += one.state is State.UNKNOWN
    if not wanted:
        return Tally(0, 0, "stopped" if stopped else "none")
    state = "good" if running == wanted else "unknown" if running + unknown == wanted else "bad"
    return Tally(running, wanted, state)


def _mix(stations: Sequence[StationState]) -> str | None:
    said = {
        is_live("mix", seen.wanted["mix"][name], one)
        for seen in stations
        for name, one in seen.instances("mix")
    } - {None}
    return None if not said else "live" if all(said) else "blank"


def _last_write(stations: Sequence[StationState]) -> float | None:
    name = "fleet_recording_last_write_timestamp_seconds"
    wrote = [
        moment
        for seen in stations
        for instance in seen.wanted.get("record", {})
        if (moment := seen.readings.moment(name, "record", instance)) is not None
    ]
    return round(min(wrote), 1) if wrote else None

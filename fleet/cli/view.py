"""What the status table looks like: one line an instance, what needs a sentence beneath it.

On a terminal the table fits its width: where it would not, the reasons move beneath their
lines, and with long names the instances beneath their station. Piped, nothing is wrapped,
shortened or coloured.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import frozen
from rich.cells import cell_len
from rich.console import Console, Group
from rich.filesize import decimal
from rich.padding import Padding
from rich.text import Text

from fleet.model import (
    STOPPED_BY_HAND,
    PresenceState,
    State,
    counted,
    natural,
    printable,
)
from fleet.operations.stations import InstanceReport, SaidResult, StationStatus, StatusResult

HEADER = (
    "ROOM",
    "STATION",
    "PRESENCE",
    "ROLE",
    "INSTANCE",
    "STATE",
    "SINCE",
    "RESTARTS/H",
    "REVISION",
    "REASON",
)
_SINCE, _RESTARTS = HEADER.index("SINCE"), HEADER.index("RESTARTS/H")
_REASON = HEADER.index("REASON")
_STACKED = ("ROOM", "STATION", "PRESENCE", "REVISION")
_SHOWN = ("Conflict", "Rejected", "Lagging")
"""Findings of a whole station that note, problems and revision show."""
_FINE = (State.RUNNING, State.COMPLETED)
_GAP = "  "
_INDENT = 4
_NOTHING = "-"

STYLES = {
    PresenceState.ONLINE.value: "green",
    PresenceState.LOST.value: "bold red",
    State.RUNNING.value: "green",
    State.COMPLETED.value: "green",
    State.STARTING.value: "yellow",
    State.STOPPING.value: "yellow",
    State.BACKOFF.value: "bold red",
    State.FAILED.value: "bold red",
    State.UNKNOWN.value: "bright_black",
}
"""How a word of presence or state is shown; others are plain."""
_BENEATH = STYLES | {"rejected": "red", State.STOPPED.value: "", "go:": "bold red"}
"""How a sentence is shown, by its first word; others are yellow."""


@frozen
class TableRow:
    """One line of cells, and the sentences that stand beneath it.

    `aside`: what is told at its end where there is place.
    """

    cells: tuple[str, ...]
    beneath: tuple[str, ...] = ()
    aside: str = ""


def lines(stations: Iterable[StationStatus], now: datetime) -> tuple[TableRow, ...]:
    """The table of `stations`, in their order, without its header."""
    return tuple(line for station in stations for line in _station(station, now))


def _station(station: StationStatus, now: datetime) -> Iterator[TableRow]:
    start = (station.room or _NOTHING, station.name, station.presence.value)
    revision = _revision(station)
    beneath = tuple(f"rejected {station.wanted}: {problem.text}" for problem in station.problems)
    if station.note:
        beneath += (station.note,)
    beneath += tuple(_unseen(station, now))
    beneath += tuple(
        f"{why}: {one.role}/{one.instance} {one.text(now.tzinfo or UTC)}"
        for one in station.stops
        if (why := station.unstopped(one)) is not None
    )
    rows: list[tuple[tuple[str, ...], str]] = [
        ((*start, role, instance, *_instance(one, now), revision, _why(one)), recorded(one, now))
        for role, instances in station.roles.items()
        for instance, one in instances.items()
    ] or [((*start, *([_NOTHING] * 5), revision, ""), "")]
    for row, aside in rows[:-1]:
        yield TableRow(tuple(map(clean, row)), aside=aside)
    row, aside = rows[-1]
    yield TableRow(tuple(map(clean, row)), tuple(map(clean, beneath)), aside)


def recorded(one: InstanceReport, now: datetime) -> str:
    """`recorded 7.8 GB in 2:05:10`, since it runs; empty where it records nothing."""
    if not one.recorded_bytes:
        return ""
    size = f"recorded {decimal(one.recorded_bytes)}"
    if one.state is not State.RUNNING or one.since > now:
        return size
    return f"{size} in {timedelta(seconds=int((now - one.since).total_seconds()))}"


def _why(one: InstanceReport) -> str:
    word = "" if one.live is None else "live" if one.live else "blank"
    return "; ".join(filter(None, (word, one.why)))


def _unseen(station: StationStatus, now: datetime) -> Iterator[str]:
    """The findings that no cell of the station shows."""
    if station.presence is not PresenceState.ONLINE:
        return
    for one in station.findings:
        role, _, name = (one.instance or "").partition("/")
        instance = station.roles.get(role, {}).get(name)
        if instance and (instance.reason or instance.state not in _FINE):
            continue
        if not instance and one.kind in _SHOWN:
            continue
        since = f" since {clock(one.since, now)} {now:%Z}" if one.since else ""
        yield f"{one.level}: {one.text}{since}"


def _instance(one: InstanceReport, now: datetime) -> tuple[str, str, str]:
    return one.state.value, clock(one.since, now), str(one.restarts_last_hour)


def _revision(station: StationStatus) -> str:
    if station.wanted in (None, station.running):
        return str(station.running or _NOTHING)
    return f"{station.running or _NOTHING}/{station.wanted}"


def zoned(at: datetime, timezone: str) -> datetime:
    """`at` in a time zone; in UTC where that is not known on this machine."""
    try:
        return at.astimezone(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError):
        return at.astimezone(UTC)


def stamp(at: datetime | None, timezone: str | None) -> str:
    """A moment in one word: `2026-02-01T10:12:03+01:00`, `-` where it is not known.

    Without a time zone it is this machine's.
    """
    if at is None:
        return _NOTHING
    return (zoned(at, timezone) if timezone else at.astimezone()).isoformat(timespec="seconds")


def header(now: datetime) -> tuple[str, ...]:
    """The table's header, with the time zone of `now`, in which its times are."""
    marked = f"{HEADER[_SINCE]}({now:%Z})"
    return (*HEADER[:_SINCE], marked, *HEADER[_SINCE + 1 :])


def clock(at: datetime, now: datetime) -> str:
    """A time in the time zone of `now`, with the day where it is not within a day of it."""
    form = "%H:%M:%S" if abs(now - at) < timedelta(hours=20) else "%m-%dT%H:%M"
    return at.astimezone(now.tzinfo).strftime(form)


def moment(at: datetime, timezone: str) -> str:
    """A time with its day and zone: `2026-02-01 10:12:03 CET`."""
    return f"{zoned(at, timezone):%Y-%m-%d %H:%M:%S %Z}"


def clean(text: str) -> str:
    """What a station said, on one line and unable to steer the terminal."""
    text = re.sub(r"\s*[\r\n]+\s*", " | ", text.strip())
    return printable(text)


def table(found: Sequence[TableRow], header: Sequence[str], width: int | None) -> Group:
    """`found` under `header`, `width` columns wide; None sets no limit."""
    rows = list(map(_with_aside, found))
    if width is not None and header[:_SINCE] == HEADER[:_SINCE] and _reach(rows, header) > width:
        header, rows = _fitting(found, header, width)
    widths = [max(map(cell_len, column)) for column in zip(header, *_cells(rows), strict=True)]
    shown: list[Text | Padding] = [_row(header, widths, "bold")]
    for line in rows:
        shown.append(_row(line.cells, widths, None))
        for text in line.beneath:
            beneath = Text(text, _BENEATH.get(text.split(maxsplit=1)[0], "yellow"))
            shown.append(Padding(beneath, (0, 0, 0, _INDENT)))
    return Group(*shown)


def plain(found: Sequence[TableRow], header: Sequence[str] = HEADER) -> Iterator[str]:
    """The table as lines of text of any length."""
    for one in table(found, header, None).renderables:
        if isinstance(one, Padding):
            yield " " * _INDENT + str(one.renderable)
        else:
            yield str(one)


def show(found: Sequence[TableRow], console: Console, header: Sequence[str] = HEADER) -> None:
    """Print the table as fits where it goes."""
    if console.is_terminal:
        console.print(table(found, header, console.width))
        return
    for text in plain(found, header):
        print(text, file=console.file)


def _cells(rows: Iterable[TableRow]) -> Iterator[tuple[str, ...]]:
    return (line.cells for line in rows)


def _reach(rows: Sequence[TableRow], header: Sequence[str]) -> int:
    columns = zip(header, *_cells(rows), strict=True)
    return sum(max(map(cell_len, column)) + len(_GAP) for column in columns) - len(_GAP)


def _fitting(
    found: Sequence[TableRow], header: Sequence[str], width: int
) -> tuple[Sequence[str], list[TableRow]]:
    """Header and lines of the fullest layout that is `width` columns wide, else the narrowest."""
    for moved in ((), (_REASON,), (_RESTARTS, _REASON)):
        heads = [head for i, head in enumerate(header) if i not in moved]
        rows = [_moved(line, moved) for line in found]
        if _reach(rows, heads) <= width:
            return heads, rows
    zone = header[_SINCE].removeprefix(HEADER[_SINCE]).strip("()")
    return _STACKED, list(_stacked(found, zone))


def _with_aside(line: TableRow) -> TableRow:
    if not line.aside:
        return line
    told = "; ".join(filter(None, (line.cells[-1], line.aside)))
    return TableRow((*line.cells[:-1], told), line.beneath)


def _moved(line: TableRow, moved: Sequence[int]) -> TableRow:
    """`line` with these cells as a sentence beneath it."""
    cells = tuple(cell for i, cell in enumerate(line.cells) if i not in moved)
    restarts = _several(line.cells[_RESTARTS]) if _RESTARTS in moved else ""
    reason = line.cells[_REASON] if _REASON in moved else ""
    said = "; ".join(filter(None, (restarts, reason)))
    return TableRow(cells, ((said,) if said else ()) + line.beneath)


def _several(restarts: str) -> str:
    if restarts in ("0", _NOTHING):
        return ""
    return f"{counted(int(restarts), 'restart')} in the last hour"


def _stacked(found: Sequence[TableRow], zone: str) -> Iterator[TableRow]:
    """One line a station, its instances beneath."""
    stations: dict[tuple[str, ...], tuple[str, ...]] = {}
    for line in found:
        room, name, presence, role, instance, state, since, restarts, revision, reason = line.cells
        one = f"{state} {role}/{instance} since {since} {zone}".rstrip()
        text = "; ".join(filter(None, (one, _several(restarts), reason)))
        said = () if role == _NOTHING else (text,)
        head = (room, name, presence, revision)
        stations[head] = (*stations.get(head, ()), *said, *line.beneath)
    for cells, beneath in stations.items():
        yield TableRow(cells, beneath)


def _row(cells: Sequence[str], widths: Sequence[int], style: str | None) -> Text:
    row = Text(no_wrap=False)
    for cell, width in zip(cells, widths, strict=True):
        row.append(cell, style or STYLES.get(cell))
        row.append(" " * (width - cell_len(cell)) + _GAP)
    row.rstrip()
    return row


def rooms(found: StatusResult) -> tuple[str, ...]:
    """A line a room, those that need somebody first; empty where there is but one."""
    there: dict[str, list[StationStatus]] = {}
    for station in found.stations:
        there.setdefault(clean(station.room or _NOTHING), []).append(station)
    if len(there) < 2:
        return ()
    more = {clean(one.name): [clean(it.text) for it in one.findings] for one in found.rooms}
    width = max(map(cell_len, there))
    order = sorted(
        there,
        key=lambda room: (all(one.well for one in there[room]), room not in more, natural(room)),
    )
    return tuple(
        f"{room}{' ' * (width - cell_len(room))}{_GAP}"
        + "; ".join((summary(there[room]), *more.get(room, ())))
        for room in order
    )


def conclusion(found: StatusResult) -> str:
    """One sentence on all that is shown."""
    only = {one.room for one in found.stations}
    more = [
        clean(it.text)
        for one in found.rooms
        for it in one.findings
        if len(only) == 1 and one.name in only
    ]
    size = sum(
        one.recorded_bytes or 0
        for station in found.stations
        for instances in station.roles.values()
        for one in instances.values()
    )
    told = [f"recorded {decimal(size)}"] if size else []
    return "; ".join((summary(found.stations), *more, *told))


def summary(stations: Sequence[StationStatus]) -> str:
    """One sentence on how many need somebody."""
    ill = sum(not station.well for station in stations)
    count = counted(len(stations), "station")
    stops = sum(
        one.reason == STOPPED_BY_HAND
        for station in stations
        for named in station.roles.values()
        for one in named.values()
    )
    stopped = f", {counted(stops, 'instance')} stopped by hand" if stops else ""
    return f"{count}, {ill} not well{stopped}" if ill else f"{count}, all well{stopped}"


def ending(said: SaidResult) -> str:
    """` until 2026-02-01 10:30 CET`, empty without an end."""
    return f" until {zoned(said.until, said.timezone):%Y-%m-%d %H:%M %Z}" if said.until else ""

"""What a schedule is published as -> a `Schedule`, or all that is wrong with it. Pure.

frab's XML (also called pentabarf's), and c3voc's JSON; pretalx, frab and others export both. Of a
talk's time only its `date` is believed, with its offset: `start` is local to who knows where, and
a schedule's day may end at four in the morning.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from json import detect_encoding
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from fleet.model import counted
from fleet.schedule import MOST_TALKS, BadSchedule, Schedule, ScheduledRoom, ScheduledTalk
from fleet.wire import Undecodable, loads

MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_MISTAKES: Final = 20
_LONGEST: Final = timedelta(hours=48)
"""A talk that takes longer is a slip of somebody's pen."""
_TEXT: Final = 300
"""Characters of a title or name; what is longer is cut."""
_SHOWN: Final = 60
"""Characters of it in a message."""
_PERSONS: Final = 50
_JOINERS: Final = "\u200c\u200d"
"""Persian needs the one, emoji the other."""
_A_DAY: Final = len("2026-11-15")
_DURATION: Final = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")
_YEARS: Final = (1990, 2200)
_YES: Final = frozenset({"true", "1", "yes"})
_NO: Final = frozenset({"false", "0", "no", "", "none"})
_HTML: Final = "it is a web page (HTML), not a schedule: look at the address"
_ARCHIVE: Final = "it is compressed: publish the XML or JSON itself"
_NONE: Final[Mapping[bytes, str]] = {
    b"<!doctype html": _HTML,
    b"<html": _HTML,
    b"begin:vcalendar": "it is a calendar (iCalendar), which tells neither rooms by guid nor who "
    "opted out: take the export as XML or JSON",
    b"\x1f\x8b": _ARCHIVE,
    b"pk\x03\x04": _ARCHIVE,
    b"\x28\xb5\x2f\xfd": _ARCHIVE,
}
"""How what is no schedule begins, in small letters."""


def read(content: bytes) -> Schedule:
    """A schedule as XML or JSON, whichever it is.

    Raises:
        BadSchedule: with every mistake; nothing of it is to be used.
    """
    if len(content) > MOST_BYTES:
        raise BadSchedule([f"it has {len(content)} bytes; at most {MOST_BYTES} are read"])
    content = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not content:
        raise BadSchedule(["it is empty"])
    for begin, told in _NONE.items():
        if content[:20].lower().startswith(begin):
            raise BadSchedule([told])
    encoding = detect_encoding(content)
    if encoding != "utf-8" and content.decode(encoding, "replace").lstrip()[:1] in ("{", "["):
        content = content.decode(encoding, "replace").lstrip().encode()
    return _Reader().json(content) if content[:1] in b"{[" else _Reader().xml(content)


class _Reader:
    """Reads one schedule and collects what is wrong with it."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self.more = 0
        self.notes: list[str] = []
        self.zone: ZoneInfo | None = None
        self.rooms: dict[tuple[str, str | None], ScheduledRoom] = {}
        self.talks: list[ScheduledTalk] = []
        self.unnamed = 0

    def wrong(self, text: str) -> None:
        if len(self.mistakes) < _MOST_MISTAKES:
            self.mistakes.append(text)
        else:
            self.more += 1

    # -- the two formats ---------------------------------------------------------------------

    def xml(self, content: bytes) -> Schedule:
        try:
            root = fromstring(content)
        except DefusedXmlException:
            raise BadSchedule(
                ["its XML declares entities of its own: no schedule needs them, none is expanded"]
            ) from None
        except (ParseError, ValueError, LookupError) as error:
            raise BadSchedule([f"it is neither JSON nor XML that can be read: {error}"]) from None
        if root.tag != "schedule":
            raise BadSchedule([f"its XML begins with <{_clean(root.tag)}>, expected <schedule>"])
        conference = root.find("conference")
        if conference is None:
            conference = Element("conference")
        self.timezone(conference.findtext("time_zone_name"))
        for number, day in enumerate(root.findall("day"), 1):
            index, date = _number(day.get("index"), number), _clean(day.get("date") or "")
            for room in day.findall("room"):
                name, guid = _clean(room.get("name") or ""), _clean(room.get("guid") or "") or None
                here = self.room(name, guid, f"day {index}")
                for event in room.findall("event") if here else ():
                    if here is not None and not self.talk(_of_xml(event), here, index, date):
                        return self.done("", None, None)
        return self.done(
            conference.findtext("title"),
            conference.findtext("acronym"),
            root.findtext("version"),
        )

    def json(self, content: bytes) -> Schedule:
        try:
            value = loads(content, MOST_BYTES)
        except Undecodable as error:
            raise BadSchedule([f"it is not JSON that can be read: {error}"]) from None
        schedule = _table(_table(value).get("schedule"))
        conference = _table(schedule.get("conference"))
        if not isinstance(conference.get("days"), list):
            raise BadSchedule(["it has no schedule.conference.days: it is not a schedule"])
        self.timezone(conference.get("time_zone_name"))
        guids = {
            _clean(str(one.get("name"))): _clean(str(one["guid"]))
            for one in map(_table, _list(conference.get("rooms")))
            if one.get("guid")
        }
        for name, guid in guids.items():
            self.room(name, guid, "rooms")
        for number, day in enumerate(map(_table, conference["days"]), 1):
            index, date = _number(day.get("index"), number), _clean(str(day.get("date") or ""))
            if not isinstance(day.get("rooms"), dict | None):
                self.wrong(f"day {index}: its rooms are no table of names")
            for name, events in _table(day.get("rooms")).items():
                here = self.room(_clean(name), guids.get(_clean(name)), f"day {index}")
                for event in map(_table, _list(events)) if here else ():
                    if here is not None and not self.talk(event, here, index, date):
                        return self.done("", None, None)
        return self.done(
            conference.get("title"), conference.get("acronym"), schedule.get("version")
        )

    # -- what both have ----------------------------------------------------------------------

    def timezone(self, name: Any) -> None:
        if not isinstance(name, str) or not name.strip():
            return
        try:
            self.zone = ZoneInfo(name.strip())
        except (ValueError, OSError, KeyError):
            self.notes.append(f"there is no time zone {_quoted(_clean(name))}")

    def room(self, name: str, guid: str | None, where: str) -> ScheduledRoom | None:
        if not name:
            self.wrong(f"{where}: a room has no name")
            return None
        return self.rooms.setdefault((name, guid), ScheduledRoom(name, guid))

    def talk(self, event: Mapping[str, Any], room: ScheduledRoom, day: int, date: str) -> bool:
        """Read one; False where there are too many."""
        if len(self.talks) >= MOST_TALKS:
            self.wrong(f"it has more than {MOST_TALKS} talks")
            return False
        title = _text(event, "title") or "untitled"
        where = f"{room.name}: {_quoted(title)}"
        guid, own = _text(event, "guid"), (_text(event, "id"), _text(event, "slug"))
        if guid is None:
            kind, known = ("id", own[0]) if own[0] else ("slug", own[1])
            self.unnamed += 1
            if known is None:
                self.wrong(f"{where}: has no guid, and no id or slug to know it again by")
                return True
            guid = f"{kind}:{known}"
        begin = self.begin(event, where)
        end = begin and self.end(event, begin, where)
        if begin is None or end is None:
            return True
        persons = tuple(_persons(event.get("persons")))
        self.talks.append(
            ScheduledTalk(
                *(guid, room, title, begin, end, day, date, *own[:1]),
                code=_text(event, "code"),
                slug=own[1],
                language=_text(event, "language"),
                persons=persons,
                do_not_record=self.flag(event, "do_not_record", where)
                or self.flag(_table(event.get("recording")), "optout", where),
                do_not_stream=self.flag(event, "do_not_stream", where),
            )
        )
        return True

    def begin(self, event: Mapping[str, Any], where: str) -> datetime | None:
        text = _text(event, "date")
        if text is None:
            self.wrong(f"{where}: has no date, which says when it begins")
            return None
        moment = self.moment(text)
        if moment is None:
            why = "" if self.zone else " (and the schedule names no time zone that is known)"
            self.wrong(
                f"{where}: its date is {_quoted(text)}, expected as in 2026-11-15T09:00:00+01:00"
                + why
            )
        return moment

    def moment(self, text: str) -> datetime | None:
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None and (self.zone is None or len(text) <= _A_DAY):
                return None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self.zone)
            moment = moment.astimezone(UTC).replace(microsecond=0)
        except (ValueError, OverflowError):
            return None
        return moment if _YEARS[0] <= moment.year <= _YEARS[1] else None

    def end(self, event: Mapping[str, Any], begin: datetime, where: str) -> datetime | None:
        text = _text(event, "duration")
        if text is None:
            said = _text(event, "end")
            end = self.moment(said) if said else None
            if end is None or not timedelta(0) < end - begin <= _LONGEST:
                got = f"its end is {_quoted(said)}" if said else "has neither duration nor end"
                self.wrong(f"{where}: {got}")
                return None
            return end
        found = _DURATION.fullmatch(text)
        length = timedelta(0)
        if found:
            hours, minutes, seconds = (int(part or 0) for part in found.groups())
            length = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        if not timedelta(0) < length <= _LONGEST:
            self.wrong(
                f"{where}: its duration is {_quoted(text)}, expected hours and minutes as in "
                f"0:45, at most {_LONGEST.total_seconds() / 3600:.0f} hours"
            )
            return None
        return begin + length

    def flag(self, event: Mapping[str, Any], key: str, where: str) -> bool:
        value = event.get(key)
        if isinstance(value, bool) or value is None:
            return bool(value)
        said = str(value).strip().casefold()
        if said not in _YES | _NO:
            # Who wrote something there meant something by it: nobody is recorded by a slip.
            self.notes.append(f"{where}: {key} is {_quoted(str(value))}, taken as true")
        return said not in _NO

    def done(self, title: Any, acronym: Any, version: Any) -> Schedule:
        """The schedule. Raises `BadSchedule` where something is wrong with it."""
        twice = [guid for guid, n in Counter(one.guid for one in self.talks).items() if n > 1]
        titles = {one.guid: one.title for one in self.talks}
        for guid in twice:
            self.wrong(f"{_quoted(titles[guid])}: its guid {guid} is that of another talk too")
        if not self.talks and not self.mistakes:
            self.wrong("it has no talks")
        if self.mistakes:
            raise BadSchedule(self.mistakes, self.more)
        if self.unnamed:
            what = counted(self.unnamed, "talk has", "talks have")
            self.notes.append(f"{what} no guid: known again by id or slug")
        if self.zone is None:
            self.notes.append("it names no time zone")
        talks = sorted(self.talks, key=lambda one: (one.begin, one.room.name, one.guid))
        return Schedule(
            _clean(str(title or "")) or "untitled",
            _clean(str(acronym or "")) or None,
            _clean(str(version or "")) or None,
            self.zone.key if self.zone else None,
            tuple(self.rooms.values()),
            tuple(talks),
            tuple(self.notes[:_MOST_MISTAKES]),
        )


def _of_xml(event: Element) -> dict[str, Any]:
    """An event in the shape that JSON has it in."""
    value: dict[str, Any] = {"guid": event.get("guid"), "id": event.get("id")}
    value["code"] = event.get("code")
    for child in event:
        if child.tag == "persons":
            value["persons"] = [one.text for one in child]
        elif child.tag == "recording":
            value["recording"] = {one.tag: one.text for one in child}
        elif not len(child):
            value.setdefault(child.tag, child.text)
    return value


def _persons(value: Any) -> Iterator[str]:
    for one in _list(value)[:_PERSONS]:
        name = (one.get("public_name") or one.get("name")) if isinstance(one, dict) else one
        if isinstance(name, str) and name.strip():
            yield _clean(name)


def _text(event: Mapping[str, Any], key: str) -> str | None:
    value = event.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _clean(str(value)) or None


def _quoted(text: str) -> str:
    return f'"{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"}"'


def _clean(text: str) -> str:
    """Without what moves a cursor or turns the line round, and not longer than anybody reads."""
    kept = []
    for one in text[: 4 * _TEXT]:
        kind = unicodedata.category(one)
        if kind in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif kind not in ("Cf", "Cs", "Co", "Cn") or one in _JOINERS:
            kept.append(one)
    line = " ".join("".join(kept).split())
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"


def _number(value: Any, otherwise: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        return otherwise
    return number if 0 < number < 1000 else otherwise


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

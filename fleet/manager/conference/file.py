"""The operator's TOML file -> what is wanted of each station, or all its mistakes. Pure.

Each part of the file is read by itself, so that a mistake in one hides none in another. Roles
are merged (profiles in their order, then the station), then placeholders are filled in.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from attrs import Factory, frozen

from fleet.manager.conference import references
from fleet.manager.conference.general import GeneralTables
from fleet.manager.conference.masking import is_secret
from fleet.manager.conference.merging import PlaceholderMistake, fill, merge
from fleet.manager.conference.problems import Table, table_in, unfit
from fleet.manager.conference.wanted import (
    ConferenceFile,
    DesiredState,
    Facts,
    Header,
    Room,
)
from fleet.model import (
    MAX_PAYLOAD,
    Roles,
    is_station_id,
    no_station_id,
)
from fleet.strict import same, show
from fleet.wire import dumps

_ENVELOPE: Final = 512
"""Bytes of a payload besides the roles, at most."""


@frozen
class _Profile:
    roles: Mapping[str, Mapping[str, Table]] = Factory(dict)


@frozen
class _Station:
    id: str
    room: str
    seat: str | None = None
    where: str | None = None
    address: str | None = None
    profiles: tuple[str, ...] = ()
    roles: Mapping[str, Mapping[str, Table]] = Factory(dict)


@frozen
class _File:
    conference: Table = Factory(dict)
    schedule: Table = Factory(dict)
    rooms: Mapping[str, Table] = Factory(dict)
    profiles: Mapping[str, Table] = Factory(dict)
    stations: Mapping[str, Table] = Factory(dict)


@frozen
class _Read:
    """What a reading made of each station in which nothing was wrong, that the next may take it.

    `around`: all else that what is wanted of a station comes from.
    """

    around: Table = Factory(dict)
    stations: Mapping[str, tuple[Table, DesiredState]] = Factory(dict)


class _Reader(GeneralTables):
    """Reads one file and collects its mistakes; `before`: what the last reading made."""

    def __init__(self, before: _Read | None = None) -> None:
        super().__init__()
        self.before = before or _Read()
        self.made = self.before
        self._plain: set[tuple[str, ...]] = set()
        """Where roles stand in which nothing is to be filled in, for whatever station."""

    def toml(self, text: str) -> Table:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            end = f"at the end, line {text.count(chr(10)) + 1}"
            self.wrong(f"this is not TOML: {str(error).replace('at end of document', end)}")
        except RecursionError:
            self.wrong("the file is nested too deep to be read")
        return {}

    def read(self, text: str) -> ConferenceFile:
        value = self.toml(text)
        self.structure(value, _File)
        header = self.header(table_in(value, "conference"))
        rooms = {
            name: self.room(name, room) or Room() for name, room in table_in(value, "rooms").items()
        }
        named = value.get("schedule")
        schedule = self.schedule(named) if isinstance(named, dict) else None
        self.claimed(rooms, titles=schedule is not None)
        profiles = table_in(value, "profiles")
        for name, profile in profiles.items():
            self.profile(name, profile)
        tables = {k: v for k, v in table_in(value, "stations").items() if isinstance(v, dict)}
        self.duplicates(tables)
        there = self.stations(value, tables, header, rooms)
        resolved, readings = references.resolve(there, self.wrong)
        for one in resolved:
            self.size(one)
        stations = {one.id: one for one in resolved}
        return ConferenceFile(header, rooms, stations, readings, tuple(self.problems), schedule)

    def stations(
        self, value: Table, tables: Mapping[str, Table], header: Header, rooms: Mapping[str, Room]
    ) -> list[DesiredState]:
        """What is wanted of each, as far as the file lets it be known.

        Few change from one file to the next: the others are taken as they were read before.
        """
        profiles = table_in(value, "profiles")
        around = {"conference": header.id, "rooms": [*rooms], "profiles": profiles}
        fine = not self.problems
        before = self.before.stations if fine and same(around, self.before.around) else {}
        made: dict[str, tuple[Table, DesiredState]] = {}
        there = []
        for name, table in tables.items():
            known = before.get(name)
            if known is not None and same(table, known[0]):
                made[name] = known
            else:
                count = len(self.problems)
                self.station(name, table, list(rooms), list(profiles))
                wanted = self.merged(name, table, profiles, header)
                if wanted is None:
                    continue
                known = table, wanted
                if len(self.problems) == count:
                    made[name] = known
            there.append(known[1])
        if fine:
            self.made = _Read(around, made)
        return there

    def profile(self, name: str, table: Any) -> None:
        self.name(name, "the name of a profile", "profiles", name)
        if isinstance(table, dict):
            self.structure(table, _Profile, "profiles", name)
            self.roles(table_in(table, "roles"), "profiles", name, "roles")
            anywhere = dict.fromkeys(("conference", "room", "station", "seat"), "?")
            self.filled(table_in(table, "roles"), anywhere, name, "profiles", name, "roles")

    def duplicates(self, stations: Mapping[str, Table]) -> None:
        first: dict[str, str] = {}
        for name, table in stations.items():
            id_ = table.get("id")
            if isinstance(id_, str):
                if id_ in first:
                    self.wrong(
                        f"{show(id_)} is already the id of {first[id_]!r}: two stations cannot "
                        "be one box",
                        *("stations", name, "id"),
                    )
                first.setdefault(id_, name)

    def station(
        self, name: str, table: Table, rooms: Sequence[str], profiles: Sequence[str]
    ) -> None:
        path = ("stations", name)
        self.structure(table, _Station, *path)
        self.name(name, "the name of a station", *path)
        self.name(table.get("seat"), "a seat", *path, "seat")
        id_ = table.get("id")
        if isinstance(id_, str) and not is_station_id(id_):
            self.wrong(f"{show(id_)} {no_station_id(id_)}", *path, "id")
        self.known(table.get("room"), rooms, "room", *path, "room")
        for index, profile in enumerate(table_in(table, "profiles", list)):
            self.known(profile, profiles, "profile", *path, "profiles", str(index))
        self.roles(table_in(table, "roles"), *path, "roles")

    def roles(self, roles: Table, *path: str) -> None:
        for role in roles:
            self.name(role, "the name of a role", *path, role)
            if role == "station":
                self.wrong("no role can be called 'station': that name is reserved", *path, role)
            for instance, settings in table_in(roles, role).items():
                here = (*path, role, instance)
                self.name(instance, "the name of an instance", *here)
                if not isinstance(settings, dict):
                    continue
                enabled = settings.get("enabled", True)
                if not isinstance(enabled, bool):
                    self.wrong(f"expected true or false, got {show(enabled)}", *here, "enabled")
                for message, *keys in unfit(settings):
                    self.wrong(message, *here, *keys)

    def merged(
        self, name: str, table: Table, profiles: Mapping[str, Any], header: Header
    ) -> DesiredState | None:
        """What is wanted of a station, as far as the file lets it be known."""
        id_, room = table.get("id"), table.get("room")
        seat = table.get("seat")
        layers: list[tuple[tuple[str, ...], Table]] = [
            (("profiles", profile), table_in(profiles, profile))
            for profile in table_in(table, "profiles", list)
            if isinstance(profile, str)
        ]
        layers.append((("stations", name), table))
        places = {
            "conference": header.id,
            "room": room if isinstance(room, str) else "?",
            "station": name,
            "seat": seat if isinstance(seat, str) else None,
        }
        roles: dict[str, Any] = {}
        for path, layer in layers:
            filled = self.filled(table_in(layer, "roles"), places, name, *path, "roles")
            roles = merge(roles, filled)
        if not isinstance(id_, str) or not isinstance(room, str):
            return None
        text = {key: table[key] for key in ("where", "address") if isinstance(table.get(key), str)}
        facts = Facts(name, room, places["seat"], text.get("where"), text.get("address"))
        return DesiredState(id_, facts, _enabled(roles))

    def filled(
        self, roles: Table, places: Mapping[str, str | None], station: str, *path: str
    ) -> Table:
        if path in self._plain:
            return roles
        mistakes: list[PlaceholderMistake] = []
        filled: Table = fill(roles, places, mistakes)
        if filled is roles and not mistakes:
            self._plain.add(path)
        for mistake in mistakes:
            why = mistake.message
            if mistake.missing is not None:
                of = (
                    "[conference] has no id"
                    if mistake.missing == "conference"
                    else (f"the station {station!r} has no {mistake.missing}")
                )
                why = f"{why}, but {of}"
            if any(map(is_secret, mistake.path)):
                why = "has a brace: write {{ or }} for the character itself"
            self.wrong(why, *path, *mistake.path)
        return filled

    def size(self, wanted: DesiredState) -> None:
        try:
            size = len(dumps(wanted.roles)) + _ENVELOPE
        except (TypeError, ValueError, RecursionError):
            return  # what cannot travel at all has been told
        if size > MAX_PAYLOAD:
            self.wrong(
                f"its config would have {size} bytes; at most {MAX_PAYLOAD} travel",
                *("stations", wanted.name, "roles"),
            )


def _enabled(roles: Table) -> Roles:
    """The instances that are not switched off; roles left with none are dropped."""
    kept: dict[str, dict[str, Table]] = {}
    for role, instances in roles.items():
        for instance, settings in instances.items() if isinstance(instances, dict) else ():
            if isinstance(settings, dict) and settings.get("enabled", True) is not False:
                own = {key: value for key, value in settings.items() if key != "enabled"}
                kept.setdefault(role, {})[instance] = own
    return kept


class _Examiner:
    """One file after the other."""

    def __init__(self) -> None:
        self._last = _Read()

    def examine(self, text: str) -> ConferenceFile:
        reader = _Reader(self._last)
        found = reader.read(text)
        self._last = reader.made
        return found


_examiner: Final = _Examiner()


@lru_cache(maxsize=4)
def examine(text: str) -> ConferenceFile:
    """The conference file `text` with all its mistakes.

    A text is read once, however often it is planned, applied and looked at again.
    """
    return _examiner.examine(text)

"""What a conference file would change: the plan people see, and the targets of a rollout."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from fleet.manager import report
from fleet.manager.conference import plan
from fleet.manager.conference.readers import Running, cut, records
from fleet.manager.conference.wanted import ConferenceFile, DesiredState, Facts
from fleet.manager.operations.desk import Desk
from fleet.manager.rollouts.model import RolloutTarget
from fleet.manager.store.ledger import Entry
from fleet.model import InvalidArguments
from fleet.operations.plans import Change, Cut, Doubt, PlanResult, StationChange
from fleet.strict import close_match

_NOBODY: Final = Facts()


@frozen
class Comparison:
    """What is to be done. `facts`, `replaced`: what is written at once, whatever the batches."""

    plan: PlanResult
    targets: tuple[RolloutTarget, ...]
    facts: Mapping[str, Facts]
    replaced: Mapping[str, str | None]


def compare(
    desk: Desk,
    file: ConferenceFile,
    room: str | None = None,
    station: str | None = None,
) -> Comparison:
    """`file`, or only one room or station of it, beside what is wanted now.

    Raises:
        InvalidArguments: the file has no such room or station.
    """
    changes: list[Change] = []
    warnings: list[str] = []
    doubts: list[Doubt] = []
    stations: list[StationChange] = []
    targets: list[RolloutTarget] = []
    facts: dict[str, Facts] = {}
    replaced: dict[str, str | None] = {}
    taken_over: set[str] = set()
    given_away = _given_away(desk, file)
    chosen = _chosen(file, room, station)
    warnings += plan.advice(chosen, file)
    for one in chosen:
        entry, heard = desk.ledger[one.id], desk.inventory.get(one.id)
        own = list(
            plan.changes(
                one,
                entry.config.roles if entry.config else {},
                desk.running(one.id),
                heard.registration if heard else None,
            )
        )
        olds = [
            id_
            for id_ in given_away.get(one.facts.name, ())
            if desk.ledger[id_].replaced_by != one.id
        ]
        for old in olds:
            own += _emptied(desk, old, one)
        taken_over.update(olds)
        changes += own
        change = _station_change(one, entry, olds)
        if change is not None:
            stations.append(change)
        wrong = list(plan.doubts(one, heard.registration if heard else None))
        warnings += map(plan.warning, wrong)
        if own or _moves(one, entry):
            doubts += wrong
            before = entry.config.revision if entry.config else None
            replaces = olds.pop() if olds else None
            targets.append(
                RolloutTarget(one.id, one.facts, one.roles, before, entry.facts, replaces)
            )
            if entry.facts == _NOBODY:
                facts[one.id] = one.facts  # it may have to wait, and has a name meanwhile
        elif entry.facts != one.facts:
            facts[one.id] = one.facts
        if entry.replaced_by is not None:
            replaced[one.id] = None
        replaced |= dict.fromkeys(olds, one.id)
    warnings += out_of_reach(desk, changes)
    names = {one.id: one.name for one in chosen}
    last = desk.ledger.rollout
    result = PlanResult(
        tuple(changes),
        tuple(warnings),
        tuple(
            desk.name(id_)
            for id_ in report.stations(desk.ledger, desk.inventory)
            if id_ not in file.stations and id_ not in taken_over
        ),
        tuple(stations),
        tuple(desk.recording(names)),
        last.number if last else 0,
        tuple(doubts),
        cuts(desk, changes, names),
        tuple(plan.tables(file, desk.ledger.rooms)),
    )
    return Comparison(result, tuple(targets), facts, replaced)


def out_of_reach(desk: Desk, changes: Iterable[Change]) -> Iterator[str]:
    """The recordings that may go on, nobody knows, and that the changes interrupt later."""
    for one in changes:
        ends = one.records and one.action != "+" and not one.live
        if ends and (one.role, one.instance) in desk.may_run(one.id):
            yield (
                f"{one.station} {one.role}/{one.instance}: the station is lost and may be "
                "recording; this interrupts it once the station is back"
            )


def cuts(
    desk: Desk, changes: Iterable[Change], names: Mapping[str, str] = MappingProxyType({})
) -> tuple[Cut, ...]:
    """Everything that is at work, stays as it is, and reads what changes.

    `names`: what stations are called from now on, by id.
    """
    changes = list(changes)
    named = {Running(one.id, one.role, one.instance): one for one in changes}
    configs = desk.wanted
    ended = [key for key, one in named.items() if one.action != "+" and not one.live]
    found = cut(configs, ended)
    return tuple(
        Cut(
            reader.id,
            names.get(reader.id) or desk.name(reader.id),
            desk.ledger[reader.id].facts.room,
            reader.role,
            reader.instance,
            f"{names.get(source.id) or desk.name(source.id)} {source.role}/{source.instance}",
            state,
            records(reader.role, configs[reader.id][1][reader.role][reader.instance]),
        )
        for reader, source in sorted(found.items())
        if (state := desk.running(reader.id).get((reader.role, reader.instance))) is not None
        and not (reader in named and named[reader].interrupts)
    )


def _chosen(file: ConferenceFile, room: str | None, station: str | None) -> list[DesiredState]:
    chosen = list(file.stations.values())
    if room is not None:
        if room not in file.rooms:
            hint = close_match(room, list(file.rooms))
            raise InvalidArguments(f"the file has no room {room!r}{hint}")
        chosen = [one for one in chosen if one.facts.room == room]
    if station is not None:
        names = [one.name for one in chosen]
        chosen = [one for one in chosen if station in (one.id, one.facts.name)]
        if not chosen:
            hint = close_match(station, names)
            where = "the file" if room is None else f"the room {room!r} of the file"
            raise InvalidArguments(f"{where} has no station {station!r}{hint}")
    return chosen


def _given_away(desk: Desk, file: ConferenceFile) -> dict[str | None, list[str]]:
    """Name -> the boxes that have it and are not in the file, so that another may take it."""
    found: dict[str | None, list[str]] = {}
    for id_ in desk.ledger:
        entry = desk.ledger[id_]
        if id_ not in file.stations and not entry.retired and entry.facts.name is not None:
            found.setdefault(entry.facts.name, []).append(id_)
    return found


def _emptied(desk: Desk, old: str, by: DesiredState) -> list[Change]:
    entry = desk.ledger[old]
    roles = entry.config.roles if entry.config else {}
    gone = plan.changes(DesiredState(old, entry.facts, {}), roles, desk.running(old))
    return [evolve(one, detail=f"on {old}, which {by.id} replaces") for one in gone]


def _station_change(one: DesiredState, entry: Entry, olds: list[str]) -> StationChange | None:
    change = plan.station_change(one, entry.facts, new=entry.config is None)
    if not olds:
        return change
    takes = f"replaces the box {' and '.join(olds)}"
    if change is None:
        return StationChange(one.id, one.name, one.facts.room, takes)
    return evolve(change, detail=f"{change.detail}, {takes}")


def _moves(wanted: DesiredState, entry: Entry) -> bool:
    """Whether the station needs a new revision even if no instance changes."""
    config, facts = entry.config, wanted.facts
    return config is None or (config.name, config.room) != (facts.name, facts.room)

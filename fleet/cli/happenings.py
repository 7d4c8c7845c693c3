"""What happened between two looks at the stations, for `fleet watch`; pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial

from attrs import frozen

from fleet.model import PresenceState, State, counted
from fleet.operations.stations import InstanceReport, StationStatus


@frozen
class Happening:
    """One thing that happened, and when it was seen. Without a station: to all of them."""

    at: datetime
    kind: str
    """`broker manager station presence wanted accepted rejected instance conflict note`."""
    id: str | None
    name: str | None
    room: str | None
    role: str | None
    instance: str | None
    state: str | None
    """The presence, or the instance's state, that came about."""
    revision: int | None
    by: str | None
    """Who wanted the revision."""
    text: str


def general(at: datetime, kind: str, text: str) -> Happening:
    """Something that is no single station's."""
    return Happening(at, kind, None, None, None, None, None, None, None, None, text)


def happenings(
    before: Iterable[StationStatus], after: Iterable[StationStatus], at: datetime
) -> Iterator[Happening]:
    """What is different, station after station; `at`: when `after` was so."""
    were = {one.id: one for one in before}
    for now in after:
        yield from _station(were.pop(now.id, None), now, at)
    for gone in were.values():
        yield _of(gone, at, "station", "is gone: retired, or forgotten")


def _of(
    station: StationStatus,
    at: datetime,
    kind: str,
    text: str,
    *,
    role: str | None = None,
    instance: str | None = None,
    state: str | None = None,
    revision: int | None = None,
    by: str | None = None,
) -> Happening:
    where = (station.id, station.name, station.room)
    return Happening(at, kind, *where, role, instance, state, revision, by, text)


def _station(was: StationStatus | None, now: StationStatus, at: datetime) -> Iterator[Happening]:
    make = partial(_of, now, at)
    if was is None:
        yield make("station", f"is new here: {now.presence}", state=now.presence)
    elif was.presence is not now.presence:
        yield make("presence", f"{now.presence} (was {was.presence})", state=now.presence)
    if was and (was.name, was.room) != (now.name, now.room):
        yield make("station", f"was called {was.name} in the room {was.room or '-'}")
    yield from _notes(was, now, at)
    if was is None:
        return
    if was.wanted != now.wanted:
        what = "nothing is wanted any more"
        if now.wanted is not None:
            what = f"wanted: {now.wanted}, by {now.by}" if now.by else f"wanted: {now.wanted}"
        yield make("wanted", what, revision=now.wanted, by=now.by)
    if now.problems and (was.problems, was.wanted) != (now.problems, now.wanted):
        for problem in now.problems:
            text = f"rejected {now.wanted}: {problem.text}"
            yield make("rejected", text, revision=now.wanted)
    if was.running != now.running and now.running:
        yield make("accepted", f"accepted {now.running}", revision=now.running)
    yield from _instances(was, now, at)


def _notes(was: StationStatus | None, now: StationStatus, at: datetime) -> Iterator[Happening]:
    if was and was.conflict and not now.conflict:
        yield _of(now, at, "conflict", "one box is left on this id")
    if now.note and now.note != (was.note if was else None):
        yield _of(now, at, "conflict" if now.conflict else "note", now.note)


def _instances(was: StationStatus, now: StationStatus, at: datetime) -> Iterator[Happening]:
    old, new = _flat(was), _flat(now)
    for (role, name), one in new.items():
        before = old.pop((role, name), None)
        text = _change(before, one)
        # That nothing is known of a station that is not there goes without saying.
        if text and not (one.state is State.UNKNOWN and now.presence is not PresenceState.ONLINE):
            text = f"{role}/{name} {text}"
            yield _of(now, at, "instance", text, role=role, instance=name, state=one.state)
    for role, name in old:
        yield _of(now, at, "instance", f"{role}/{name} is gone", role=role, instance=name)


def _change(was: InstanceReport | None, now: InstanceReport) -> str | None:
    if was is None:
        return now.text
    if was.state is not now.state:
        return f"{now.text} (was {was.state})"
    if was.reason != now.reason and now.reason is None:
        return f"{now.text}, no longer {was.reason}"
    if was.reason != now.reason:
        return f"{now.text} (was {was.reason})" if was.reason else now.text
    if was.restarts < now.restarts:
        return f"{now.text} again, {counted(now.restarts_last_hour, 'restart')} in the last hour"
    if was.since < now.since and now.state is State.RUNNING:
        return f"{now.text}, begun again"
    return None


def _flat(station: StationStatus) -> dict[tuple[str, str], InstanceReport]:
    return {
        (role, name): one
        for role, instances in station.roles.items()
        for name, one in instances.items()
    }

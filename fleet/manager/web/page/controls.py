"""What a room's card needs so that people can act there, and see who did: as plain data. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from attrs import frozen

from fleet.manager.conference.hours import Override, OverrideKind
from fleet.manager.mixers import MixerKey, MixerNow
from fleet.manager.stations.state import StationState
from fleet.manager.stations.stops import is_stopped
from fleet.model import InstanceStatus, State, clock, day_and_clock, natural
from fleet.operations.stations import StationStatus

_ROLES: Final = ("mix", "stream", "record", "ingest", "monitor", "sync")
"""In the order in which somebody looks for them; others follow."""


@frozen
class InstanceControl:
    """One instance. `text`: why it is so, or who stopped it; `stopped`: by hand.

    `asked`: who has stopped it though it has not come about yet.
    """

    role: str
    instance: str
    state: str
    text: str | None
    stopped: bool
    asked: str | None


@frozen
class StationControl:
    """One box of a room. `maintenance`: who works on it, None where nobody does."""

    name: str
    presence: str
    maintenance: str | None
    instances: tuple[InstanceControl, ...]


@frozen
class SourceControl:
    """What a mixer can show; `present`: whether anything comes from it."""

    name: str
    present: bool


@frozen
class MixerControl:
    """What a mixer shows by its own word; `sources` is empty where nobody knows it now.

    `by`: who last had it live or blank, and when.
    """

    station: str
    instance: str
    live: bool | None
    composite: str | None
    a: str | None
    b: str | None
    audio: str | None
    sources: tuple[SourceControl, ...]
    by: str | None


@frozen
class RoomControls:
    """All of a room. `talk`: `on` or `off` as somebody said (`talk_said`: who), else `auto`.

    `maintenance`: who works in it; `seen_to`: who sees to what is wrong there, so that nobody else
    is called; `stopped`: what people have stopped there, in words.
    """

    talk: str = "auto"
    talk_said: str | None = None
    maintenance: str | None = None
    seen_to: str | None = None
    mixers: tuple[MixerControl, ...] = ()
    stations: tuple[StationControl, ...] = ()
    stopped: tuple[str, ...] = ()


def controls(
    stations: Sequence[StationState],
    mixers: Mapping[MixerKey, MixerNow],
    said: Mapping[OverrideKind, Override],
    boxes: Mapping[str, Override],
    now: datetime,
) -> RoomControls:
    """Of a room; `said` of it, and of its `boxes` (by id): what people did, as far as it holds.

    `mixers`: what those that are known show; `now` in the conference's time zone.
    """
    zone = now.tzinfo or UTC
    talk = said.get("talk")
    return RoomControls(
        talk.state if talk else "auto",
        _said(talk, zone),
        _said(said.get("room"), zone),
        _said(said.get("ack"), zone),
        tuple(_mixers(stations, mixers, now)),
        tuple(
            StationControl(
                one.name,
                one.status.presence.value,
                _said(boxes.get(one.status.id), zone),
                tuple(_instances(one.status, zone)),
            )
            for one in stations
        ),
        tuple(text for one in stations for text in _stopped(one, zone)),
    )


def _stopped(one: StationState, zone: tzinfo) -> Iterator[str]:
    for stop in one.status.stops:
        why = one.status.unstopped(stop)
        how = f"{why}: " if why else ""
        yield f"{one.name} {stop.role}/{stop.instance} {how}{stop.text(zone)}"


def _said(said: Override | None, zone: tzinfo) -> str | None:
    """`ann, until Thu 10:30 CET`."""
    if said is None:
        return None
    if said.until is None:
        return said.by
    return f"{said.by}, until {day_and_clock(said.until, said.since.astimezone(zone))}"


def _mixers(
    stations: Sequence[StationState], known: Mapping[MixerKey, MixerNow], at: datetime
) -> Iterator[MixerControl]:
    for one in stations:
        for name in one.wanted.get("mix", {}):
            now = known.get((one.status.id, name))
            if now is None:
                live = one.status.roles["mix"][name].live
                yield MixerControl(one.name, name, live, None, None, None, None, (), None)
                continue
            shown, by = now.shown, None
            if now.live_by and now.live_at:
                by = f"{now.live_by}, {clock(now.live_at, at)}"
            sources = tuple(SourceControl(*it) for it in shown.sources.items())
            parts = shown.composite, shown.a, shown.b, shown.audio
            yield MixerControl(one.name, name, shown.live, *parts, sources, by)


def _instances(status: StationStatus, zone: tzinfo) -> Iterator[InstanceControl]:
    stops = {one.key: one for one in status.stops}
    for role, named in sorted(status.roles.items(), key=lambda it: _order(it[0])):
        for name, one in sorted(named.items(), key=lambda it: natural(it[0])):
            stop, stopped = stops.get((role, name)), is_stopped(one)
            asked = stop.text(zone) if stop and not stopped else None
            yield InstanceControl(role, name, _word(one), one.message, stopped, asked)


def _word(one: InstanceStatus) -> str:
    return "will be tried again" if one.state is State.BACKOFF else one.state.value


def _order(role: str) -> tuple[int, str]:
    return (_ROLES.index(role) if role in _ROLES else len(_ROLES)), role

"""Stop, start and restart by hand: what really became of it, and who did it."""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager.asking import NoAnswer
from fleet.manager.conference.readers import Running, cut
from fleet.manager.operations.desk import Desk
from fleet.manager.stations.state import AT_WORK
from fleet.manager.stations.stops import StopKey, is_stopped, over_there
from fleet.manager.store import Deed
from fleet.model import (
    MAX_STOPS,
    CommandFailed,
    DeadlineExceeded,
    InstanceStatus,
    InvalidArguments,
    PresenceState,
    State,
    StopByHand,
    clock,
    counted,
    day_and_clock,
    printable,
)
from fleet.operations.actions import (
    ActedInstance,
    ActionResult,
    RestartByHand,
    StartArguments,
    StopArguments,
)
from fleet.station import STATION
from fleet.wire import as_it_travels

log = logging.getLogger(__name__)

PATIENCE: Final = 8.0
"""Seconds that are waited for a station to say that it is done."""
_SETTLED: Final = (State.RUNNING, State.COMPLETED, State.BACKOFF, State.FAILED)


async def stop(desk: Desk, caller: str, asked: StopArguments) -> ActionResult:
    """Keep instances stopped, whoever begins anew, until it is over or they are started."""
    now = as_it_travels(datetime.now(UTC))
    async with desk.ledger.writing:
        station = desk.find(asked.station)
        name = desk.name(station)
        keys = _keys(desk, station, asked.role, asked.instance)
        _refuse_old(desk, station)
        until = now + timedelta(seconds=asked.seconds) if asked.seconds is not None else None
        lost = list(recordings_ended(desk, station, keys))
        if lost and not asked.sure:
            question = _question(desk, station, lost, now)
            return ActionResult(name, (), until, question=question, timezone=desk.timezone)
        why = printable(asked.why).strip() or None if asked.why else None
        stops = [StopByHand(*key, caller, why, now, until) for key in keys]
        kept = {one.key: one for one in desk.stops(station)}
        both = {**kept, **{one.key: one for one in stops}}
        if len(both) > MAX_STOPS:
            raise InvalidArguments(
                f"{counted(len(both), 'instance')} of {name} would be stopped, {MAX_STOPS} can be; "
                "change the conference file instead"
            )
        what = _named(asked.role, asked.instance)
        text = " ".join(filter(None, (what, _until(desk, until, now), why and f"({why})")))
        await desk.ledger.stop(station, list(both.values()), _deed(station, caller, "stop", text))
    log.info("%s stopped %s on %s", caller, what, name)
    desk.tell_stops()
    shown = _shown(desk, station, keys, is_stopped)
    told = evolve(shown, until=until)
    result = await _become(desk, station, keys, is_stopped, told, "stopped")
    heard = desk.inventory.get(station)
    ahead = heard.clock_offset if heard is not None else None
    why = over_there(ahead, asked.seconds) if result.waits else None
    return evolve(result, waits="; ".join(filter(None, (result.waits, why))) or None)


async def start(desk: Desk, caller: str, asked: StartArguments) -> ActionResult:
    """End what keeps instances stopped."""
    now = as_it_travels(datetime.now(UTC))
    async with desk.ledger.writing:
        station = desk.find(asked.station)
        name = desk.name(station)
        stopped = [
            one
            for one in desk.stops(station)
            if one.role == asked.role and asked.instance in (None, one.instance)
        ]
        if not stopped:
            keys = _keys(desk, station, asked.role, asked.instance)
            _refuse_unstopped(desk, station, asked, keys)
        what = _named(asked.role, asked.instance)
        ended = {one.key: evolve(one, until=now) for one in stopped}
        others = {one.key: one for one in desk.stops(station)}
        deed = _deed(station, caller, "start", what)
        await desk.ledger.stop(station, list({**others, **ended}.values()), deed)
    log.info("%s started %s on %s", caller, what, name)
    desk.tell_stops()
    config = desk.ledger[station].config
    wanted = config.roles if config is not None else {}
    keys = [one.key for one in stopped if one.instance in wanted.get(one.role, {})]
    gone = tuple(
        ActedInstance(*one.key, State.STOPPED, "not wanted any more", True)
        for one in stopped
        if one.key not in keys
    )
    result = _shown(desk, station, keys, _runs)
    result = await _become(desk, station, keys, _runs, result, "started") if keys else result
    return evolve(result, instances=(*result.instances, *gone))


async def restart(desk: Desk, caller: str, asked: RestartByHand) -> ActionResult:
    """Have instances stopped and started again."""
    station = desk.find(asked.station)
    name, what = desk.name(station), _named(asked.role, asked.instance)
    keys = _keys(desk, station, asked.role, asked.instance)
    before = {key: _said(desk, station, key) for key in keys}
    for role, instance in keys:
        arguments = {"role": role, "instance": instance}
        try:
            reply = await desk.asker.ask(station, STATION, "restart", arguments, None, PATIENCE)
        except NoAnswer as error:
            text = f"{role}/{instance}, no answer"
            await desk.ledger.do(_deed(station, caller, "restart", text))
            raise DeadlineExceeded(f"{name}: {error}; whether it did so is not known") from None
        if reply.error is not None:
            raise CommandFailed(f"{role}/{instance}: {reply.error.message}")
    await desk.ledger.do(_deed(station, caller, "restart", what))
    log.info("%s restarted %s on %s", caller, what, name)

    def begun(key: StopKey) -> bool:
        last, now = before[key], _said(desk, station, key)
        return (
            now is not None
            and now.state in _SETTLED
            and (last is None or now.since != last.since or now.restarts != last.restarts)
        )

    await desk.asker.until(station, lambda: all(map(begun, keys)), PATIENCE)
    acted = tuple(_acted(desk, station, key, begun(key)) for key in keys)
    waits = None if all(one.done for one in acted) else "the box has the command, and is at it"
    return ActionResult(name, acted, waits=waits, timezone=desk.timezone)


def recordings_ended(desk: Desk, station: str, keys: Sequence[StopKey]) -> Iterator[str]:
    """Each recording that may be at work and ends with these, or has nothing to record then."""
    ledger = desk.ledger
    configs = {
        id_: (ledger[id_].facts, config.roles)
        for id_ in ledger
        if (config := ledger[id_].config) is not None
    }
    ends = [Running(station, *key) for key in keys]
    for one in sorted({*ends, *cut(configs, ends)}):
        said = _said(desk, one.id, (one.role, one.instance))
        at_work = said is None or said.state in AT_WORK  # what was not looked at may record
        if at_work and desk.records(one.id, one.role, one.instance):
            yield f"{desk.name(one.id)} {one.role}/{one.instance}"


def _question(desk: Desk, station: str, lost: Sequence[str], now: datetime) -> str:
    """What it would end, and during which talk."""
    room = desk.ledger[station].facts.room
    talks = desk.ledger.rooms.talks(room, now) if room else None
    what = f"This ends {counted(len(lost), 'recording')}: {', '.join(lost)}."
    if talks is not None and talks.on is not None:
        end = clock(talks.on.end, now.astimezone(ZoneInfo(desk.timezone)))
        return f"{what} The talk “{talks.on.title}” is on, until {end}."
    if room and desk.ledger.rooms.talk_on(room, now):
        return f"{what} A talk is on in {room}."
    return f"{what} No talk is known to be on."


def _keys(desk: Desk, station: str, role: str, instance: str | None) -> list[StopKey]:
    """The instances that are meant, of all that are wanted or said to be there.

    Raises:
        InvalidArguments: there is none.
    """
    config, heard = desk.ledger[station].config, desk.inventory.get(station)
    wanted = config.roles if config is not None else {}
    said = heard.status.roles if heard is not None and heard.status is not None else {}
    there = {(one, name) for roles in (wanted, said) for one in roles for name in roles[one]}
    found = sorted(key for key in there if key[0] == role and instance in (None, key[1]))
    if not found:
        known = ", ".join(sorted(map("/".join, there))[:20]) or "none"
        raise InvalidArguments(
            f"there is no {_named(role, instance)} on {desk.name(station)} (there are: {known})"
        )
    return found


def _refuse_old(desk: Desk, station: str) -> None:
    """Raises: CommandFailed: what runs on the station cannot keep anything stopped."""
    heard = desk.inventory.get(station)
    if heard is None or heard.status is None or heard.status.stops is not None:
        return
    if desk.inventory.presence(station) is PresenceState.ONLINE:
        agent = heard.registration.agent if heard.registration else "?"
        raise CommandFailed(
            f"the fleet-agent of {desk.name(station)} ({agent}) cannot keep anything stopped: it "
            "is of an earlier release, or the broker does not let it hear of it (stations.acl: "
            f"read of station/{station}/stops); until then take the instance out of the conference "
            "file"
        )


def _refuse_unstopped(
    desk: Desk, station: str, asked: StartArguments, keys: Sequence[StopKey]
) -> None:
    """Raises: InvalidArguments: nobody has stopped it."""
    said = "; ".join(
        f"{role}/{instance} is {one.text}"
        for role, instance in keys
        if (one := _said(desk, station, (role, instance))) is not None
    )
    raise InvalidArguments(
        f"nobody has stopped {_named(asked.role, asked.instance)} on {desk.name(station)}"
        f"{f' ({said})' if said else ''}; fleet restart restarts what runs or waits"
    )


def _shown(
    desk: Desk, station: str, keys: Sequence[StopKey], is_so: Callable[[InstanceStatus], bool]
) -> ActionResult:
    def done(key: StopKey) -> bool:
        one = _said(desk, station, key)
        return one is not None and is_so(one)

    acted = tuple(_acted(desk, station, key, done(key)) for key in keys)
    return ActionResult(desk.name(station), acted, timezone=desk.timezone)


async def _become(
    desk: Desk,
    station: str,
    keys: Sequence[StopKey],
    is_so: Callable[[InstanceStatus], bool],
    result: ActionResult,
    word: str,
) -> ActionResult:
    """What the station says of it, as soon as it is so, or after all patience."""
    presence = desk.inventory.presence(station)
    if presence is not PresenceState.ONLINE:
        waits = f"{result.station} is {presence.value}: it is {word} there once it is back"
        return evolve(result, waits=waits)

    def all_so() -> bool:
        return all((one := _said(desk, station, key)) is not None and is_so(one) for key in keys)

    await desk.asker.until(station, all_so, PATIENCE)
    said = _shown(desk, station, keys, is_so)
    undone = [f"{one.role}/{one.instance}" for one in said.instances if not one.done]
    waits = f"{', '.join(undone)} {'is' if len(undone) == 1 else 'are'} not {word} yet"
    return evolve(result, instances=said.instances, waits=waits if undone else None)


def _acted(desk: Desk, station: str, key: StopKey, done: bool) -> ActedInstance:
    one = _said(desk, station, key)
    if one is None or desk.inventory.presence(station) is not PresenceState.ONLINE:
        return ActedInstance(*key, State.UNKNOWN, None, False)
    held = {it.key: it for it in desk.ledger.stops.of(station, datetime.now(UTC))}
    stop = held.get(key) if is_stopped(one) else None
    message = stop.text(ZoneInfo(desk.timezone)) if stop is not None else one.message
    return ActedInstance(*key, one.state, message, done)


def _said(desk: Desk, station: str, key: StopKey) -> InstanceStatus | None:
    heard = desk.inventory.get(station)
    if heard is None or heard.status is None:
        return None
    return heard.status.roles.get(key[0], {}).get(key[1])


def _runs(one: InstanceStatus) -> bool:
    return one.state in _SETTLED


def _named(role: str, instance: str | None) -> str:
    return f"{role}/{instance}" if instance else role


def _until(desk: Desk, until: datetime | None, now: datetime) -> str | None:
    local = now.astimezone(ZoneInfo(desk.timezone))
    return f"until {day_and_clock(until, local)}" if until else None


def _deed(station: str, caller: str, kind: str, text: str) -> Deed:
    return Deed(as_it_travels(datetime.now(UTC)), kind, caller, text, station)

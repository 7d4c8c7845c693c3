"""Status, retire, adopt, and what is said of rooms and stations."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager.conference.hours import Override, OverrideKind
from fleet.manager.conference.rooms import TALK_HOLDS
from fleet.manager.operations.desk import Desk
from fleet.manager.operations.notifications import acknowledged
from fleet.manager.rollouts.model import Outcome
from fleet.manager.rollouts.revisions import issue, next_revision
from fleet.manager.store import Deed
from fleet.model import CommandFailed, InvalidArguments, PresenceState, day_and_clock
from fleet.operations.recordings import TalkReceipt
from fleet.operations.stations import (
    AdoptArguments,
    MaintenanceArguments,
    RetireArguments,
    SaidResult,
    StationResult,
    StatusResult,
    TalkArguments,
)
from fleet.strict import close_match

log = logging.getLogger(__name__)


async def status(desk: Desk, caller: str, asked: Any) -> StatusResult:  # noqa: ARG001
    """Every station."""
    receipts = tuple(
        TalkReceipt(one.room, one.talk.guid, one.talk.title, one.verdict, one.why)
        for one in desk.recordings.decided
        if one.verdict is not None
    )
    found = await desk.report.status()
    return evolve(
        found,
        findings=(*found.findings, *desk.notifications.findings()),
        receipts=receipts,
        acknowledged=tuple(acknowledged(desk)),
    )


async def retire(desk: Desk, caller: str, asked: RetireArguments) -> StationResult:
    """Want nothing of a station any more, and let the broker forget it."""
    async with desk.ledger.writing:
        station = desk.find(asked.station)
        name = desk.name(station)
        if desk.inventory.presence(station) is PresenceState.ONLINE and not asked.force:
            raise CommandFailed(
                f"{name} is online; stop its fleet-agent first, or add --force: it then runs on "
                "as it is, and nobody looks after it"
            )
        running = desk.ledger.running
        if running and any(
            one.station == station and (one.outcome is Outcome.WAITING or running.undo_on_failure)
            for one in running.targets
        ):
            raise CommandFailed(
                f"{name} has its part in rollout {running.number}, which is running; wait "
                "for it (fleet rollout), or end it with: fleet rollout --stop"
            )
        highest = desk.ledger[station].highest
        await desk.ledger.retire(station, datetime.now(UTC), caller)
        await desk.clear(station)
    log.info("%s retired %s (%s)", caller, name, station)
    return StationResult(station, name, highest)


async def adopt(desk: Desk, caller: str, asked: AdoptArguments) -> StationResult:
    """Want of a station what it runs."""
    async with desk.ledger.writing:
        station = desk.find(asked.station)
        name, entry = desk.name(station), desk.ledger[station]
        heard = desk.inventory.get(station)
        if entry.config is not None:
            raise InvalidArguments(
                f"{name} needs no adoption: revision {entry.config.revision} is wanted of it"
            )
        if heard is None or heard.ack is None:
            raise CommandFailed(
                f"{name} has not said what it runs; start its fleet-agent, or restart it"
            )
        in_force = heard.ack.in_force
        revision = next_revision(entry.highest, heard.ack)
        if revision is None:
            raise CommandFailed(
                f"the station {station} claims the highest revision there is: delete decision.json "
                "in its state directory, then systemctl restart fleet-agent"
            )
        message = f"adopted by {caller}, runs as revision {in_force.revision}"
        made = issue(
            station,
            revision,
            in_force.roles,
            entry.facts,
            at=datetime.now(UTC),
            by="adopted",
            message=message,
            signing=desk.ledger.signing,
        )
        await desk.ledger.write([made])
    desk.publish([station])
    return StationResult(station, name, revision)


async def maintenance(desk: Desk, caller: str, asked: MaintenanceArguments) -> SaidResult:
    """Somebody works on a room or a station, or does no more."""
    kind: Literal["room", "station"] = "room"
    name = asked.target
    if name not in desk.rooms():
        try:
            kind, name = "station", desk.find(asked.target)
        except InvalidArguments:
            known = {*desk.rooms(), *(desk.name(id_) for id_ in desk.ledger)}
            hint = close_match(asked.target, sorted(known))
            raise InvalidArguments(
                f"there is no room or station {asked.target!r}"
                f"{hint or '; fleet status shows all there are'}"
            ) from None
    said = _said(kind, name, "on", caller, asked.seconds) if asked.on else None
    shown = name if kind == "room" else desk.name(name)
    text = f"{'on' if said else 'off'}{_until(desk, said)}"
    text, station = (text, name) if kind == "station" else (f"{name} {text}", None)
    deed = Deed(datetime.now(UTC), "maintenance", caller, text, station)
    await desk.ledger.say(kind, name, said, deed)
    return SaidResult(
        kind, shown, "on" if said else "off", said.until if said else None, desk.timezone
    )


async def talk(desk: Desk, caller: str, asked: TalkArguments) -> SaidResult:
    """A talk is on or off in a room, whatever its hours, or as they say."""
    room = desk.find_room(asked.room)
    said = None
    if asked.talk != "auto":
        seconds = asked.seconds or TALK_HOLDS.total_seconds()
        said = _said("talk", room, asked.talk, caller, seconds)
    text = f"{room} {asked.talk}{_until(desk, said)}"
    await desk.ledger.say("talk", room, said, Deed(datetime.now(UTC), "talk", caller, text))
    return SaidResult("room", room, asked.talk, said.until if said else None, desk.timezone)


def _until(desk: Desk, said: Override | None) -> str:
    if said is None or said.until is None:
        return ""
    return f" until {day_and_clock(said.until, said.since.astimezone(ZoneInfo(desk.timezone)))}"


def _said(
    kind: OverrideKind, name: str, state: Any, caller: str, seconds: float | None
) -> Override:
    at = datetime.now(UTC)
    until = at + timedelta(seconds=seconds) if seconds is not None else None
    return Override(kind, name, state, caller, at, until)

"""What operators ask: plan, apply, status. The caller comes from the topic, never the payload."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from fleet.manager import conference, plan, report
from fleet.manager.convergence import next_revision
from fleet.manager.inventory import Inventory
from fleet.manager.ledger import Entry, Ledger
from fleet.manager.revisions import issue
from fleet.manager.store import BadStore
from fleet.manager.store import Conference as AppliedFile
from fleet.manager.wanted import Wanted
from fleet.model import (
    MAX_REQUEST,
    CommandFailed,
    InvalidArguments,
    PresenceState,
    Refusal,
    Reply,
    State,
    UnknownCommand,
)
from fleet.operations import (
    ApplyArguments,
    ApplyResult,
    Change,
    PlanArguments,
    PlanResult,
    StationChange,
    StatusResult,
)
from fleet.wire import Undecodable, decode, encode, loads, to_json

log = logging.getLogger(__name__)

_AT_WORK: Final = (State.STARTING, State.RUNNING, State.BACKOFF)


class Requests:
    """Answers requests; `publish` is given the stations whose wanted config has changed."""

    def __init__(
        self, ledger: Ledger, inventory: Inventory, publish: Callable[[Iterable[str]], None]
    ) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._publish = publish
        self._operations: dict[str, Callable[[str, bytes], Awaitable[Any]]] = {
            "plan": self._plan,
            "apply": self._apply,
            "status": self._status,
        }

    async def answer(self, caller: str, operation: str, payload: bytes) -> bytes:
        """The reply to a request, as it travels. Never raises for what was asked."""
        try:
            asked = self._operations.get(operation)
            if asked is None:
                known = ", ".join(self._operations)
                raise UnknownCommand(
                    f"this manager has no operation {operation!r} (it has: {known}); "
                    "are `fleet` and `fleet-manager` of the same version?"
                )
            result = await asked(caller, payload)
            reply = encode(Reply(to_json(result), None))
        except Refusal as refusal:
            reply = encode(Reply(None, refusal.error))
        except BadStore as error:
            reply = encode(Reply(None, CommandFailed(str(error)).error))
        except Exception as error:
            log.exception("the operation %s, asked by %s, broke", operation, caller)
            failed = CommandFailed(f"the manager broke over this ({error!r}); its log says more")
            reply = encode(Reply(None, failed.error))
        if len(reply) > MAX_REQUEST:
            failed = CommandFailed(
                f"the answer has {len(reply)} bytes, at most {MAX_REQUEST} travel"
            )
            return encode(Reply(None, failed.error))
        return reply

    async def _plan(self, caller: str, payload: bytes) -> PlanResult:  # noqa: ARG002
        asked = _arguments(payload, PlanArguments)
        wanted = await asyncio.to_thread(conference.read, asked.text, asked.name)
        return self._compare(wanted)

    async def _apply(self, caller: str, payload: bytes) -> ApplyResult:
        asked = _arguments(payload, ApplyArguments)
        wanted = await asyncio.to_thread(conference.read, asked.text, asked.name)
        async with self._ledger.writing:
            planned = self._compare(wanted)
            changed = {change.id for change in planned.changes}
            at = datetime.now(UTC)
            issues = [
                issue(
                    one.id,
                    self._number(one.id),
                    one.roles,
                    one.facts,
                    at=at,
                    by=caller,
                    message=asked.message,
                )
                for one in wanted.stations.values()
                if one.id in changed or _moves(one, self._ledger[one.id])
            ]
            facts = [
                (one.id, one.facts)
                for one in wanted.stations.values()
                if self._ledger[one.id].facts != one.facts
            ]
            applied = AppliedFile(at, caller, asked.name, asked.message, asked.text)
            await self._ledger.write(issues, facts, applied)
        revisions = {one.station: one.revision for one, _ in issues}
        log.info("%s applied %s: %d stations changed", caller, asked.name, len(revisions))
        self._publish(revisions)
        return ApplyResult(planned, revisions)

    async def _status(self, caller: str, payload: bytes) -> StatusResult:  # noqa: ARG002
        try:
            loads(payload or b"{}", MAX_REQUEST)
        except Undecodable as error:
            raise InvalidArguments(str(error)) from None
        return report.status(self._ledger, self._inventory, datetime.now(UTC))

    def _compare(self, wanted: conference.Conference) -> PlanResult:
        changes: list[Change] = []
        warnings: list[str] = []
        stations: list[StationChange] = []
        for one in wanted.stations.values():
            entry, heard = self._ledger[one.id], self._inventory.get(one.id)
            now = entry.config.roles if entry.config else {}
            changes += plan.changes(one, now, self._running(one.id))
            change = plan.station_change(one, entry.facts, new=entry.config is None)
            if change is not None:
                stations.append(change)
            if heard is not None and heard.registration is not None:
                warnings += plan.warnings(one, heard.registration)
        unnamed = (
            self._ledger[id_].facts.name or id_
            for id_ in report.stations(self._ledger, self._inventory)
            if id_ not in wanted.stations
        )
        return PlanResult(tuple(changes), tuple(warnings), tuple(unnamed), tuple(stations))

    def _running(self, station: str) -> frozenset[tuple[str, str]]:
        heard = self._inventory.get(station)
        if (
            heard is None
            or heard.status is None
            or self._inventory.presence(station) is not PresenceState.ONLINE
        ):
            return frozenset()
        return frozenset(
            (role, name)
            for role, instances in heard.status.roles.items()
            for name, one in instances.items()
            if one.state in _AT_WORK
        )

    def _number(self, station: str) -> int:
        heard = self._inventory.get(station)
        number = next_revision(self._ledger[station].highest, heard.ack if heard else None)
        if number is None:
            raise CommandFailed(
                f"the station {station} claims the highest revision there is: no higher one can "
                "be given to it; remove its state directory and restart its agent"
            )
        return number


def _moves(wanted: Wanted, entry: Entry) -> bool:
    """Whether the station needs a new revision even if no instance changes."""
    config, facts = entry.config, wanted.facts
    return config is None or (config.name, config.room) != (facts.name, facts.room)


def _arguments(payload: bytes, cls: type[Any]) -> Any:
    try:
        return decode(payload, cls, MAX_REQUEST)
    except Undecodable as error:
        raise InvalidArguments(f"the request cannot be read: {error}") from None

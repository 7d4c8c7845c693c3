"""Which secrets there are, and one on its way: sealed, so that nobody here can read it."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any, Final

from fleet.host import named_secrets
from fleet.manager import report
from fleet.manager.asking import NoAnswer
from fleet.manager.operations.desk import Desk
from fleet.manager.store import Deed
from fleet.model import InvalidArguments, PresenceState, is_name, natural
from fleet.operations.secrets import (
    SecretSet,
    SecretSetArguments,
    SecretSetResult,
    SecretsResult,
    StationSecrets,
)
from fleet.station import STATION, SecretResult
from fleet.strict import Mistakes, structure
from fleet.wire import to_json

log = logging.getLogger(__name__)

_SECONDS: Final = 8.0
_AT_ONCE: Final = 50


async def secrets(desk: Desk, caller: str, asked: Any) -> SecretsResult:  # noqa: ARG001
    """Names, times and hosts; no station tells more."""
    found = []
    for id_ in report.shown(desk.ledger, desk.inventory):
        entry, heard = desk.ledger[id_], desk.inventory.get(id_)
        said = heard.registration if heard else None
        named = named_secrets(to_json(entry.config.roles)) if entry.config else set()
        found.append(
            StationSecrets(
                id_,
                desk.name(id_),
                entry.facts.room,
                desk.inventory.presence(id_),
                said.public_key if said else None,
                said.secrets if said else (),
                tuple(sorted(named)),
            )
        )
    found.sort(key=lambda one: natural(one.name))
    return SecretsResult(tuple(found), datetime.now(UTC), desk.timezone)


async def secret_set(desk: Desk, caller: str, asked: SecretSetArguments) -> SecretSetResult:
    """Hand each station what is sealed to it; what one does not take changes nothing elsewhere."""
    if not is_name(asked.name):
        raise InvalidArguments(f"{asked.name[:100]!r} cannot be the name of a secret")
    stations = {desk.find(one): sealed for one, sealed in asked.sealed.items()}
    places = asyncio.Semaphore(_AT_ONCE)

    async def hand(station: str, sealed: str) -> SecretSet:
        async with places:
            return await _hand(desk, station, sealed)

    found = await asyncio.gather(*(hand(*one) for one in stations.items()))
    at = datetime.now(UTC)
    what = f"secret {asked.name} {'removed' if asked.remove else 'set'}"
    for station, one in zip(stations, found, strict=True):
        if one.problem is None:
            await desk.ledger.do(Deed(at, "secret", caller, what, station))
    log.info("%s: %s on %d of %d stations", caller, what, _done(found), len(found))
    return SecretSetResult(tuple(sorted(found, key=lambda one: natural(one.station))))


def _done(found: list[SecretSet]) -> int:
    return sum(one.problem is None for one in found)


async def _hand(desk: Desk, station: str, sealed: str) -> SecretSet:
    name = desk.name(station)
    if desk.inventory.presence(station) is not PresenceState.ONLINE:
        return SecretSet(name, (), "it is not online: set it again once it is back")
    try:
        reply = await desk.asker.ask(station, STATION, "secret", {"sealed": sealed}, None, _SECONDS)
        if reply.error is not None:
            return SecretSet(name, (), reply.error.message)
        done = structure(reply.result, SecretResult)
    except NoAnswer as error:
        return SecretSet(name, (), f"{error}: try it again")
    except Mistakes:
        return SecretSet(name, (), "its answer cannot be understood: is its agent a newer release?")
    return SecretSet(name, done.restarting, None)

"""Sees boxes that are replaced to their end: their successor has accepted, or they are gone.

That may be long after the rollout that began it: the new box may still be in its carton.
"""

import time
from datetime import UTC, datetime
from typing import Final

from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.revisions import Draft
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store.ledger import Ledger
from fleet.model import Config, PresenceState, Result, Roles

_GONE: Final = 30.0
"""Seconds after which a station that nobody ever heard is taken for gone."""
_NOTHING_WANTED: Final[Roles] = {}
_NOWHERE: Final = Facts()


def next_draft(ledger: Ledger, inventory: Inventory, connected_at: float) -> Draft | None:
    """Empty the boxes whose time has come; None where there are none.

    `connected_at`: the monotonic second since which stations can be heard.
    """
    draft = Draft(ledger, inventory, datetime.now(UTC), "manager", None)
    for station in sorted(ledger.replacing):
        successor = ledger[station].replaced_by
        config = ledger[successor].config if successor else None
        if successor is None or config is None:
            draft.replaced[station] = None
        elif _is_gone(inventory, station, connected_at) or (
            _has_accepted(inventory, successor, config) and _is_known(inventory, station)
        ):
            draft.replaced[station] = None
            draft.facts[station] = _NOWHERE
            if ledger[station].config is not None:
                draft.add(station, _NOTHING_WANTED, _NOWHERE, f"replaced by {successor}")
    return draft if draft.replaced else None


def _has_accepted(inventory: Inventory, station: str, config: Config) -> bool:
    heard = inventory.get(station)
    ack = heard.ack if heard else None
    return (
        ack is not None
        and ack.revision == config.revision
        and ack.result is Result.ACCEPTED
        and ack.in_force.roles == config.roles
    )


def _is_known(inventory: Inventory, station: str) -> bool:
    """Whether it has said what it runs: that may show that nothing is to be done to it."""
    heard = inventory.get(station)
    return heard is not None and heard.ack is not None


def _is_gone(inventory: Inventory, station: str, connected_at: float) -> bool:
    presence = inventory.presence(station)
    if presence is PresenceState.UNKNOWN:
        return time.monotonic() - connected_at > _GONE
    return presence in (PresenceState.OFFLINE, PresenceState.LOST)

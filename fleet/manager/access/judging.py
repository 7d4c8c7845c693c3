"""Decides what becomes of a box that asks to join. Pure."""

from datetime import datetime

from attrs import frozen

from fleet.joining import JoinRequest
from fleet.manager.store import KeptCredential, KeptToken
from fleet.model import Error, counted


@frozen
class JoinRefusal:
    """Why a box is not let in."""

    error: Error


@frozen
class JoinWaits:
    """Somebody has to say yes."""


@frozen
class JoinGrant:
    """It is let in. `counts`: whether that is one more use of the token."""

    counts: bool


def judge(
    asked: JoinRequest, token: KeptToken, known: KeptCredential | None, at: datetime, approved: bool
) -> JoinRefusal | JoinWaits | JoinGrant:
    """What becomes of a box that asks with this token; `known`: what its id has already."""
    if at >= token.until:
        return _refused("TokenExpired", "the token has expired; fleet token prints another line")
    if known is not None and known.public_key != asked.public_key:
        return _refused(
            "IdTaken",
            f"the id {asked.station} is another box's, which joined before. If this box takes its "
            f"place, or was set up anew: fleet revoke {asked.station}, then join again; else give "
            "this one its own: fleet-agent join … --station ID",
        )
    if known is not None and known.token == token.id:
        return JoinGrant(counts=False)  # the answer was lost
    if token.uses is not None and token.used >= token.uses:
        return _refused(
            "TokenUsedUp",
            f"the token has let in {token.used} of {counted(token.uses, 'box', 'boxes')}; "
            "fleet token prints another line",
        )
    if token.approve and not approved:
        return JoinWaits()
    return JoinGrant(counts=True)


def _refused(kind: str, message: str) -> JoinRefusal:
    return JoinRefusal(Error(kind, message))

"""The boxes that wait for somebody's yes, each with the code by which it is told from the others.

They are not kept: a box asks again and again, and one that does not is forgotten.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from fleet.joining import ASK_AGAIN, JoinRequest
from fleet.operations import WaitingBox

_ALPHABET: Final = "ACDEFGHJKMNPQRTWXY"
"""Of codes: no letter that is taken for another or for a digit."""
_CODE: Final = 8
_MOST: Final = 500
_FORGOTTEN: Final = 3 * ASK_AGAIN


@frozen
class HeardBox:
    """One that waits. `token`: it asks with; `box`: what it calls itself for the answer; `heard`:
    when it asked last, in monotonic seconds.
    """

    code: str
    asked: JoinRequest
    token: str
    box: str
    since: datetime
    heard: float


class WaitingBoxes:
    """All of them, by their public keys."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._boxes: dict[str, HeardBox] = {}

    def __iter__(self) -> Iterator[HeardBox]:
        """The first to ask first."""
        now = self._clock()
        there = (one for one in self._boxes.values() if now - one.heard <= _FORGOTTEN)
        return iter(sorted(there, key=lambda one: one.since))

    def hear(self, asked: JoinRequest, token: str, box: str, at: datetime) -> HeardBox | None:
        """One asks, for the first time or again; None where too many wait."""
        now = self._clock()
        for key in [k for k, one in self._boxes.items() if now - one.heard > _FORGOTTEN]:
            del self._boxes[key]
        before = self._boxes.get(asked.public_key)
        if before is not None and _who(before.asked) != _who(asked):
            before = None  # what somebody says yes to is what they were shown
        if asked.public_key not in self._boxes and len(self._boxes) >= _MOST:
            return None
        found = HeardBox(self._new_code(), asked, token, box, at, now)
        if before is not None:
            found = evolve(found, code=before.code, since=before.since)
        self._boxes[asked.public_key] = found
        return found

    def forget(self, public_key: str) -> None:
        """It waits no more."""
        self._boxes.pop(public_key, None)

    def find(self, code: str) -> HeardBox | None:
        """The one that shows this code, however it is typed."""
        plain = "".join(code.upper().split()).replace("-", "")
        return next((one for one in self if one.code.replace("-", "") == plain), None)

    def _new_code(self) -> str:
        taken = {one.code for one in self._boxes.values()}
        while True:
            letters = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE))
            if (code := f"{letters[:4]}-{letters[4:]}") not in taken:
                return code


def _who(asked: JoinRequest) -> tuple[str, str]:
    return asked.station, asked.hostname


def shown(one: HeardBox, room: str | None) -> WaitingBox:
    """As people are shown it; `room`: its token's."""
    asked = one.asked
    return WaitingBox(
        one.code, asked.station, asked.hostname, asked.mac, asked.addresses, room, one.since
    )

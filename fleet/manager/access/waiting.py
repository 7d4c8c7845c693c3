"""The boxes that wait for somebody's yes, each with the code by which it is told from the others.

They are not kept: a box asks again and again, at once where a manager begins, and one that does
not is forgotten. Its code is the same then: it comes from its key and what it says of itself, by a
secret that outlives the manager, so that nobody can look for a key that has somebody else's code.
"""

import hmac
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count
from typing import Final

from attrs import frozen

from fleet.joining import ASK_AGAIN, JoinRequest
from fleet.operations.joining import WaitingBox

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

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret = secret
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
        if before is None and len(self._boxes) >= _MOST:
            return None
        if before is not None and _who(before.asked) != _who(asked):
            before = None  # what somebody says yes to is what they were shown
        since = at if before is None else before.since
        code = self._new_code(asked) if before is None else before.code
        found = HeardBox(code, asked, token, box, since, now)
        self._boxes[asked.public_key] = found
        return found

    def forget(self, public_key: str) -> None:
        """It waits no more."""
        self._boxes.pop(public_key, None)

    def find(self, code: str) -> HeardBox | None:
        """The one that shows this code, however it is typed."""
        plain = "".join(code.upper().split()).replace("-", "")
        return next((one for one in self if one.code.replace("-", "") == plain), None)

    def _new_code(self, asked: JoinRequest) -> str:
        taken = {one.code for key, one in self._boxes.items() if key != asked.public_key}
        said = "\0".join((asked.public_key, *_who(asked)))
        for number in count():
            made = hmac.digest(self._secret, f"{said}\0{number}".encode(), "sha256")
            letters = "".join(_ALPHABET[one % len(_ALPHABET)] for one in made[:_CODE])
            if (code := f"{letters[:4]}-{letters[4:]}") not in taken:
                return code
        raise AssertionError("there is no end of numbers")


def _who(asked: JoinRequest) -> tuple[str, str]:
    return asked.station, asked.hostname


def shown(one: HeardBox, room: str | None) -> WaitingBox:
    """As people are shown it; `room`: its token's."""
    asked = one.asked
    return WaitingBox(
        one.code, asked.station, asked.hostname, asked.mac, asked.addresses, room, one.since
    )

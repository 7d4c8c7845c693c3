"""Answers what operators ask: in time, and in view of all that stations said before."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from fleet.manager.people.tries import AtOnce
from fleet.manager.requests import OperatorRequests
from fleet.manager.stations.allowances import ASKED_BURST, ASKED_PER_SECOND, Allowances
from fleet.model import MAX_CORRELATION, CommandFailed, Reply
from fleet.mqtt import Link, Message
from fleet.topics import Address, Topics
from fleet.wire import encode

_TICK: Final = 0.25
_AFTER_HELD: Final = 1.0
"""Seconds after the loop was held in which what is read may have waited for all that time."""
_AT_ONCE: Final = 32
"""Answers that one caller waits for over MQTT."""
_CALLERS: Final = 5000
"""Who asked lately, and is told from the others."""
_UNTIMED: Final = 30.0
"""Seconds a request lives that says nothing of it."""


class Answering:
    """Of one manager, over all its connections."""

    def __init__(
        self,
        topics: Topics,
        requests: OperatorRequests,
        hear_all: Callable[[], Awaitable[None]],
        caught_up: asyncio.Event,
        do: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`hear_all` returns when what was said before is heard, `caught_up` is set when what the
        broker kept is; `do` has something done in the background."""
        self._topics = topics
        self._requests = requests
        self._hear_all = hear_all
        self._caught_up = caught_up
        self._do = do
        self._asking = AtOnce(_AT_ONCE)
        self._asked = Allowances(ASKED_BURST, ASKED_PER_SECOND)
        self._link: Link | None = None
        self._awake = time.monotonic()
        self._held, self._held_until = 0.0, 0.0
        self._waking: asyncio.TimerHandle | None = None

    def connect(self, link: Link) -> None:
        """Answer over this connection."""
        self._link = link
        if self._waking is None:
            self._awake = time.monotonic()
            self._stay_awake()

    def disconnect(self) -> None:
        """Nobody can be answered any more."""
        self._link = None

    def asked(self, address: Address, message: Message) -> str | None:
        """Somebody asks for something; why that is ignored, None where it is answered."""
        if message.retain or message.correlation is None:
            return "a request must not be retained and needs correlation data"
        if len(message.correlation) > MAX_CORRELATION:
            return f"its correlation data has more than {MAX_CORRELATION} bytes"
        caller, now = address.rest[0], time.monotonic()
        if len(self._asked) > _CALLERS:
            self._asked.tidy(now)
        whose = caller if len(self._asked) <= _CALLERS else ""  # nobody has so many people
        left = self._asked.left(whose, now) - 1
        if left < -_AT_ONCE:
            return f"{caller} asks more than {ASKED_PER_SECOND:.0f} times a second"
        self._asked.spend(whose, now, 1)
        deadline, turn = self._deadline(message), max(0.0, -left / ASKED_PER_SECOND)
        self._do(self._answer(address, message.payload, message.correlation, deadline, turn))
        return None

    async def _answer(
        self, address: Address, payload: bytes, correlation: bytes, deadline: float, turn: float
    ) -> None:
        caller, operation = address.rest
        with self._asking.one(caller) as may_ask:
            if may_ask:
                # Whoever asks one thing after the other, however fast, is answered each time.
                await asyncio.sleep(turn)
                await self._caught_up.wait()
                reply = await self.answer(caller, operation, payload, deadline)
            else:
                refused = CommandFailed(f"{caller} waits for {_AT_ONCE} answers; ask again later")
                reply = encode(Reply(None, refused.error))
        if self._link is not None:
            topic = self._topics.manager("reply", caller)
            await self._link.publish(topic, reply, correlation=correlation)

    async def answer(self, caller: str, operation: str, payload: bytes, deadline: float) -> bytes:
        """The reply to what somebody asks, in view of all that was said before. Never raises."""
        await self._hear_all()
        return await self._requests.answer(caller, operation, payload, deadline)

    def _deadline(self, message: Message) -> float:
        """When a request expires, by our clock; one that waited while we were held is older."""
        now = time.monotonic()
        left = _UNTIMED if message.expiry is None else message.expiry
        held = self._held if now < self._held_until else 0.0
        return now + left - max(held, now - self._awake - _TICK, 0.0)

    def _stay_awake(self) -> None:
        """Note again and again that the loop turns, and for how long it did not."""
        now = time.monotonic()
        held = now - self._awake - _TICK
        if held > _TICK:
            # What came meanwhile may be read a little later than this is noted.
            self._held, self._held_until = held, now + _AFTER_HELD
        self._awake = now
        self._waking = asyncio.get_running_loop().call_later(_TICK, self._stay_awake)

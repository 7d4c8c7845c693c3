"""Asks stations: commands of the manager's own, as an operator sends them.

Replies are heard like all that strangers say, without properties, so they carry no correlation
data: a caller's name of its own, out of a few, tells one call to a station from the next.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

from fleet.model import CommandRequest, Reply
from fleet.mqtt import Disconnected, Filter, Link, NobodyListening, Refused
from fleet.station import OF_MANAGER
from fleet.topics import Topics
from fleet.wire import Undecodable, decode, encode

_NAMES: Final = 8
"""Calls to one station at once; one that is answered after eight more is answered too late."""
_GRACE: Final = 1.0
"""Seconds more for the answer that the deadline has passed."""


class NoAnswer(Exception):
    """A station did not answer; the text says why."""


class StationAsker:
    """Asks over the connection that there is. `boot`: the manager's."""

    def __init__(self, topics: Topics, boot: str) -> None:
        self._topics = topics
        self._callers = [f"{OF_MANAGER}{boot[:8]}-{number}" for number in range(_NAMES)]
        self._calls = count()
        self._link: Link | None = None
        self._waiting: dict[tuple[str, str], asyncio.Future[bytes]] = {}
        self._awaited: dict[str, set[asyncio.Event]] = {}

    @property
    def filters(self) -> list[Filter]:
        """What to subscribe to for the answers; those to others come too."""
        return [Filter(self._topics.reply("+", "+"), bare=True)]

    def connect(self, link: Link) -> None:
        """From now on stations can be asked."""
        self._link = link

    def disconnect(self) -> None:
        """Nobody can be asked."""
        self._link = None

    def received(self, station: str, caller: str, payload: bytes) -> None:
        """Hand every reply here."""
        waiting = self._waiting.get((station, caller))
        if waiting is not None and not waiting.done():
            waiting.set_result(payload)

    def heard(self, station: str) -> None:
        """A station said something of itself."""
        for news in self._awaited.get(station, ()):
            news.set()

    async def until(self, station: str, is_so: Callable[[], bool], seconds: float) -> bool:
        """Whether `is_so` within that time; it is looked at whenever the station says something."""
        news = asyncio.Event()
        waiting = self._awaited.setdefault(station, set())
        waiting.add(news)
        try:
            async with asyncio.timeout(seconds):
                while not is_so():
                    news.clear()
                    await news.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            waiting.discard(news)
            if not waiting:
                self._awaited.pop(station, None)

    async def ask(
        self,
        station: str,
        role: str,
        command: str,
        arguments: Mapping[str, Any],
        instance: str | None,
        seconds: float,
    ) -> Reply:
        """The station's reply to a command that may take so long.

        Raises:
            NoAnswer: there is none, or none that can be read.
        """
        link, caller = self._link, self._free(station)
        if link is None:
            raise NoAnswer("there is no broker")
        if caller is None:
            raise NoAnswer(f"it is asked {_NAMES} things already")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[station, caller] = answer
        try:
            async with asyncio.timeout(seconds + _GRACE):
                await link.ask(
                    self._topics.command(station, caller, role, command),
                    encode(CommandRequest(instance, arguments)),
                    correlation=secrets.token_bytes(8),
                    reply_topic=self._topics.reply(station, caller),
                    timeout=seconds,
                )
                return decode(await answer, Reply)
        except NobodyListening:
            raise NoAnswer("it does not listen") from None
        except TimeoutError:
            raise NoAnswer(f"it gave no answer within {seconds:g} s") from None
        except (Refused, Disconnected) as error:
            raise NoAnswer(f"it could not be asked: {error}") from None
        except Undecodable as error:
            raise NoAnswer(f"its answer cannot be understood: {error}") from None
        finally:
            del self._waiting[station, caller]

    def _free(self, station: str) -> str | None:
        """A caller's name that no call to the station has now."""
        for _ in self._callers:
            caller = self._callers[next(self._calls) % _NAMES]
            if (station, caller) not in self._waiting:
                return caller
        return None

"""Asks stations: commands of the manager's own, as an operator sends them."""

from collections.abc import Mapping
from typing import Any, Final

from fleet.model import CommandRequest, Reply
from fleet.mqtt import Disconnected, Filter, Link, Message, NobodyListening, Refused, Requests
from fleet.topics import Topics
from fleet.wire import Undecodable, decode, encode

CALLER: Final = "manager"
"""The name under which stations are asked."""


class NoAnswer(Exception):
    """A station did not answer; the text says why."""


class StationAsker:
    """Asks over the connection that there is."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._requests: Requests | None = None

    @property
    def filter(self) -> Filter:
        """What to subscribe to for the answers."""
        return Filter(self._topics.reply("+", CALLER))

    def connect(self, link: Link) -> None:
        """From now on stations can be asked."""
        self._requests = Requests(link)

    def disconnect(self) -> None:
        """Nobody can be asked."""
        self._requests = None

    def received(self, message: Message) -> None:
        """Hand every reply here."""
        if self._requests is not None:
            self._requests.received(message)

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
        if self._requests is None:
            raise NoAnswer("there is no broker")
        topic = self._topics.command(station, CALLER, role, command)
        payload = encode(CommandRequest(instance, arguments))
        reply_topic = self._topics.reply(station, CALLER)
        try:
            answer = await self._requests.ask(topic, payload, seconds, reply_topic, 1.0)
            return decode(answer, Reply)
        except NobodyListening:
            raise NoAnswer("it does not listen") from None
        except TimeoutError:
            raise NoAnswer(f"it gave no answer within {seconds:g} s") from None
        except (Refused, Disconnected) as error:
            raise NoAnswer(f"it could not be asked: {error}") from None
        except Undecodable as error:
            raise NoAnswer(f"its answer makes no sense here: {error}") from None

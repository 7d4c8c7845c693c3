"""What stations have said, so that a command can look at it without a manager."""

import asyncio
from typing import TypeVar

from fleet.mqtt import Message
from fleet.topics import Topics
from fleet.wire import Undecodable, decode

T = TypeVar("T")


class Heard:
    """What stations have said that is retained, by topic."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._payloads: dict[str, bytes] = {}
        self._news = asyncio.Event()

    def hear(self, message: Message) -> None:
        """Hand messages here."""
        address = self._topics.parse(message.topic)
        if address is not None and address.station is not None:
            if message.payload:
                self._payloads[message.topic] = message.payload
            else:
                self._payloads.pop(message.topic, None)
            self._news.set()

    def has(self, topic: str) -> bool:
        """Whether there was anything on `topic`."""
        return topic in self._payloads

    def latest(self, topic: str, cls: type[T]) -> T | None:
        """What was said last on `topic`; None where that was nothing, or nonsense."""
        try:
            return decode(self._payloads[topic], cls) if topic in self._payloads else None
        except Undecodable:
            return None

    def all(self, kind: str, cls: type[T]) -> dict[str, T]:
        """By station, what was said last on its topic `kind`."""
        found: dict[str, T] = {}
        for topic in self._payloads:
            address = self._topics.parse(topic)
            if address is None or address.kind != kind or address.station is None:
                continue
            if (said := self.latest(topic, cls)) is not None:
                found[address.station] = said
        return found

    async def until(self, topic: str) -> None:
        """Wait for anything on `topic`."""
        while topic not in self._payloads:
            self._news.clear()
            await self._news.wait()

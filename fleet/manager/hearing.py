"""What stations say, each to where it belongs: inventory, figures, pictures, convergence."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from fleet.manager.rollouts.pusher import Pusher
from fleet.manager.stations.inventory import Inventory, StationWord
from fleet.manager.stations.telemetry import Figures
from fleet.manager.stations.thumbnails import MOST_BYTES, Thumbnails
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.metrics import Counts
from fleet.model import (
    MAX_PAYLOAD,
    Ack,
    Presence,
    PresenceState,
    Registration,
    Segment,
    Status,
    Telemetry,
)
from fleet.mqtt import Message
from fleet.notify import Complaints
from fleet.wire import Undecodable, decode

log = logging.getLogger(__name__)

SAID: Final[dict[str, type[StationWord]]] = {
    "registration": Registration,
    "presence": Presence,
    "status": Status,
    "ack": Ack,
    "telemetry": Telemetry,
}


class Hearing:
    """Hears stations; never raises for what they say.

    `measured` is told of each station that sent figures; `forget` has the broker keep nothing on a
    topic any more.
    """

    def __init__(
        self,
        ledger: Ledger,
        inventory: Inventory,
        figures: Figures,
        thumbnails: Thumbnails,
        counts: Counts,
        pusher: Pusher,
        measured: Callable[[str], None],
        forget: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._figures = figures
        self._thumbnails = thumbnails
        self._counts = counts
        self._pusher = pusher
        self._measured = measured
        self._forget = forget
        self._complaints = Complaints(log)

    def said(self, station: str, kind: str, message: Message) -> None:
        """A station said something of a kind in `SAID`."""
        self._counts.messages[kind] += 1
        if not message.payload or not self._lets_in(station):
            return  # somebody cleared the topic
        if len(message.payload) > MAX_PAYLOAD:
            why = f"{len(message.payload)} bytes, at most {MAX_PAYLOAD} are read"
            self._clear(kind, message, why)
            return
        # What the broker kept is read whatever it costs: it is one message of a kind.
        if message.retain or self._inventory.work.take(station, time.monotonic(), 0.0):
            with self._at_the_cost_of(station):
                self._hear(station, kind, message)

    def _hear(self, station: str, kind: str, message: Message) -> None:
        try:
            said = decode(message.payload, SAID[kind])
        except Undecodable as error:
            self.ignore(kind, message, str(error))
            return
        heard = self._inventory.stations.get(station)
        before = (heard.state, heard.conflict) if heard else (PresenceState.UNKNOWN, False)
        if isinstance(said, Status) and said.called:
            known = heard.status.called if heard and heard.status else ()
            self._ledger.history.called(station, [it for it in said.called if it not in known])
        heard = self._inventory.hear(station, said, retained=message.retain, now=time.monotonic())
        if isinstance(said, Ack):
            self._pusher.ack(station, said, retained=message.retain)
        if isinstance(said, Registration) and not message.retain:
            self._pusher.consider(station, heard)  # it may take now what it rejected
        if isinstance(said, Status) and not message.retain:
            heard.hear_clock((said.at - datetime.now(UTC)).total_seconds())
        if isinstance(said, Telemetry) and not message.retain:
            self._figures.fold(station, said, heard.interval, time.monotonic())
            self._measured(station)
        if (heard.state, heard.conflict) != before:
            if not message.retain:
                self._ledger.note_presence(station, heard.state, said.boot)
            self._pusher.consider(station, heard)

    def recorded(self, station: str, message: Message) -> Segment | None:
        """The segment that a station told of, if it may tell of one now and it can be read."""
        self._counts.messages["segment"] += 1
        if not message.payload:
            return None  # somebody cleared the topic
        if message.retain or len(message.payload) > MAX_PAYLOAD:
            self._clear("segment", message, "kept by the broker, or too long")
        elif self._lets_in(station) and self._inventory.work.take(station, time.monotonic(), 0.0):
            with self._at_the_cost_of(station):
                try:
                    return decode(message.payload, Segment)
                except Undecodable as error:
                    self.ignore("segment", message, str(error))
        return None

    def _lets_in(self, station: str) -> bool:
        return self._inventory.lets_in(station, wanted=self._ledger[station].config is not None)

    @contextmanager
    def _at_the_cost_of(self, station: str) -> Iterator[None]:
        """What is done inside takes its time of the processor from the station's allowance."""
        began = time.thread_time()
        try:
            yield
        finally:
            taken = time.thread_time() - began
            self._inventory.work.spend(station, time.monotonic(), taken)

    def pictured(self, station: str, whose: tuple[str, ...], message: Message) -> None:
        """A thumbnail came; `whose`: role and instance."""
        role, instance = whose
        self._counts.messages["thumbnail"] += 1
        if not message.payload or not self._lets_in(station):
            return  # somebody cleared the topic
        jpeg, now = message.payload, time.monotonic()
        if message.retain or len(jpeg) > MOST_BYTES:
            self._clear("thumbnail", message, "kept by the broker, or more than 64 KiB")
        elif self._inventory.work.take(station, now, 0.0):
            with self._at_the_cost_of(station):
                if not self._thumbnails.fold(station, role, instance, jpeg, now):
                    self.ignore("thumbnail", message, "not a JPEG, or too large")

    def sent(self, station: str, message: Message) -> None:
        """Somebody else sent a config to a station."""
        if self._pusher.foreign(station, message.payload):
            self._complaints.say(
                "somebody else sent a config to %s: what is wanted stays, and is sent again",
                station,
            )

    def tick(self) -> None:
        """Conclude what silence says."""
        for station in self._inventory.tick(time.monotonic()):
            heard = self._inventory.stations[station]
            boot = heard.presence.boot if heard.presence else None
            self._ledger.note_presence(station, heard.state, boot)
            self._pusher.consider(station, heard)

    def forget(self, station: str) -> None:
        """Know nothing of a station until it is heard again."""
        self._inventory.forget(station)
        self._figures.forget(station)
        self._thumbnails.forget(station)

    def ignore(self, kind: str, message: Message, why: str) -> None:
        """Count a message that changed nothing, and say why."""
        self._counts.undecodable[kind] += 1
        self._complaints.say("ignored a message on %s: %s", message.topic, why)

    def _clear(self, kind: str, message: Message, why: str) -> None:
        """Ignore what the broker shall not keep, and have it forget that."""
        self.ignore(kind, message, why)
        self._forget(message.topic)

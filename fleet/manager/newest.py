"""Whether our store is the newest: the broker keeps how often it had been written.

A copy of the whole state directory brings all that lies in it back to an earlier state, also what
would tell; what the broker keeps is not in it.
"""

import logging

from fleet.manager.store.ledger import Ledger
from fleet.manager.store.signing import Signer
from fleet.model import StoreMark
from fleet.mqtt import Disconnected, Link, Message, Refused
from fleet.topics import Topics
from fleet.wire import decode, encode

log = logging.getLogger(__name__)


class NewestStore:
    """What is said of the store, over all connections."""

    def __init__(self, topics: Topics, ledger: Ledger) -> None:
        self._topic = topics.manager("store")
        self._ledger = ledger
        self._heard = 0
        self._told: int | None = None
        self._link: Link | None = None

    async def connect(self, link: Link) -> None:
        """What the broker kept was heard: see whether it knows a newer state of the store."""
        await self._ledger.compare(self._heard)
        self._heard, self._told, self._link = 0, None, link

    def disconnect(self) -> None:
        """The connection has ended."""
        self._link = None

    def heard(self, message: Message) -> None:
        """A manager, or we ourselves, said how often its store was written.

        Raises:
            Undecodable: it makes no sense.
        """
        said = decode(message.payload, StoreMark) if message.payload else None
        ours = self._ledger.signing
        if said and ours.signer("", said.written, {}, said.signature) is Signer.US:
            self._heard = max(self._heard, said.written)
        else:
            self._told = None  # somebody cleared or overwrote it

    async def tell(self) -> None:
        """Have the broker keep how often the store was written by now."""
        written, link = self._ledger.written, self._link
        if link is None or written == self._told:
            return
        self._told = written
        mark = StoreMark(written, self._ledger.signing.sign("", written, {}))
        try:
            await link.publish(self._topic, encode(mark), retain=True)
        except Refused as error:
            log.error("an older copy of the store may not be known for one: %s", error)
        except Disconnected:
            pass  # the next connection tells it

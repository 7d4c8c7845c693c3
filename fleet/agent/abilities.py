"""What this box is and can do: noticed when it is new, and told as its registration."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from fleet.agent.box import registration
from fleet.agent.box.devices import CaptureDevices
from fleet.agent.config.catalogue import Catalogue
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.outgoing import Identity, Outgoing
from fleet.model import Registration
from fleet.mqtt import Disconnected, Link, Refused

log = logging.getLogger(__name__)

LOOK_AROUND: Final = 60.0
"""Seconds after which new devices, addresses and installed tools are noticed."""


class Abilities:
    """Of one station. `known`: what it can run, as it was found last."""

    def __init__(
        self,
        identity: Identity,
        supervisor: Supervisor,
        catalogue: Callable[[], Catalogue],
        devices: CaptureDevices,
        recover: Callable[[Catalogue], Awaitable[None]],
        outgoing: Outgoing,
    ) -> None:
        """`recover` is called whenever that was looked for anew."""
        self.known = catalogue()
        self._me = identity
        self._supervisor = supervisor
        self._catalogue = catalogue
        self._devices = devices
        self._recover = recover
        self._outgoing = outgoing
        self._looking = asyncio.Lock()
        """Held while role files are read."""
        self._introduced: Registration | None = None

    async def introduce(self, link: Link) -> None:
        """Tell a broker that knows nothing of it.

        Raises:
            Disconnected: it cannot be told.
        """
        async with self._looking:
            self.known = await asyncio.to_thread(self._catalogue)  # role files may take their time
        await self.say_again(link)

    async def say_again(self, link: Link) -> None:
        """Tell what was told already.

        Raises:
            Disconnected: it cannot be told.
        """
        self._introduced = None
        await self._introduce(link)

    async def look_around(self) -> None:
        """Notice for ever what is new on this box; needs no broker."""
        while True:
            await self._supervisor.tidy(self.known.factories)
            await asyncio.sleep(LOOK_AROUND)
            await self.reload()

    async def look_for_devices(self) -> None:
        """Tell for ever of devices that come and go; needs no broker."""
        await self._devices.watch(self.tell_what_is_new)

    async def reload(self) -> Catalogue:
        """Notice what is new on this box now; what it can run."""
        async with self._looking:
            known = await asyncio.to_thread(self._catalogue)
            await asyncio.to_thread(self._devices.look)
            self.known = known
            await self._recover(known)
            await self.tell_what_is_new()
        return known

    async def tell_what_is_new(self) -> None:
        """Say what this box is and can do, unless nothing is new."""
        with suppress(Disconnected):  # who talks hears of it too
            if self._outgoing.link is not None:
                await self._introduce(self._outgoing.link)

    async def _introduce(self, link: Link) -> None:
        """Publish the registration, unless nothing is new."""
        said = registration.registration(
            self._me.boot,
            self.known,
            self._devices.found,
            self._me.public_key,
            tuple(self._me.secrets.there()),
        )
        if said == self._introduced:
            return
        self._introduced = said
        payload, without = registration.payload(said)
        if without:
            roles = ", ".join(without)
            log.warning("the registration is too long: the schemas of %s are left out", roles)
        station = self._me.station
        try:
            await link.publish(self._me.topics.registration(station), payload, retain=True)
        except Refused as error:  # nobody would see the station: try again from the beginning
            raise Disconnected(f"{error}; may this user speak for station {station}?") from None

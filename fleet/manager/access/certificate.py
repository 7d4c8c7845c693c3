"""Watches the certificate that the broker shows, and renews it where this manager may.

What matters is what is shown, not what a file says: a broker that was not told to read a new one
shows the old.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fleet.manager.access.authority import ends
from fleet.manager.access.init import CannotInit
from fleet.manager.access.renewing import can_renew, renew
from fleet.manager.findings.whole import certificate_finding
from fleet.mqtt import Broker
from fleet.operations.health import HealthFinding

log = logging.getLogger(__name__)

_LOOK: Final = 3600.0
_PATIENCE: Final = 10.0


class CertificateWatch:
    """Of one broker. `directory`: what `fleet-manager init` made, None where that is not known."""

    def __init__(self, broker: Broker, directory: Path | None) -> None:
        self._broker = broker
        self._directory = directory
        self.ends: datetime | None = None
        """When the certificate that is shown is over; None without TLS, or before it was seen."""

    def findings(self) -> Iterator[HealthFinding]:
        """Whether it ends soon."""
        if self.ends is not None:
            yield from certificate_finding(self.ends, datetime.now(UTC))

    async def keep(self) -> None:
        """Look for ever."""
        while self._broker.tls:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(_LOOK)

    def _look(self) -> None:
        if self._directory is not None and can_renew(self._directory):
            try:
                until = renew(self._directory)
            except CannotInit as error:
                log.error("the broker's certificate is not renewed: %s", error)
            else:
                if until is not None:
                    log.info("the broker's certificate is renewed, and ends %s", until)
        place = self._broker.host, self._broker.port
        try:
            self.ends = ends(ssl.get_server_certificate(place, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            why = self._broker.why(error)
            log.info("the broker's certificate cannot be seen just now: %s", why)

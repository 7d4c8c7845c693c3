"""Looks every few seconds whether somebody is to be told, and says where none arrives."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from fleet.guard import Guard
from fleet.manager.findings import FindingKind
from fleet.manager.notifications.carrier import Carrier
from fleet.manager.notifications.concerns import AlertGroup, Alerts, own
from fleet.manager.notifications.deciding import Notification, NotificationKind, Notifying
from fleet.manager.report import FleetReport
from fleet.manager.store.ledger import Ledger
from fleet.model import printable
from fleet.operations.health import HealthFinding, HealthLevel

_LOOK: Final = 5.0
_PATIENCE: Final = timedelta(minutes=1)
"""So long one may wait before that is a finding."""


class Notifications:
    """The notifications of one manager."""

    def __init__(
        self, ledger: Ledger, report: FleetReport, carrier: Carrier, page: str | None = None
    ) -> None:
        """`page`: where people reach the manager's page, if that is known."""
        self._ledger = ledger
        self._report = report
        self._carrier = carrier
        self._notifying = Notifying(page)
        self._alerts = Alerts()
        self._heard = asyncio.Event()

    @property
    def counts(self) -> dict[str, int]:
        """Notifications that were `sent`, and tries that `failed`."""
        return dict(self._carrier.counts)

    def hear(self, said: AlertGroup) -> None:
        """What Alertmanager posts."""
        self._alerts.hear(said, self._report.now())
        self._heard.set()

    def begin(self, guard: Guard) -> None:
        """Look, and notification, from now on; where nobody can be called nothing is looked for."""
        if self._carrier.addresses:
            self._carrier.begin(guard)
            guard.keep("notifications", self._keep)

    def close(self) -> None:
        """Wait for none any more."""
        self._carrier.close()

    def say(self, by: str, text: str) -> tuple[str, ...]:
        """Tell everybody something, as somebody asks; the addresses."""
        self._carrier.carry(
            Notification("", NotificationKind.STILL, f"{by} says", printable(text, besides="\n"))
        )
        return tuple(one.name for one in self._carrier.addresses)

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._heard.wait()
            self._heard.clear()
            seen = await self._report.look()
            if not self._report.connected:
                continue  # it knows of nobody, which is one's own trouble and no room's
            concerns = self._alerts.concerns(seen.at)
            rooms, at = self._ledger.rooms, seen.at.astimezone(UTC)
            found = own(seen) if concerns is None else concerns
            holding = ((room, rooms.holding("ack", room, at)) for room in seen.rooms)
            acknowledged = {room: said for room, said in holding if said is not None}
            for notification in self._notifying.look(found, acknowledged, seen.at):
                self._carrier.carry(notification)

    def findings(self) -> Iterator[HealthFinding]:
        """Addresses that take no notification."""
        now = datetime.now(UTC)
        for one in self._carrier.addresses:
            since = one.failing_since
            if since is not None and now - since >= _PATIENCE:
                yield HealthFinding(
                    FindingKind.NOT_NOTIFIED.value,
                    HealthLevel.LOOK,
                    *(None, None, None, None),
                    f"no notification arrives at {one.name}",
                    'fleet notify "is anybody there?"',
                    "its address, or the network to it: see notify in the manager's settings",
                    since,
                )

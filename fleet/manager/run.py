"""One run of the manager: puts its parts together, lets them work, and ends them in order.

It answers over HTTP before it has a store, and whatever becomes of store and broker: that is when
people look. Each part of the work is a guarded task of its own, so that none waits for another.
"""

import asyncio
import ipaddress
import logging
import secrets
import signal
import ssl
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from fleet import mqtt
from fleet.guard import Guard, TaskDied
from fleet.joining import fingerprint
from fleet.loop import LoopWatch
from fleet.manager.access.broker import BrokerAccounts
from fleet.manager.access.certificate import CertificateWatch
from fleet.manager.findings.whole import older_finding
from fleet.manager.notifications.carrier import Carrier
from fleet.manager.notifications.keeper import Notifications
from fleet.manager.optouts import OptOuts
from fleet.manager.people.keeper import People
from fleet.manager.report import FleetReport
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.session import ManagerSession
from fleet.manager.settings import ManagerSettings, first_line
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.telemetry import Figures
from fleet.manager.stations.thumbnails import Thumbnails
from fleet.manager.store import ManagerStore, StoreAway
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.access_metrics import access_metrics
from fleet.manager.web.alerts import AlertReceiver
from fleet.manager.web.certificate import PageCertificate
from fleet.manager.web.doing import Doing
from fleet.manager.web.metrics import RESERVED, Counts, FleetCollector
from fleet.manager.web.page.days import DayLook
from fleet.manager.web.page.look import Look
from fleet.manager.web.page.routes import Page
from fleet.manager.web.page.talks_page import TalksPage
from fleet.manager.web.server import serve
from fleet.manager.web.sessions import Sessions
from fleet.manager.web.signing_in import SigningIn
from fleet.model import PresenceState, counted
from fleet.notify import Notifier
from fleet.settings import BadSettings
from fleet.topics import Topics

log = logging.getLogger(__name__)

_DISPLACED: Final = 3
_GOODBYE: Final = 3.0
"""Seconds to say goodbye to the broker."""
_TELL: Final = 2.0
_OPEN_AGAIN: Final = 2.0
"""Seconds between two tries to open a store that cannot be used for now."""


class ManagerRun:
    """The parts of one running manager."""

    def __init__(
        self,
        broker: mqtt.Broker,
        settings: ManagerSettings,
        open_store: Callable[[], ManagerStore],
        state_dir: Path,
        directory: Path | None = None,
    ) -> None:
        """`directory`: what `fleet-manager init` made."""
        self._broker = broker
        self._settings = settings
        self._alerts_token = first_line(settings.alerts_token_file)
        self._open_store = open_store
        self._ledger = Ledger()
        self._inventory, self._figures = Inventory(), Figures(RESERVED)
        self._thumbnails, self._counts = Thumbnails(), Counts()
        self._schedule = ScheduleWatch(self._ledger, state_dir)
        self._report = FleetReport(
            self._ledger,
            self._inventory,
            self._figures,
            self._schedule,
            accounts=settings.accounts,
        )
        topics = Topics(settings.prefix)
        accounts = BrokerAccounts(topics) if settings.accounts else None
        self._people = People(
            self._ledger.let_in,
            lambda name: name in self._ledger or name in self._inventory.stations,
            accounts,
            _login(settings),
            settings.admin,
            _reached_at(settings),
            settings.username if settings.accounts else None,
        )
        self._notifications = Notifications(
            self._ledger, self._report, Carrier(settings.notify), _page(settings)
        )
        self._session = ManagerSession(
            topics,
            self._ledger,
            self._inventory,
            self._figures,
            self._thumbnails,
            self._counts,
            self._report,
            self._people,
            self._notifications,
            accounts,
            settings,
        )
        self._certificate = CertificateWatch(broker, directory)
        self._report.also(self._certificate.findings)
        self._report.also(lambda: older_finding(self._ledger.older, self._ledger.older_since))
        if self._session.joining is not None:
            self._report.also(self._session.joining.findings)
        self._notifier = Notifier()
        self._watch = LoopWatch()
        self._ended = asyncio.Event()
        self._died: TaskDied | None = None
        self._guard = Guard(self._end_of)

    async def run(self, host: str, port: int) -> int:
        """Work until told to stop, serving HTTP at `host` and `port`; the exit status.

        Raises:
            CannotListen: the port is taken or the host is not one of ours.
            BadCertificate, BadSettings: the page's files cannot be used.
            BadStore: the store cannot be used at all.
            Refused: the broker refuses what the manager cannot do without.
            TaskDied: a part that the manager relies on has died.
        """
        certificate = _certificate(self._settings)
        token = first_line(self._settings.metrics_token_file)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        sessions = Sessions(self._ledger.let_in, self._people)
        settings = self._settings
        signing_in = SigningIn(self._people, sessions, settings.public_page, settings.accounts)
        recordings = self._session.recordings
        days = DayLook(self._ledger, self._inventory, recordings, self._report)
        page = Page(
            Look(self._ledger, self._report, self._thumbnails, recordings, self._session.mixers),
            TalksPage(days, signing_in.may_still),
            signing_in.may_still,
        )
        web = serve(
            host,
            port,
            self._registry(),
            self._ailing,
            page,
            signing_in,
            Doing(self._session.answering.answer, signing_in.caller_of),
            AlertReceiver(self._notifications.hear, self._alerts_token),
            self._settings.http_name,
            certificate,
            token,
        )
        try:
            async with web as url:
                log.info("serving %s/metrics and the page %s/", url, url)
                self._notifier.ready()
                self._guard.rely_on("loop watch", self._watch.run)
                self._guard.keep("watchdog", self._notifier.keep_alive)
                self._guard.keep("status line", self._tell)
                await self._until_ended(self._work())
        finally:
            self._notifier.stopping()
            self._notifications.close()
            await self._guard.close()
            await self._ledger.close()
        if self._died is not None:
            raise self._died
        return _DISPLACED if self._session.displaced else 0

    async def _work(self) -> None:
        await self._open()
        log.info("broker %s, store %s", self._broker, self._ledger.keeper.place)
        self._guard.keep("history", self._ledger.keep)
        self._guard.keep("presence", self._session.watch)
        self._guard.keep("the broker's tidiness", self._session.sweep)
        self._guard.keep("convergence", self._session.push)
        self._guard.keep("health", self._report.keep)
        self._guard.keep("rollouts", self._session.roll)
        self._guard.keep("stops", self._session.stop_by_hand)
        self._guard.keep("mixers", self._session.mixers.keep)
        self._guard.keep("schedule", self._schedule.keep)
        optouts = OptOuts(self._ledger, self._inventory, self._session.asker)
        self._guard.keep("opt-outs", optouts.keep)
        self._guard.keep("recordings", self._session.recordings.keep)
        self._guard.keep("the broker's certificate", self._certificate.keep)
        if self._session.joining is not None:
            self._guard.keep("boxes that join", self._session.joining.answer)
            self._guard.keep("tokens", self._session.joining.keep)
            self._guard.keep("credentials", self._session.joining.credentials.keep)
            self._guard.keep("credentials that end", self._session.joining.credentials.end)
        self._notifications.begin(self._guard)
        # Whoever knows a client id can push it off the broker: it is told to nobody.
        await mqtt.keep(self._broker, f"fleet-manager-{secrets.token_hex(8)}", self._session)

    async def _open(self) -> None:
        """Open the store, however long it cannot be used."""
        said: str | None = None
        while True:
            try:
                await self._ledger.begin(self._open_store)
            except StoreAway as error:
                if str(error) != said:
                    log.error("%s; it is tried again", error)
                said = str(error)
                await asyncio.sleep(_OPEN_AGAIN)
            else:
                return

    def _registry(self) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(
            FleetCollector(
                self._ledger,
                self._inventory,
                self._figures,
                self._thumbnails,
                self._counts,
                self._schedule,
                self._session.recordings,
                lambda: self._notifications.counts,
                lambda: self._watch.lag,
                self._access,
            )
        )
        return registry

    def _access(self) -> Iterator[Metric]:
        joining, ledger = self._session.joining, self._ledger
        return access_metrics(
            ledger.let_in.credentials.values(),
            lambda station: ledger[station].facts.room or "",
            len(joining.waiting) if joining else None,
            self._certificate.ends,
        )

    async def _ailing(self) -> str | None:
        """Why the manager cannot do its work."""
        return await self._ledger.keeper.ailing() or self._session.ailing

    def _how_it_goes(self) -> str:
        online = sum(heard.state is PresenceState.ONLINE for _, heard in self._inventory)
        of = counted(len(self._inventory.stations), "station")
        return self._ledger.keeper.trouble or self._session.ailing or f"{online} of {of} online"

    async def _tell(self) -> None:
        """Keep the line that `systemctl status` shows true."""
        while True:
            self._notifier.status(self._how_it_goes())
            await asyncio.sleep(_TELL)

    def _stop(self) -> None:
        self._session.stop()
        self._ended.set()

    def _end_of(self, died: TaskDied) -> None:
        self._died = died
        self._stop()

    async def _until_ended(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` until it returns; once ended it may still say goodbye."""
        task = asyncio.ensure_future(work)
        told = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                goodbye = _GOODBYE if self._session.ailing is None else 0.0
                await asyncio.wait((task,), timeout=goodbye)
            if task.done():
                task.result()
        finally:
            task.cancel()
            told.cancel()
            await asyncio.gather(task, told, return_exceptions=True)


def _certificate(settings: ManagerSettings) -> PageCertificate | None:
    files = (settings.http_certificate, settings.http_key)
    if files == (None, None):
        return None
    if None in files:
        raise BadSettings("the page's certificate needs its key, and the key its certificate")
    certificate, key = (Path(one or "").expanduser() for one in files)
    return PageCertificate(certificate, key)


def _login(settings: ManagerSettings) -> str | None:
    """What people type to be known, where their address of the broker is known."""
    if settings.join is None:
        return None
    line = f"fleet login {settings.join}"
    if settings.ca_file is None:
        return line
    try:
        der = ssl.PEM_cert_to_DER_cert(Path(settings.ca_file).read_text())
    except (OSError, ValueError):
        return line  # connecting says what is wrong with it
    return f"{line} --fingerprint {fingerprint(der).hex()}"


def _page(settings: ManagerSettings) -> str | None:
    """Where browsers find the page, where the settings name it."""
    if not settings.http_name:
        return None
    host, _, port = settings.http.rpartition(":")
    name = settings.http_name[0]
    if host.strip("[]") in ("localhost", "127.0.0.1", "::1"):  # behind a proxy, which has the name
        return f"https://{name}/"
    scheme = "http" if settings.http_certificate is None else "https"
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/"


def _reached_at(settings: ManagerSettings) -> str | None:
    """Where others than this machine reach a page that nothing closes."""
    host = settings.http.rpartition(":")[0].strip("[]")
    if settings.accounts or settings.public_page or host in ("", "localhost"):
        return None
    try:
        return None if ipaddress.ip_address(host).is_loopback else settings.http
    except ValueError:
        return settings.http

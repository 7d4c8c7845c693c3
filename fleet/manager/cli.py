"""The command `fleet-manager`: reads the settings, opens what is needed, runs one session."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fleet.manager.store.ledger import Ledger
    from fleet.mqtt import Broker
    from fleet.notify import Notifier

log = logging.getLogger(__name__)

_BROKEN: Final = 1
_DISPLACED: Final = 3
_GOODBYE: Final = 3.0
"""Seconds to say goodbye to the broker."""
_FLUSH: Final = 1.0
_TELL: Final = 2.0
_PRUNE: Final = 3600.0

app = typer.Typer(
    help="Knows what is wanted of every station, and sees to it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _program() -> None:
    """Keep `run` a command of its own."""


@app.command()
def run(
    state_dir: Annotated[
        Path,
        typer.Option(envvar=["FLEET_STATE_DIR", "STATE_DIRECTORY"], help="Where the store lies."),
    ],
    broker: Annotated[
        str, typer.Option(envvar="FLEET_BROKER", help="mqtt://HOST:PORT, or mqtts:// for TLS.")
    ] = "mqtt://127.0.0.1:1883",
    http: Annotated[
        str, typer.Option(envvar="FLEET_HTTP", help="HOST:PORT of the page, /metrics, /healthz.")
    ] = "127.0.0.1:9700",
    username: Annotated[
        str | None, typer.Option(envvar="FLEET_USERNAME", help="The broker user.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(envvar="FLEET_PASSWORD_FILE", help="A file with that user's password."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="FLEET_STORE",
            metavar="URL",
            help="Where to keep what is wanted: postgresql+psycopg://USER@HOST/DATABASE. "
            "A file in --state-dir without it.",
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(envvar="FLEET_PREFIX", help="What every topic starts with.")
    ] = "fleet",
) -> None:
    """Run until told to stop. Exits 3 when a manager that began later takes over."""
    from fleet.manager.store import BadStore
    from fleet.manager.web.server import CannotListen
    from fleet.mqtt import BadBroker, Broker, Refused
    from fleet.settings import BadSettings, read_password

    # The journal has its own clock.
    time = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(
        level=logging.INFO,
        format=f"{time}%(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        address = Broker.parse(broker, username, read_password(password_file))
        host, port = _host_port(http)
        code = asyncio.run(_run(address, state_dir, store, host, port, prefix))
    except (BadBroker, BadSettings, BadStore, CannotListen, Refused) as error:
        print(f"fleet-manager: {error}", file=sys.stderr)
        code = _BROKEN
    raise typer.Exit(code)


def _host_port(text: str) -> tuple[str, int]:
    from fleet.settings import BadSettings

    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadSettings(f"--http takes HOST:PORT such as 127.0.0.1:9700, got {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


async def _run(
    broker: "Broker", state_dir: Path, store: str | None, host: str, port: int, prefix: str
) -> int:
    from prometheus_client import CollectorRegistry

    from fleet import mqtt
    from fleet.manager.report import FleetReport
    from fleet.manager.session import ManagerSession
    from fleet.manager.stations.inventory import Inventory
    from fleet.manager.stations.telemetry import Figures
    from fleet.manager.stations.thumbnails import Thumbnails
    from fleet.manager.store import BadStore, ManagerStore
    from fleet.manager.store.ledger import Ledger
    from fleet.manager.web.metrics import RESERVED, Counts, FleetCollector
    from fleet.manager.web.page.look import Look
    from fleet.manager.web.page.routes import Page
    from fleet.manager.web.server import serve
    from fleet.model import PresenceState, counted
    from fleet.notify import Notifier
    from fleet.topics import Topics

    ledger = await Ledger.open(
        lambda: ManagerStore.at(store) if store else ManagerStore.in_directory(state_dir)
    )
    inventory, figures, counts = Inventory(), Figures(RESERVED), Counts()
    thumbnails = Thumbnails()
    report = FleetReport(ledger, inventory, figures)
    session = ManagerSession(Topics(prefix), ledger, inventory, figures, thumbnails, counts, report)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetCollector(ledger, inventory, figures, thumbnails, counts))

    async def ailing() -> str | None:
        try:
            async with asyncio.timeout(2):
                await ledger.check()
        except (BadStore, TimeoutError) as error:
            return str(error) or "the store does not answer within 2 s"
        return session.ailing

    def how_it_goes() -> str:
        online = sum(heard.state is PresenceState.ONLINE for _, heard in inventory)
        return session.ailing or f"{online} of {counted(len(inventory.stations), 'station')} online"

    page = Page(Look(ledger, report, thumbnails))
    notifier = Notifier()
    ended = asyncio.Event()

    def stop() -> None:
        session.stop()
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        async with serve(host, port, registry, ailing, page) as url:
            log.info(
                "serving %s/metrics and the page %s/; broker %s, store %s",
                url,
                url,
                broker,
                ledger.place,
            )
            notifier.ready()
            tasks = [
                asyncio.create_task(_keep_history(ledger)),
                asyncio.create_task(notifier.keep_alive()),
                asyncio.create_task(_tell(notifier, how_it_goes)),
            ]
            try:
                work = mqtt.keep(broker, f"fleet-manager-{session.boot}", session)
                await _until_ended(work, ended, lambda: _GOODBYE if session.ailing is None else 0.0)
            finally:
                notifier.stopping()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await ledger.close()
    return _DISPLACED if session.displaced else 0


async def _until_ended(
    work: "Coroutine[None, None, None]", ended: asyncio.Event, goodbye: "Callable[[], float]"
) -> None:
    """Run `work` until it returns; once `ended` it has `goodbye()` seconds to do so."""
    task = asyncio.ensure_future(work)
    told = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait((task,), timeout=goodbye())
        if task.done():
            task.result()
    finally:
        task.cancel()
        told.cancel()
        await asyncio.gather(task, told, return_exceptions=True)


async def _tell(notifier: "Notifier", how: "Callable[[], str]") -> None:
    """Keep the line that `systemctl status` shows true."""
    while True:
        notifier.status(how())
        await asyncio.sleep(_TELL)


async def _keep_history(ledger: "Ledger") -> None:
    """Write acks and presence changes about once a second, so that a wave of them is one write."""
    pruned = 0.0
    loop = asyncio.get_running_loop()
    while True:
        await ledger.flush()
        if not pruned or loop.time() - pruned > _PRUNE:
            await ledger.prune()
            pruned = loop.time()
        await asyncio.sleep(_FLUSH)


def main() -> None:
    """The program `fleet-manager`."""
    app(prog_name="fleet-manager")

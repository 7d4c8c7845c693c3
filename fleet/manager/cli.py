"""The command `fleet-manager`: reads the settings."""

import asyncio
import ctypes
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fleet.version import __version__

if TYPE_CHECKING:
    from fleet.manager.settings import ManagerSettings

_BROKEN: Final = 1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Numbers of mallopt's parameters, from glibc's malloc.h."""
_LARGE: Final = 2**18
"""Bytes of a piece that goes back as soon as it is free."""
_HEAPS: Final = 2

app = typer.Typer(
    help="Knows what is wanted of every station, and sees to it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fleet-manager {__version__}")
        raise typer.Exit


_Version = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
]


@app.callback()
def _program(version: _Version = False) -> None:
    """Keep `run` a command of its own."""


@app.command()
def run(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            envvar="FLEET_DIR",
            metavar="DIR",
            help="What fleet-manager init made: the settings are DIR/manager.toml.",
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            envvar="FLEET_SETTINGS",
            metavar="FILE",
            help="The settings; without it those given here and in the environment.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            envvar=["FLEET_STATE_DIR", "STATE_DIRECTORY"],
            metavar="DIR",
            help="Where the store lies.",
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="FLEET_BROKER",
            metavar="URL",
            help="mqtt://HOST:PORT, or mqtts:// for TLS; mqtt://127.0.0.1:1883 unless given.",
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            envvar="FLEET_HTTP",
            metavar="HOST:PORT",
            help="Where the page, /metrics and /healthz are; 127.0.0.1:9700 unless given.",
        ),
    ] = None,
    http_name: Annotated[
        list[str] | None,
        typer.Option(
            envvar="FLEET_HTTP_NAME",
            metavar="NAME",
            help="What browsers call this place, where that is not its host name: "
            "av.example.org. Several are allowed.",
        ),
    ] = None,
    http_certificate: Annotated[
        Path | None,
        typer.Option(
            envvar="FLEET_HTTP_CERTIFICATE",
            metavar="FILE",
            help="The certificate (PEM) that they speak HTTPS with; HTTP without one.",
        ),
    ] = None,
    http_key: Annotated[
        Path | None,
        typer.Option(envvar="FLEET_HTTP_KEY", metavar="FILE", help="Its key (PEM)."),
    ] = None,
    metrics_token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="FLEET_METRICS_TOKEN_FILE",
            metavar="FILE",
            help="A file with the bearer token that /metrics wants; none without it.",
        ),
    ] = None,
    public_page: Annotated[
        bool,
        typer.Option(
            "--public-page",
            envvar="FLEET_PUBLIC_PAGE",
            help="Show the rooms to those who are not signed in, without pictures and logs.",
        ),
    ] = False,
    username: Annotated[
        str | None,
        typer.Option(envvar="FLEET_USERNAME", metavar="NAME", help="Its user at the broker."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            envvar="FLEET_PASSWORD_FILE",
            metavar="FILE",
            help="The file whose first line is that user's password.",
        ),
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
        str | None,
        typer.Option(
            envvar="FLEET_PREFIX",
            metavar="TEXT",
            help="What every topic starts with; fleet unless given.",
        ),
    ] = None,
    version: _Version = False,  # noqa: ARG001 (its callback does the work)
) -> None:
    """Run until told to stop. Exits 3 when a manager that began later takes over."""
    from fleet.guard import TaskDied
    from fleet.loop import WatchedLoop
    from fleet.manager.run import ManagerRun
    from fleet.manager.settings import manager_broker, read_manager
    from fleet.manager.store import BadStore, ManagerStore
    from fleet.manager.web.certificate import BadCertificate
    from fleet.manager.web.server import CannotListen
    from fleet.mqtt import BadBroker, Refused
    from fleet.notify import start_logging
    from fleet.settings import BadSettings, leave_no_core

    leave_no_core()
    start_logging()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        if directory is not None:
            _look_at_rights(directory)
        found = read_manager(
            directory,
            settings,
            state_dir=str(state_dir) if state_dir else None,
            broker=broker,
            http=http,
            http_name=http_name or None,
            http_certificate=str(http_certificate) if http_certificate else None,
            http_key=str(http_key) if http_key else None,
            metrics_token_file=str(metrics_token_file) if metrics_token_file else None,
            public_page=public_page or None,
            username=username,
            password_file=str(password_file) if password_file else None,
            store=store,
            prefix=prefix,
        )
        state = _state(found)

        def open_store() -> ManagerStore:
            return (
                ManagerStore.at(found.store, state)
                if found.store
                else ManagerStore.in_directory(state)
            )

        address = manager_broker(found)
        host, port = _host_port(found.http)
        _give_memory_back()
        manager = ManagerRun(address, found, open_store, state, directory)
        with asyncio.Runner(loop_factory=WatchedLoop) as runner:
            code = runner.run(manager.run(host, port))
    except (
        BadBroker,
        BadCertificate,
        BadSettings,
        BadStore,
        CannotListen,
        Refused,
        TaskDied,
    ) as error:
        print(f"fleet-manager: {error}", file=sys.stderr)
        code = _BROKEN
    raise typer.Exit(code)


def _give_memory_back() -> None:
    """Have the C library return large pieces at once, and keep few heaps for threads.

    Left alone glibc keeps what one message of megabytes took, and more with each thread.
    """
    with suppress(OSError, AttributeError):  # another C library has no such knobs
        c = ctypes.CDLL(None)
        c.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        c.mallopt(_M_ARENA_MAX, _HEAPS)


_Dir = Annotated[
    Path,
    typer.Option("--dir", envvar="FLEET_DIR", metavar="DIR", help="Where all of it lies."),
]


@app.command(short_help="Set up a server, once.")
def init(
    host: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="What boxes and people reach this server by: av.example.org, or 10.0.0.2. "
            "Several are allowed; the first stands in what fleet token prints.",
        ),
    ],
    directory: _Dir = Path("/etc/fleet"),
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="Of the broker.")] = 8883,
    prefix: Annotated[
        str,
        typer.Option(envvar="FLEET_PREFIX", metavar="TEXT", help="What every topic starts with."),
    ] = "fleet",
    version: _Version = False,  # noqa: ARG001 (its callback does the work)
) -> None:
    """Set up a server once: an authority, the broker's settings, the manager's, an operator.

    Run again it changes nothing.
    """
    from fleet.manager.access.authority import BadHost, checked_host
    from fleet.manager.access.init import CannotInit, next_steps
    from fleet.manager.access.init import init as make
    from fleet.manager.access.modes import mended
    from fleet.settings import BadSettings, valid_prefix

    try:
        valid_prefix(prefix)
        made = make(directory, [checked_host(one) for one in host], port, prefix)
        healed = mended(made.directory)
    except (BadHost, BadSettings, CannotInit, ValueError) as error:
        print(f"fleet-manager: {error}", file=sys.stderr)
        raise typer.Exit(_BROKEN) from None
    if made.new:
        for path in made.new:
            print(f"wrote {path}")
        print(f"{made.operator} is the first operator: fleet status asks as them, by")
        print(f"  {made.client_file}")
    else:
        print(f"{made.directory} was set up before: nothing has changed")
        for line in healed:
            print(line)
    print(f"start now:\n{next_steps(made)}")


@app.command(short_help="Renew the broker's certificate.")
def renew(
    directory: _Dir = Path("/etc/fleet"),
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One more name or address it is to be for."),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Also where the old one lasts.")] = False,
    version: _Version = False,  # noqa: ARG001 (its callback does the work)
) -> None:
    """Renew the broker's certificate if it ends within 30 days; a timer does that every day."""
    from fleet.manager.access.authority import BadHost, checked_host
    from fleet.manager.access.init import CannotInit
    from fleet.manager.access.modes import mended
    from fleet.manager.access.renewing import renew as make
    from fleet.settings import BadSettings

    try:
        for line in mended(directory.absolute()):
            print(line)
        until = make(directory.absolute(), [checked_host(one) for one in host or ()], now=now)
    except (BadHost, BadSettings, CannotInit) as error:
        print(f"fleet-manager: {error}", file=sys.stderr)
        raise typer.Exit(_BROKEN) from None
    if until is None:
        print("the broker's certificate lasts: nothing has changed")
    else:
        print(f"the broker shows a new certificate, which ends {until:%Y-%m-%d}")


@app.command(short_help="Make somebody an admin, with a password.")
def recover(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Who is to be an admin; the first operator, unless said."
        ),
    ] = None,
    directory: _Dir = Path("/etc/fleet"),
    version: _Version = False,  # noqa: ARG001 (its callback does the work)
) -> None:
    """Make somebody an admin with a new password, where no admin has theirs any more.

    Asks the manager that runs, as the manager itself; the password goes into your client file.
    """
    from fleet import contexts
    from fleet.manager.access.recovering import CannotRecover
    from fleet.manager.access.recovering import recover as make
    from fleet.manager.settings import read_manager
    from fleet.mqtt import BadBroker
    from fleet.settings import BadSettings

    try:
        settings = read_manager(directory, None)
        made = make(settings, name, contexts.own_home())
    except (BadBroker, BadSettings, CannotRecover) as error:
        print(f"fleet-manager: {error}", file=sys.stderr)
        raise typer.Exit(_BROKEN) from None
    print(f"{made.name} is an admin, with a new password: fleet asks as them, by")
    print(f"  {made.client_file}")
    print("fleet user passwd gives them another one, also for the page")


def _look_at_rights(directory: Path) -> None:
    """Raises: BadSettings."""
    from fleet.manager.access.modes import mended

    for line in mended(directory.absolute()):
        logging.getLogger("fleet").warning(line)


def _state(settings: "ManagerSettings") -> Path:
    from fleet.settings import BadSettings

    if settings.state_dir is None:
        raise BadSettings(
            "nobody says where the store lies: give --state-dir DIRECTORY (FLEET_STATE_DIR), or "
            "--dir with what fleet-manager init made"
        )
    return Path(settings.state_dir).expanduser()


def _host_port(text: str) -> tuple[str, int]:
    from fleet.settings import BadSettings

    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadSettings(f"--http takes HOST:PORT such as 127.0.0.1:9700, got {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def main() -> None:
    """The program `fleet-manager`."""
    app(prog_name="fleet-manager")

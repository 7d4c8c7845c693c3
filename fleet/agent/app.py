"""What can be typed after `fleet-agent`: `run` is the agent, the rest is for people at the box."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from attrs import frozen

from fleet.agent import settings as agent_settings
from fleet.agent.cli import become_agent
from fleet.agent.settings import AgentSettings, broker_of
from fleet.mqtt import BadBroker
from fleet.settings import BadSettings
from fleet.version import __version__

app = typer.Typer(
    help="Runs on a capture box: connects it to the broker and runs what the manager wants of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@frozen
class _Flags:
    """What every command may be told; each goes before the environment and the file."""

    broker: str | None = None
    station: str | None = None
    state_dir: str | None = None
    settings: Path | None = None
    prefix: str | None = None


_BROKER = typer.Option(
    "--broker", envvar="FLEET_BROKER", help="mqtt://HOST:PORT, or mqtts:// for TLS."
)
_STATION = typer.Option(
    "--station",
    envvar="FLEET_STATION",
    help="The station's id; the network card's address unless given.",
)
_STATE_DIR = typer.Option(
    "--state-dir", envvar="FLEET_STATE_DIR", help="Where the agent keeps what it must not forget."
)
_SETTINGS = typer.Option(
    "--settings",
    envvar="FLEET_SETTINGS",
    help="The settings file; /etc/fleet/agent.toml if that is there.",
)
_PREFIX = typer.Option("--prefix", envvar="FLEET_PREFIX", help="What every topic starts with.")
_JSON = typer.Option("--json", help="As JSON.")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fleet-agent {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    broker: Annotated[str | None, _BROKER] = None,
    station: Annotated[str | None, _STATION] = None,
    state_dir: Annotated[str | None, _STATE_DIR] = None,
    settings: Annotated[Path | None, _SETTINGS] = None,
    prefix: Annotated[str | None, _PREFIX] = None,
) -> None:
    """Be the agent, until a signal ends it.

    SIGTERM and SIGINT stop what runs and finish its files; SIGHUP leaves it running for the
    next agent.
    """
    with _said():
        found = _read(_Flags(broker, station, state_dir, settings, prefix))
        broker_of(found)  # mistakes are said before the agent begins
        become_agent(found)


@app.command()
def check(
    broker: Annotated[str | None, _BROKER] = None,
    station: Annotated[str | None, _STATION] = None,
    state_dir: Annotated[str | None, _STATE_DIR] = None,
    settings: Annotated[Path | None, _SETTINGS] = None,
    prefix: Annotated[str | None, _PREFIX] = None,
) -> None:
    """Say whether this box has all it needs; a line each, exit 1 if something is missing."""
    from fleet.agent.local.check import findings

    flags = _Flags(broker, station, state_dir, settings, prefix)
    try:
        found = _read(flags)
        address = broker_of(found)
    except (_Stop, BadBroker, BadSettings) as wrong:
        typer.echo(f"missing  settings  {wrong}")
        raise typer.Exit(1) from None
    complete = True
    for finding in findings(found, settings, address):
        typer.echo(f"{finding.verdict:<7}  {finding.subject}  {finding.text}".rstrip())
        complete = complete and finding.verdict != "missing"
    if not complete:
        raise typer.Exit(1)


@app.command()
def roles(
    settings: Annotated[Path | None, _SETTINGS] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what this station can run: each role, its settings, their types and defaults."""
    from fleet.agent.config import catalogue
    from fleet.agent.local import show
    from fleet.wire import to_json

    with _said():
        found = _read(_Flags(settings=settings))
    logging.getLogger("fleet").setLevel(logging.CRITICAL)  # what is broken is shown below
    offer = catalogue.offer(catalogue.load(found.roles), frozenset(found.blocked_roles))
    if as_json:
        value = {
            "factories": to_json(offer.described),
            "broken_roles": dict(offer.broken),
            "blocked_roles": sorted(offer.blocked),
        }
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(show.roles(offer)))


@app.command()
def status(
    state_dir: Annotated[str | None, _STATE_DIR] = None,
    settings: Annotated[Path | None, _SETTINGS] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Ask the agent of this box what it does; exit 0 healthy, 3 not, 4 no agent answers."""
    from fleet.agent.local import show
    from fleet.agent.local import socket as local
    from fleet.wire import to_json

    with _said():
        found = _read(_Flags(state_dir=state_dir, settings=settings))
    try:
        answer = local.status(found.state)
    except local.NoAgent as error:
        typer.echo(f"{error}\nstart one: systemctl start fleet-agent", err=True)
        if os.geteuid() != 0:
            typer.echo("or ask the one of the system: sudo fleet-agent status", err=True)
        raise typer.Exit(4) from None
    if as_json:
        typer.echo(json.dumps(to_json(answer), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(show.status(answer)))
    if not show.healthy(answer):
        raise typer.Exit(3)


@app.command()
def restart(
    instance: Annotated[str, typer.Argument(metavar="ROLE/INSTANCE")],
    state_dir: Annotated[str | None, _STATE_DIR] = None,
    settings: Annotated[Path | None, _SETTINGS] = None,
) -> None:
    """Stop one instance and start it again."""
    role, slash, name = instance.partition("/")
    if not slash:
        raise typer.BadParameter("expected ROLE/INSTANCE, such as record/main")
    _ask(state_dir, settings, "restart", role=role, instance=name)
    typer.echo(f"{instance} is being restarted")


@app.command()
def stop(
    state_dir: Annotated[str | None, _STATE_DIR] = None,
    settings: Annotated[Path | None, _SETTINGS] = None,
) -> None:
    """Stop the agent of this box and all it runs; files are finished first."""
    _ask(state_dir, settings, "stop")
    typer.echo("the agent stops")


class _Stop(Exception):
    """The command cannot go on; the text is for the person who typed it."""


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except (_Stop, BadBroker, BadSettings) as error:
        typer.echo(f"fleet-agent: {error}", err=True)
        raise typer.Exit(1) from None


def _ask(state_dir: str | None, settings: Path | None, what: str, **arguments: str) -> None:
    from fleet.agent.local import socket as local
    from fleet.model import Refusal

    with _said():
        found = _read(_Flags(state_dir=state_dir, settings=settings))
        try:
            local.ask(found.state, what, **arguments)
        except local.NoAgent as error:
            typer.echo(f"fleet-agent: {error}", err=True)
            raise typer.Exit(4) from None
        except Refusal as refusal:
            raise _Stop(refusal.message) from None


def _read(flags: _Flags) -> AgentSettings:
    return agent_settings.read(
        flags.settings,
        broker=flags.broker,
        station=flags.station,
        state_dir=flags.state_dir,
        prefix=flags.prefix,
        username=os.environ.get("FLEET_USERNAME"),
        password_file=os.environ.get("FLEET_PASSWORD_FILE"),
    )

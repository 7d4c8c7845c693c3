"""`fleet login`: keeps who somebody is to a fleet, once broker and manager have let them in."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from attrs import evolve

from fleet import contexts
from fleet.cli import passwords
from fleet.cli.authority import trusted
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.connection import Access, Manager, converse
from fleet.cli.options import Options
from fleet.cli.terminal import print_json, say, stop
from fleet.contexts import Context
from fleet.model import NAME_RULE, is_name
from fleet.mqtt import BadBroker, Broker
from fleet.operations.people import UserListResult
from fleet.settings import BadSettings, read_text
from fleet.topics import Topics

ABOUT: Final = COMMANDS["login"]
HELP: Final = with_examples(
    f"{ABOUT} Asks for name and password (or takes the password from the first line of standard "
    f"input), tries them, and keeps them in the file of contexts, for you alone to read.",
    "fleet login mqtts://fleet.example.org",
    "fleet login mqtts://10.0.0.2:8883 --name ann --fingerprint 3f5a…",
    "fleet login mqtts://10.0.0.2 --name ann --ca-file ca.pem",
    "fleet --context venue login mqtts://fleet.example.org",
)
_CONTEXT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def run(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The broker: mqtts://HOST[:PORT].")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Yours; else it is asked for.")
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(
            "--fingerprint",
            metavar="SHA256",
            help="Of the fleet's own authority, as fleet user add printed it.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file", metavar="FILE", help="Of the authority that signed its certificate."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask, prove, keep."""
    options: Options = ctx.obj
    name = name or options.username or _asked()
    if not is_name(name):
        stop(f"{name!r} cannot be the name of a user: expected {NAME_RULE}")
    try:
        found = Broker.parse(url, ca_file=str(ca_file) if ca_file else None)
        ca = read_text(ca_file) if ca_file else None
        if found.tls and ca is None:
            ca = trusted(found, fingerprint)
    except (BadBroker, OSError, ValueError) as error:
        stop(str(error))
    context = options.context or found.host.replace(":", "-")
    if not _CONTEXT.fullmatch(context):
        stop(f"{context!r} cannot name a context: letters, digits, '.', '_' and '-'")
    password = passwords.said(name)
    topics = Topics(options.prefix or "fleet")
    broker = evolve(found, username=name, password=password)
    if ca:
        broker = evolve(broker, ca=ca, ca_name=_ca_name(ca_file))
    told = asyncio.run(converse(Access(broker, name, topics), _proven))
    keeping = Context(str(found), name, prefix=options.prefix)
    try:
        file = contexts.keep(context, keeping, password, ca, contexts.own_home(), current=True)
    except BadSettings as error:
        stop(str(error))
    if json:
        print_json({"context": context, "file": str(file), "name": told.you, "rights": told.rights})
        return
    say(f"you are {told.you} at {found}, with the rights {told.rights}; kept in {file}")
    if not found.tls:
        say("your password went there unencrypted: mqtts:// is for networks not yours alone")


def _ca_name(ca_file: Path | None) -> str:
    if ca_file is not None:
        return f"{ca_file}; --ca-file sets another"
    return "the authority that it showed, by its fingerprint; --ca-file sets another"


async def _proven(manager: Manager) -> UserListResult:
    return await manager.ask("user_list", {}, UserListResult)


def _asked() -> str:
    if not sys.stdin.isatty():
        stop("who are you? give --name NAME")
    return str(typer.prompt("name", err=True)).strip()

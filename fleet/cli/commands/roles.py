"""`fleet roles`: what stations can run, and what each role takes."""

import asyncio
from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import all_roles
from fleet.cli.connection import Line, connect
from fleet.cli.registered import (
    Registered,
    registered,
    role_explained,
    role_lines,
    role_names,
)
from fleet.cli.station import names, registrations
from fleet.cli.terminal import print_json, put, say, stop
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.strict import close_match

ABOUT: Final = COMMANDS["roles"]
HELP: Final = with_examples(
    f"{ABOUT} From what every station last said of itself, online or not; works without a manager "
    f"too. The columns are a setting's name, its type and bounds, its default, and what it means.",
    "fleet roles                which roles there are, and where",
    "fleet roles record         its settings and commands",
    "fleet roles record --json | jq .",
)


def run(
    ctx: typer.Context,
    role: Annotated[
        str | None,
        typer.Argument(metavar="ROLE", help="Explain this one.", autocompletion=all_roles),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, by station.")] = False,
) -> None:
    """Hear what stations said, and show it."""
    stations = asyncio.run(connect(ctx.obj.access(), hear))
    known = role_names(stations)
    if role is not None and role not in known:
        hint = close_match(role, known) or f"; there are: {', '.join(known) or 'none'}"
        stop(clean(f"no station knows a role {role!r}{hint}"))
    if json:
        print_json(
            {
                one.name: {
                    "factories": {
                        name: said
                        for name, said in one.said.factories.items()
                        if role in (None, name)
                    },
                    "broken_roles": one.said.broken_roles,
                    "blocked_roles": one.said.blocked_roles,
                }
                for one in stations
            }
        )
        return
    for text in role_lines(stations) if role is None else role_explained(stations, role):
        put(text)
    if not stations:
        say("no station has said what it can run; start fleet-agent on a box")
    elif role is None:
        say(f"what one takes: {instead('roles', 'ROLE')}")


async def hear(line: Line) -> tuple[Registered, ...]:
    """All stations that ever said what they are."""
    return registered(await registrations(line), await names(line))

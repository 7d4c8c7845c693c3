"""`fleet watch`: what happens, a line each.

What is so is the manager's to say (silence, two boxes on one id, what is wanted), so each line
is a difference between two of its answers; what stations say live only tells when to ask.
"""

import asyncio
import contextlib
import logging
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.text import Text

from fleet.cli import view
from fleet.cli.calm import Restraint
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.commands.status import pick
from fleet.cli.completion import rooms_and_stations
from fleet.cli.connection import (
    Access,
    Denied,
    Line,
    Manager,
    ManagerPresence,
    Unreachable,
    manager_filters,
)
from fleet.cli.happenings import Happening, general, happenings
from fleet.cli.options import Options
from fleet.cli.sync import matching
from fleet.cli.terminal import ask, data, print_json, say
from fleet.model import counted
from fleet.mqtt import Filter, Link, Message, Will, keep
from fleet.operations.stations import StationStatus, StatusResult

ABOUT: Final = COMMANDS["watch"]
HELP: Final = with_examples(
    f"{ABOUT} Shown are stations that come and go, revisions wanted, accepted and rejected, "
    "instances that change, two boxes on one id. Goes on when the manager or the broker "
    "restarts, and says so.",
    "fleet watch",
    "fleet watch hall1                    one room, or one station",
    "fleet watch --json | jq -r 'select(.kind == \"rejected\") | .text'",
)
_PACE: Final = 1.0
"""Seconds between two looks where nothing calls for one."""
_REST: Final = 0.1
"""Seconds between two looks at least; what happens meanwhile is seen together."""
_STYLES: Final = {"rejected": "bold red", "conflict": "bold red", "broker": "yellow"}


def run(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ROOM|STATION",
            help="Only this room, or this station (its name or id).",
            autocompletion=rooms_and_stations,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Look once, then tell every difference."""
    options: Options = ctx.obj
    # A lost connection is told as what happens; nobody wants the library's words besides.
    logging.getLogger().addHandler(logging.NullHandler())
    with contextlib.suppress(KeyboardInterrupt):
        first = ask(ctx, Manager.status)
        if first.stations or name:
            count = len(pick(first, name).stations)
            say(f"watching {counted(count, 'station')}; Ctrl-C ends it")
        else:
            say("watching; no station has been heard from yet; Ctrl-C ends it")
        asyncio.run(_watch(options.access(), first, name, _print_json if json else _print))


async def _watch(
    access: Access, first: StatusResult, name: str | None, tell: Callable[[Happening, str], None]
) -> None:
    session = _Session(access, first, name, tell)
    await keep(access.broker, f"fleet-{secrets.token_hex(8)}", session)


class _Session:
    def __init__(
        self,
        access: Access,
        first: StatusResult,
        name: str | None,
        tell: Callable[[Happening, str], None],
    ) -> None:
        self._access = access
        self._name = name
        self._stations = self._of_interest(first)
        self._tell = tell
        self._timezone = first.timezone
        self._restraint = Restraint()
        self._line: Line | None = None
        self._news = asyncio.Event()
        self._left = asyncio.Event()
        """The manager went away while it was asked."""
        self._broker_away = False
        self._manager_away = False
        self._answered = True
        """Whether a manager answered since the broker came back; one gave the first look."""

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        if self._line is not None:
            self._line.received(message)

    async def connected(self, link: Link) -> None:
        if self._broker_away:
            self._say("broker", "the broker is back")
            self._broker_away = False
        topics = self._access.topics
        self._line = Line(self._access, link)
        manager, presence = Manager(self._line), ManagerPresence(topics)

        def hear(message: Message) -> None:
            was_online = presence.online.is_set()
            presence.hear(message)
            if was_online and not presence.online.is_set():
                self._left.set()
                self._manager_left("the manager went away")

        await self._line.listen(*manager_filters(self._access), hear=hear)
        live = (
            # No acks: a broker with an account for each person keeps those from them.
            Filter(topics.station("+", kind), qos=0, bare=True)
            for kind in ("presence", "status")
        )
        await self._line.listen(*live, hear=lambda _: self._news.set())
        while True:
            if not presence.online.is_set():
                await self._until_online(presence)
            await self._look(manager)

    def disconnected(self, why: str) -> None:
        self._line = None
        if not self._broker_away:
            self._say("broker", f"the broker is away, trying again: {why}")
        self._broker_away, self._answered = True, False

    async def _until_online(self, presence: ManagerPresence) -> None:
        # What the broker keeps of it comes a moment after the subscription.
        try:
            async with asyncio.timeout(_PACE):
                await presence.online.wait()
        except TimeoutError:
            gone = "the manager went away"
            never = "no manager is online, waiting for one"
            self._manager_left(gone if self._answered else never)
            await presence.online.wait()

    async def _look(self, manager: Manager) -> None:
        """Tell what is different, and wait until another look is due."""
        loop = asyncio.get_running_loop()
        self._news.clear()
        self._left.clear()
        began = loop.time()
        try:
            found = await self._ask(manager)
        except (Unreachable, Denied) as error:
            self._manager_left(str(error))
            await asyncio.sleep(_PACE)
            return
        if self._manager_away:
            self._say("manager", "a manager is online again")
            self._manager_away = False
        self._answered = True
        stations = self._of_interest(found)
        self._timezone = found.timezone
        happened = happenings(self._stations, stations, found.at)
        # A program gets all of it.
        for one in (
            happened if self._tell is _print_json else self._restraint.pass_on(happened, found.at)
        ):
            self._tell(one, found.timezone)
        self._stations = stations
        took = loop.time() - began
        # A fleet that is large to describe is asked less often.
        await asyncio.sleep(max(_REST, 4 * took))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PACE):
                await self._news.wait()

    async def _ask(self, manager: Manager) -> StatusResult:
        """What it answers; one that goes away meanwhile is not waited for."""
        asked = asyncio.ensure_future(manager.status())
        left = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait((asked, left), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise Unreachable("the manager went away")
            return asked.result()
        finally:
            for task in (asked, left):
                task.cancel()
            await asyncio.gather(asked, left, return_exceptions=True)

    def _of_interest(self, found: StatusResult) -> Sequence[StationStatus]:
        return found.stations if self._name is None else matching(found.stations, self._name)

    def _manager_left(self, text: str) -> None:
        if not self._manager_away:
            self._say("manager", text)
        self._manager_away = True

    def _say(self, kind: str, text: str) -> None:
        self._tell(general(datetime.now(UTC), kind, text), self._timezone)


def _print_json(one: Happening, _: str) -> None:
    print_json(one)
    sys.stdout.flush()


def _print(one: Happening, timezone: str) -> None:
    console = data()
    who = f"{one.room or '-'}  {one.name}" if one.name else "-"
    text = Text(f"{view.zoned(one.at, timezone):%H:%M:%S %Z}  {view.clean(who)}  ")
    style = _STYLES.get(one.kind)
    if one.kind in ("presence", "instance", "station"):
        style = view.STYLES.get(one.state or "")
    text.append(view.clean(one.text), style)
    if console.is_terminal:
        console.print(text)
    else:
        print(text.plain, flush=True)

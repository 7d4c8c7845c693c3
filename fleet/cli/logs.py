"""`fleet logs`: what the instances of a station wrote last, and go on to write."""

import asyncio
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer
from attrs import define, field, frozen

from fleet.cli.call import stop_refused
from fleet.cli.completion import instances, stations
from fleet.cli.connection import Access, Line, Unreachable, connect
from fleet.cli.station import NoSuchStation, Station, absence, ask, find
from fleet.cli.terminal import Exit, data, print_json, say, stop, with_examples
from fleet.cli.view import clean
from fleet.model import NAME_RULE, Error, Log, Presence, PresenceState, is_name
from fleet.mqtt import Filter, Message
from fleet.station import MOST_LINES, STATION, LogsResult
from fleet.strict import Mistakes
from fleet.wire import Undecodable, decode, from_json

ABOUT: Final = "Show what the instances of a station wrote last."
HELP: Final = with_examples(
    f"{ABOUT} With -f it goes on until Ctrl-C, also when the station or the broker is away in "
    f"between. Ends with 4 if the station cannot be reached.",
    "fleet logs hall1-cam",
    "fleet logs hall1-cam record/main -n 200",
    "fleet logs hall1-cam record -f",
    "fleet logs hall1-cam -f --json | jq -r .text",
)
_PACE: Final = 1.0
"""Seconds between two attempts of -f to find the station again."""


@frozen
class Wish:
    """Which lines; all instances where none is named."""

    station: str
    role: str | None
    instance: str | None
    lines: int
    follow: bool
    json: bool

    def is_for(self, role: str, instance: str) -> bool:
        """Whether the lines of this instance are wished for."""
        return self.role in (None, role) and self.instance in (None, instance)


class Refused(Exception):
    """The station did not give its lines."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


def run(
    ctx: typer.Context,
    station: Annotated[
        str,
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ],
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROLE[/INSTANCE]]", help="Only these.", autocompletion=instances
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[
        int,
        typer.Option(
            "-n", "--lines", metavar="N", min=0, max=MOST_LINES, help="Lines of each instance."
        ),
    ] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Ask for the last lines, then listen."""
    role, _, instance = (which or "").partition("/")
    for name in filter(None, (role, instance)):
        if not is_name(name):
            stop(f"{which!r} is no ROLE[/INSTANCE]: a name is {NAME_RULE}")
    wish = Wish(station, role or None, instance or None, lines, follow, json)
    try:
        _follow(ctx.obj.access(), wish)
    except KeyboardInterrupt:
        if not follow:
            raise
    except Unreachable as error:
        stop(clean(str(error)), Exit.UNKNOWN)
    except NoSuchStation as error:
        stop(str(error))
    except Refused as refused:
        stop_refused(refused.error)


def _follow(access: Access, wish: Wish) -> None:
    """Connect; where -f was asked for, again and again once the station was found."""
    reader = _Reader(wish)
    told = ""
    while True:
        try:
            asyncio.run(connect(access, reader.read))
            return
        except Unreachable as error:
            if not (wish.follow and reader.begun):
                raise
            if told != str(error):
                told = str(error)
                say(clean(told))
            time.sleep(_PACE)


@define
class _Reader:
    """Prints a station's lines; `begun` once the last ones are printed."""

    wish: Wish
    begun: bool = False
    _absent: bool = False
    _heard: "asyncio.Queue[Message]" = field(factory=asyncio.Queue)

    async def read(self, line: Line) -> None:
        """On one connection. Does not end by itself with -f."""
        station = await find(line, self.wish.station)
        topics, self._heard = line.access.topics, asyncio.Queue()
        if self.wish.follow:
            log = Filter(topics.log(station.id), qos=0)
            await line.listen(self._heard.put_nowait, log)
        if not self.begun and self.wish.lines:
            await self._last(line, station)
        if self.begun:
            say(f"{station.name} is online again")
        self.begun = True
        while self.wish.follow:
            message = await self._heard.get()
            if message.topic == topics.log(station.id):
                self._batch(message.payload)
            elif message.topic == topics.presence(station.id):
                self._presence(station, message.payload)

    async def _last(self, line: Line, station: Station) -> None:
        wish = self.wish
        arguments = {"role": wish.role, "instance": wish.instance, "lines": wish.lines}
        reply = await ask(line, station, STATION, "logs", arguments)
        if reply.error is not None:
            raise Refused(reply.error)
        try:
            found = from_json(reply.result, LogsResult)
        except Mistakes as error:
            raise Unreachable(f"the answer of {station.name} makes no sense: {error}") from None
        if not found.instances:
            say(f"nothing runs on {station.name}")
        # What came over the log topic before the answer is in the answer.
        self._heard = _without_logs(self._heard, line.access.topics.log(station.id))
        for one in found.instances:
            for text in one.lines:
                self._print(one.role, one.instance, text)

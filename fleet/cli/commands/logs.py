"""`fleet logs`: what the instances of a station wrote last, and go on to write."""

import asyncio
import sys
import time
from datetime import datetime
from itertools import zip_longest
from typing import Annotated, Any, Final

import typer
from attrs import define, frozen

from fleet.cli.calling import ask
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import instances, stations
from fleet.cli.connection import Access, Line, StationDenied, Unreachable, connect
from fleet.cli.station import Station, absence, find
from fleet.cli.terminal import print_json, put, say, stop
from fleet.cli.view import clean, stamp
from fleet.model import NAME_RULE, Log, Presence, PresenceState, counted, is_name
from fleet.mqtt import Filter, Message
from fleet.station import MOST_LINES, STATION, LogsResult
from fleet.strict import Mistakes
from fleet.wire import Undecodable, decode, from_json

ABOUT: Final = COMMANDS["logs"]
HELP: Final = with_examples(
    f"{ABOUT} With -f it goes on until Ctrl-C, even if the station or the broker is away in "
    "between. Ends with 4 if the station cannot be reached.",
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


def run(
    ctx: typer.Context,
    station: Annotated[
        str,
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ],
    which: Annotated[
        str | None,
        typer.Argument(metavar="ROLE[/INSTANCE]", help="Only these.", autocompletion=instances),
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
            stop(f"{which!r} is not a ROLE[/INSTANCE]: a name is {NAME_RULE}")
    wish = Wish(station, role or None, instance or None, lines, follow, json)
    try:
        _follow(ctx.obj.access(), wish)
    except KeyboardInterrupt:
        if not follow:
            raise


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
    _timezone: str | None = None

    async def read(self, line: Line) -> None:
        """On one connection. Does not end by itself with -f."""
        station = await find(line, self.wish.station)
        self._timezone = station.timezone
        topics = line.access.topics
        log, presence = topics.log(station.id), topics.presence(station.id)
        heard: asyncio.Queue[Message] = asyncio.Queue()

        def hear(message: Message) -> None:
            if message.topic in (log, presence):
                heard.put_nowait(message)

        if self.wish.follow:
            await line.listen(Filter(log, qos=0), hear=hear)
        if self.begun:
            say(f"{station.name} is online again")
        elif self.wish.lines:
            result = await _last(line, station, self.wish)
            # What came over the log topic before the answer is in the answer.
            early = [heard.get_nowait() for _ in range(heard.qsize())]
            for message in early:
                if message.topic == presence:
                    heard.put_nowait(message)
            self._show(station, result)
        self.begun = True
        while self.wish.follow:
            message = await heard.get()
            if message.topic == log:
                self._batch(message.payload)
            else:
                _tell(station, message.payload)

    def _show(self, station: Station, result: LogsResult) -> None:
        if not result.instances:
            say(f"nothing runs on {station.name}")
        for one in result.instances:
            if not one.lines:
                say(clean(f"{one.role}/{one.instance} has written nothing so far"))
            for text, at in zip_longest(one.lines, one.at[: len(one.lines)]):
                self._print(one.role, one.instance, text, at)

    def _batch(self, payload: bytes) -> None:
        try:
            log = decode(payload, Log)
        except Undecodable as error:
            say(f"lines that cannot be read were left out: {clean(str(error))}")
            return
        for one in log.lines:
            if self.wish.is_for(one.role, one.instance):
                self._print(one.role, one.instance, one.text, one.at, stream=one.stream)
        if log.dropped:
            say(f"{counted(log.dropped, 'line')} of this station left out: too many at once")

    def _print(self, role: str, instance: str, text: str, at: datetime | None, **more: Any) -> None:
        if self.wish.json:
            print_json({"role": role, "instance": instance, "text": text, "at": at, **more})
        else:
            whose = "" if self.wish.instance is not None else f"{role}/{instance}: "
            put(f"{stamp(at, self._timezone)} {whose}{clean(text)}")
        if self.wish.follow:
            sys.stdout.flush()


async def _last(line: Line, station: Station, wish: Wish) -> LogsResult:
    arguments = {"role": wish.role, "instance": wish.instance, "lines": wish.lines}
    reply = await ask(line, station, STATION, "logs", arguments)
    if reply.error is not None:
        raise StationDenied(reply.error)
    try:
        return from_json(reply.result, LogsResult)
    except Mistakes as error:
        raise Unreachable(f"the answer of {station.name} cannot be understood: {error}") from None


def _tell(station: Station, payload: bytes) -> None:
    """A station that leaves while it is listened to, and one that comes back."""
    try:
        presence = decode(payload, Presence)
    except Undecodable:
        return
    if presence.state is PresenceState.ONLINE:
        say(f"{station.name} is online again")
    else:
        say(absence(station.name, presence))

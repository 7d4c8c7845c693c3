"""`fleet doctor`: what needs fixing in broker, manager and stations, and how."""

import asyncio
import contextlib
import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.padding import Padding
from rich.text import Text

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.connection import Access, Manager, Unreachable, converse
from fleet.cli.examine import BURST, BrokerFacts, examine
from fleet.cli.fixes import Examination, findings
from fleet.cli.options import Options
from fleet.cli.terminal import (
    Exit,
    data,
    print_json,
    progress,
    put,
    say,
)
from fleet.cli.view import clean
from fleet.model import PresenceState, counted
from fleet.mqtt import Disconnected
from fleet.operations.doctor import DoctorFinding, DoctorResult
from fleet.version import __version__

ABOUT: Final = COMMANDS["doctor"]
HELP: Final = with_examples(
    f"{ABOUT} Looks at the broker (who may say what, queues, sizes, delays, leftovers), "
    "clocks, versions, addresses and duplicate ids; takes about five seconds. Without a "
    "manager it looks only at the broker, and at what stations last said there. Ends with 0 "
    "if there is nothing to fix, 1 if there is, 4 if there is no manager or no broker.",
    "fleet doctor",
    "fleet doctor --json | jq -r '.findings[] | .kind + \" \" + .subject'",
)


def run(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at everything, judge it, show it."""
    options: Options = ctx.obj
    with progress() as tell:
        tell("looking at broker, manager and stations")
        seen = asyncio.run(_look(options.access()))
    found = findings(seen)
    version = seen.facts.version if seen.facts is not None else None
    if json:
        print_json(
            {
                "findings": found,
                "broker": seen.examined,
                "manager": version,
                "not_well": seen.facts.not_well if seen.facts is not None else None,
            }
        )
    else:
        _show(found, seen)
    if seen.facts is None:
        raise typer.Exit(Exit.UNKNOWN)
    if found:
        raise typer.Exit(Exit.NO)


async def _look(access: Access) -> Examination:
    try:
        before = await converse(access, _facts)
    except Unreachable:
        with contextlib.suppress(Disconnected):
            return await _look_alone(access)
        raise
    examined = await examine(access)
    sent = datetime.now(UTC)
    after = await converse(access, _facts)
    # The manager told its time somewhere between being asked and our having the answer.
    now = min(max(after.at, sent), datetime.now(UTC))
    return Examination(
        version=__version__,
        broker=access.broker,
        topics=access.topics,
        facts=after,
        examined=examined,
        boots=frozenset({*examined.managers, before.boot, after.boot}),
        now=now,
    )


async def _look_alone(access: Access) -> Examination:
    """What can be seen without a manager.

    Raises:
        Disconnected: there is no broker either.
    """
    examined = await examine(access)
    boots, now = frozenset(examined.managers), datetime.now(UTC)
    return Examination(__version__, access.broker, access.topics, None, examined, boots, now)


async def _facts(manager: Manager) -> DoctorResult:
    asked: dict[str, Any] = {}
    return await manager.ask("doctor", asked, DoctorResult)


def _show(found: tuple[DoctorFinding, ...], seen: Examination) -> None:
    console = data()
    for one in found:
        head = f"{one.kind} {one.subject}: {one.message}"
        if console.is_terminal:
            text = Text(clean(head))
            text.stylize("bold red", 0, len(one.kind))
            console.print(text)
            console.print(Padding(Text(clean(one.fix), "cyan"), (0, 0, 0, 4)))
        else:
            put(f"{clean(head)}\n    {clean(one.fix)}")
    sys.stdout.flush()
    for line in _measured(seen):
        say(line)
    say(conclusion(len(found), seen.facts.not_well if seen.facts is not None else 0))


def conclusion(found: int, not_well: int) -> str:
    """One sentence on how many findings there are, and how many stations are not well.

    >>> conclusion(0, 0), conclusion(0, 2)
    ('nothing to fix', 'nothing to fix here, but 2 stations are not well: fleet status')
    """
    told = counted(found, "finding") if found else "nothing to fix"
    if not not_well:
        return told
    verb = "is" if not_well == 1 else "are"
    joint = "; and" if found else " here, but"
    return f"{told}{joint} {counted(not_well, 'station')} {verb} not well: fleet status"


def _measured(seen: Examination) -> tuple[str, ...]:
    """The figures, whatever they are."""
    facts: BrokerFacts = seen.examined
    kept = "unknown" if facts.kept is None else f"{facts.kept} of {BURST}"
    stations = seen.facts.stations if seen.facts is not None else ()
    offsets = [one.clock_offset for one in stations if one.clock_offset is not None]
    largest = f", at most {max(map(abs, offsets)):.1f} s off" if offsets else ""
    return (
        f"broker: {clean(facts.version or 'version unknown')} at {seen.broker}",
        f"messages: there and back {_ms(facts.round_trip)}, delivered in {_ms(facts.delivery)}",
        f"queue: {kept} messages kept",
        f"stations: {len(stations)}, {counted(len(offsets), 'clock')} heard{largest}"
        if seen.facts
        else f"stations: {_by_presence(facts)}",
    )


def _by_presence(facts: BrokerFacts) -> str:
    """`3 online, 1 lost, as they last said`."""
    states = [one.presence for one in facts.stations]
    told = [f"{states.count(one)} {one}" for one in PresenceState if one in states]
    return f"{', '.join(told)}, as they last said" if told else "none has said anything"


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1000 * seconds:.2f} ms"

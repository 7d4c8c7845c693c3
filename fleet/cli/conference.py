"""The conference file as `plan` and `apply` send it, and the plan as both show it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.text import Text

from fleet.cli.terminal import data, put, say, stop
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.model import State, natural, printable
from fleet.operations.plans import PlanResult
from fleet.settings import read_text

_MOST = 10
"""Names that are told one by one."""
_STYLES = {"+": "green", "~": "yellow", "-": "red", "!": "red"}
_DOES = {
    State.RUNNING: "runs now",
    State.STARTING: "is starting",
    State.BACKOFF: "is to be tried again",
}
_WORDS = {"+": "to add", "~": "to change", "-": "to remove", "!": "to interrupt"}


def read(path: Path) -> str:
    """The text of a conference file; ends the command where it cannot be read."""
    try:
        return read_text(path)
    except OSError as error:
        stop(
            f"{path} cannot be read: {error.strerror}; is the path right? "
            f"What is wanted now is written by: {instead('export')}"
        )
    except UnicodeDecodeError as error:
        stop(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; "
            f"save it as UTF-8, then: {instead('validate', str(path))}"
        )


def show_changes(plan: PlanResult) -> None:
    """The changes on stdout, a line each."""
    console = data()
    for text in _rows(plan):
        if console.is_terminal:
            text.plain = printable(text.plain)
            console.print(text)
        else:
            put(text.plain)


def show(plan: PlanResult) -> None:
    """The changes on stdout; what there is to say about them on stderr."""
    show_changes(plan)
    for warning in plan.warnings:
        say(f"warning: {clean(warning)}", "yellow")
    if plan.unnamed:
        say(f"left as they are, because the file does not name them: {names(plan.unnamed)}")
    if plan.recording and not plan.is_empty:
        say(f"recording right now: {names(plan.recording)}")
    say(summary(plan))


def names(several: Sequence[str]) -> str:
    """`a, b, c and 5 more`."""
    more = f" and {len(several) - _MOST} more" if len(several) > _MOST else ""
    return clean(", ".join(several[:_MOST])) + more


def summary(plan: PlanResult) -> str:
    """`2 to add, 1 to change`, or that there is nothing to do."""
    actions = [action for action, *_ in _cells(plan)]
    counts = (f"{actions.count(a)} {word}" for a, word in _WORDS.items() if a in actions)
    return ", ".join(counts) or "nothing to do: what is wanted is what the file says"


def _cells(plan: PlanResult) -> list[tuple[str, str, str, str]]:
    """Action, station, instance and detail of each row, by station."""
    rows = []
    for change in plan.changes:
        detail = change.detail
        if change.interrupts:
            detail = f"{detail} {_interrupted(change.state)}".strip()
        instance = f"{change.role}/{change.instance}"
        rows.append((str(change.action), change.station, instance, clean(detail)))
    for one in plan.cuts:
        detail = f"its source {one.source} changes {_interrupted(one.state)}"
        rows.append(("!", one.station, f"{one.role}/{one.instance}", clean(detail)))
    shown = {change.id for change in plan.changes}
    for station in plan.stations:
        # Instances that are added say already that a station is new.
        if station.detail != "new":
            rows.append(("~", station.station, "", clean(station.detail)))
        elif station.id not in shown:
            rows.append(("+", station.station, "", "new, with nothing to run"))
    general = [("~", f"[{one.table}]", "", clean(one.detail)) for one in plan.tables]
    return general + sorted(rows, key=lambda row: (natural(row[1]), row[2]))


def _interrupted(state: State | None) -> str:
    return f"(it {_DOES.get(state or State.RUNNING, 'runs now')} and is interrupted)"


def _rows(plan: PlanResult) -> Iterator[Text]:
    cells = _cells(plan)
    names, instances = (max((len(row[i]) for row in cells), default=0) for i in (1, 2))
    for action, name, instance, detail in cells:
        row = f"{action} {name.ljust(names)}  {instance.ljust(instances)}  {detail}".rstrip()
        yield Text(row, _STYLES[action])

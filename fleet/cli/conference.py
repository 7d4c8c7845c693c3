"""The conference file as `plan` and `apply` send it, and the plan as both show it."""

from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from fleet.cli.terminal import data, say, stop
from fleet.cli.view import clean
from fleet.operations import Change, PlanResult

_STYLES = {"+": "green", "~": "yellow", "-": "red"}
_WORDS = {"+": "to add", "~": "to change", "-": "to remove"}


def read(path: Path) -> str:
    """The text of a conference file; ends the command where it cannot be read."""
    try:
        return path.read_text()
    except OSError as error:
        stop(f"{path} cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        stop(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}")


def show(plan: PlanResult) -> None:
    """The changes on stdout, a line each; what there is to say about them on stderr."""
    console = data()
    for text in _rows(plan.changes):
        if console.is_terminal:
            console.print(text)
        else:
            print(text.plain)
    for warning in plan.warnings:
        say(f"warning: {clean(warning)}", "yellow")
    if plan.unnamed:
        say(f"left as they are, for the file does not name them: {', '.join(plan.unnamed)}")
    say(summary(plan))


def summary(plan: PlanResult) -> str:
    """`2 to add, 1 to change`, or that there is nothing to do."""
    actions = [change.action for change in plan.changes]
    counts = (f"{actions.count(a)} {word}" for a, word in _WORDS.items() if a in actions)
    return ", ".join(counts) or "nothing to do: the stations are wanted as the file says"


def _rows(changes: tuple[Change, ...]) -> Iterator[Text]:
    names = [f"{change.station}" for change in changes]
    instances = [f"{change.role}/{change.instance}" for change in changes]
    for change, name, instance in zip(changes, names, instances, strict=True):
        detail = clean(change.detail)
        if change.running and change.action != "+":
            detail = f"{detail} (it runs now and is interrupted)".strip()
        cells = (name.ljust(max(map(len, names))), instance.ljust(max(map(len, instances))))
        row = "  ".join((f"{change.action} {cells[0]}", cells[1], detail)).rstrip()
        yield Text(row, _STYLES[change.action])

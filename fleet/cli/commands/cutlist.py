"""`fleet cutlist`: the files of each talk with in and out points."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from fleet import kept
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.cutlists import edl, ffconcat
from fleet.cli.talks import NONE_OVER
from fleet.cli.terminal import Exit, ask, print_json, put, say, stop
from fleet.cli.view import clean, zoned
from fleet.model import counted, plain
from fleet.operations.recordings import CutList, CutListArguments, CutListResult

ABOUT: Final = COMMANDS["cutlist"]
HELP: Final = with_examples(
    f"{ABOUT} By marks (fleet mark), else by the schedule. Without TALK, all talks that are over, "
    f"except those that must not be recorded. Paths begin at the directory that has one for each "
    f"room. Ends with 3 if more than five seconds of a talk are missing.",
    "fleet cutlist",
    "fleet cutlist NCWSAJ --format ffconcat > opening.ffconcat",
    "fleet cutlist --format edl --directory /srv/recordings",
)


def run(
    ctx: typer.Context,
    talks: Annotated[
        list[str] | None,
        typer.Argument(metavar="TALK", help="Guid, id, code or slug in the schedule."),
    ] = None,
    form: Annotated[
        Literal["json", "ffconcat", "edl"],
        typer.Option("--format", metavar="json|ffconcat|edl", help="How it is written."),
    ] = "json",
    directory: Annotated[
        Path | None,
        typer.Option("--directory", metavar="DIR", help="Write a file for each talk there."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, as without --format.")] = False,
) -> None:
    """Ask the manager."""
    if json and form != "json":
        stop(f"--json and --format {form} are two things")
    asked = CutListArguments(tuple(talks or ()))
    found = ask(ctx, lambda manager: manager.ask("cutlist", asked, CutListResult))
    there = [one for one in found.lists if any(piece.files for piece in one.pieces)]
    if directory is not None:
        if form == "json":
            stop("--directory takes --format ffconcat or edl: JSON is one document")
        _write(directory, {f"{_name(one)}.{form}": _lines(one, form, found) for one in there})
    elif form == "json":
        print_json(found)
    elif len(there) > 1:
        stop(f"{counted(len(there), 'talk')}: --directory DIR writes a file for each")
    else:
        for one in there:
            for line in _lines(one, form, found):
                put(line)
    if not found.lists:
        say(NONE_OVER)
    for one in found.lists:
        for text in _missing(one, found.timezone):
            say(text)
    if not all(one.is_covered for one in found.lists):
        raise typer.Exit(Exit.UNHEALTHY)


def _lines(one: CutList, form: str, found: CutListResult) -> Iterator[str]:
    return ffconcat(one, found.timezone) if form == "ffconcat" else edl(one)


def _name(one: CutList) -> str:
    """Of a talk's file; files sort by room and time."""
    talk = one.talk
    text = f"{one.room}-{talk.begin:%Y%m%dT%H%M}Z-{talk.code or talk.id or talk.guid}"
    return re.sub(r"[^\w.-]+", "_", text)[:120].lstrip(".")


def _write(directory: Path, files: dict[str, Iterator[str]]) -> None:
    try:
        for name, lines in files.items():
            kept.replace(directory / name, "".join(f"{clean(one)}\n" for one in lines).encode())
    except OSError as error:
        stop(
            f"{directory} cannot be written to: {plain(error)}; --directory names one that is there"
        )
    say(f"{counted(len(files), 'file')} written to {directory}")


def _missing(one: CutList, timezone: str) -> Iterator[str]:
    """What a person must know before they cut."""
    about = f'"{clean(one.talk.title)}" in {one.room}'
    for note in one.notes:
        yield f"{about}: {note}"
    if one.missing > 0:
        whose = f"{one.instance} of {one.station}" if one.station else "any recording"
        gaps = "; ".join(
            f"{zoned(gap.begin, timezone):%H:%M:%S} to {zoned(gap.end, timezone):%H:%M:%S %Z}: "
            f"{gap.why}"
            for gap in one.gaps
        )
        yield clean(f"{about}: {one.missing:.0f} s are not in {whose} ({gaps})")
    if any(file.start is None for piece in one.pieces for file in piece.files):
        yield (
            f"{about}: {one.station} indexed it by an earlier release, which does not tell where "
            "its files begin: points in ffconcat are wrong until .fleet-index-* there is removed"
        )

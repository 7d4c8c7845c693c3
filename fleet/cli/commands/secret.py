"""`fleet secret`: keys and passwords that stations hold, set from afar."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import typer

from fleet.cli import passwords, view
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms, stations
from fleet.cli.connection import Manager
from fleet.cli.sync import near
from fleet.cli.terminal import Exit, ask, data, print_json, put, say, stop
from fleet.cli.view import clean
from fleet.model import PresenceState, counted
from fleet.operations.secrets import (
    SecretSetArguments,
    SecretSetResult,
    SecretsResult,
    StationSecrets,
)
from fleet.station import MAX_SECRET, SentSecret
from fleet.strict import Mistakes, close_match, structure
from fleet.wire import encode, to_json

ABOUT: Final = COMMANDS["secret"]
HELP: Final = with_examples(
    f"{ABOUT} set reads the value from standard input, or asks for it; it goes sealed to each "
    "station, or to those of a room. There it may go only to the hosts of --allow, and "
    "instances that name it are restarted. list says which there are, since when, and where "
    "one is missing.",
    "fleet secret set stream-key --allow live.example.org",
    "fleet secret set sync-key --room hall1 <id_ed25519",
    "fleet secret list",
    "fleet secret remove stream-key --station hall1-cam",
)
_HEADER: Final = ("SECRET", "STATION", "ROOM", "SET", "GOES TO", "")
_MISSING: Final = "missing"

Action = Literal["set", "remove", "list"]


def run(
    ctx: typer.Context,
    action: Annotated[Action, typer.Argument(metavar="set|remove|list")] = "list",
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The secret.")] = None,
    room: Annotated[
        str | None,
        typer.Option(metavar="ROOM", help="Only stations of it.", autocompletion=rooms),
    ] = None,
    station: Annotated[
        str | None,
        typer.Option(metavar="STATION", help="Only this one.", autocompletion=stations),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Where it may go, such as live.example.org or *.example.org; several are "
            "allowed. Without it: wherever the conference file sends it.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager which stations there are, seal it to each, and have them handed out."""
    found = ask(ctx, _secrets)
    chosen = _chosen(found.stations, room, station)
    if action == "list":
        _show(found, chosen, name, json)
        return
    if name is None:
        stop(f"which? fleet secret {action} NAME")
    if action == "remove":
        chosen = _having(name, chosen)
    value = passwords.secret(name, MAX_SECRET) if action == "set" else None
    sent = _sent(found, name, value, allow or [])
    sealed = _sealed(chosen, encode(sent))
    if not sealed:
        stop("no station here can take a secret: are they online, with this release?")
    asked = SecretSetArguments(name, sealed, value is None)
    done = ask(ctx, lambda manager: manager.ask("secret_set", asked, SecretSetResult))
    _told(done, chosen, sealed, json)


async def _secrets(manager: Manager) -> SecretsResult:
    return await manager.ask("secrets", {}, SecretsResult)


def _chosen(
    there: Sequence[StationSecrets], room: str | None, station: str | None
) -> list[StationSecrets]:
    found = [one for one in there if room in (None, one.room)]
    if not found and room is not None:
        known = {one.room for one in there if one.room}
        stop(f"no station is in a room {room!r}; {near(room, sorted(known), [])}")
    if station is not None:
        found = [one for one in found if station in (one.id, one.name)]
        if not found:
            hint = near(station, [one.name for one in there], [one.id for one in there])
            stop(f"there is no station {station!r}; {hint}")
    return found


def _having(name: str, chosen: Sequence[StationSecrets]) -> list[StationSecrets]:
    there = {kept.name for one in chosen for kept in one.secrets}
    if name not in there:
        hint = (
            close_match(name, sorted(there))
            or f" (there are: {', '.join(sorted(there)) or 'none'})"
        )
        stop(f"no secret {name!r} is there to be removed{hint}")
    return [one for one in chosen if any(kept.name == name for kept in one.secrets)]


def _sent(found: SecretsResult, name: str, value: str | None, allow: Sequence[str]) -> SentSecret:
    asked = {"name": name, "value": value, "allow": list(allow), "at": to_json(found.at)}
    try:
        return structure(asked, SentSecret)
    except Mistakes as wrong:
        stop("; ".join(f"{one.pointer.strip('/')} {one.message}" for one in wrong.mistakes))


def _sealed(chosen: Sequence[StationSecrets], said: bytes) -> dict[str, str]:
    from fleet.sealed import BadKey, seal

    found = {}
    for one in chosen:
        if one.presence is PresenceState.ONLINE and one.public_key is not None:
            try:
                found[one.id] = seal(one.public_key, said)
            except BadKey as error:
                stop(f"{one.name}: {error}")
    return found


def _told(
    done: SecretSetResult, chosen: Sequence[StationSecrets], sealed: dict[str, str], json: bool
) -> None:
    left = [one for one in chosen if one.id not in sealed]
    if json:
        missed = [{"station": one.name, "problem": _why_not(one)} for one in left]
        print_json({"stations": to_json(done.stations), "left_out": missed})
    else:
        for one in done.stations:
            restarted = f"; restarted: {', '.join(one.restarting)}" if one.restarting else ""
            put(clean(f"{one.station}: {one.problem or 'done'}{restarted}"))
        for missed_one in left:
            put(clean(f"{missed_one.name}: {_why_not(missed_one)}"))
        good = sum(one.problem is None for one in done.stations)
        say(f"{counted(good, 'station')} of {len(chosen)} done")
    if left or any(one.problem for one in done.stations):
        raise typer.Exit(Exit.UNHEALTHY)


def _why_not(one: StationSecrets) -> str:
    if one.presence is not PresenceState.ONLINE:
        return "it is not online: set it again once it is back"
    return "its agent is an earlier release, which takes none from afar"


def _show(
    found: SecretsResult, chosen: Sequence[StationSecrets], name: str | None, json: bool
) -> None:
    rows = []
    for one in chosen:
        for kept in one.secrets:
            since = view.stamp(kept.at, found.timezone) if kept.at else "by its owner"
            goes = "nowhere" if kept.problem else " ".join(kept.allow) or "anywhere"
            row = (kept.name, one.name, one.room or "", since, goes, kept.problem or "")
            rows.append(row)
        rows += [(miss, one.name, one.room or "", "", "", _MISSING) for miss in one.missing]
    rows = sorted(row for row in rows if name in (None, row[0]))
    missing = [row for row in rows if row[-1] == _MISSING]
    if json:
        print_json({"stations": [one for one in chosen if name is None or name in _all(one)]})
    elif rows:
        cells = (tuple(map(clean, row)) for row in rows)
        view.show([view.TableRow(one, ()) for one in cells], data(), _HEADER)
        for row in missing:
            say(clean(f"fleet secret set {row[0]} --station {row[1]}"), "yellow")
    else:
        say("no station has a secret, and none is named")
    if any(row[-1] for row in rows):
        raise typer.Exit(Exit.UNHEALTHY)


def _all(one: StationSecrets) -> set[str]:
    return {kept.name for kept in one.secrets} | set(one.named)

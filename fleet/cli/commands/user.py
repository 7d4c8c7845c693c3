"""`fleet user`: who may do what."""

import asyncio
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from attrs import evolve

from fleet import contexts, kept
from fleet.cli import passwords, view
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.connection import Manager, Unreachable, converse
from fleet.cli.options import Options
from fleet.cli.terminal import ask, data, print_json, put, say, stop
from fleet.cli.view import clean
from fleet.operations.people import (
    UserAddArguments,
    UserListResult,
    UserPasswdArguments,
    UserRemoveArguments,
    UserResult,
    UserStatus,
)

ABOUT: Final = COMMANDS["user"]
HELP: Final = with_examples(
    f"{ABOUT} viewer sees everything; room:hall1 (or room:hall1,hall2) also acts there; "
    "operator acts everywhere and changes what is wanted; admin also says who may do what. "
    "The password is asked for, or the first line of standard input; one that was made is "
    "shown once.",
    "fleet user add ann --rights operator",
    "fleet user add bob --rights room:hall1 --generate",
    "fleet user add ann --rights admin      other rights, the same password",
    "fleet user passwd                      your own",
    "fleet user passwd bob",
    "fleet user remove bob",
    "fleet user list",
)
_HEADER: Final = ("NAME", "RIGHTS", "PAGE", "CHANGED", "BY")

Action = Literal["add", "passwd", "remove", "list"]


def run(
    ctx: typer.Context,
    action: Annotated[Action, typer.Argument(metavar="add|passwd|remove|list")] = "list",
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Whom.")] = None,
    rights: Annotated[
        str | None,
        typer.Option(
            "--rights", metavar="RIGHTS", help="viewer, room:NAME, operator or admin; for add."
        ),
    ] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Have a password made; it is shown once.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager."""
    listed = ask(ctx, _list)
    if action == "list":
        _show(listed, json)
        return
    if name is None and action == "passwd":
        name = listed.you
    if name is None:
        stop(f"whom? fleet user {action} NAME")
    if action == "remove":
        _told(_change(ctx, listed, "user_remove", UserRemoveArguments(name)), None, json)
        return
    is_new = all(one.name != name for one in listed.users)
    if action == "add" and rights is None:
        stop(f"what may {name} do? fleet user add {name} --rights viewer|room:NAME|operator|admin")
    password, is_made = None, False
    if generate:
        password, is_made = passwords.made(), True
    elif action == "passwd" or is_new:
        password, is_made = passwords.chosen(name)
    sealed = _sealed(listed.key, password) if password is not None else None
    if action == "add":
        add = UserAddArguments(name, rights or "", sealed)
        found = _change(ctx, listed, "user_add", add, password)
    else:
        passwd = UserPasswdArguments(name, sealed or "")
        found = _change(ctx, listed, "user_passwd", passwd, password)
    if password is not None and found.at_broker and name == listed.you:
        _keep(ctx.obj, password)
    _told(found, password if is_made else None, json)


async def _list(manager: Manager) -> UserListResult:
    return await manager.ask("user_list", {}, UserListResult)


def _sealed(key: str, password: str) -> str:
    from fleet.sealed import seal

    return seal(key, password.encode())


def _change(
    ctx: typer.Context,
    listed: UserListResult,
    operation: str,
    asked: UserAddArguments | UserPasswdArguments | UserRemoveArguments,
    password: str | None = None,
) -> UserResult:
    """What the manager did; whoever changes their own account is cut off by the broker first."""
    try:
        return ask(ctx, lambda manager: manager.ask(operation, asked, UserResult))
    except Unreachable:
        if asked.name != listed.you:
            raise
        access = ctx.obj.access()
        if password is not None:
            access = evolve(access, broker=evolve(access.broker, password=password))
        now = asyncio.run(converse(access, _list))
        me = next((one for one in now.users if one.name == now.you), None)
        if me is None or me in listed.users:
            raise
        return UserResult(me.name, me.rights, at_broker=True)


def _keep(options: Options, password: str) -> None:
    """Have the context in use go on with the new password."""
    context = contexts.chosen(options.context)
    file = context.password_file
    if options.password_file is None and file and options.username in (None, context.username):
        kept.replace(Path(file), f"{password}\n".encode(), mode=0o600)
        say(f"it is in {file} now")


def _told(found: UserResult, made: str | None, json: bool) -> None:
    if json:
        print_json({"user": found, "password": made})
        return
    if found.rights is None:
        say(clean(f"{found.name} is no more in the list of people"))
    else:
        say(clean(f"{found.name} has the rights {found.rights}"))
    for note in found.notes:
        say(clean(note), to_type=True)
    if made is not None:
        say(f"the password of {found.name}, said only this once:")
        put(made)


def _show(found: UserListResult, json: bool) -> None:
    if json:
        print_json(found)
    elif not found.users:
        say(
            "nobody is in the list of people: whom the broker lets in may do everything (where "
            "manager.toml names an admin, they alone), and nobody can sign in on the page; fleet "
            "user add NAME --rights admin begins it"
        )
    else:
        view.show([_line(one, found.timezone) for one in found.users], data(), _HEADER)


def _line(one: UserStatus, timezone: str) -> view.TableRow:
    page = "yes" if one.has_password else "no password"
    at = view.stamp(one.at, timezone)
    return view.TableRow(tuple(map(clean, (one.name, one.rights, page, at, one.by))))

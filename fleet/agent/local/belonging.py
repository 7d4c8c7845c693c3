"""Whose this box is: `fleet-agent join` and `fleet-agent reset`, as people type them there."""

import sys
from pathlib import Path

from fleet.agent.box import machine
from fleet.agent.config.store import BadState, StateDirectory, StateInUse, kept_id
from fleet.agent.credential import forget
from fleet.agent.joining import CannotJoin, join
from fleet.agent.local import socket as local
from fleet.agent.settings import AgentSettings
from fleet.model import plain

_PREFIX = "fleet"


class CannotReset(Exception):
    """The box is as it was; the text says why."""


def join_here(settings: AgentSettings, url: str, token: str) -> None:
    """Have this box let in, and say what comes next.

    Raises:
        CannotJoin: it is not let in.
    """
    state = settings.state
    station = settings.station or kept_id(state) or machine.mac()
    if station is None:
        raise CannotJoin("this machine has no network card to be named after: give --station ID")
    try:
        state.mkdir(0o750, parents=True, exist_ok=True)
        found = join(url, token, station, settings.prefix or _PREFIX, state, show_code)
    except OSError as error:
        raise CannotJoin(f"{error.filename or state} cannot be used: {plain(error)}") from None
    print(f"this box is let in as station {station}, until {found.credential.ends:%Y-%m-%d}")
    if settings.broker is not None:
        print(
            f"its settings name another way, {settings.broker}, and that goes before it: take "
            "broker, username and password_file out of them"
        )
    try:
        if local.status(state).connected:
            print("now have its agent go there: systemctl restart fleet-agent; recordings go on")
        else:
            print("the agent that runs here comes in with it by itself, within 15 s")
    except local.NoAgent:
        print("now start its agent: systemctl start fleet-agent")


def reset_here(state: Path, *, asks: bool) -> None:
    """Make this box nobody's; `asks`: only where somebody says yes.

    Raises:
        CannotReset: it is not, or not wholly.
    """
    if not state.is_dir():
        print(f"there is no {state}: nothing has changed")
        return
    if asks:
        print(f"all in {state} but recordings is removed; this box then has to join again")
        try:
            answer = input("Go on? [y/N]: ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise CannotReset("nothing was removed")
    try:
        store = StateDirectory(state)
        try:
            removed = forget(state)
        finally:
            store.close()
    except (BadState, StateInUse) as error:
        stop = "; first: systemctl stop fleet-agent" if isinstance(error, StateInUse) else ""
        raise CannotReset(f"{error}{stop}") from None
    except OSError as error:
        raise CannotReset(f"{error.filename} cannot be removed: {plain(error)}") from None
    print(f"removed: {', '.join(removed) or 'nothing'}")


def show_code(code: str) -> None:
    """Show the code by which somebody lets this box in."""
    import segno

    approve = f"fleet approve {code}"
    if sys.stdout.isatty():
        segno.make(approve, micro=False).terminal(compact=True)
    print(f"this box waits until somebody types: {approve}", flush=True)

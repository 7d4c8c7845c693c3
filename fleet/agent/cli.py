"""The `fleet-agent` script: `run` is the agent, the rest is for people at the box.

It reads its command line with argparse: what `fleet` reads its own with takes more memory than
the agent has left of its 45 MiB. All else is imported when it is known what is asked for, so
that a signal finds the agent listening a moment after its start.
"""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fleet.agent.given import (
    ALLOW_ROOT,
    FLAGS,
    PREFIX,
    SETTINGS,
    STATE_DIR,
    STATION,
    CannotGoOn,
    Flag,
    read_settings,
)
from fleet.agent.local import typed
from fleet.version import __version__

if TYPE_CHECKING:
    from fleet.agent.credential import WayIn
    from fleet.agent.settings import AgentSettings


def main() -> None:
    """The console script."""
    reader = parser()
    given = reader.parse_args()
    if given.work is None:
        reader.print_help()
        sys.exit(2)
    try:
        sys.exit(given.work(given))
    except CannotGoOn as error:
        print(f"fleet-agent: {error}", file=sys.stderr)
        sys.exit(error.status)
    finally:
        gc.freeze()  # else all that was imported is looked through for garbage once more


def _add_version(reader: argparse.ArgumentParser) -> None:
    version = f"fleet-agent {__version__}"
    reader.add_argument("--version", action="version", version=version, help="show the version")


def parser() -> argparse.ArgumentParser:
    """What can be typed after `fleet-agent`."""
    reader = argparse.ArgumentParser(
        prog="fleet-agent",
        description="Runs on a capture box: connects it to the broker and runs what the manager "
        "wants of it.",
    )
    _add_version(reader)
    reader.set_defaults(work=None, parse=_anew)
    commands = reader.add_subparsers(metavar="COMMAND", title="commands")

    def add(work: Callable[[argparse.Namespace], int], *flags: Flag) -> argparse.ArgumentParser:
        text = str(work.__doc__)
        name = work.__name__.removeprefix("_")
        brief = text.partition("\n")[0].rstrip(".")
        command = commands.add_parser(name, help=brief[0].lower() + brief[1:], description=text)
        for flag in flags:
            command.add_argument(
                f"--{flag.name.replace('_', '-')}",
                metavar=flag.metavar,
                default=os.environ.get(flag.variable) or None,
                help=f"{flag.help} [{flag.variable}]",
            )
        _add_version(command)
        command.set_defaults(work=work)
        return command

    run, check = add(_run, *FLAGS), add(typed.check, *FLAGS)
    may = f"be the agent as root, and run all that is wanted so [{ALLOW_ROOT}=1]"
    run.add_argument("--allow-root", action="store_true", help=may)
    check.add_argument("--allow-root", action="store_true", help=argparse.SUPPRESS)
    roles = add(typed.roles, SETTINGS)
    status = add(typed.status, STATE_DIR, SETTINGS)
    for command in (roles, status):
        command.add_argument("--json", action="store_true", help="as JSON")
    restart = add(typed.restart, STATE_DIR, SETTINGS)
    restart.add_argument(
        "instance", metavar="ROLE/INSTANCE", type=_instance, help="such as record/main"
    )
    join = add(typed.join, STATION, STATE_DIR, SETTINGS, PREFIX)
    join.add_argument("url", metavar="URL", help="where the broker is: mqtts://HOST:PORT")
    join.add_argument("token", metavar="TOKEN", help="the word that fleet token printed")
    reset = add(typed.reset, STATE_DIR, SETTINGS)
    reset.add_argument("--yes", action="store_true", help="ask nothing")
    stop = add(typed.stop, STATE_DIR, SETTINGS)
    theirs = (*FLAGS[:2], PREFIX)
    for command, more in ((join, FLAGS[:1]), (reset, theirs), (stop, theirs)):
        for flag in more:  # the service may be told them
            default = os.environ.get(flag.variable) or None
            command.add_argument(f"--{flag.name}", default=default, help=argparse.SUPPRESS)
        command.add_argument("--allow-root", action="store_true", help=argparse.SUPPRESS)
    add(typed.reload, STATE_DIR, SETTINGS)
    return reader


def _anew(words: Sequence[str]) -> argparse.Namespace:
    """What `words` mean by the environment as it is now: it may have become the service's."""
    return parser().parse_args(words)


def _run(given: argparse.Namespace) -> int:
    """Be the agent, until a signal ends it.

    SIGTERM and SIGINT stop what runs and finish its files; SIGHUP leaves it running for the
    next agent.
    """
    if os.geteuid() == 0 and not given.allow_root and os.environ.get(ALLOW_ROOT) != "1":
        raise CannotGoOn(
            "run by root it would run all that is wanted of this box as root: start it as the "
            "user it is for (sudo systemctl start fleet-agent), or type "
            "fleet-agent run --allow-root"
        )
    early: list[signal.Signals] = []
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in ending:
        signal.signal(number, lambda number, _: early.append(signal.Signals(number)))
    # Its unit holds them back from before Python begins; what has come since is heard now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)
    settings = read_settings(given)
    way = _way(settings)
    from fleet.agent.config.store import BadState, StateInUse
    from fleet.agent.program import end_by, run
    from fleet.notify import Notifier, start_logging
    from fleet.settings import leave_no_core

    leave_no_core()
    start_logging()
    try:
        ended_by = run(settings, way, early)
    except (BadState, StateInUse) as error:
        raise CannotGoOn(str(error)) from None
    if ended_by == signal.SIGHUP and Notifier().listening:
        # To systemd status 0 is the end somebody wanted; this asks for the next agent.
        end_by(ended_by)
    return 0


def _instance(text: str) -> tuple[str, str]:
    role, slash, name = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError("expected ROLE/INSTANCE, such as record/main")
    return role, name


def _way(settings: "AgentSettings") -> "WayIn":
    from fleet.agent.credential import WayIn
    from fleet.mqtt import BadBroker
    from fleet.settings import BadSettings

    try:
        return WayIn(settings)
    except (BadBroker, BadSettings) as error:
        raise CannotGoOn(str(error)) from None

"""The `fleet-agent` script: `run` is the agent, the rest is for people at the box.

It reads its command line with argparse: what `fleet` reads its own with takes more memory than
the agent has left of its 45 MiB. All else is imported when it is known what is asked for, so
that a signal finds the agent listening a moment after its start.
"""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fleet.version import __version__

if TYPE_CHECKING:
    from fleet.agent.credential import WayIn
    from fleet.agent.settings import AgentSettings

NO_AGENT: Final = 4
UNHEALTHY: Final = 3


class Flag(NamedTuple):
    """A flag with the variable that stands for it."""

    name: str
    variable: str
    metavar: str
    help: str


SETTINGS: Final = Flag(
    "settings",
    "FLEET_SETTINGS",
    "FILE",
    "the settings file; /etc/fleet/agent.toml if that is there",
)
STATE_DIR: Final = Flag(
    "state_dir", "FLEET_STATE_DIR", "DIRECTORY", "where the agent keeps what it must not forget"
)
STATION: Final = Flag(
    "station", "FLEET_STATION", "ID", "the station's id; the network card's address unless given"
)
PREFIX: Final = Flag("prefix", "FLEET_PREFIX", "NAME", "what every topic starts with")
FLAGS: Final = (
    Flag("broker", "FLEET_BROKER", "URL", "mqtt://HOST:PORT, or mqtts:// for TLS"),
    STATION,
    STATE_DIR,
    SETTINGS,
    PREFIX,
)
"""What `run` and `check` may be told; each goes before the environment, that before the file."""
ALLOW_ROOT: Final = "FLEET_ALLOW_ROOT"
"""The variable that stands for `--allow-root` where it is 1."""


class _CannotGoOn(Exception):
    """The text is for the person who typed the command."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def main() -> None:
    """The console script."""
    reader = parser()
    given = reader.parse_args()
    if given.work is None:
        reader.print_help()
        sys.exit(2)
    try:
        sys.exit(given.work(given))
    except _CannotGoOn as error:
        print(f"fleet-agent: {error}", file=sys.stderr)
        sys.exit(error.status)


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
    reader.set_defaults(work=None)
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

    run, check = add(_run, *FLAGS), add(_check, *FLAGS)
    may = f"be the agent as root, and run all that is wanted so [{ALLOW_ROOT}=1]"
    run.add_argument("--allow-root", action="store_true", help=may)
    check.add_argument("--allow-root", action="store_true", help=argparse.SUPPRESS)
    roles = add(_roles, SETTINGS)
    status = add(_status, STATE_DIR, SETTINGS)
    for command in (roles, status):
        command.add_argument("--json", action="store_true", help="as JSON")
    restart = add(_restart, STATE_DIR, SETTINGS)
    restart.add_argument("instance", metavar="ROLE/INSTANCE", type=_instance)
    join = add(_join, STATION, STATE_DIR, SETTINGS, PREFIX)
    join.add_argument("url", metavar="URL", help="where the broker is: mqtts://HOST:PORT")
    join.add_argument("token", metavar="TOKEN", help="the word that fleet token printed")
    reset = add(_reset, STATE_DIR, SETTINGS)
    reset.add_argument("--yes", action="store_true", help="ask nothing")
    stop = add(_stop, STATE_DIR, SETTINGS)
    theirs = (*FLAGS[:2], PREFIX)
    for command, more in ((join, FLAGS[:1]), (reset, theirs), (stop, theirs)):
        for flag in more:  # the service may be told them
            default = os.environ.get(flag.variable) or None
            command.add_argument(f"--{flag.name}", default=default, help=argparse.SUPPRESS)
        command.add_argument("--allow-root", action="store_true", help=argparse.SUPPRESS)
    add(_reload, STATE_DIR, SETTINGS)
    return reader


def _run(given: argparse.Namespace) -> int:
    """Be the agent, until a signal ends it.

    SIGTERM and SIGINT stop what runs and finish its files; SIGHUP leaves it running for the
    next agent.
    """
    if os.geteuid() == 0 and not given.allow_root and os.environ.get(ALLOW_ROOT) != "1":
        raise _CannotGoOn(
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
    settings = _read(given)
    way = _way(settings)
    from fleet.agent.config.store import BadState, StateInUse
    from fleet.agent.run import end_by, run
    from fleet.notify import Notifier, start_logging
    from fleet.settings import leave_no_core

    leave_no_core()
    start_logging()
    try:
        ended_by = run(settings, way, early)
    except (BadState, StateInUse) as error:
        raise _CannotGoOn(str(error)) from None
    if ended_by == signal.SIGHUP and Notifier().listening:
        # To systemd status 0 is the end somebody wanted; this asks for the next agent.
        end_by(ended_by)
    return 0


def _check(given: argparse.Namespace) -> int:
    """Say whether this box has all it needs; a line each, exit 1 if something is missing.

    It looks as the service does that is installed here: typed by root, with its user, groups
    and environment.
    """
    from fleet.agent.local import check
    from fleet.agent.local.service import BadService, installed
    from fleet.model import printable

    service, complete = None, True

    def say(finding: check.Finding) -> None:
        nonlocal complete
        line = f"{finding.verdict:<7}  {finding.subject}  {finding.text}".rstrip()
        print(printable(line, "\n"), flush=True)
        complete = complete and finding.verdict != "missing"

    try:
        service = installed()
        if service is not None and (os.geteuid() == 0 or service.is_us):
            service.become()
            given = parser().parse_args(["check", *service.flags, *sys.argv[2:]])
    except (BadService, OSError) as error:
        say(check.Finding("missing", "service", str(error)))
    for finding in check.eyes(service) if service is not None else ():
        say(finding)
        if finding.subject == "program":  # nor can this process read the rest of it
            return 1
    try:
        settings = _read(given)
    except _CannotGoOn as wrong:
        say(check.Finding("missing", "settings", str(wrong)))
        return 1
    for finding in check.findings(settings, _file(given), service):
        say(finding)
    return 0 if complete else 1


def _roles(given: argparse.Namespace) -> int:
    """Show what this station can run: each role, its settings, their types and defaults."""
    settings = _read(given)
    from fleet.agent.config import catalogue
    from fleet.agent.local import show
    from fleet.model import printable
    from fleet.wire import to_json

    logging.getLogger("fleet").setLevel(logging.CRITICAL)  # what is broken is shown below
    with contextlib.redirect_stdout(sys.stderr):  # a role may print
        offer = catalogue.offer(catalogue.load(settings.roles), settings.blocked)
    if given.json:
        value = {
            "factories": to_json(offer.described),
            "broken_roles": dict(offer.broken),
            "blocked_roles": sorted(offer.blocked),
        }
        print(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        print(printable("\n".join(show.roles(offer)), "\n"))
    return 0


def _status(given: argparse.Namespace) -> int:
    """Ask the agent of this box what it does; exit 0 healthy, 3 not, 4 no agent answers."""
    settings = _read(given)
    from fleet.agent.local import show
    from fleet.agent.local import socket as local
    from fleet.model import printable
    from fleet.wire import to_json

    try:
        answer = local.status(settings.state)
    except local.SilentAgent as error:
        raise _CannotGoOn(str(error), NO_AGENT) from None
    except local.NoAgent as error:
        print(f"{error}\nstart one: systemctl start fleet-agent", file=sys.stderr)
        if os.geteuid() != 0:
            print("or ask the one of the system: sudo fleet-agent status", file=sys.stderr)
        return NO_AGENT
    if given.json:
        print(json.dumps(to_json(answer), indent=2, ensure_ascii=False))
    else:
        print(printable("\n".join(show.status(answer)), "\n"))
    return 0 if show.healthy(answer) else UNHEALTHY


def _restart(given: argparse.Namespace) -> int:
    """Stop one instance and start it again."""
    role, instance = given.instance
    _ask(given, "restart", role=role, instance=instance)
    print(f"{role}/{instance} is being restarted")
    return 0


def _join(given: argparse.Namespace) -> int:
    """Have this box let into a fleet; on the server `fleet token` prints the line.

    What it is given is kept in the state directory, where the agent finds it. Typed by root, it is
    done as the service, with its user.
    """
    settings = _read(_as_service("join", given))
    from fleet.agent.joining import CannotJoin
    from fleet.agent.local.belonging import join_here

    try:
        join_here(settings, given.url, given.token)
    except CannotJoin as error:
        raise _CannotGoOn(str(error)) from None
    return 0


def _reset(given: argparse.Namespace) -> int:
    """Make this box nobody's, before it is imaged or given away; recordings stay.

    Its id, its key, what it comes in with, what was wanted of it: all of that goes.
    """
    settings = _read(_as_service("reset", given))
    from fleet.agent.local.belonging import CannotReset, reset_here

    try:
        reset_here(settings.state, asks=not given.yes)
    except CannotReset as error:
        raise _CannotGoOn(str(error)) from None
    return 0


def _as_service(command: str, given: argparse.Namespace) -> argparse.Namespace:
    """What was typed, as the service that is installed here would read it, with its rights."""
    from fleet.agent.local.service import BadService, installed

    try:
        service = installed()
        if service is None or os.geteuid() != 0:
            return given
        for directory in service.state:
            if not directory.exists():
                directory.mkdir(0o750, parents=True)
                os.chown(directory, service.user.pw_uid, service.group)
        service.become()
    except (BadService, OSError) as error:
        raise _CannotGoOn(f"the service of this box cannot be used: {error}") from None
    return parser().parse_args([command, *service.flags, *sys.argv[2:]])


def _stop(given: argparse.Namespace) -> int:
    """Stop the agent of this box and all it runs; files are finished first.

    So is what an agent that has died left running.
    """
    settings = _read(_as_service("stop", given))
    from fleet.agent.local import socket as local
    from fleet.agent.local.left import end_left

    try:
        local.ask(settings.state, "stop")
        print("the agent stops")
    except local.NoAgent as error:
        ended = [] if isinstance(error, local.SilentAgent) else end_left(settings)
        if not ended:
            raise _CannotGoOn(str(error), NO_AGENT) from None
        print(f"no agent ran here; what one had left running is ended: {', '.join(ended)}")
    return 0


def _reload(given: argparse.Namespace) -> int:
    """Have the agent read new and changed role files now; exit 1 if one is broken.

    What runs keeps what it was built from until it is restarted.
    """
    found = _ask(given, "reload")
    print(f"roles: {', '.join(found['roles']) or 'none'}")
    for name, reason in found["broken"].items():
        print(f"{name} is broken: {reason}")
    return 1 if found["broken"] else 0


def _instance(text: str) -> tuple[str, str]:
    role, slash, name = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError("expected ROLE/INSTANCE, such as record/main")
    return role, name


def _ask(given: argparse.Namespace, what: str, **arguments: str) -> Any:
    from fleet.agent.local import socket as local
    from fleet.model import Refusal

    settings = _read(given)
    try:
        return local.ask(settings.state, what, **arguments)
    except local.NoAgent as error:
        raise _CannotGoOn(str(error), NO_AGENT) from None
    except Refusal as refusal:
        raise _CannotGoOn(refusal.message) from None


def _file(given: argparse.Namespace) -> Path | None:
    return Path(given.settings) if given.settings else None


def _read(given: argparse.Namespace) -> "AgentSettings":
    from fleet.agent.settings import read
    from fleet.settings import BadSettings

    told = {flag.name: getattr(given, flag.name, None) for flag in FLAGS if flag != SETTINGS}
    try:
        return read(
            _file(given),
            **told,
            username=os.environ.get("FLEET_USERNAME"),
            password_file=os.environ.get("FLEET_PASSWORD_FILE"),
        )
    except BadSettings as error:
        raise _CannotGoOn(str(error)) from None


def _way(settings: "AgentSettings") -> "WayIn":
    from fleet.agent.credential import WayIn
    from fleet.mqtt import BadBroker
    from fleet.settings import BadSettings

    try:
        return WayIn(settings)
    except (BadBroker, BadSettings) as error:
        raise _CannotGoOn(str(error)) from None

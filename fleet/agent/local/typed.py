"""What people type at the box after `fleet-agent`, except `run`; each returns its exit status.

What each needs is imported when it is asked for.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
from typing import Any, Final

from fleet.agent.given import CannotGoOn, read_settings, settings_file

NO_AGENT: Final = 4
UNHEALTHY: Final = 3
_AFTER_STOP: Final = "SERVICE_RESULT"
"""What systemd tells its `ExecStopPost=`, and nobody else."""


def check(given: argparse.Namespace) -> int:
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
            given = given.parse(["check", *service.flags, *sys.argv[2:]])
    except (BadService, OSError) as error:
        say(check.Finding("missing", "service", str(error)))
    for finding in check.eyes(service) if service is not None else ():
        say(finding)
        if finding.subject == "program":  # nor can this process read the rest of it
            return 1
    try:
        settings = read_settings(given)
    except CannotGoOn as wrong:
        say(check.Finding("missing", "settings", str(wrong)))
        return 1
    for finding in check.findings(settings, settings_file(given), service):
        say(finding)
    return 0 if complete else 1


def roles(given: argparse.Namespace) -> int:
    """Show what this station can run: each role, its settings, their types and defaults."""
    settings = read_settings(given)
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


def status(given: argparse.Namespace) -> int:
    """Ask the agent of this box what it does; exit 0 healthy, 3 not, 4 no agent answers."""
    settings = read_settings(given)
    from fleet.agent.local import show
    from fleet.agent.local import socket as local
    from fleet.model import printable
    from fleet.wire import to_json

    try:
        answer = local.status(settings.state)
    except local.SilentAgent as error:
        raise CannotGoOn(str(error), NO_AGENT) from None
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


def restart(given: argparse.Namespace) -> int:
    """Stop one instance and start it again."""
    role, instance = given.instance
    _ask(given, "restart", role=role, instance=instance)
    print(f"{role}/{instance} is being restarted")
    return 0


def join(given: argparse.Namespace) -> int:
    """Have this box let into a fleet; on the server `fleet token` prints the line.

    What it is given is kept in the state directory, where the agent finds it. Typed by root, it is
    done as the service, with its user.
    """
    settings = read_settings(_as_service("join", given))
    from fleet.agent.joining import CannotJoin
    from fleet.agent.local.belonging import join_here

    try:
        join_here(settings, given.url, given.token)
    except CannotJoin as error:
        raise CannotGoOn(str(error)) from None
    return 0


def reset(given: argparse.Namespace) -> int:
    """Make this box nobody's, before it is imaged or given away; recordings stay.

    Its id, its key, what it comes in with, what was wanted of it: all of that goes.
    """
    settings = read_settings(_as_service("reset", given))
    from fleet.agent.local.belonging import CannotReset, reset_here

    try:
        reset_here(settings.state, asks=not given.yes)
    except CannotReset as error:
        raise CannotGoOn(str(error)) from None
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
        raise CannotGoOn(f"the service of this box cannot be used: {error}") from None
    again: argparse.Namespace = given.parse([command, *service.flags, *sys.argv[2:]])
    return again


def stop(given: argparse.Namespace) -> int:
    """Stop the agent of this box and all it runs; files are finished first.

    What an agent that has died left running is ended too.
    """
    settings = read_settings(_as_service("stop", given))
    from fleet.agent.config.store import BadState
    from fleet.agent.local import socket as local
    from fleet.agent.local.left import end_left

    try:
        local.ask(settings.state, "stop")
        print("the agent stops")
    except local.NoAgent as error:
        try:
            ended = [] if isinstance(error, local.SilentAgent) else end_left(settings)
        except BadState as bad:
            raise CannotGoOn(str(bad)) from None
        if not ended:
            if _AFTER_STOP in os.environ and not isinstance(error, local.SilentAgent):
                return 0  # it stopped as it should, and left nothing
            raise CannotGoOn(str(error), NO_AGENT) from None
        print(f"no agent ran here; what one had left running is ended: {', '.join(ended)}")
    return 0


def reload(given: argparse.Namespace) -> int:
    """Have the agent read new and changed role files now; exit 1 if one is broken.

    What runs keeps what it was built from until it is restarted.
    """
    found = _ask(given, "reload")
    print(f"roles: {', '.join(found['roles']) or 'none'}")
    for name, reason in found["broken"].items():
        print(f"{name} is broken: {reason}")
    return 1 if found["broken"] else 0


def _ask(given: argparse.Namespace, what: str, **arguments: str) -> Any:
    from fleet.agent.local import socket as local
    from fleet.model import Refusal

    settings = read_settings(given)
    try:
        return local.ask(settings.state, what, **arguments)
    except local.NoAgent as error:
        raise CannotGoOn(str(error), NO_AGENT) from None
    except Refusal as refusal:
        raise CannotGoOn(refusal.message) from None

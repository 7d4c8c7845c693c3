"""The `fleet-agent` script: what was typed is read by `app`, the agent runs without its weight.

Reading a command line takes more memory than the agent has left of its 45 MiB. So `run` reads
it, then starts over as the same process, with the settings found, and never loads that part.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Final, NoReturn

from fleet.agent.settings import AgentSettings, broker_of
from fleet.wire import decode, encode

_SETTINGS: Final = "FLEET_AGENT_SETTINGS_READ"


def main() -> None:
    """The console script."""
    settings = os.environ.pop(_SETTINGS, None)
    if settings is not None:
        _be_agent(settings)
    else:
        from fleet.agent.app import app

        app(prog_name="fleet-agent")


def become_agent(settings: AgentSettings) -> NoReturn:
    """Go on as the agent, in this process: what is typed and shown stays the same."""
    os.environ[_SETTINGS] = encode(settings).decode()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (ourselves)


def _be_agent(text: str) -> None:
    from fleet.agent.config.store import BadState, StateInUse
    from fleet.agent.run import run
    from fleet.notify import Notifier

    # The journal has its own clock.
    time = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(level=logging.INFO, format=f"{time}%(levelname)-7s %(message)s")
    settings = decode(text.encode(), AgentSettings)
    try:
        ended_by = asyncio.run(run(settings, broker_of(settings)))
    except (BadState, StateInUse) as error:
        sys.exit(f"fleet-agent: {error}")
    except SystemExit as error:  # with status 0 it would look as if somebody had stopped it
        sys.exit(f"fleet-agent: a task of a role called sys.exit({error.code!r}); children run on")
    if ended_by == signal.SIGHUP and Notifier().listening:
        # To systemd status 0 is the end somebody wanted; this asks for the next agent.
        signal.raise_signal(signal.SIGHUP)

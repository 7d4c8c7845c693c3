"""What `fleet-agent` is given on its command line, and the settings that come of it."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from fleet.agent.settings import AgentSettings


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
"""What `run` and `check` take; each goes before the environment, that before the file."""
ALLOW_ROOT: Final = "FLEET_ALLOW_ROOT"
"""The variable that stands for `--allow-root` where it is 1."""


class CannotGoOn(Exception):
    """The text is for the person who typed the command."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def settings_file(given: argparse.Namespace) -> Path | None:
    """The settings file, None where none is named."""
    return Path(given.settings) if given.settings else None


def read_settings(given: argparse.Namespace) -> "AgentSettings":
    """What flags, environment and file say together.

    Raises:
        CannotGoOn: one of them makes no sense.
    """
    from fleet.agent.settings import read
    from fleet.settings import BadSettings

    told = {flag.name: getattr(given, flag.name, None) for flag in FLAGS if flag != SETTINGS}
    try:
        return read(
            settings_file(given),
            **told,
            username=os.environ.get("FLEET_USERNAME"),
            password_file=os.environ.get("FLEET_PASSWORD_FILE"),
        )
    except BadSettings as error:
        raise CannotGoOn(str(error)) from None

"""What a manager is told by `manager.toml` in the directory of `--dir`, or by `--settings FILE`.

Flags and FLEET_* go before it. Paths in it may begin with `~`; others are beside the file.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import evolve, fields, frozen

from fleet.mqtt import Broker
from fleet.settings import BadSettings, load, overridden, read_password, valid_prefix

MANAGER_FILE: Final = "manager.toml"


@frozen
class ManagerSettings:
    """The keys of the file, each with its default."""

    broker: str = "mqtt://127.0.0.1:1883"
    """`mqtt://HOST:PORT`, or `mqtts://` for TLS."""
    join: str | None = None
    """The broker as boxes and people reach it, for the line that `fleet token` prints."""
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    """Of the CA that signed the broker's certificate, besides the system's."""
    accounts: bool = False
    """Whether the manager keeps the broker's accounts, with Mosquitto's dynamic security plugin."""
    admin: str | None = None
    """Who alone may do something while nobody is in the list of people; everybody whom the broker
    lets in without it."""
    prefix: Annotated[str, valid_prefix] = "fleet"
    """What every topic starts with."""
    state_dir: str | None = None
    """Where the store lies."""
    store: str | None = None
    """`postgresql+psycopg://USER@HOST/DATABASE`; a file in the state directory without it."""
    http: str = "127.0.0.1:9700"
    """`HOST:PORT` of the page, `/metrics` and `/healthz`."""
    http_name: tuple[str, ...] = ()
    """What browsers call that place, where it is not its host name."""
    http_certificate: str | None = None
    """That the page speaks HTTPS with (PEM), and its key; HTTP without them."""
    http_key: str | None = None
    metrics_token_file: str | None = None
    """A file whose first line Prometheus has to show as a bearer token; nothing without it."""
    notify: tuple[str, ...] = ()
    """Where people are called, as Apprise writes it: `ntfys://ntfy.sh/TOPIC`, `matrixs://...`."""
    alerts_token_file: str | None = None
    """With the token that Alertmanager has to send from another machine."""
    public_page: bool = False
    """Whether the page is shown to those who are not signed in, without pictures and logs."""


_PATHS: Final = frozenset(
    {
        "password_file",
        "ca_file",
        "state_dir",
        "http_certificate",
        "http_key",
        "metrics_token_file",
        "alerts_token_file",
    }
)


def read_manager(directory: Path | None, file: Path | None, **given: Any) -> ManagerSettings:
    """The settings of `file`, else of `manager.toml` in `directory`; `given` goes before each.

    Raises:
        BadSettings: a file or what is given cannot be used, or both are named.
    """
    if directory is not None and file is not None:
        raise BadSettings(
            "--dir and --settings both name a file; leave one of them out (FLEET_DIR, "
            "FLEET_SETTINGS)"
        )
    file = directory / MANAGER_FILE if directory is not None else file
    found = ManagerSettings()
    if file is not None:
        if directory is not None and not os.path.lexists(file):
            raise BadSettings(f"there is no {file}")
        found = _beside(load(file, ManagerSettings), file)
    return overridden(found, given)


def manager_broker(settings: ManagerSettings) -> Broker:
    """Where to connect, and as whom.

    Raises:
        BadBroker, BadSettings: the address, the password file or the CA file is wrong.
    """
    password = first_line(settings.password_file)
    return Broker.parse(settings.broker, settings.username, password, settings.ca_file)


def first_line(file: str | None) -> str | None:
    """The password, or token, in a file that the settings name; None where they name none.

    Raises:
        BadSettings: it cannot be read, or has none.
    """
    return read_password(Path(file).expanduser() if file else None)


def _beside(settings: ManagerSettings, file: Path) -> ManagerSettings:
    """With the paths as they are from here."""
    there = file.absolute().parent
    paths: dict[str, Any] = {
        one.name: str(there / Path(text).expanduser())
        for one in fields(ManagerSettings)
        if one.name in _PATHS and (text := getattr(settings, one.name))
    }
    return evolve(settings, **paths)

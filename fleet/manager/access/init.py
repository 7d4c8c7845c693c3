"""`fleet-manager init`: all that a new server needs, in one directory. Again, it changes nothing.

The broker's files are in a directory of its own, which it writes to; everything else is of whoever
typed it. Nobody else can read any of it.
"""

import getpass
import hashlib
import json
import logging
import os
import pwd
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from fleet import contexts, kept
from fleet.manager.access import topics as access
from fleet.manager.access.authority import (
    hosts_of,
    new_authority,
    new_certificate,
)
from fleet.manager.people.rights import Reach, Rights
from fleet.manager.settings import MANAGER_FILE
from fleet.model import is_name, plain
from fleet.topics import Topics

log = logging.getLogger(__name__)

BROKER: Final = "mosquitto"
"""The broker's directory, and its user."""
CONF: Final = f"{BROKER}/mosquitto.conf"
ACCOUNTS: Final = f"{BROKER}/dynamic-security.json"
CERTIFICATE: Final = f"{BROKER}/broker.pem"
KEY: Final = f"{BROKER}/broker.key"
PID: Final = f"{BROKER}/mosquitto.pid"
CA: Final = "ca.pem"
CA_KEY: Final = "ca.key"
PASSWORD: Final = "manager.password"  # noqa: S105 (a file's name)
PAGE: Final = ("page.pem", "page.key")
"""The page's certificate and key: the broker's are the broker's alone."""
TOKEN: Final = "metrics.token"  # noqa: S105 (a file's name)
MANAGER: Final = "manager"
MANAGER_USER: Final = "fleet-manager"
"""That of its service, which reads nothing of the authority's key."""
_OPERATOR: Final = "operator"
_CONTEXT: Final = "fleet"
_PREFIX: Final = "fleet"
_HTTP: Final = 9700
_STATE: Final = "/var/lib/fleet-manager"
_PLUGIN: Final = "mosquitto_dynamic_security.so"
_LIBRARIES: Final = ("local/lib", "lib/*", "lib64", "lib")
"""Below /usr, where systems have it."""
_ITERATIONS: Final = 101
"""Mosquitto's own: its passwords are random, and need no slower ones."""

_BROKER_CONF: Final = """\
# The broker of this fleet, as fleet-manager init wrote it; complete in itself:
#   mosquitto -c {directory}/mosquitto.conf
# Accounts are the manager's business (fleet token, fleet user); they are in dynamic-security.json.

# The broker is a cache: stations and manager fill an empty one within seconds, whereas a
# saved snapshot would bring back what is no longer so.
persistence false

# Without it a lone push takes 2 ms instead of 0.3 ms, with spikes of 40 ms.
set_tcp_nodelay true

# A manager's request or reply may have 16 MiB.
max_packet_size 17825792

# A manager that comes back reads thousands of retained messages at once. By default all
# after the first 1,020 would be dropped in silence, so only their bytes are limited.
max_queued_messages 0
max_queued_bytes 268435456

# Nobody here has a session that outlives the connection: who makes one all the same, with its will
# and what waits for it, is forgotten after an hour, not never.
persistent_client_expiration 1h

# No memory_limit: where accounts change, Mosquitto 2.0.11 miscounts what it uses, and would let
# everybody go.

log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages true
pid_file {directory}/mosquitto.pid

plugin {plugin}
plugin_opt_config_file {directory}/dynamic-security.json
allow_anonymous false

listener {port}
certfile {directory}/broker.pem
keyfile {directory}/broker.key
"""


class CannotInit(Exception):
    """The directory cannot be made what a server needs; the text says why."""


@frozen
class Made:
    """What there is now. `new`: files that were written; `operator`, `client_file`: who can type
    `fleet`, and where that is kept, None where that was there before.
    """

    directory: Path
    url: str
    new: Sequence[Path]
    operator: str | None
    client_file: Path | None


def init(directory: Path, hosts: Sequence[str], port: int, prefix: str = _PREFIX) -> Made:
    """Make what is missing in `directory`. `hosts`: names and addresses of this server.

    Raises:
        CannotInit, BadSettings: it cannot be made; what was there is.
    """
    directory = directory.expanduser().absolute()
    if (directory / MANAGER_FILE).exists():
        return _there(directory, hosts, port)
    plugin, home = _plugin(), contexts.own_home()
    operator = _caller()
    topics = Topics(prefix)
    ca = new_authority()
    # `localhost` and its addresses are for the manager, which is beside it.
    names = list(dict.fromkeys([*hosts, "localhost", "127.0.0.1", "::1"]))
    served, page = new_certificate(ca, names), new_certificate(ca, names)
    passwords = {name: secrets.token_urlsafe(24) for name in (MANAGER, operator)}
    url = f"mqtts://{_in_url(hosts[0])}:{port}"
    broker = directory / BROKER
    files = {
        CA: ca.certificate,
        CA_KEY: ca.key,
        PASSWORD: f"{passwords[MANAGER]}\n",
        CERTIFICATE: served.certificate,
        KEY: served.key,
        ACCOUNTS: _accounts(topics, operator, passwords),
        CONF: _BROKER_CONF.format(directory=broker, plugin=plugin, port=port),
        **dict(zip(PAGE, (page.certificate, page.key), strict=True)),
        TOKEN: f"{secrets.token_urlsafe(24)}\n",
        MANAGER_FILE: _settings(directory, url, port, prefix, hosts, operator),
    }
    last = MANAGER_FILE  # while it is missing, the next run begins anew
    try:
        directory.mkdir(0o755, parents=True, exist_ok=True)
        broker.mkdir(0o700, exist_ok=True)
        of_broker, of_manager = owner(BROKER), owner(MANAGER_USER)
        for name in (one for one in files if one != last):
            whose = of_broker if name.startswith(f"{BROKER}/") else of_manager
            whose = None if name == CA_KEY else whose
            kept.replace(directory / name, files[name].encode(), mode=0o600, owner=whose)
        if of_broker is not None:
            os.chown(broker, *of_broker, follow_symlinks=False)
        context = contexts.Context(url, operator, prefix=prefix if prefix != _PREFIX else None)
        password = passwords[operator]
        client = contexts.keep(_name_in(home), context, password, ca.certificate, home)
        kept.replace(directory / last, files[last].encode(), mode=0o600, owner=of_manager)
    except OSError as error:
        raise CannotInit(
            f"{error.filename or directory} cannot be written: {plain(error)}"
        ) from None
    return Made(directory, url, [directory / name for name in files], operator, client)


def next_steps(made: Made) -> str:
    """What to type now."""
    where = made.directory
    return (
        f"the broker:   mosquitto -c {where / CONF}\n"
        f"the manager:  fleet-manager run --dir {where}\n"
        "the page:     fleet user passwd, which gives you a password for "
        f"https://{made.url.removeprefix('mqtts://').rpartition(':')[0]}:{_HTTP}\n"
        "a box:        fleet token, which prints the line to type there"
    )


def _there(directory: Path, hosts: Sequence[str], port: int) -> Made:
    """What an earlier run made; it must be what is asked for now."""
    try:
        known = hosts_of((directory / CERTIFICATE).read_text())
        listens = f"listener {port}" in (directory / CONF).read_text().splitlines()
    except (OSError, ValueError) as error:
        raise CannotInit(
            f"{directory} was set up before and is not whole ({error}); put it back from a "
            "backup, or name another directory"
        ) from None
    missing = [one for one in hosts if one not in known]
    if missing or not listens:
        what = f"its certificate is not for {', '.join(missing)}" if missing else "its port differs"
        raise CannotInit(
            f"{directory} was set up before, and {what}; nothing was changed. "
            f"fleet-manager renew --dir {directory} --host NAME makes a certificate for more names"
        )
    return Made(directory, f"mqtts://{_in_url(hosts[0])}:{port}", [], None, None)


def _plugin() -> Path:
    for place in _LIBRARIES:
        for found in sorted(Path("/usr").glob(f"{place}/{_PLUGIN}")):
            return found
    raise CannotInit(
        f"Mosquitto's plugin {_PLUGIN} is not on this box: apt install mosquitto, then again"
    )


def _caller() -> str:
    """Who typed this, as the name of the first operator."""
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    return user if is_name(user) and user not in ("root", MANAGER) else _OPERATOR


def _name_in(home: contexts.Home) -> str:
    """A name for the context that none there has."""
    known = contexts.names(home)
    more = (f"{_CONTEXT}-{number}" for number in range(2, len(known) + 3))
    return next(name for name in (_CONTEXT, *more) if name not in known)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _settings(
    directory: Path, url: str, port: int, prefix: str, hosts: Sequence[str], operator: str
) -> str:
    lines: dict[str, Any] = {
        "broker": f"mqtts://127.0.0.1:{port}",  # the smallest systems know no localhost
        "join": url,
        "username": MANAGER,
        "password_file": PASSWORD,
        "ca_file": CA,
        "admin": operator,
        "state_dir": _STATE if directory.is_relative_to("/etc") else "state",
        "http": f"0.0.0.0:{_HTTP}",
        "http_name": list(hosts),
        "http_certificate": PAGE[0],
        "http_key": PAGE[1],
        "metrics_token_file": TOKEN,
    }
    if prefix != _PREFIX:
        lines["prefix"] = prefix
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    return (
        "# What fleet-manager run --dir reads; flags and FLEET_* go before it. docs/settings.md\n"
        f"{text}accounts = true\n"
    )


def _accounts(topics: Topics, operator: str, passwords: Mapping[str, str]) -> str:
    admin = Rights(Reach.ADMIN)
    told = {
        MANAGER: (MANAGER, access.of_manager(topics)),
        operator: (f"person:{operator}", access.of_person(topics, operator, admin)),
    }
    return json.dumps(
        {
            "defaultACLAccess": {
                "publishClientSend": False,
                "publishClientReceive": False,
                "subscribe": False,
                "unsubscribe": True,
            },
            "clients": [
                {"username": name, "roles": [{"rolename": role}], **_hashed(passwords[name])}
                for name, (role, _) in told.items()
            ],
            "groups": [],
            "roles": [{"rolename": role, "acls": what.rules} for role, what in told.values()],
        },
        indent=2,
    )


def _hashed(password: str) -> dict[str, Any]:
    """A password as Mosquitto keeps it: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return {
        "password": b64encode(key).decode(),
        "salt": b64encode(salt).decode(),
        "iterations": _ITERATIONS,
    }


def owner(user: str) -> tuple[int, int] | None:
    """User and group of a service of this server, None where we cannot give it anything."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        return None
    return found.pw_uid, found.pw_gid

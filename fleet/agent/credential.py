"""What a box that joined comes in with: kept 0600 in its state directory, and which is tried.

After a rotation there are two, because the broker changes a moment after the station has the new
one: the newer is tried first, and where it is not taken, the other.
"""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen

from fleet import kept
from fleet.agent.settings import AgentSettings
from fleet.joining import StationCredential
from fleet.model import plain
from fleet.mqtt import BadBroker, Broker, Disconnected
from fleet.settings import BadSettings, keep_from_others, read_password
from fleet.wire import decode, encode

_FILE: Final = "credential.json"
_NEXT: Final = "credential.next.json"
CA: Final = "ca.pem"
_MOST: Final = 16_384
NOWHERE: Final = "mqtt://127.0.0.1:1883"
"""Where a broker is looked for that nobody named."""
_PREFIX: Final = "fleet"


@frozen
class Joined:
    """Where this box joined, and what it comes in with there."""

    broker: str
    prefix: str
    credential: StationCredential = field(repr=False)

    def way(self, state: Path) -> Broker:
        """Where to connect, and as whom; nobody but the fleet's own authority is trusted.

        Raises:
            BadBroker: the address or the authority's file is damaged.
        """
        given = self.credential
        return Broker.parse(
            self.broker, given.username, given.password, str(state / CA), trusts_only_ca_file=True
        )


def keep_joined(state: Path, joined: Joined, ca: str) -> None:
    """Keep it in place of all that was there before.

    Raises:
        OSError: it is not kept.
    """
    kept.replace(state / CA, ca.encode(), mode=0o600)
    (state / _NEXT).unlink(missing_ok=True)
    kept.replace(state / _FILE, encode(joined), mode=0o600)


def joined(state: Path) -> Joined | None:
    """What this box comes in with, None where it has not joined.

    Raises:
        BadSettings: it is there, and damaged or not ours to read.
    """
    found = _both(state)
    return found[-1] if found else None


def _both(state: Path) -> list[Joined]:
    """The newest first."""
    found = []
    for name in (_NEXT, _FILE):
        try:
            with suppress(FileNotFoundError):
                keep_from_others(state / name)
            one = kept.read(state / name, lambda payload: decode(payload, Joined, _MOST), _MOST)
        except (OSError, ValueError) as error:
            raise BadSettings(
                f"what this box comes in with ({state / name}) cannot be read: {plain(error)}; "
                "where it is damaged, let it join again: fleet token prints the line"
            ) from None
        if one is not None:
            found.append(one)
    return found


def _named(settings: AgentSettings) -> Broker:
    """The broker that the settings name, else one here, and as whom.

    Raises:
        BadBroker, BadSettings: the address or the password file is wrong.
    """
    password = read_password(settings.password)
    return Broker.parse(settings.broker or NOWHERE, settings.username, password)


class WayIn:
    """Which broker is tried, as whom: what the settings say, else what this box joined with."""

    def __init__(self, settings: AgentSettings) -> None:
        """Raises: BadBroker, BadSettings."""
        self._settings = settings
        self._state = settings.state
        self._known: list[Joined] = []
        self._tries = 0
        self._trying: Joined | None = None
        self.broker = self.next()
        """What was tried last."""
        self._tries = 0

    def __str__(self) -> str:
        return str(self.broker)

    @property
    def prefix(self) -> str:
        """What every topic starts with."""
        return self._settings.prefix or (self._known[0].prefix if self._known else _PREFIX)

    @property
    def station(self) -> str | None:
        """The id that the settings name, or it joined with."""
        given = self._known[0].credential.station if self._known else None
        return self._settings.station or given

    def next(self) -> Broker:
        """What to try now; asked before each attempt, so that a box may join meanwhile.

        Raises:
            BadBroker, BadSettings: that cannot be used.
        """
        if self._settings.broker is not None:
            self.broker = _named(self._settings)
            return self.broker
        self._known = _both(self._state)
        if self._known:
            self._trying = self._known[self._tries % len(self._known)]
            self._tries += 1
            self.broker = self._trying.way(self._state)
        else:
            self.broker = _named(self._settings)
        return self.broker

    @property
    def hint(self) -> str:
        """What to do, where nobody said where to go."""
        if self._settings.broker is not None or self._known:
            return ""
        return " (this box has not joined a fleet: type here what fleet token prints on the server)"

    def try_next(self) -> Broker:
        """As `next`, for who tries for as long as it takes.

        Raises:
            Disconnected: that cannot be used now.
        """
        try:
            return self.next()
        except (BadBroker, BadSettings) as error:
            raise Disconnected(str(error)) from None

    def let_in(self) -> None:
        """What was tried was taken: the next connection begins with it."""
        if self._trying in self._known:
            self._tries = self._known.index(self._trying)

    def keep(self, payload: bytes) -> datetime:
        """Keep a newer credential, as it travels, beside the one that is in use; when it ends.

        Raises:
            OSError: it is not kept.
            ValueError: it is none, another's, or this box has not joined.
        """
        given = decode(payload, StationCredential)
        current = self._trying
        if current is None:
            raise ValueError("this station's settings name its broker and its password")
        if given.station != current.credential.station:
            raise ValueError(f"it is for the station {given.station}")
        kept.replace(self._state / _FILE, encode(current), mode=0o600)
        newer = evolve(current, credential=given)
        kept.replace(self._state / _NEXT, encode(newer), mode=0o600)
        self._known = [newer, current]
        self._tries = 0
        return given.ends


def forget(state: Path) -> list[str]:
    """Remove all that makes this box the one it is; what was removed. Recordings stay.

    Raises:
        OSError: something is left.
    """
    removed = []
    for path in sorted(state.iterdir()):
        if path.name in ("recordings", "lock") or path.is_mount():
            continue
        kept.remove(path)
        removed.append(path.name)
    return removed

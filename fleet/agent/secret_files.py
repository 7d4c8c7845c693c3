"""The secrets of a station: files of its owner's, and those that were sent to it from afar.

Beside a secret `NAME` its owner may put `NAME.toml` with `allow = ["live.example.org"]`: it then
goes to these hosts alone. One that the owner keeps is never changed from afar.
"""

import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import tomlkit
from attrs import field, frozen

from fleet import kept
from fleet.agent.hidden import Hidden
from fleet.bound import may_go, refusal
from fleet.host import Failed
from fleet.model import MAX_SECRETS, NAME_RULE, KeptSecret, is_name, plain
from fleet.station import AllowedHosts, SentSecret
from fleet.strict import Mistakes, structure
from fleet.wire import Undecodable, decode, format_time, to_json

CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
_MOST_BOUND: Final = 65_536
_MOST_BYTES: Final = 2**20
"""Of a secret; a key has some thousand."""
_AHEAD: Final = timedelta(minutes=5)
"""A secret may be of a time that this box's clock has not reached."""
_LONGEST_PROBLEM: Final = 300
"""Characters of why a secret goes nowhere."""


@frozen
class SecretBinding:
    """What stands beside a secret. `allow`: where it may go, anywhere where that is empty; `at`:
    when it was sent, None of one that its owner keeps.
    """

    allow: AllowedHosts = ()
    at: datetime | None = None


@frozen
class SecretFiles:
    """`own`: the owner's directory; `sent`: where those from afar are.

    `hidden` has each value that was read.
    """

    own: Path
    sent: Path
    hidden: Hidden = field(factory=Hidden, eq=False)

    def read(self, name: str, to: str | None = None) -> str:
        """The value of a secret that goes to the host `to`; None: its role does not say where.

        Raises:
            Failed: `SecretMissing`, it is not there, or others can read it; `SecretRefused`, it may
                not go there.
        """
        file = self.file(name)
        allow = self._binding(file).allow if is_name(name) else ()
        if allow and not may_go(to, allow):
            raise Failed("SecretRefused", refusal(name, to, allow))
        return self.value(name)

    def value(self, name: str) -> str:
        """The value, wherever it may go.

        Raises:
            Failed: `SecretMissing`, it is not there, or others can read it.
        """
        if not is_name(name):
            raise Failed("SecretMissing", f"{name!r} cannot be the name of a secret")
        value = self._value(name)
        self.hidden.hide(value)
        return value

    def hide_all(self) -> None:
        """Have all that are there hidden, before something runs that may find and print them."""
        credentials = os.environ.get(CREDENTIALS)
        places = (self.own, self.sent, *([Path(credentials)] if credentials else ()))
        for name in dict.fromkeys(name for place in places for name in _names(place)):
            with suppress(Failed):
                self.value(name)

    def _value(self, name: str) -> str:
        file = self.file(name)
        if file.parent == self.own and not os.path.exists(file):  # noqa: PTH110 (a Path raises without rights)
            credentials = os.environ.get(CREDENTIALS)
            if credentials:
                return _read(Path(credentials) / name, file)
        return _read_private(file)

    def file(self, name: str) -> Path:
        """Where a secret is, or is to be put."""
        own, sent = self.own / name, self.sent / name
        return sent if not self._is_own(name) and os.path.lexists(sent) else own

    def _is_own(self, name: str) -> bool:
        return os.path.lexists(self.own / name) or os.path.lexists(self.own / f"{name}.toml")

    def take(self, sealed: bytes, at: datetime) -> SentSecret:
        """Keep, or forget, what was sealed to this box; `at`: now, by its clock.

        Raises:
            ValueError: it makes no sense, is older than what is here, is of a time to come (which
                would keep out all that are sent until then), or the owner keeps it.
            OSError: it cannot be kept.
        """
        try:
            said = decode(sealed, SentSecret)
        except Undecodable:  # what it says of a mistake may quote the secret
            raise ValueError("it cannot be read: is fleet of another release?") from None
        if not is_name(said.name):
            raise ValueError(f"its name cannot be one: expected {NAME_RULE}")
        if self._is_own(said.name):
            raise ValueError(f"its owner keeps it in {self.own / said.name}: change it there")
        if said.at - at > _AHEAD:
            raise ValueError(
                f"it was set at {format_time(said.at)}, and it is {format_time(at)} here: set the "
                "clock of this box, or of where the secret was set, whichever is wrong"
            )
        file = self.sent / said.name
        before = self._binding(file).at if os.path.lexists(file.with_suffix(".toml")) else None
        if before is not None and said.at <= before:
            raise ValueError(
                f"it is older than what is here, of {format_time(before)}: check the clock where "
                f"it was set; where that is wrong, remove {file.with_suffix('.toml')} on the box"
            )
        kept.make_directory(self.sent, 0o700)
        names = {one.name for one in self.there()}
        if said.value is not None and said.name not in names and len(names) >= MAX_SECRETS:
            raise ValueError(f"a station keeps {MAX_SECRETS} secrets at most")
        binding = tomlkit.dumps(to_json(SecretBinding(said.allow, said.at)))
        # What is forgotten leaves its time, so that nobody brings it back.
        kept.replace(file.with_suffix(".toml"), binding.encode(), mode=0o600)
        if said.value is not None:
            kept.replace(file, said.value.encode(), mode=0o600)
        elif os.path.lexists(file):
            file.unlink()
        return said

    def there(self) -> Iterator[KeptSecret]:
        """Each that this station has, by name."""
        found = dict.fromkeys(_names(self.own))
        for name in sorted({*found, *_names(self.sent)}):
            binding, problem = SecretBinding(), None
            try:
                binding = self._binding(self.file(name))
            except Failed as failed:
                problem = failed.message[:_LONGEST_PROBLEM]
            yield KeptSecret(name, None if name in found else binding.at, binding.allow, problem)

    def bound(self) -> dict[str, tuple[str, ...]]:
        """Secret -> the hosts to which it may go, of those that may not go everywhere."""
        return {one.name: one.allow for one in self.there() if one.allow}

    def _binding(self, file: Path) -> SecretBinding:
        beside = file.with_name(f"{file.name}.toml")
        try:
            text = kept.read(beside, lambda read: read.decode("utf-8-sig"), _MOST_BOUND)
            if text is None:
                return SecretBinding()
            return structure(_plain(tomllib.loads(text)), SecretBinding)
        except (OSError, ValueError, Mistakes) as error:
            # Where it may go is not known, so it goes nowhere.
            raise Failed("SecretRefused", f"{beside} cannot be used: {_why(error)}") from None


def _plain(value: dict[str, object]) -> dict[str, object]:
    """With a time as it is written in JSON."""
    return {
        key: one.isoformat().replace("+00:00", "Z") if isinstance(one, datetime) else one
        for key, one in value.items()
    }


def _why(error: Exception) -> str:
    return plain(error) if isinstance(error, OSError) else str(error)


def _names(directory: Path) -> Iterator[str]:
    try:
        found = sorted(
            one.name for one in os.scandir(directory) if is_name(one.name) and one.is_file()
        )
    except OSError:
        return
    yield from found[:MAX_SECRETS]


def _read_private(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise Failed(
            "SecretMissing",
            f"the secret {path.name!r} is not on this station: set it (fleet secret set "
            f"{path.name} --station STATION), or put it in {path}",
        ) from None
    except OSError as error:
        raise Failed("SecretMissing", f"{path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Failed("SecretMissing", f"{path} can be read by others: chmod 600 it")
    return _read(path, path)


def _read(path: Path, advised: Path) -> str:
    try:
        with path.open("rb") as file:
            if len(found := file.read(_MOST_BYTES + 1)) <= _MOST_BYTES:
                return found.decode("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        pass
    raise Failed(
        "SecretMissing", f"the secret {path.name!r} cannot be read: put it in {advised}"
    ) from None

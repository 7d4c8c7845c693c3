"""The agent's service on this box as systemd would start it: its rights, and what it is told.

Read from its unit's files, so that it can be known before the first boot too.
"""

import grp
import os
import pwd
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from fleet.agent.secret_files import CREDENTIALS
from fleet.model import plain

NAME: Final = "fleet-agent.service"
_PLACES: Final = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What systemd gives a service."""


class BadService(Exception):
    """The unit is there and cannot be started so; the text says why."""


@frozen
class AgentService:
    """What its unit says of it."""

    user: pwd.struct_passwd
    group: int
    groups: frozenset[int]
    """All it is in, its own included."""
    environment: Mapping[str, str]
    program: str
    flags: tuple[str, ...]
    """What `fleet-agent run` is told in its command line."""
    state: tuple[Path, ...]
    """Directories that systemd makes for it, and gives to its user."""

    @property
    def is_us(self) -> bool:
        """Whether this process has its user."""
        return os.geteuid() == self.user.pw_uid

    def missing_groups(self) -> list[str]:
        """Of those it is in, what this process is not in."""
        missing = self.groups - {os.getegid(), *os.getgroups()}
        return sorted(grp.getgrgid(group).gr_name for group in missing)

    def become(self) -> None:
        """Have its user, groups and environment in this process, for good.

        Raises:
            OSError: this process may not.
        """
        if os.geteuid() == 0:
            os.setgroups(sorted(self.groups))
            os.setgid(self.group)
            os.setuid(self.user.pw_uid)
            os.environ.clear()
        os.environ.update(self.environment)

    def given(self, directory: Path) -> bool:
        """Whether systemd will make it, or give it to the user with all that is in it."""
        if directory not in self.state:
            return False
        try:
            return directory.stat().st_uid != self.user.pw_uid
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def runs(self, pid: int) -> bool:
        """Whether that process is the service's."""
        try:
            return f"/{NAME}" in Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            return False


def installed() -> AgentService | None:
    """The service, None where its unit is not installed.

    Raises:
        BadService: its unit cannot be read, or names what is not on this box.
    """
    given = os.environ.get("SYSTEMD_UNIT_PATH")  # systemd's own variable
    places = [Path(place) for place in (given.split(":") if given else _PLACES) if place]
    unit = next((one for place in places if (one := place / NAME).is_file()), None)
    if unit is None:
        return None
    more = {one.name: one for place in reversed(places) for one in (place / f"{NAME}.d").glob("*")}
    files = [more[name] for name in sorted(more) if name.endswith(".conf")]
    try:
        said = _settings("\n".join(one.read_text() for one in (unit, *files)))
    except (OSError, UnicodeDecodeError) as error:
        raise BadService(f"the unit {unit} cannot be read: {plain(error)}") from None
    return _service(said)


def _settings(text: str) -> dict[str, list[str]]:
    """Each key with its values in order; an empty one takes those before it back."""
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith(("#", ";")):
            continue
        values = found.setdefault(key.strip(), [])
        if value.strip():
            values.append(value.strip())
        else:
            values.clear()
    return found


def _service(said: Mapping[str, list[str]]) -> AgentService:
    def last(key: str, default: str) -> str:
        return [default, *said.get(key, [])][-1]

    def words(key: str) -> list[str]:
        return [word for value in said.get(key, []) for word in value.split()]

    try:
        user = _user(last("User", "root"))
        group = _group(last("Group", str(user.pw_gid)))
        groups = {group, *os.getgrouplist(user.pw_name, group)}
        groups |= {_group(name) for name in words("SupplementaryGroups")}
    except KeyError as error:
        raise BadService(f"the unit {NAME} cannot start: {error.args[0]}") from None
    state = tuple(Path("/var/lib") / name for name in words("StateDirectory"))
    environment = {"PATH": _PATH, "HOME": user.pw_dir, "SHELL": user.pw_shell}
    environment |= {"USER": user.pw_name, "LOGNAME": user.pw_name}
    environment |= {name: os.environ[name] for name in ("LANG",) if name in os.environ}
    if state:
        environment["STATE_DIRECTORY"] = ":".join(map(str, state))
    credentials = f"/run/credentials/{NAME}"
    if said.get("LoadCredential") or said.get("SetCredential"):
        environment[CREDENTIALS] = credentials
    for value in said.get("Environment", []):
        environment |= _assigned(shlex.split(value.replace("%d", credentials)))
    for value in said.get("EnvironmentFile", []):
        environment |= _from_file(value)
    program, *arguments = _started(shlex.split(last("ExecStart", "fleet-agent run")))
    flags = tuple(arguments[1:]) if arguments[:1] == ["run"] else ()
    return AgentService(user, group, frozenset(groups), environment, program, flags, state)


def _started(words: list[str]) -> list[str]:
    """The program and its arguments, without what `env` is told to do for it."""
    words[0] = words[0].lstrip("@-:+!")
    if Path(words[0]).name != "env":
        return words
    return words[next(at for at, word in enumerate(words) if at and not word.startswith("-")) :]


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        raise KeyError(f"there is no user {name} on this box") from None


def _group(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise KeyError(f"there is no group {name} on this box") from None


def _from_file(value: str) -> dict[str, str]:
    """What an `EnvironmentFile=` holds; systemd reads it as root."""
    path = Path(value.removeprefix("-"))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        optional = isinstance(error, FileNotFoundError) and value.startswith("-")
        if optional or isinstance(error, PermissionError):  # the latter only where we are not root
            return {}
        raise BadService(
            f"the unit's environment file {path} cannot be read: {plain(error)}"
        ) from None
    settings = [line.strip() for line in lines if not line.strip().startswith(("#", ";"))]
    try:
        return _assigned([word for line in settings for word in _one(line)])
    except ValueError as error:
        raise BadService(f"the unit's environment file {path}: {error}") from None


def _one(line: str) -> list[str]:
    """A line of such a file as one assignment: its value may have spaces without quotes."""
    name, equals, value = line.partition("=")
    value = value.strip()
    quoted = value[:1] in {"'", '"'}
    return [f"{name.strip()}={''.join(shlex.split(value)) if quoted else value}"] if equals else []


def _assigned(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)

"""What a station's owner can set, in `/etc/fleet/agent.toml` or the file `--settings` names."""

import os
from pathlib import Path
from typing import Annotated, Final

import platformdirs
from attrs import frozen

from fleet.model import EXEC, INTERVAL, is_station_id, no_station_id
from fleet.settings import AGENT_FILE, load, overridden, valid_prefix
from fleet.strict import Meta

_BESIDE: Final = "fleet-recordings"
_WITHIN: Final = "recordings"


def _station(text: str) -> None:
    if not is_station_id(text):
        raise ValueError(f"{text!r} {no_station_id(text)}")


@frozen
class AgentSettings:
    """The keys of the file; flags and FLEET_* go before it. Paths may begin with `~`."""

    broker: str | None = None
    """`mqtt://HOST:PORT`, or `mqtts://` for TLS; where the box joined unless given."""
    username: str | None = None
    password_file: str | None = None
    station: Annotated[str, _station] | None = None
    """The station's id; the primary network card's address unless given."""
    prefix: Annotated[str, valid_prefix] | None = None
    """What every topic starts with."""
    state_dir: str | None = None
    recordings: str | None = None
    """Where recordings go; `fleet-recordings` beside the state directory unless given."""
    recordings_mount: bool = False
    """Whether nothing is recorded unless a disk is mounted at `recordings` or above it."""
    media_dirs: tuple[str, ...] = ()
    """Directories, besides the recordings, whose files a source may be."""
    secrets_dir: str = "/etc/fleet/secrets"
    roles_dir: str | None = None
    """A directory with role files of your own."""
    blocked_roles: tuple[str, ...] = ()
    """Roles that this station never runs, whether it has them or not."""
    allow_exec: bool = False
    """Whether the role `exec` may run here what a conference file says; else it is blocked."""
    name: str | None = None
    """What recordings call the station while no config names it."""
    interval: Annotated[float, Meta(ge=0.1, le=3600)] = INTERVAL
    """Seconds between two heartbeats."""
    adopt: bool = True
    """Whether children that an earlier agent left are taken over (else they are stopped)."""

    @property
    def state(self) -> Path:
        """The state directory."""
        return _path(self.state_dir) if self.state_dir else _default_state()

    @property
    def recordings_dir(self) -> Path:
        """Where recordings go.

        Out of the state directory, which may be thrown away. They go where an earlier release put
        them, if somebody has given that a disk of its own, or nothing can be written beside it.
        """
        if self.recordings:
            return _path(self.recordings)
        beside, within = self.state.parent / _BESIDE, self.state / _WITHIN
        if within.is_mount() or within.is_symlink():
            return within
        place = beside if beside.exists() else _existing(self.state.parent)
        return beside if os.access(place, os.W_OK | os.X_OK) else within

    @property
    def former_recordings(self) -> Path | None:
        """Where an earlier release put them by default, if there are any and it is elsewhere."""
        former = self.state / _WITHIN
        return former if former.is_dir() and former != self.recordings_dir else None

    @property
    def blocked(self) -> frozenset[str]:
        """Roles that this station does not run."""
        return frozenset(self.blocked_roles) | (frozenset() if self.allow_exec else {EXEC})

    @property
    def password(self) -> Path | None:
        """Where the broker's password is, if a file is named."""
        return _path(self.password_file) if self.password_file else None

    @property
    def secrets(self) -> Path:
        """Where secrets are."""
        return _path(self.secrets_dir)

    @property
    def media(self) -> tuple[Path, ...]:
        """Where files may be read from, besides the recordings."""
        return tuple(map(_path, self.media_dirs))

    @property
    def roles(self) -> Path | None:
        """Where role files of this station's own are."""
        return _path(self.roles_dir) if self.roles_dir else None


def read(file: Path | None, **flags: str | None) -> AgentSettings:
    """The settings in `file` (else in `/etc/fleet/agent.toml`, if it is there) and the flags.

    Raises:
        BadSettings: the file or a flag cannot be used.
    """
    if file is None and _may_be_there(AGENT_FILE):
        file = AGENT_FILE
    found = load(file, AgentSettings) if file is not None else AgentSettings()
    return overridden(found, flags)


def _existing(path: Path) -> Path:
    """The nearest directory at or above `path` that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def _may_be_there(path: Path) -> bool:
    """Where we may not even look, reading it will say so."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _default_state() -> Path:
    if given := os.environ.get("STATE_DIRECTORY"):  # systemd's, for the unit
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/fleet-agent")
    return platformdirs.user_state_path("fleet-agent")

"""What is wanted of this station, checked and ready to be run."""

from pathlib import Path
from typing import Any, NamedTuple

from attrs import field, frozen

from fleet.role import RoleFactory


class Key(NamedTuple):
    """Names one instance: `record/main`."""

    role: str
    instance: str

    def __str__(self) -> str:
        return f"{self.role}/{self.instance}"


@frozen
class Wanted:
    """An instance that can be run. `digest` is that of its settings as they came."""

    factory: RoleFactory[Any] = field(repr=False)
    settings: Any
    """An object of `factory.settings`."""
    digest: str


@frozen
class Unrunnable:
    """An instance of the saved config that is not valid (any more); it is shown as failed."""

    reason: str
    message: str


@frozen
class Place:
    """Where this station keeps what it runs."""

    station: str
    state_dir: Path
    recordings: Path
    secrets_dir: Path
    adopt: bool = True
    """Whether children an earlier agent left are taken over (else they are stopped)."""

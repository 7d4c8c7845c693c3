"""The secrets of stations, and how one is sent, sealed to each that is to have it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from fleet.model import KeptSecret, PresenceState


@frozen
class StationSecrets:
    """One station. `public_key`: what is for it is sealed with that; None where its release has
    none. `named`: the secrets that its config names.
    """

    id: str
    name: str
    room: str | None
    presence: PresenceState
    public_key: str | None
    secrets: tuple[KeptSecret, ...]
    named: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """What its config names and it has not."""
        there = {one.name for one in self.secrets}
        return tuple(name for name in self.named if name not in there)


@frozen
class SecretsResult:
    """Operation `secrets`: every station; `at`: the manager's clock."""

    stations: tuple[StationSecrets, ...]
    at: datetime
    timezone: str = "UTC"


@frozen
class SecretSetArguments:
    """Operation `secret_set`. `sealed`: station id -> name, value, hosts and time, sealed to it."""

    name: str
    sealed: Annotated[
        Mapping[str, Annotated[str, Meta(max_length=65_536)]], Meta(min_length=1, max_length=1000)
    ]
    remove: bool = False
    """Whether it is to be forgotten, for the history."""


@frozen
class SecretSet:
    """What became of it on one station. `problem`: None where it is kept, or forgotten."""

    station: str
    restarting: tuple[str, ...]
    problem: str | None


@frozen
class SecretSetResult:
    """By name of the station."""

    stations: tuple[SecretSet, ...]

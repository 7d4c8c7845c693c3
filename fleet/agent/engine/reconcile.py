"""What is to be done so that what is wanted runs (pure): the heart of the station.

The steps are data: `supervisor` takes them, tests compare them. Whatever is as it should be
gets no step, so an instance whose settings did not change never notices a new config.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from attrs import field, frozen

from fleet.model import StopByHand
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
    """An instance of the saved config that is not valid (any more); it is shown as failed.

    `digest`: of its settings, where what an earlier agent started with these may run on; None
    where it must not.
    """

    reason: str
    message: str
    digest: str | None = None


@frozen
class Held:
    """An instance that is wanted, and that somebody has stopped; `message` says who, and why."""

    message: str
    digest: None = None


Target = Wanted | Unrunnable | Held
"""What an instance is there for."""


@frozen
class Stop:
    """No longer wanted: end it, and forget it once it is gone."""

    key: Key


@frozen
class Update:
    """Wanted otherwise: it takes its new settings live, or is restarted with them."""

    key: Key
    wanted: Target


@frozen
class Start:
    """Wanted and not there."""

    key: Key
    wanted: Target


Step = Stop | Update | Start


def honour(
    wanted: Mapping[Key, Wanted | Unrunnable], stops: Iterable[StopByHand], now: datetime
) -> dict[Key, Target]:
    """What is wanted, less what somebody has stopped until later than `now`."""
    held = {Key(*one.key): Held(one.text()) for one in stops if one.holds(now)}
    return {key: held.get(key, target) for key, target in wanted.items()}


def reconcile(running: Mapping[Key, Target], wanted: Mapping[Key, Target]) -> tuple[Step, ...]:
    """The steps from `running` to `wanted`: first what ends, then what changes, then what begins.

    `running`: what each instance that is there is there for; one being stopped is not there.
    """
    stops = [Stop(key) for key in sorted(running.keys() - wanted.keys())]
    updates = [
        Update(key, wanted[key])
        for key in sorted(running.keys() & wanted.keys())
        if not same(running[key], wanted[key])
    ]
    starts = [Start(key, wanted[key]) for key in sorted(wanted.keys() - running.keys())]
    return (*stops, *updates, *starts)


def same(one: Target, other: Target) -> bool:
    """Whether both ask for the same: settings are compared by their digest."""
    if isinstance(one, Wanted) and isinstance(other, Wanted):
        return one.digest == other.digest
    return one == other

"""What somebody has stopped by hand, on each station: as the store has it, and as it said. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from attrs import evolve

from fleet.model import MAX_SHORT, STOPPED_BY_HAND, InstanceStatus, Roles, State, StopByHand

StopKey = tuple[str, str]
"""Role and instance."""
_SAID: Final = "(the station says)"


class Stops:
    """The last stop of each instance that was ever stopped, also where it is over."""

    def __init__(self) -> None:
        self._of: dict[str, dict[StopKey, StopByHand]] = {}
        self._doubted: dict[str, datetime] = {}

    def __iter__(self) -> Iterator[str]:
        """The stations of which something was ever stopped: they have to be told what is now."""
        return iter(self._of)

    def __contains__(self, station: str) -> bool:
        """Whether anything of a station was ever stopped."""
        return station in self._of

    def take_all(self, stops: Iterable[tuple[str, StopByHand]]) -> None:
        """(station, stop) of all there are; the others are forgotten."""
        self._of = {}
        for station, one in stops:
            self.take(station, [one])

    def take(self, station: str, stops: Iterable[StopByHand]) -> None:
        """Each in place of the last of its instance."""
        self._of.setdefault(station, {}).update({one.key: one for one in stops})

    def doubt(self, now: datetime) -> None:
        """What is known now is of an older copy of the store: stations know better."""
        self._doubted = dict.fromkeys(self._of, now)

    def is_doubted(self, station: str) -> bool:
        """Whether it has not been said yet what a station really keeps stopped."""
        return station in self._doubted

    def corrected(
        self, station: str, said: Iterable[StopByHand], now: datetime
    ) -> list[StopByHand]:
        """What is to be kept instead of what is doubted, given what the station keeps stopped."""
        holds = {one.key: one for one in said if one.holds(now)}
        known, since = self._of.get(station, {}), self._doubted.get(station, now)
        over = [
            evolve(one, until=now)
            for key, one in known.items()
            if key not in holds and one.holds(now) and one.at < since
        ]
        later = [
            as_said(one)
            for key, one in holds.items()
            if key in known and known[key].at < since and known[key] != one
        ]
        return [*over, *later]

    def trust(self, station: str) -> None:
        """What is known of a station is as it says."""
        self._doubted.pop(station, None)

    def forget(self, station: str) -> None:
        """Nothing is to be known of a station."""
        self._of.pop(station, None)
        self._doubted.pop(station, None)

    def all(self) -> Iterator[tuple[str, StopByHand]]:
        """(station, stop): the last of each instance, also where it is over."""
        for station, held in self._of.items():
            for one in held.values():
                yield station, one

    def of(self, station: str, now: datetime) -> tuple[StopByHand, ...]:
        """Those that hold, by role and instance."""
        held = self._of.get(station, {})
        return tuple(held[key] for key in sorted(held) if held[key].holds(now))

    def shown(
        self, station: str, said: Iterable[StopByHand] | None, now: datetime
    ) -> tuple[StopByHand, ...]:
        """Those that hold, and those that only the station still knows of."""
        own = self.of(station, now)
        others = self.unknown(station, said or (), now)
        return tuple(sorted((*own, *others), key=lambda one: one.key))

    def unknown(self, station: str, said: Iterable[StopByHand], now: datetime) -> list[StopByHand]:
        """Those that hold, as only the station says."""
        known = self._of.get(station, {})
        return [as_said(one) for one in said if one.key not in known and one.holds(now)]


def as_said(one: StopByHand) -> StopByHand:
    """A stop of which nobody knows but its station, which may name whom it likes."""
    why = one.why or ""
    if why.endswith(_SAID):
        return one
    return evolve(one, why=f"{why[: MAX_SHORT - len(_SAID) - 1]} {_SAID}".lstrip())


def is_stopped(one: InstanceStatus) -> bool:
    """Whether an instance stands still because somebody stopped it."""
    return one.state is State.STOPPED and one.reason == STOPPED_BY_HAND


def to_run(wanted: Roles, said: Mapping[str, Mapping[str, InstanceStatus]]) -> Roles:
    """What is wanted, without what somebody stopped; every wanted instance has a status."""
    if not any(is_stopped(one) for named in said.values() for one in named.values()):
        return wanted
    return {
        role: {name: it for name, it in named.items() if not is_stopped(said[role][name])}
        for role, named in wanted.items()
    }


def over_there(ahead: float | None, seconds: float | None) -> str | None:
    """Why a station stops nothing for `seconds` whose clock is `ahead` by so many.

    >>> over_there(700.0, 300.0)
    'its clock is 700 s ahead, by which that is over: set it (fleet doctor), or leave out --for'
    """
    if ahead is None or seconds is None or ahead < seconds:
        return None
    return (
        f"its clock is {ahead:.0f} s ahead, by which that is over: set it (fleet doctor), or leave "
        "out --for"
    )

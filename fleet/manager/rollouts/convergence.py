"""Which stations get their wanted config, and when. Pure: time is passed in.

One loop heals everything (lost broker data, lost acks, restarts): compare what a station's ack
names with what is wanted, and push where they differ. The rest of this module keeps that loop
from pushing what is not needed and from being spun by a broken station. `now` is always in
monotonic seconds.
"""

from enum import Enum, auto
from typing import Final

from fleet.manager.rollouts.revisions import station_number
from fleet.manager.stations.inventory import HeardStation
from fleet.model import Config, PresenceState, Result

NO_ACK: Final = 5.0
"""Seconds an online station may take to its first ack."""
AGAIN: Final = 30.0
"""Seconds between two pushes to a station that does not answer."""
PACE: Final = 1.0
"""Seconds between two pushes that acks ask for."""
RENEWAL_PACE: Final = 60.0
"""Seconds between two adoptions of one station, or two numbers for what it says differently."""


class Need(Enum):
    """What has to be done about a station."""

    NOTHING = auto()
    PUSH = auto()
    ADOPT = auto()
    """What it runs becomes what is wanted."""
    ADOPT_AHEAD = auto()
    """As `ADOPT`, because the store has been rolled back behind the station."""
    REISSUE = auto()
    """What is wanted gets a number above the station's."""
    REISSUE_SAME = auto()
    """As `REISSUE`, because it runs something else under the very number."""


def need(
    heard: HeardStation | None,
    wanted: Config | None,
    highest: int,
    answered: bool,
    *,
    foreign: bool = False,
    settled: bool = False,
    again: bool = False,
) -> Need:
    """What a station needs, timing aside.

    `highest`: the store's highest revision of it; `answered`: whether it has ever acked a
    revision of this store. `foreign`: what it runs is nobody's wish here. `settled`: this manager
    has heard it agree with the store, so that it is not the store that lags behind. `again`: it
    has changed since it rejected what is wanted.
    """
    if heard is None or heard.conflict:
        return Need.NOTHING
    ack = heard.ack
    if ack is None:
        return Need.NOTHING if wanted is None else Need.PUSH
    if wanted is None:
        return Need.ADOPT if ack.in_force.roles and not foreign else Need.NOTHING
    if station_number(ack) > wanted.revision:
        ahead = ack.in_force.revision > highest and answered and not settled and not foreign
        return Need.ADOPT_AHEAD if ahead else Need.REISSUE
    if ack.revision != wanted.revision:
        return Need.PUSH
    if ack.result is Result.REJECTED:
        return Need.PUSH if again else Need.NOTHING
    # Another store, or somebody else, may have given it this number.
    same = ack.in_force.revision == wanted.revision and ack.in_force.roles == wanted.roles
    return Need.NOTHING if same else Need.REISSUE_SAME


class Convergence:
    """When to look at which station again."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._pushed: dict[str, float] = {}
        self._renewed: dict[str, float] = {}
        self._answered: set[str] = set()

    def ack(self, station: str, needs: Need, now: float) -> None:
        """A live ack came."""
        if needs is Need.NOTHING:
            self._due.pop(station, None)
            self._answered.discard(station)
        else:
            self._answered.add(station)
            self._due[station] = max(now, self._pushed.get(station, now - PACE) + PACE)

    def online(self, station: str, heard: HeardStation, needs: Need, now: float) -> None:
        """A station is online (again), or was found so."""
        if needs is Need.NOTHING:
            self._due.pop(station, None)
            return
        if heard.ack is None:
            due = now + NO_ACK
        else:
            due = max(now, self._pushed.get(station, now - PACE) + PACE)
        self._due[station] = min(due, self._due.get(station, due))

    def due(self, now: float) -> list[str]:
        """The stations to look at now; each is then either acted upon or dropped."""
        return [station for station, at in self._due.items() if at <= now]

    def act(self, station: str, state: PresenceState, needs: Need, now: float) -> bool:
        """Whether to do what a due station needs; it is put off or dropped otherwise."""
        said_so = station in self._answered
        self._answered.discard(station)
        if needs is Need.NOTHING or not (said_so or state is PresenceState.ONLINE):
            self._due.pop(station, None)
            return False
        if needs in (Need.ADOPT, Need.ADOPT_AHEAD, Need.REISSUE_SAME):
            free = self._renewed.get(station, now - RENEWAL_PACE) + RENEWAL_PACE
            if now < free:
                self._due[station] = free
                return False
            self._renewed[station] = now
        self._due[station] = now + AGAIN
        return True

    def pushed(self, station: str, now: float) -> None:
        """Its wanted config goes out."""
        self._pushed[station] = now
        self._due[station] = now + AGAIN

    def reset(self) -> None:
        """The connection is new: what was sent may not have arrived. Adoptions stay counted."""
        self._due.clear()
        self._pushed.clear()
        self._answered.clear()

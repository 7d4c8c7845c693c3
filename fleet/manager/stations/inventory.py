"""What was heard of every station, folded into what is so. Pure: time is passed in.

A presence topic alone cannot be trusted: wills come late, retained messages outlive their
senders, a box dies without a will. The rules here join what a station says with when, by our
own monotonic clock, it was last heard live. `now` is always in monotonic seconds.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from attrs import define, field

from fleet.manager.stations import instances
from fleet.manager.stations.allowances import WORK_BURST, WORK_SHARE, Allowances
from fleet.manager.stations.instances import InstanceKey, InstanceMemory
from fleet.manager.stations.state import ReportedState
from fleet.model import (
    INTERVAL,
    SILENT_INTERVALS,
    Ack,
    Presence,
    PresenceState,
    Registration,
    Status,
    Telemetry,
)

StationWord = Registration | Presence | Status | Ack | Telemetry
"""What a station says of itself."""

MOST_STRANGERS: Final = 10_000
"""Stations that are heard though nothing is wanted of them: a broker without an ACL lets in any."""
RETURN_SECONDS: Final = 30.0
"""What a box that another one has thrown off the broker may take to come back."""
_MOST_BOXES: Final = 8
"""That are remembered of one id."""


@define
class _Box:
    """One boot that spoke under a station's id. `at`: when it was last heard live, if ever."""

    at: float | None = None
    online: Presence | None = None
    hostname: str | None = None

    @property
    def patience(self) -> float:
        """Seconds of silence after which it is gone, whatever the others' intervals are."""
        interval = self.online.interval if self.online else INTERVAL
        return max(SILENT_INTERVALS * interval, RETURN_SECONDS)


@define
class HeardStation:
    """One station, as far as it was heard."""

    registration: Registration | None = None
    presence: Presence | None = None
    """The last presence that counted."""
    state: PresenceState = PresenceState.UNKNOWN
    """Presence by the rules, as if the broker were there; `Inventory.presence` is the truth."""
    status: Status | None = None
    ack: Ack | None = None
    conflict: bool = False
    """Two boxes use this id."""
    clock_offset: float | None = None
    """Seconds its clock is ahead of ours, by the better of its last two heartbeats."""
    since: float | None = None
    """When `state` became so, None where that was before we listened."""
    instances: dict[InstanceKey, InstanceMemory] = field(factory=dict)
    """Of those in its last status."""
    _clock_said: float | None = None
    """`clock_offset` by the last heartbeat alone."""
    _live_at: float | None = None
    """When it was last heard live, if ever."""
    _online: tuple[str, int] | None = None
    """(boot, epoch) of the last `online`."""
    _silent: bool = False
    """Whether `lost` is our own conclusion."""
    _heard_at: float = 0.0
    _boxes: dict[str, _Box] = field(factory=dict)
    _last_boot: str | None = None
    """The boot that was last heard live."""
    _look: float = 0.0
    """Until then silence changes nothing, so that a tick costs next to nothing."""
    _alive: tuple[str, float] | None = None
    """(boot, since): heartbeats of a station that is not taken for online."""

    @property
    def interval(self) -> float:
        """Seconds between its heartbeats."""
        return self.presence.interval if self.presence else INTERVAL

    @property
    def patience(self) -> float:
        """Seconds it may be silent; the most patient of two boxes counts."""
        intervals = [self.interval]
        if self.conflict:
            intervals += [box.online.interval for box in self._boxes.values() if box.online]
        return SILENT_INTERVALS * max(intervals)

    @property
    def said_at(self) -> datetime | None:
        """When it last said anything that is kept, by its own clock.

        A will names the moment of its connection, not that of a death.
        """
        lost = self.presence is not None and self.presence.state is PresenceState.LOST
        said = (None if lost else self.presence, self.status, self.ack)
        return max((one.at for one in said if one), default=None)

    @property
    def hostnames(self) -> tuple[str, ...]:
        """The host names of the boxes heard live; one without goes by its boot."""
        return tuple(
            sorted(box.hostname or boot for boot, box in self._boxes.items() if box.at is not None)
        )

    def hear_clock(self, ahead: float) -> None:
        """Fold in how many seconds its clock is ahead by a heartbeat: one that came late looks like
        a clock that is behind.
        """
        before = ahead if self._clock_said is None else self._clock_said
        self.clock_offset = min(ahead, before, key=abs)
        self._clock_said = ahead

    def hear(self, said: StationWord, retained: bool, now: float) -> None:
        """Fold in what was said; `retained`: it was kept by the broker, nobody said it now."""
        if isinstance(said, Presence):
            counts = self._hear_presence(said, retained, now)
            if not counts or said.state is not PresenceState.ONLINE:
                return  # a will is not the station's own voice, a goodbye is its last word
        elif isinstance(said, Registration):
            self.registration = said
            self._box(said.boot).hostname = said.hostname
        elif isinstance(said, Status):
            self._hear_status(said, now)
        elif isinstance(said, Ack):
            self.ack = said
        if not retained:
            self._hear_live(said, now)

    def _hear_status(self, said: Status, now: float) -> None:
        if not self.conflict:  # two boxes in turn would look like restarts
            self.instances = instances.heard(self.instances, said.roles, now)
        self.status = said

    def _box(self, boot: str) -> _Box:
        box = self._boxes.get(boot)
        if box is None:
            if len(self._boxes) >= _MOST_BOXES:
                others = [one for one in self._boxes if one != self._last_boot]
                self._forget(min(others, key=lambda one: self._boxes[one].at or -math.inf))
            box = self._boxes[boot] = _Box()
            self._look = 0.0
        return box

    def _hear_presence(self, said: Presence, retained: bool, now: float) -> bool:
        """Whether it counts."""
        this, last = (said.boot, said.epoch), self._online
        if last is not None and said.boot == last[0] and said.epoch < last[1]:
            return False
        match said.state:
            case PresenceState.ONLINE:
                if retained and self._silent and this == last:
                    return False
                self._box(said.boot).online = said
                self._online, self._heard_at = this, now
            case PresenceState.LOST:
                # The broker keeps a will only after the `online` of the same connection.
                missed = retained and last is not None and said.boot == last[0]
                if last is not None and this != last and not missed:
                    return False
                if self._other_stays(said.boot):
                    return False
            case PresenceState.OFFLINE:
                other = self._other_stays(said.boot)
                if not retained:
                    self._forget(said.boot)
                if other or (last is not None and said.boot not in (last[0], self._last_boot)):
                    return False
            case _:
                return False
        if said.state is not self.state:
            self.since = None if retained else now
        self.presence, self.state, self._silent, self._alive = said, said.state, False, None
        self._look = 0.0
        return True

    def _other_stays(self, boot: str) -> bool:
        """Whether another box lives on under this id; it then stands for the station."""
        if not self.conflict:
            return False
        for other, box in self._boxes.items():
            if other != boot and box.at is not None:
                if box.online is not None:
                    self.presence, self._online = box.online, (other, box.online.epoch)
                return True
        return False

    def _hear_live(self, said: StationWord, now: float) -> None:
        boot = said.boot
        self._heard_at = self._live_at = now
        if self._silent:
            self._silent, self.state, self._look = False, PresenceState.ONLINE, 0.0
            self.since = now
        elif isinstance(said, Status):
            self._hear_heartbeat(boot, now)
        box = self._box(boot)
        turned = self._last_boot not in (None, boot)
        if turned and box.at is not None and now - box.at <= box.patience:
            self.conflict = True
        box.at, self._last_boot = now, boot

    def _hear_heartbeat(self, boot: str, now: float) -> None:
        # At QoS 0 an `online` may be lost on the way; heartbeats going on say the same.
        if self.state in (PresenceState.ONLINE, PresenceState.OFFLINE):
            return
        if self._alive is None or self._alive[0] != boot:
            self._alive = (boot, now)
        elif now - self._alive[1] >= self.interval:
            self.state, self._alive, self._look = PresenceState.ONLINE, None, 0.0
            self.since = now

    def _forget(self, boot: str) -> None:
        self._boxes.pop(boot, None)
        if self._last_boot == boot:
            self._last_boot = None
        self.conflict = self.conflict and len(self.hostnames) > 1

    def tick(self, now: float) -> None:
        """Conclude what silence says."""
        if now < self._look:
            return
        patience = self.patience
        if self.state is PresenceState.ONLINE and now - self._heard_at > patience:
            self.state, self._silent, self.since = PresenceState.LOST, True, self._live_at
        if len(self._boxes) > 1:
            for boot, box in list(self._boxes.items()):
                if boot != self._last_boot and (box.at is None or now - box.at > box.patience):
                    if self.presence is not None and self.presence.boot == boot:
                        self._other_stays(boot)
                    self._forget(boot)
        looks = [self._heard_at + patience] if self.state is PresenceState.ONLINE else []
        if len(self._boxes) > 1:
            boxes = [box for box in self._boxes.values() if box.at is not None]
            looks += [box.at + box.patience for box in boxes if box.at is not None]
        self._look = min(looks, default=math.inf)

    def cut(self, now: float) -> None:
        """It was cut off: it is lost, until it is heard again."""
        if self.state is PresenceState.ONLINE:
            self.state, self._silent, self.since, self._look = PresenceState.LOST, True, now, 0.0

    def restart_clock(self, now: float) -> None:
        """The broker was away: silence counts from now on."""
        self._heard_at, self._look = now, 0.0
        for box in self._boxes.values():
            box.at = None
        self._last_boot, self.conflict, self._alive = None, False, None


class Inventory:
    """Every station that was heard, by id."""

    def __init__(self) -> None:
        self.stations: dict[str, HeardStation] = {}
        self.work = Allowances(WORK_BURST, WORK_SHARE)
        """Seconds that are taken to hear each."""
        self.connected = False
        """Whether there is a broker to hear stations through."""
        self.turned_away = 0
        """Messages of strangers that were one too many."""
        self._strangers: set[str] = set()

    def __iter__(self) -> Iterator[tuple[str, HeardStation]]:
        return iter(self.stations.items())

    def get(self, station: str) -> HeardStation | None:
        """What was heard of a station, if anything."""
        return self.stations.get(station)

    def forget(self, station: str) -> None:
        """Know nothing of a station until it is heard again."""
        self.stations.pop(station, None)
        self.work.forget(station)
        self._strangers.discard(station)

    def lets_in(self, station: str, *, wanted: bool) -> bool:
        """Whether a station is heard at all; counted where it is a stranger too many."""
        if wanted or station in self._strangers:
            return True
        if len(self._strangers) >= MOST_STRANGERS:
            self.turned_away += 1
            return False
        self._strangers.add(station)
        return True

    def presence(self, station: str) -> PresenceState:
        """Whether a station can be reached, as people are told."""
        heard = self.stations.get(station)
        if heard is None or not self.connected:
            return PresenceState.UNKNOWN
        return heard.state

    def reported(self, station: str, before: bool) -> ReportedState:
        """What a station said of itself, as far as it may be believed.

        `before`: whether it was ever heard by an earlier manager.
        """
        heard = self.stations.get(station)
        if heard is None:
            ever = before or not self.connected
            return ReportedState(PresenceState.UNKNOWN, ever=ever)
        return ReportedState(self.presence(station), heard.ack, heard.status, heard.conflict)

    def hear(self, station: str, said: StationWord, *, retained: bool, now: float) -> HeardStation:
        """Fold in what a station said."""
        heard = self.stations.get(station)
        if heard is None:
            heard = self.stations[station] = HeardStation()
        heard.hear(said, retained, now)
        return heard

    def tick(self, now: float) -> list[str]:
        """Conclude what silence says; the stations for which that changed something."""
        if not self.connected:
            return []
        changed = []
        for station, heard in self.stations.items():
            before = (heard.state, heard.conflict)
            heard.tick(now)
            if (heard.state, heard.conflict) != before:
                changed.append(station)
        return changed

    def broker_back(self, now: float) -> None:
        """There is a broker (again): silence is counted from now on."""
        self.connected = True
        for heard in self.stations.values():
            heard.restart_clock(now)

    def broker_gone(self) -> None:
        """There is no broker: nothing is known of anybody."""
        self.connected = False

"""What was heard of every station, folded into what is so. Pure: time is passed in.

A presence topic alone cannot be trusted: wills come late, retained messages outlive their
senders, a box dies without a will. The rules here join what a station says with when, by our
own monotonic clock, it was last heard live. `now` is always in monotonic seconds.
"""

import math
from collections.abc import Iterator

from attrs import define, field

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

Said = Registration | Presence | Status | Ack | Telemetry
"""What a station says of itself."""


@define
class _Box:
    """One boot that spoke under a station's id. `at`: when it was last heard live, if ever."""

    at: float | None = None
    online: Presence | None = None
    hostname: str | None = None


@define
class Heard:
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
    """Seconds its clock was ahead of ours at its last heartbeat."""
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
        """Seconds it may be silent."""
        return SILENT_INTERVALS * self.interval

    @property
    def hostnames(self) -> tuple[str, ...]:
        """The host names of the boxes heard live; one without goes by its boot."""
        return tuple(
            sorted(box.hostname or boot for boot, box in self._boxes.items() if box.at is not None)
        )

    def hear(self, said: Said, retained: bool, now: float) -> None:
        """Fold in what was said; `retained`: it was kept by the broker, nobody said it now."""
        if isinstance(said, Presence):
            counts = self._hear_presence(said, retained, now)
            if not counts or said.state is not PresenceState.ONLINE:
                return  # a will is not the station's own voice, a goodbye is its last word
        elif isinstance(said, Registration):
            self.registration = said
            self._box(said.boot).hostname = said.hostname
        elif isinstance(said, Status):
            self.status = said
        elif isinstance(said, Ack):
            self.ack = said
        if not retained:
            self._hear_live(said, now)

    def _box(self, boot: str) -> _Box:
        box = self._boxes.get(boot)
        if box is None:
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

    def _hear_live(self, said: Said, now: float) -> None:
        boot = said.boot
        self._heard_at = now
        if self._silent:
            self._silent, self.state, self._look = False, PresenceState.ONLINE, 0.0
        elif isinstance(said, Status):
            self._hear_heartbeat(boot, now)
        box = self._box(boot)
        turned = self._last_boot not in (None, boot)
        if turned and box.at is not None and now - box.at <= self.patience:
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
            self.state, self._silent = PresenceState.LOST, True
        if len(self._boxes) > 1:
            for boot, box in list(self._boxes.items()):
                if boot != self._last_boot and (box.at is None or now - box.at > patience):
                    self._forget(boot)
        counts = [self._heard_at] if self.state is PresenceState.ONLINE else []
        if len(self._boxes) > 1:
            counts += [box.at for box in self._boxes.values() if box.at is not None]
        self._look = min(counts, default=math.inf) + patience

    def restart_clock(self, now: float) -> None:
        """The broker was away: silence counts from now on."""
        self._heard_at, self._look = now, 0.0
        for box in self._boxes.values():
            box.at = None
        self._last_boot, self.conflict, self._alive = None, False, None


class Inventory:
    """Every station that was heard, by id."""

    def __init__(self) -> None:
        self.stations: dict[str, Heard] = {}
        self.connected = False
        """Whether there is a broker to hear stations through."""

    def __iter__(self) -> Iterator[tuple[str, Heard]]:
        return iter(self.stations.items())

    def get(self, station: str) -> Heard | None:
        """What was heard of a station, if anything."""
        return self.stations.get(station)

    def forget(self, station: str) -> None:
        """Know nothing of a station until it is heard again."""
        self.stations.pop(station, None)

    def presence(self, station: str) -> PresenceState:
        """Whether a station can be reached, as people are told."""
        heard = self.stations.get(station)
        if heard is None or not self.connected:
            return PresenceState.UNKNOWN
        return heard.state

    def hear(self, station: str, said: Said, *, retained: bool, now: float) -> Heard:
        """Fold in what a station said."""
        heard = self.stations.get(station)
        if heard is None:
            heard = self.stations[station] = Heard()
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

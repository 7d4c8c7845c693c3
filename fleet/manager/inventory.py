"""What was heard of every station, folded into what is so. Pure: time is passed in.

A presence topic alone cannot be trusted: wills come late, retained messages outlive their
senders, a box dies without a will. The rules here join what a station says with when, by our
own monotonic clock, it was last heard live. `now` is always in monotonic seconds.
"""

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
class Heard:
    """One station, as far as it was heard."""

    registration: Registration | None = None
    presence: Presence | None = None
    """The last presence that counted."""
    state: PresenceState = PresenceState.UNKNOWN
    """Presence by the rules, as if the broker were there; `Inventory.presence` is the truth."""
    status: Status | None = None
    ack: Ack | None = None
    telemetry: Telemetry | None = None
    telemetry_at: float = 0.0
    conflict: bool = False
    """Two boxes use this id."""
    _online: tuple[str, int] | None = None
    """(boot, epoch) of the last `online`."""
    _silent: bool = False
    """Whether `lost` is our own conclusion."""
    _heard_at: float = 0.0
    _boots: dict[str, float] = field(factory=dict)
    """Every boot heard live of late, and when."""
    _last_boot: str | None = None
    _hostnames: dict[str, str] = field(factory=dict)
    _alive: tuple[str, float] | None = None
    """(boot, since): live status of a station that is not taken for online."""

    @property
    def patience(self) -> float:
        """Seconds it may be silent."""
        return SILENT_INTERVALS * (self.presence.interval if self.presence else INTERVAL)

    @property
    def hostnames(self) -> tuple[str, ...]:
        """The host names of the boxes heard of late; a box without one goes by its boot."""
        return tuple(sorted(self._hostnames.get(boot, boot) for boot in self._boots))

    def hear(self, said: Said, retained: bool, now: float) -> None:
        """Fold in what was said; `retained`: it was kept by the broker, nobody said it now."""
        if isinstance(said, Presence):
            if not self._hear_presence(said, retained, now) or said.state is PresenceState.LOST:
                return  # a will is not the station's own voice
        elif isinstance(said, Registration):
            self.registration = said
            self._hostnames[said.boot] = said.hostname
        elif isinstance(said, Status):
            self.status = said
        elif isinstance(said, Ack):
            self.ack = said
        else:
            self.telemetry, self.telemetry_at = said, now
        if not retained:
            self._hear_live(said, now)

    def _hear_presence(self, said: Presence, retained: bool, now: float) -> bool:
        """Whether it counts."""
        this, last = (said.boot, said.epoch), self._online
        if last is not None and said.boot == last[0] and said.epoch < last[1]:
            return False
        match said.state:
            case PresenceState.ONLINE:
                if retained and self._silent and this == last:
                    return False
                self._online, self._silent, self._heard_at = this, False, now
            case PresenceState.LOST:
                # The broker keeps a will only after the `online` of the same connection.
                missed = retained and last is not None and said.boot == last[0]
                if last is not None and this != last and not missed:
                    return False
                self._silent = False
            case PresenceState.OFFLINE:
                if not retained:
                    self._forget(said.boot)
                if last is not None and said.boot not in (last[0], self._last_boot):
                    return False
                self._silent = False
            case _:
                return False
        self.presence, self.state, self._alive = said, said.state, None
        return True

    def _hear_live(self, said: Said, now: float) -> None:
        boot = said.boot
        self._heard_at = now
        if self._silent:
            self._silent, self.state = False, PresenceState.ONLINE
        elif isinstance(said, Status) and self.state is not PresenceState.OFFLINE:
            self._hear_heartbeat(boot, now)
        if isinstance(said, Presence) and said.state is not PresenceState.ONLINE:
            return
        before = self._boots.get(boot)
        if boot != self._last_boot and before is not None and now - before <= self.patience:
            self.conflict = True
        self._boots[boot] = now
        self._last_boot = boot

    def _hear_heartbeat(self, boot: str, now: float) -> None:
        # At QoS 0 an `online` may be lost on the way; heartbeats going on say the same.
        if self.state is PresenceState.ONLINE:
            return
        if self._alive is None or self._alive[0] != boot:
            self._alive = (boot, now)
        elif now - self._alive[1] >= self.patience / SILENT_INTERVALS:
            self.state, self._alive = PresenceState.ONLINE, None

    def _forget(self, boot: str) -> None:
        self._boots.pop(boot, None)
        self.conflict = self.conflict and len(self._boots) > 1

    def tick(self, now: float) -> None:
        """Conclude what silence says."""
        patience = self.patience
        if self.state is PresenceState.ONLINE and now - self._heard_at > patience:
            self.state, self._silent = PresenceState.LOST, True
        if len(self._boots) > 1:
            for boot in [boot for boot, at in self._boots.items() if now - at > patience]:
                self._forget(boot)
        if len(self._hostnames) > len(self._boots) + 1:
            newest = self.registration.boot if self.registration else None
            self._hostnames = {
                boot: name
                for boot, name in self._hostnames.items()
                if boot in self._boots or boot == newest
            }

    def restart_clock(self, now: float) -> None:
        """The broker was away: silence counts from now on."""
        self._heard_at = now
        self._boots.clear()
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

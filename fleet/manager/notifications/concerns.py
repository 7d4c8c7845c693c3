"""What people are told: the manager's own findings, or what Alertmanager says. Pure.

Alertmanager sends an alert when it fires and when it is over, and its Watchdog each minute. As
long as it is heard the manager's own findings rest, so that nothing is told twice; when it falls
silent they are told again.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final

from attrs import define, field, frozen
from msgspec import Meta

from fleet.manager.health import lost_at_once, severity
from fleet.manager.notifications.deciding import Concern
from fleet.manager.report import Overview
from fleet.model import clock, printable
from fleet.operations.health import HealthFinding, HealthLevel

ALIVE: Final = timedelta(minutes=5)
"""So long after it was heard Alertmanager counts as telling; its Watchdog comes each minute."""
MAX_ALERTS: Final = 1000
WATCHDOG: Final = "Watchdog"
_MOST_TEXT: Final = 1000
"""Characters of what is told of one alert."""

Labels = Annotated[Mapping[str, str], Meta(max_length=100)]


@frozen
class Alert:
    """One alert, as Alertmanager's webhook has it; the fields that are of use here."""

    status: str
    """`firing` or `resolved`."""
    labels: Labels
    annotations: Labels

    @property
    def name(self) -> str:
        """What the rule is called."""
        return self.labels.get("alertname", "an alert")

    @property
    def key(self) -> str:
        """By which it is the same later: all its labels."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.labels.items()))

    @property
    def text(self) -> str:
        """What people are told."""
        told = self.annotations.get("description") or self.annotations.get("summary") or self.name
        return printable(" ".join(told.split()))[:_MOST_TEXT]


@frozen
class AlertGroup:
    """What Alertmanager posts."""

    alerts: Annotated[tuple[Alert, ...], Meta(max_length=MAX_ALERTS)]


@define
class Alerts:
    """Those that fire, as far as Alertmanager has said."""

    _firing: dict[str, Alert] = field(factory=dict)
    _heard: datetime | None = None

    def hear(self, said: AlertGroup, now: datetime) -> None:
        """Fold in what was posted; beyond the most that are kept, new ones are left out."""
        self._heard = now
        for one in said.alerts:
            if one.status != "firing":
                self._firing.pop(one.key, None)
            elif one.name != WATCHDOG and (
                one.key in self._firing or len(self._firing) < MAX_ALERTS
            ):
                self._firing[one.key] = one

    def concerns(self, now: datetime) -> dict[str, list[Concern]] | None:
        """By room; None while Alertmanager is not heard."""
        if self._heard is None or now - self._heard > ALIVE:
            self._firing.clear()
            return None
        found: dict[str, list[Concern]] = {}
        for key, one in self._firing.items():
            found.setdefault(one.labels.get("room", ""), []).append(
                Concern(key, one.text, lasting=True)
            )
        return found


def own(seen: Overview) -> dict[str, list[Concern]]:
    """What the manager finds that somebody has to go for, by room."""
    found: dict[str, list[HealthFinding]] = {}
    for station in seen.stations:
        room = station.status.room or ""
        found.setdefault(room, []).extend(station.status.findings)
    for room, findings in seen.findings.items():
        found.setdefault(room, []).extend(findings)
    urgent = {
        room: sorted((one for one in all_ if one.level is HealthLevel.GO), key=severity)
        for room, all_ in found.items()
    }
    used = ((room, them) for room, them in urgent.items() if room and seen.rooms[room].in_use)
    lost = lost_at_once(used)
    told = {
        room: [Concern(_key(one), _text(one, seen.at)) for one in them]
        for room, them in urgent.items()
        if them and room not in lost
    }
    if lost:
        text = (
            f"{len(lost)} rooms were lost at once, {', '.join(lost)}: look at the network or the "
            "power that they share. fleet status"
        )
        told[""] = [Concern("CoreLost", text), *told.get("", ())]
    return told


def _key(one: HealthFinding) -> str:
    return f"{one.kind} {one.station or ''} {one.instance or ''}"


def _text(one: HealthFinding, now: datetime) -> str:
    return " ".join(_parts(one, now))


def _parts(one: HealthFinding, now: datetime) -> Iterator[str]:
    place = f" ({one.where})" if one.where else ""
    since = f" since {clock(one.since, now)}" if one.since else ""
    whose = f"{one.station}{place}: " if one.station else ""
    yield f"{whose}{one.text}{since}."
    if one.detail:
        yield f"{printable(one.detail)[:_MOST_TEXT]}."
    if one.command:
        yield f"Type: {one.command}"

"""Some minutes of a conference: six rooms, eighteen boxes, and in hall2 it goes wrong."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field

from tests.board.day import Player, Value
from tests.board.page import Metric
from tests.manager.station import NOW, PretendStation, apply, ask
from tests.stranger import Stranger

MINUTES: Final = 6
"""How long it is played. What goes wrong does so in the last five."""
ROOM: Final = "hall2"
"""The room that needs somebody."""
_ROOMS: Final = ("hall1", "hall2", "hall3", "hall4", "hall5", "lounge")
_SEATS: Final = {
    "cam": (("record", "ingest", "monitor"), "tripod, back wall"),
    "slides": (("record", "ingest", "monitor"), "under the lectern"),
    "mix": (("record", "monitor", "stream"), "desk, back row"),
}
_TALKS: Final = {"hall1": "on", "hall2": "on", "hall3": "on", "hall4": "on", "hall5": "off"}


@define
class Box(Player):
    """A station that measures a little of everything, and changes its mind by the clock."""

    number: int = 0
    changes: dict[str, Callable[[float], str]] = field(factory=dict)
    """Role -> its state, so many seconds into the day."""
    crashes: dict[str, Callable[[float], int]] = field(factory=dict)
    """Role -> how often it was restarted until then."""

    @property
    def id(self) -> str:
        """The station's."""
        return f"b827eb00{self.number:04x}"

    def status(self, at: float) -> dict[str, Any]:
        """Its roles, as the wire has them."""
        said = super().status(at)
        for role, state in self.changes.items():
            said[role]["main"]["state"] = state(at)
        for role, restarts in self.crashes.items():
            said[role]["main"]["restarts"] = restarts(at)
        return said

    def _samples(self, metric: Metric, at: float) -> list[tuple[str, dict[str, str], float]]:
        # No two microphones are equal.
        return [
            (name, labels, value - 1.7 if labels.get("channel") == "right" else value)
            for name, labels, value in super()._samples(metric, at)
        ]


def _speech(level: float, seed: int) -> Callable[[float], float]:
    """Loudness of somebody who talks and breathes."""

    def at(t: float) -> float:
        waves = ((2.1, 17.0), (1.4, 7.3), (0.9, 3.1), (1.7, 41.0))
        return level + sum(a * math.sin(t / s * 2 * math.pi + seed * s) for a, s in waves)

    return at


def _shifted(by: float, of: Callable[[float], float]) -> Callable[[float], float]:
    return lambda t: of(t) + by


def _until(stop: float, bytes_a_second: float) -> dict[str, Value]:
    """A recording that stops growing, begins anew a minute later, and stops for good."""

    def written(t: float) -> float:
        well = min(t, stop) + max(0.0, min(t, stop + 90) - (stop + 60))
        return bytes_a_second * well

    def last(t: float) -> float:
        ended = stop if t < stop + 60 else stop + 90
        return time.time() - max(0.0, t - ended)

    return {
        "fleet_station_disk_free_bytes": lambda t: 8.6e11 - written(t),
        "fleet_recording_bytes_total": written,
        "fleet_recording_last_write_timestamp_seconds": last,
    }


def _box(number: int, room: str, seat: str) -> Box:
    rate = {"cam": 1.05e6, "slides": 0.42e6, "mix": 0.98e6}[seat]
    heard = _speech({"cam": -24.0, "slides": -27.0, "mix": -21.5}[seat], number)
    figures: dict[str, Value] = {
        "fleet_station_disk_free_bytes": lambda t: 9.1e11 - 2.3e10 * number - rate * t,
        "fleet_recording_bytes_total": lambda t: rate * (t + 2 * math.sin(t / 9 + number)),
        "fleet_stream_bytes_total": lambda t: 5.2e5 * t,
        "fleet_monitor_loudness_short_term_lufs": heard,
        "fleet_monitor_loudness_momentary_lufs": _shifted(1.2, heard),
        "fleet_monitor_true_peak_dbtp": _shifted(9.5, heard),
    }
    return Box(f"{room}-{seat}", _SEATS[seat][0], figures, number=number)


def _cast() -> dict[str, Box]:
    seats = [(room, seat) for room in _ROOMS for seat in _SEATS]
    cast = {f"{room}-{seat}": _box(i, room, seat) for i, (room, seat) in enumerate(seats, 1)}

    # The disk of hall2's camera cannot be written any more: its recorder is started in vain.
    camera = cast["hall2-cam"]
    camera.figures |= _until(130, 1.05e6)
    camera.changes["record"] = lambda t: (
        "running"
        if t < 130 or 190 <= t < 220
        else ("backoff" if int(t / 10) % 3 else "starting")
        if t < 300
        else "failed"
    )
    camera.crashes["record"] = lambda t: int(max(0, t - 130) / 20)
    # Its laptop goes, as laptops do between two speakers; somebody bumps into the fader.
    laptop: Callable[[float], float] = lambda t: float(not 235 <= t < 290)  # noqa: E731
    cast["hall2-slides"].figures |= {
        "fleet_ingest_picture_present": laptop,
        "fleet_monitor_signal": laptop,
    }
    loud = _speech(-21.5, 6)
    mix: Callable[[float], float] = lambda t: loud(t) + (9 if 150 <= t < 200 else 0)  # noqa: E731
    cast["hall2-mix"].figures |= {
        "fleet_monitor_loudness_short_term_lufs": mix,
        "fleet_monitor_true_peak_dbtp": _shifted(9.5, mix),
        "fleet_stream_connected": lambda t: float(not 255 <= t < 275),
    }
    # Worth a look: a disk with hours left, a box too hot, a cable that makes half of its speed.
    cast["hall4-cam"].figures["fleet_station_disk_free_bytes"] = lambda t: 1.3e10 - 1.05e6 * t
    cast["hall5-mix"].figures["fleet_station_temperature_celsius"] = 79
    cast["hall4-mix"].figures["fleet_station_link_bytes_per_second"] = 12.5e6
    return cast


def _file(cast: dict[str, Box]) -> str:
    text = "".join(f"[rooms.{room}]\n" for room in _ROOMS)
    for one in cast.values():
        seat = one.name.partition("-")[2]
        text += f'[stations.{one.name}]\nid = "{one.id}"\nroom = "{one.room}"\n'
        text += f'seat = "{seat}"\nwhere = "{_SEATS[seat][1]}"\n'
        for role in one.roles:
            target = 'target = {type = "hls"}, ' if role == "stream" else ""
            text += f'roles.{role}.main = {{{target}source = {{type = "test"}}}}\n'
    return text


async def play(stranger: Stranger, thumbnail: bytes) -> None:
    """Play it all; the manager that `stranger` shares a broker with hears it."""
    cast = _cast()
    stations = {name: PretendStation(stranger, one.id) for name, one in cast.items()}
    for station in stations.values():
        await station.come_online()
    await apply(stranger, _file(cast))
    for station in stations.values():
        await station.obey(await station.config())
    for room, talk in _TALKS.items():
        reply = await ask(stranger, "talk", room=room, talk=talk, seconds=None)
        if reply["error"] is not None:
            raise RuntimeError(reply["error"])
    begun = time.monotonic()
    while (at := time.monotonic() - begun) < MINUTES * 60:
        for name, one in cast.items():
            station = stations[name]
            about = {"boot": station.boot, "at": NOW}
            status = {**about, "revision": station.revision, "roles": one.status(at)}
            stranger.publish(station.topic("status"), status, retain=True)
            telemetry = {**about, "families": one.telemetry(at)}
            stranger.publish(station.topic("telemetry"), telemetry, qos=0)
            stranger.publish(station.topic("thumbnail/monitor/main"), thumbnail, qos=0)
        await asyncio.sleep(1)

"""What the boxes of a room see and hear: pictures, and a meter for each channel of sound. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen

from fleet.manager.findings import THUMBNAIL_SECONDS
from fleet.manager.health import band, heard_level
from fleet.manager.stations.state import RoomUse, StationState
from fleet.manager.stations.thumbnails import Thumbnail
from fleet.model import PresenceState

Pictures = Mapping[str, Mapping[tuple[str, str], Thumbnail]]
"""By station (name), then role and instance; `at` in Unix seconds."""
_QUIETEST: Final = -120.0
"""dB that stand for nothing at all; JSON has no infinity."""
_CHANNELS: Final = {"left": "L", "right": "R"}


@frozen
class ChannelMeter:
    """One channel of sound. `peak`: dBTP, the highest of the last second."""

    name: str
    """`L`, `R`, or a number."""
    peak: float
    dead: bool
    """Whether it is silent though others are heard."""


@frozen
class TrackMeter:
    """One track of sound; `lufs`: short-term loudness, None while nobody knows."""

    name: str
    lufs: float | None
    band: str
    """`good`, `quiet`, `low`, `loud`, `silent`, or `unknown`."""
    channels: tuple[ChannelMeter, ...]


@frozen
class View:
    """What one instance sees and hears; moments are Unix seconds."""

    station: str
    name: str
    """What it is called beside the others of its room: its seat."""
    instance: str
    picture: str | None
    """Where its newest picture is, None where there is none."""
    seen: float | None
    """When that came in."""
    stale: bool
    meters: bool
    """Whether its sound is measured at all."""
    lufs: float | None
    """Short-term loudness of the first track, None while nobody knows."""
    band: str
    """As a track's, of the first."""
    alarm: str
    """The level of that now: `go`, `look` or `fine`."""
    measured: float | None
    """When that was measured."""
    tracks: tuple[TrackMeter, ...]


def views(
    stations: Sequence[StationState], use: RoomUse, pictures: Pictures, now: float
) -> Iterator[View]:
    """One for each instance that meters or shows a picture."""
    for seen in stations:
        own = pictures.get(seen.name, {})
        monitors = {("monitor", name) for name in seen.wanted.get("monitor", {})}
        for role, name in sorted(monitors.union(own)):
            if name in seen.status.roles.get(role, {}):
                yield _view(seen, use, role, name, own.get((role, name)), now)


def _view(
    seen: StationState, use: RoomUse, role: str, name: str, picture: Thumbnail | None, now: float
) -> View:
    readings = seen.readings
    online = seen.status.presence is PresenceState.ONLINE
    measured = readings.moment("fleet_monitor_last_update_timestamp_seconds", role, name)
    hears = (
        online
        and readings.value("fleet_monitor_signal", role, name) != 0
        and measured is not None
        and now - measured <= THUMBNAIL_SECONDS
    )
    tracks = tuple(_tracks(seen, role, name)) if hears else ()
    lufs, word = None, "unknown"
    if hears:
        lufs = _level(readings.value("fleet_monitor_loudness_short_term_lufs", role, name))
        silent = readings.value("fleet_monitor_digital_silence", role, name) == 1
        word = band(lufs, silent)
    return View(
        seen.name,
        seen.seat if seen.seat and name == "main" else seen.name,
        f"{role}/{name}",
        f"thumbnail/{seen.name}/{role}/{name}.jpg" if picture else None,
        round(picture.at, 1) if picture else None,
        picture is None or not online or now - picture.at > THUMBNAIL_SECONDS,
        role == "monitor",
        lufs,
        word,
        heard_level(word, seen.shows_slides(role, name), use).value,
        round(measured, 1) if hears and measured is not None else None,
        tracks,
    )


def _tracks(seen: StationState, role: str, name: str) -> Iterator[TrackMeter]:
    """In the order in which the station says them."""

    def labelled(gauge: str) -> dict[tuple[str, str], float]:
        samples = seen.readings.values(f"fleet_monitor_{gauge}", role, name)
        return {
            (one.labels.get("track", ""), one.labels.get("channel", "")): one.value
            for one in samples
        }

    peaks, loudness = labelled("true_peak_dbtp"), labelled("loudness_short_term_lufs")
    dead, zero = labelled("channel_silent"), labelled("digital_silence")
    for track in dict.fromkeys(track for track, _ in peaks):
        channels = tuple(
            ChannelMeter(
                _CHANNELS.get(channel, channel),
                round(value, 1) if math.isfinite(value) else _QUIETEST,
                dead.get((of, channel)) == 1,
            )
            for (of, channel), value in peaks.items()
            if of == track
        )
        silent = [zero.get((track, channel)) == 1 for of, channel in peaks if of == track]
        lufs = _level(loudness.get((track, ""), loudness.get(("", ""))))
        yield TrackMeter(track, lufs, band(lufs, all(silent)), channels)


def _level(value: float | None) -> float | None:
    if value is None:
        return None
    return round(value, 1) if math.isfinite(value) else _QUIETEST

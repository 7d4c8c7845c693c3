"""What a monitor knows: levels and states, from the lines its ffmpeg writes. Pure.

>>> meter = Meter(THRESHOLDS["camera"])
>>> for now in range(11):
...     meter.feed("lavfi.r128.S=-52.3", now)
>>> meter.troubles(now)[0].reason
'SoundLow'
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define, field, frozen

STALE_SECONDS: Final = 10.0
"""What was not measured for so long is not there."""
_BLACK_PERCENT: Final = 98
_STILL: Final = 12
"""Most that any spot changed, of 255: noise and coding stay below it, a moving person does not."""
ZERO_DB: Final = -80.0
"""Peaks up to this are digital zero: of zeros an encoder or a dither makes up to -84 dB."""
TRACK: Final = "fleet.track"
"""Begins the lines of a track."""
_CHANNELS: Final = {"1": "left", "2": "right"}


@frozen
class Thresholds:
    """From when on something is wrong; 0 seconds: never."""

    black_seconds: float
    frozen_seconds: float
    sound_seconds: float
    """How long sound may be too low, too high or zero."""
    low_lufs: float = -48.0
    high_lufs: float = -14.0
    high_peak_db: float = -5.0


THRESHOLDS: Final = {
    "camera": Thresholds(black_seconds=10, frozen_seconds=30, sound_seconds=10),
    "slides": Thresholds(black_seconds=10, frozen_seconds=0, sound_seconds=0),
    "mix": Thresholds(black_seconds=10, frozen_seconds=300, sound_seconds=10),
}
"""Slides stand still and are silent by nature; a mix may show them for minutes."""


@frozen
class Trouble:
    """Something a person should see to."""

    reason: str
    message: str


@define
class Since:
    """When something began to be so without a break; None while it is not."""

    at: float | None = None

    def so(self, true: bool, now: float) -> None:
        """It is so at `now`, or it is not."""
        if not true:
            self.at = None
        elif self.at is None:
            self.at = now

    def seconds(self, now: float) -> float:
        """For how long by `now`; below 0 while it is not so."""
        return -1.0 if self.at is None else now - self.at


@define
class Track:
    """What is known of one track of sound."""

    momentary: float = math.nan
    short_term: float = math.nan
    peaks: dict[str, float] = field(factory=dict)
    """`left`, `right`, from the third on its number -> true peak in the last second."""
    at: float = math.nan
    """When it was last measured."""
    low: Since = field(factory=Since)
    high_at: float | None = None
    """When it was last too high."""
    zero: dict[str, Since] = field(factory=dict)
    """Channel -> since when it is digital zero."""

    def silent(self, now: float) -> float:
        """For how long all of it is digital zero; below 0 while it is not."""
        return min((since.seconds(now) for since in self.zero.values()), default=-1.0)


@define
class Meter:
    """Levels in LUFS and dBTP; times are seconds of any one clock."""

    thresholds: Thresholds
    tracks: dict[str, Track] = field(factory=dict)
    """By their name, or else their number; the first is `1`."""
    names: Sequence[str] = ()
    """Of the tracks, in order, where they have any."""
    picture_at: float | None = None
    """When the picture was last measured."""
    black: Since = field(factory=Since)
    still: Since = field(factory=Since)
    _begun: float | None = None
    _track: str = "1"
    """Which one the lines that come are about."""

    def feed(self, line: str, now: float) -> None:
        """Take in one line; what is none of ours is passed over."""
        name, _, text = line.partition("=")
        if name == TRACK:
            self._track = text
            return
        try:
            value = float(text)
        except ValueError:
            return
        if self._begun is None:
            self._begun = now
        limits = self.thresholds
        match name.split("."):
            case ["lavfi", "r128", "M"]:
                self._heard(now).momentary = value
            case ["lavfi", "r128", "S"]:
                track = self._heard(now)
                track.short_term = value
                track.low.so(value <= limits.low_lufs, now)
                if value > limits.high_lufs:
                    track.high_at = now
            case ["lavfi", "astats", number, "Peak_level"] if number.isdecimal():
                track, channel = self._heard(now), _CHANNELS.get(number, number)
                track.peaks[channel] = value
                track.zero.setdefault(channel, Since()).so(value <= ZERO_DB, now)
                if value > limits.high_peak_db:
                    track.high_at = now
            case ["lavfi", "blackframe", "pblack"]:
                self.picture_at = now
                self.black.so(value >= _BLACK_PERCENT, now)
            case ["lavfi", "signalstats", "YMAX"]:
                self.still.so(value < _STILL, now)

    def _heard(self, now: float) -> Track:
        track = self.tracks.setdefault(self._track, Track())
        track.at = now
        return track

    def heard(self, now: float) -> dict[str, Track]:
        """The tracks that come, in order."""
        fresh = {name: it for name, it in self.tracks.items() if now - it.at <= STALE_SECONDS}
        order = {name: number for number, name in enumerate(self.names)}
        return dict(sorted(fresh.items(), key=lambda it: (order.get(it[0], len(order)), it[0])))

    def silent(self, now: float) -> float:
        """For how long all sound is digital zero; below 0 while it is not."""
        return min((track.silent(now) for track in self.heard(now).values()), default=-1.0)

    def dead(self, now: float) -> dict[tuple[str, str], bool]:
        """Of each track and channel whether it is zero for too long while another is heard.

        A track of more than two channels is heard as a whole: most of them are silent by nature.
        """
        heard, limit = self.heard(now), self.thresholds.sound_seconds
        sound = limit > 0 and self.silent(now) < 0
        return {
            (name, channel): sound
            and limit <= (since.seconds(now) if len(track.zero) <= 2 else track.silent(now))
            for name, track in heard.items()
            for channel, since in track.zero.items()
        }

    def is_black(self, now: float) -> bool:
        """Whether it has been black for too long."""
        return _longer(self.black, self.thresholds.black_seconds, now)

    def is_frozen(self, now: float) -> bool:
        """Whether it has stood still for too long."""
        return _longer(self.still, self.thresholds.frozen_seconds, now)

    def troubles(self, now: float) -> list[Trouble]:
        """All that is wrong, the worst first."""
        return list(self._troubles(now))

    def _troubles(self, now: float) -> Iterator[Trouble]:
        if self.thresholds.sound_seconds:
            yield from self._sound(now)
        elif self.tracks and not self.heard(now):
            yield Trouble("NoSound", "no sound comes any more: check its cable")
        if self.picture_at is not None and now - self.picture_at > STALE_SECONDS:
            yield Trouble("NoPicture", "no picture comes any more: check its cable")
        elif self.is_black(now):
            yield Trouble("PictureBlack", "the picture is black: check lens cap and signal")
        elif self.is_frozen(now):
            yield Trouble("PictureFrozen", "the picture stands still: check the camera")

    def _sound(self, now: float) -> Iterator[Trouble]:
        limits, heard = self.thresholds, self.heard(now)
        if not heard:
            if self.tracks:
                yield Trouble("NoSound", "no sound comes any more: check its cable")
            elif self._begun is not None and now - self._begun > STALE_SECONDS:
                yield Trouble(
                    "NoSound",
                    "the source has no sound at all: give it some, or set sound_seconds to 0",
                )
            return
        for name in sorted(self.tracks.keys() - heard.keys()):
            yield Trouble("NoSound", f"track {name} no longer arrives: check where it is mixed")
        if self.silent(now) >= limits.sound_seconds:
            yield Trouble(
                "DigitalSilence",
                "the sound is digital zero: something is muted or not plugged in",
            )
            return
        for what in self._dead(now):
            yield Trouble(
                "ChannelSilent",
                f"{what} is digital zero while other sound is heard: something is muted or not "
                "plugged in",
            )
        several = len(heard) > 1
        for name, track in heard.items():
            the = f"track {name}" if several else "the sound"
            if _longer(track.low, limits.sound_seconds, now):
                if track.silent(now) < 0:
                    yield Trouble(
                        "SoundLow",
                        f"{the} is at {track.short_term:.1f} LUFS, {limits.low_lufs:g} or below: "
                        "turn it up, check microphone and mixer",
                    )
            elif track.high_at is not None and now - track.high_at < limits.sound_seconds:
                yield Trouble(
                    "SoundHigh",
                    f"{the} is above {limits.high_lufs:g} LUFS or peaks above "
                    f"{limits.high_peak_db:g} dB: turn it down",
                )

    def _dead(self, now: float) -> Iterator[str]:
        """What is dead, in words."""
        dead, heard = self.dead(now), self.heard(now)
        for name, track in heard.items():
            silent = [channel for channel in track.zero if dead[name, channel]]
            of = f" of track {name}" if len(heard) > 1 else ""
            if len(silent) == len(track.zero) > 0:
                yield f"track {name}"
            else:
                yield from (f"the {channel} channel{of}" for channel in silent)


def _longer(since: Since, seconds: float, now: float) -> bool:
    return seconds > 0 and since.seconds(now) >= seconds

"""What a monitor knows: levels and states, from the lines its ffmpeg writes. Pure.

>>> meter = Meter(THRESHOLDS["camera"])
>>> for now in range(11):
...     meter.feed("lavfi.r128.S=-52.3", now)
>>> meter.troubles(now)[0].reason
'SoundLow'
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import define, field, frozen

STALE_SECONDS: Final = 10.0
"""What was not measured for so long is not there."""
_BLACK_PERCENT: Final = 98
_STILL: Final = 12
"""Most that any spot changed, of 255: noise and coding stay below it, a moving person does not."""
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
class Meter:
    """Levels in LUFS and dBTP; times are seconds of any one clock."""

    thresholds: Thresholds
    momentary: float = math.nan
    short_term: float = math.nan
    peaks: dict[str, float] = field(factory=dict)
    """`left` and `right` -> true peak in the last second."""
    sound_at: float | None = None
    """When sound was last measured."""
    picture_at: float | None = None
    silent: Since = field(factory=Since)
    """Digital zero on every channel."""
    low: Since = field(factory=Since)
    high_at: float | None = None
    """When sound was last too high."""
    black: Since = field(factory=Since)
    still: Since = field(factory=Since)
    _zero: dict[str, bool] = field(factory=dict)

    def feed(self, line: str, now: float) -> None:
        """Take in one line; what is none of ours is passed over."""
        name, _, text = line.partition("=")
        try:
            value = float(text)
        except ValueError:
            return
        match name.split("."):
            case ["lavfi", "r128", "M"]:
                self.momentary, self.sound_at = value, now
            case ["lavfi", "r128", "S"]:
                self.short_term, self.sound_at = value, now
                self.low.so(value <= self.thresholds.low_lufs, now)
                if value > self.thresholds.high_lufs:
                    self.high_at = now
            case ["lavfi", "astats", channel, "Peak_level"] if channel in _CHANNELS:
                self.peaks[_CHANNELS[channel]] = value
                self._zero[channel] = value == -math.inf
                self.silent.so(all(self._zero.values()), now)
                if value > self.thresholds.high_peak_db:
                    self.high_at = now
            case ["lavfi", "blackframe", "pblack"]:
                self.picture_at = now
                self.black.so(value >= _BLACK_PERCENT, now)
            case ["lavfi", "signalstats", "YMAX"]:
                self.still.so(value < _STILL, now)

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
        limits = self.thresholds
        ages: Mapping[str, float | None] = {"Sound": self.sound_at, "Picture": self.picture_at}
        gone = [kind for kind, at in ages.items() if at is not None and now - at > STALE_SECONDS]
        for kind in gone:
            yield Trouble(f"No{kind}", f"no {kind.lower()} comes any more: check its cable")
        if "Sound" not in gone and limits.sound_seconds:
            if _longer(self.silent, limits.sound_seconds, now):
                yield Trouble(
                    "DigitalSilence",
                    "the sound is digital zero: something is muted or not plugged in",
                )
            elif _longer(self.low, limits.sound_seconds, now):
                yield Trouble(
                    "SoundLow",
                    f"the sound is at {self.short_term:.1f} LUFS, {limits.low_lufs:g} or below: "
                    "turn it up, check microphone and mixer",
                )
            elif self.high_at is not None and now - self.high_at < limits.sound_seconds:
                yield Trouble(
                    "SoundHigh",
                    f"the sound is above {limits.high_lufs:g} LUFS or peaks above "
                    f"{limits.high_peak_db:g} dB: turn it down",
                )
        if "Picture" not in gone:
            if self.is_black(now):
                yield Trouble("PictureBlack", "the picture is black: check lens cap and signal")
            elif self.is_frozen(now):
                yield Trouble("PictureFrozen", "the picture stands still: check the camera")


def _longer(since: Since, seconds: float, now: float) -> bool:
    return seconds > 0 and since.seconds(now) >= seconds

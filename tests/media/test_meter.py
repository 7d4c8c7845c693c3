"""From levels to what a person is told, on a clock of our own."""

import pytest

from fleet.media.meter import THRESHOLDS, Meter

FINE = {
    "lavfi.r128.M": "-23.1",
    "lavfi.r128.S": "-23.0",
    "lavfi.astats.1.Peak_level": "-9.5",
    "lavfi.astats.2.Peak_level": "-9.5",
    "lavfi.blackframe.pblack": "3",
    "lavfi.signalstats.YMAX": "60",
}
ZERO = {
    "lavfi.astats.1.Peak_level": "-inf",
    "lavfi.astats.2.Peak_level": "-inf",
    "lavfi.r128.S": "-120.691",
}


def watch(meter: Meter, different: dict[str, str], begin: int, seconds: int) -> Meter:
    for now in range(begin, begin + seconds + 1):
        for name, value in {**FINE, **different}.items():
            meter.feed(f"{name}={value}", now)
    return meter


@pytest.mark.parametrize(
    ("kind", "different", "after", "reasons"),
    [
        ("camera", {}, 100, []),
        ("camera", {"lavfi.r128.S": "-48.0"}, 9, []),
        ("camera", {"lavfi.r128.S": "-48.0"}, 10, ["SoundLow"]),
        ("camera", {"lavfi.r128.S": "-47.9"}, 100, []),
        ("camera", {"lavfi.r128.S": "-13.9"}, 1, ["SoundHigh"]),
        ("camera", {"lavfi.r128.S": "-14.0"}, 1, []),
        ("camera", {"lavfi.astats.2.Peak_level": "-4.9"}, 1, ["SoundHigh"]),
        ("camera", ZERO, 10, ["DigitalSilence"]),
        ("camera", {**ZERO, "lavfi.astats.1.Peak_level": "-84.3"}, 10, ["DigitalSilence"]),
        ("camera", {**ZERO, "lavfi.astats.1.Peak_level": "-79.9"}, 9, []),
        ("camera", {"lavfi.astats.1.Peak_level": "-inf"}, 9, []),
        ("camera", {"lavfi.astats.1.Peak_level": "-inf"}, 10, ["ChannelSilent"]),
        ("slides", {"lavfi.astats.1.Peak_level": "-inf"}, 60, []),
        ("camera", {"lavfi.astats.3.Peak_level": "-inf"}, 60, []),
        ("camera", {**ZERO, "lavfi.r128.S": "-21.8", "lavfi.astats.3.Peak_level": "-9"}, 60, []),
        ("camera", {"lavfi.blackframe.pblack": "98"}, 9, []),
        ("camera", {"lavfi.blackframe.pblack": "98"}, 10, ["PictureBlack"]),
        ("camera", {"lavfi.signalstats.YMAX": "5"}, 29, []),
        ("camera", {"lavfi.signalstats.YMAX": "5"}, 30, ["PictureFrozen"]),
        (
            "camera",
            {"lavfi.blackframe.pblack": "100", "lavfi.signalstats.YMAX": "0", **ZERO},
            60,
            ["DigitalSilence", "PictureBlack"],
        ),
        ("slides", {"lavfi.signalstats.YMAX": "0", **ZERO}, 3600, []),
        ("slides", {"lavfi.blackframe.pblack": "100"}, 10, ["PictureBlack"]),
        ("mix", {"lavfi.signalstats.YMAX": "0"}, 299, []),
        ("mix", {"lavfi.signalstats.YMAX": "0"}, 300, ["PictureFrozen"]),
        ("mix", ZERO, 10, ["DigitalSilence"]),
    ],
)
def test_each_kind_has_thresholds_of_its_own(
    kind: str, different: dict[str, str], after: int, reasons: list[str]
) -> None:
    meter = watch(Meter(THRESHOLDS[kind]), different, 0, after)
    assert [trouble.reason for trouble in meter.troubles(after)] == reasons


def tracks(meter: Meter, begin: int, seconds: int, **each: dict[str, str]) -> Meter:
    """Sound alone, of tracks that differ from `FINE`."""
    for now in range(begin, begin + seconds + 1):
        for name, different in each.items():
            meter.feed(f"fleet.track={name[-1]}", now)
            for line, value in {**FINE, **different}.items():
                if "r128" in line or "astats" in line:
                    meter.feed(f"{line}={value}", now)
    return meter


def test_tracks_are_metered_apart() -> None:
    quiet = {"lavfi.r128.S": "-50", "lavfi.astats.2.Peak_level": "-40"}
    meter = tracks(Meter(THRESHOLDS["camera"]), 0, 12, track1={}, track2=quiet)
    first, second = meter.heard(12).values()
    assert (first.short_term, first.peaks) == (-23.0, {"left": -9.5, "right": -9.5})
    assert (second.short_term, second.peaks) == (-50.0, {"left": -9.5, "right": -40.0})
    (trouble,) = meter.troubles(12)
    assert trouble.reason == "SoundLow"
    assert trouble.message.startswith("track 2 is at -50.0 LUFS")


@pytest.mark.parametrize(
    ("dead", "said"),
    [
        (ZERO, "track 2 is digital zero"),
        ({"lavfi.astats.1.Peak_level": "-inf"}, "the left channel of track 2 is digital zero"),
    ],
)
def test_what_is_dead_is_named_while_another_is_heard(dead: dict[str, str], said: str) -> None:
    meter = tracks(Meter(THRESHOLDS["camera"]), 0, 12, track1={}, track2=dead)
    (trouble,) = meter.troubles(12)
    assert trouble.reason == "ChannelSilent"
    assert trouble.message.startswith(said)
    alive = meter.dead(12)
    assert (alive["1", "left"], alive["2", "left"]) == (False, True)


def test_a_track_that_goes_is_missed_and_not_shown_any_more() -> None:
    meter = tracks(Meter(THRESHOLDS["camera"]), 0, 2, track1={}, track2={})
    tracks(meter, 3, 12, track1={})
    assert list(meter.heard(15)) == ["1"]
    (trouble,) = meter.troubles(15)
    assert (trouble.reason, trouble.message.split(":")[0]) == (
        "NoSound",
        "track 2 no longer arrives",
    )


@pytest.mark.parametrize(("kind", "reasons"), [("camera", ["NoSound"]), ("slides", [])])
def test_a_source_that_never_had_sound_is_missed_where_some_is_expected(
    kind: str, reasons: list[str]
) -> None:
    meter = Meter(THRESHOLDS[kind])
    for now in range(12):
        meter.feed("lavfi.blackframe.pblack=3", now)
        meter.feed("lavfi.signalstats.YMAX=60", now)
        if now == 10:
            assert meter.troubles(now) == []
    assert [trouble.reason for trouble in meter.troubles(11)] == reasons


@pytest.mark.parametrize(
    ("different", "reason"),
    [
        ({"lavfi.blackframe.pblack": "100"}, "PictureBlack"),
        ({"lavfi.signalstats.YMAX": "0"}, "PictureFrozen"),
        (ZERO, "DigitalSilence"),
        ({"lavfi.astats.1.Peak_level": "-inf"}, "ChannelSilent"),
        ({"lavfi.r128.S": "-48.0"}, "SoundLow"),
        ({"lavfi.r128.S": "-13.0"}, "SoundHigh"),
    ],
)
def test_what_is_well_again_is_forgotten(different: dict[str, str], reason: str) -> None:
    meter = watch(Meter(THRESHOLDS["camera"]), different, 0, 60)
    assert [trouble.reason for trouble in meter.troubles(60)] == [reason]
    assert watch(meter, {}, 61, 10).troubles(71) == []


@pytest.mark.parametrize(("kept", "reason"), [("lavfi.r", "NoPicture"), ("lavfi.b", "NoSound")])
def test_what_comes_again_is_missed_no_more(kept: str, reason: str) -> None:
    meter = watch(Meter(THRESHOLDS["camera"]), {}, 0, 1)
    others = {name: value for name, value in FINE.items() if name.startswith(kept)}
    for now in range(2, 14):
        for name, value in others.items():
            meter.feed(f"{name}={value}", now)
    assert [trouble.reason for trouble in meter.troubles(13)] == [reason]
    assert watch(meter, {}, 14, 1).troubles(15) == []


def test_a_moment_of_motion_or_sound_begins_the_count_anew() -> None:
    meter = Meter(THRESHOLDS["camera"])
    for begin in (0, 30, 60):
        watch(meter, {"lavfi.signalstats.YMAX": "0"}, begin, 28)
        assert not meter.is_frozen(begin + 28)
        watch(meter, {}, begin + 29, 0)


def test_what_is_not_measured_any_more_is_missing() -> None:
    meter = watch(Meter(THRESHOLDS["camera"]), {}, 0, 1)
    for now in range(2, 13):
        meter.feed("lavfi.r128.S=-23.0", now)
    assert [trouble.reason for trouble in meter.troubles(12)] == ["NoPicture"]


@pytest.mark.parametrize(
    "line", ["", "lavfi.r128.M", "frame:3 pts:4", "lavfi.r128.M=x", "=", "a=1"]
)
def test_lines_that_are_none_of_its_own_are_passed_over(line: str) -> None:
    meter = Meter(THRESHOLDS["camera"])
    meter.feed(line, 0)
    assert meter.troubles(0) == []
    assert (meter.tracks, meter.picture_at) == ({}, None)

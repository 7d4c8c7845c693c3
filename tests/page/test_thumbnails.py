"""The newest picture of each instance is kept, and nothing grows without end."""

import pytest

from fleet.manager.stations.thumbnails import JPEG_BEGINS, MOST_BYTES, MOST_OF_A_STATION, Thumbnails


def _jpeg(size: int = 10, end: bytes = b"x") -> bytes:
    return JPEG_BEGINS.ljust(size - len(end), b".") + end


def test_the_newest_replaces_the_one_before() -> None:
    thumbnails = Thumbnails()
    assert thumbnails.fold("cam", "monitor", "main", _jpeg(end=b"1"), 1.0)
    assert thumbnails.fold("cam", "monitor", "main", _jpeg(end=b"2"), 2.0)
    held = thumbnails.get("cam", "monitor", "main")
    assert held is not None
    assert (held.jpeg[-1:], held.at) == (b"2", 2.0)
    assert list(thumbnails.of("cam")) == [("monitor", "main")]


def test_what_is_no_jpeg_or_too_large_is_refused_and_changes_nothing() -> None:
    thumbnails = Thumbnails()
    thumbnails.fold("cam", "monitor", "main", _jpeg(), 1.0)
    assert not thumbnails.fold("cam", "monitor", "main", b"<svg onload=alert(1)>", 2.0)
    assert not thumbnails.fold("cam", "monitor", "main", _jpeg(MOST_BYTES + 1), 2.0)
    assert thumbnails.fold("cam", "monitor", "large", _jpeg(MOST_BYTES), 2.0)
    held = thumbnails.get("cam", "monitor", "main")
    assert held is not None
    assert held.at == 1.0


def _frame(kind: int, wide: int, high: int) -> bytes:
    sides = high.to_bytes(2, "big") + wide.to_bytes(2, "big")
    return bytes([0xFF, kind, 0, 11, 8]) + sides + b"\x01\x11\x00"


TABLE = b"\xff\xdb\x00\x06" + b"\xff\xc0\xff\xff"  # a table may hold what looks like a frame


@pytest.mark.parametrize("kind", [0xC0, 0xC2, 0xCF])
@pytest.mark.parametrize(
    "before", [b"", TABLE, b"\xff\xe0\x00\x02", b"\xff\xfe\x00\x04abjunk", b"\xff\x01"]
)
def test_a_picture_that_unpacks_to_gigabytes_is_refused(kind: int, before: bytes) -> None:
    thumbnails = Thumbnails()
    for wide, high, fine in ((320, 180, True), (65_500, 8, False), (8, 65_500, False)):
        picture = b"\xff\xd8" + before + _frame(kind, wide, high)
        assert thumbnails.fold("cam", "monitor", "main", picture, 1.0) is fine


def test_what_hides_its_size_costs_no_more_than_its_bytes() -> None:
    thumbnails = Thumbnails()
    markers = b"\xff\xe0\x00\x00"  # more than any picture has: it is not looked for behind them
    for filler in (b"\xff", b"\xff\x00", markers, b"\xff\xd0"):
        picture = JPEG_BEGINS + filler * ((MOST_BYTES - 100) // len(filler))
        assert thumbnails.fold("cam", "monitor", "main", picture, 1.0) is (filler != markers)


def test_one_station_cannot_push_the_others_out() -> None:
    thumbnails = Thumbnails()
    thumbnails.fold("cam", "monitor", "main", _jpeg(), 0.0)
    for number in range(100):
        thumbnails.fold("mad", "monitor", f"m{number}", _jpeg(), float(number))
    assert len(thumbnails.of("mad")) == MOST_OF_A_STATION
    assert ("monitor", "m99") in thumbnails.of("mad")
    assert thumbnails.get("cam", "monitor", "main")


def test_of_a_station_that_is_forgotten_nothing_is_left() -> None:
    thumbnails = Thumbnails()
    for station in ("cam", "other"):
        for instance in ("main", "copy"):
            thumbnails.fold(station, "monitor", instance, _jpeg(), 0.0)
    thumbnails.forget("cam")
    thumbnails.forget("never heard of")
    assert not thumbnails.of("cam")
    assert thumbnails.get("cam", "monitor", "main") is None
    assert len(thumbnails.of("other")) == 2


def test_past_the_limit_the_one_heard_longest_ago_goes() -> None:
    thumbnails = Thumbnails(most=1000)
    for number in range(20):
        thumbnails.fold(f"cam{number}", "monitor", "main", _jpeg(100), float(number))
    thumbnails.fold("cam10", "monitor", "main", _jpeg(100), 20.0)
    thumbnails.fold("last", "monitor", "main", _jpeg(100), 21.0)
    held = [n for n in range(20) if thumbnails.get(f"cam{n}", "monitor", "main")]
    assert held == [10, 12, 13, 14, 15, 16, 17, 18, 19]

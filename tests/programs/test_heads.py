"""What a decoder has to know is there before each key frame, and seen where it changes."""

import pytest

from fleet.programs.continuity import Block
from fleet.programs.heads import Head, filters
from fleet.programs.nut import NutStream
from fleet.programs.stamp import MARK

START = b"\0\0\1"
SMALL, LARGE, MORE = b"\x67\x64small", b"\x67\x64large", b"\x68more"
KEY, NEXT, BEGIN = b"\x65" + b"key" * 9, b"\x41" + b"next" * 9, b"\x09\xf0"
MPEG2 = START + b"\xb3head" + START + b"\0picture" + START + b"\1slice"


def stream(*units: bytes) -> bytes:
    return b"".join(b"\0" + START + unit for unit in units)


def head(private: bytes = stream(SMALL, MORE), codec: str = "h264") -> Head:
    return Head(NutStream(0, codec, private, (1, 1000), 14))


def packet(data: bytes, key: bool = True, private: bytes = b"") -> Block:
    return Block(0, 0, key, data, private=private)


def test_the_same_again_is_no_change() -> None:
    one = head()
    twice = stream(BEGIN, SMALL, MORE, SMALL, MORE, KEY)
    for data in (stream(BEGIN, SMALL, MORE, KEY), stream(BEGIN, KEY), twice):
        assert not one.changes(packet(data))


def test_pictures_of_another_size_are_a_change_and_known_from_then_on() -> None:
    one = head()
    assert one.changes(packet(stream(BEGIN, LARGE, MORE, KEY)))
    assert one.private == stream(LARGE, MORE)
    assert not one.changes(packet(stream(BEGIN, LARGE, MORE, KEY)))


def test_what_was_not_known_at_first_is_learned() -> None:
    one = head(b"")
    assert not one.changes(packet(stream(SMALL, MORE, KEY)))
    assert one.private == stream(SMALL, MORE)


@pytest.mark.parametrize(("before", "changes"), [(b"", False), (b"old", True), (b"new", False)])
def test_what_comes_beside_a_packet_is_a_change_where_something_else_was_known(
    before: bytes, changes: bool
) -> None:
    one = head(before, "aac")
    assert one.changes(packet(b"sound", private=b"new")) is changes
    assert one.private == b"new"


@pytest.mark.parametrize("told_once", [True, False])
def test_sound_that_says_in_each_packet_what_it_is_changes_where_that_is_lost(
    told_once: bool,
) -> None:
    slow, fast = bytes.fromhex("fff150801f7ffc01"), bytes.fromhex("fff14c80227ffc02")
    one = Head(NutStream(1, "aac", b"", (1, 1000), 14), told_once=told_once)
    seen = [one.changes(packet(data)) for data in (slow, b"cut", slow, fast, fast)]
    assert seen == [False, False, False, told_once, False]


def test_a_key_frame_without_what_a_decoder_needs_gets_it_behind_the_mark_of_a_picture() -> None:
    stamped = head().stamped(stream(BEGIN, KEY), 1.0)
    assert stamped.index(BEGIN) < stamped.index(stream(SMALL, MORE)) < stamped.index(MARK)
    assert stamped.endswith(START + KEY)
    assert head().stamped(stream(SMALL, MORE, KEY), 1.0).count(SMALL) == 1


@pytest.mark.parametrize(
    ("codec", "own", "other"),
    [
        ("h264", stream(BEGIN, SMALL, MORE, KEY), MPEG2),
        ("mpeg2", MPEG2, stream(BEGIN, SMALL, MORE, KEY)),
        ("h265", stream(b"\x46\1", b"\x26\1key"), MPEG2),
    ],
)
def test_another_codec_is_seen_in_its_packets(codec: str, own: bytes, other: bytes) -> None:
    one = head(b"", codec)
    assert not any(one.strange(packet(own)) for _ in range(50))
    assert not one.strange(packet(other)), "one may be damaged"
    assert any(one.strange(packet(other)) for _ in range(12))


def test_mpeg2_that_stops_while_others_go_on_is_swallowed_and_a_still_screen_is_not() -> None:
    for codec, swallowed in (("mpeg2", True), ("h264", False)):
        one = head(b"", codec)
        assert not one.swallowed(100.0), "it has not begun"
        one.strange(packet(MPEG2))
        assert not one.swallowed(2.0)
        assert one.swallowed(4.0) is swallowed


def test_each_segment_of_a_transport_stream_begins_with_what_a_decoder_needs() -> None:
    private = bytes([1, 100, 0, 12, 255, 225])
    assert filters(head(private)) == "h264_mp4toannexb,dump_extra=freq=keyframe"
    assert filters(head()) == "null", "it is there already"
    assert filters(head(b"", "mpeg2")) == "dump_extra=freq=keyframe"

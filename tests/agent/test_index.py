"""The index of recordings outlives restarts, power cuts and its own loss."""

import os
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from fleet.agent.recordings.index import RecordingIndex
from fleet.model import GONE, LastSegment, Segment, SegmentCheck

BEGIN = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)


def segment(n: int, instance: str = "main") -> Segment:
    begin = BEGIN + timedelta(minutes=3 * n)
    return Segment(
        index="",
        number=1,
        file=f"{instance}-{n}.ts",
        room="hall1",
        role="record",
        instance=instance,
        begin=begin,
        end=begin + timedelta(seconds=178),
        bytes=n,
        streams=(),
        frames=n,
        checksum="xxh3-128:00",
        gap=None,
        ended="full",
    )


def opened(directory: Path) -> RecordingIndex:
    index = RecordingIndex(directory, "b1")
    index.open()
    return index


def test_what_was_added_is_there_for_the_next_agent_with_its_check(tmp_path: Path) -> None:
    index = opened(tmp_path)
    added = [index.add(segment(n)) for n in range(3)] + [index.add(segment(9, "other"))]
    assert [(one.number, one.gap) for one in added] == [(1, None), (2, 2.0), (3, 2.0), (4, None)]
    checked = evolve(added[1], check=SegmentCheck(BEGIN, missing=3))
    index.replace(checked)
    later = opened(tmp_path)
    everything = later.after(None)
    assert everything.segments == (added[0], checked, added[2], added[3])
    assert (everything.index, everything.more) == (index.name, False)
    assert later.unchecked() == added[3]
    for one in (added[3], added[2]):
        later.replace(evolve(one, check=SegmentCheck(BEGIN)))
    later.replace(evolve(added[0], index="of before", check=SegmentCheck(BEGIN)))
    assert later.unchecked() == added[0]
    assert later.add(segment(3)).gap == 2.0


def test_who_was_away_gets_the_rest_in_bounded_parts(tmp_path: Path) -> None:
    index = opened(tmp_path)
    for n in range(205):
        index.add(segment(n))
    got: list[Segment] = []
    last: LastSegment | None = LastSegment("another", 7)
    while True:
        part = index.after(last)
        got += part.segments
        assert len(part.segments) <= 200
        assert part.until == part.segments[-1].number
        if not part.more:
            break
        last = LastSegment(index.name, got[-1].number)
    assert [one.number for one in got] == list(range(1, 206))


def test_what_went_long_ago_is_forgotten_and_the_rest_keeps_its_numbers(tmp_path: Path) -> None:
    index = opened(tmp_path)
    added = [index.add(segment(n)) for n in range(6)]
    for one in (added[0], added[2], added[3], added[5]):
        index.replace(evolve(one, check=SegmentCheck(BEGIN, skipped=GONE)))
    before = index.path.stat().st_size
    assert index.forget(added[3].end) == 2
    assert index.path.stat().st_size < before / 2
    for it in (index, opened(tmp_path)):
        everything = it.after(None)
        assert [one.number for one in everything.segments] == [2, 4, 5, 6]
        assert (everything.more, everything.until) == (False, 6)
        assert [added[0].file in it, added[1].file in it] == [False, True]
    assert index.forget(added[3].end) == 0
    assert index.forget(added[5].end + timedelta(seconds=1)) == 2
    later = opened(tmp_path)
    assert later.name == index.name
    assert [one.number for one in later.after(LastSegment(index.name, 2)).segments] == [5]
    assert later.after(LastSegment(index.name, 5)).until == 6
    assert later.add(segment(7)).number == 7
    assert later.unchecked() == later.after(LastSegment(index.name, 6)).segments[0]


@pytest.mark.parametrize("torn", [b'{"index":"', bytes(512), bytes(512) + b"\n"])
def test_a_line_that_a_power_cut_tore_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    index = opened(tmp_path)
    first = index.add(segment(0))
    with index.path.open("ab") as file:
        file.write(torn)
    later = opened(tmp_path)
    assert later.name == index.name
    second = later.add(segment(1))
    assert opened(tmp_path).after(None).segments == (first, second)


@pytest.mark.parametrize(
    "harm", ["emptied", "zeros", "its middle", "another's words", "its numbers", "deleted"]
)
def test_an_index_that_is_damaged_or_lost_begins_anew(tmp_path: Path, harm: str) -> None:
    index = opened(tmp_path)
    for n in range(3):
        index.add(segment(n))
    whole = index.path.read_bytes()
    match harm:
        case "emptied":
            index.path.write_bytes(b"")
        case "zeros":
            index.path.write_bytes(bytes(len(whole)))
        case "its middle":
            index.path.write_bytes(whole[:200] + bytes(20) + whole[220:])
        case "another's words":
            index.path.write_bytes(b"[1, 2]\n")
        case "its numbers":
            index.path.write_bytes(whole.replace(b'"number":2', b'"number":9'))
        case "deleted":
            index.path.unlink()
    later = opened(tmp_path)
    assert later.name != index.name
    assert len(later) == 0
    assert later.after(LastSegment(index.name, 3)).segments == ()
    assert later.add(segment(0)).number == 1


def test_a_line_for_which_a_disk_has_no_room_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened(tmp_path)
    index.add(segment(0))
    before, limits, cut = (
        index.path.read_bytes(),
        resource.getrlimit(resource.RLIMIT_FSIZE),
        os.truncate,
    )

    def truncate(path: Path, length: int) -> None:
        cut(path, length)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # what is cut off makes room

    monkeypatch.setattr(os, "truncate", truncate)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            index.add(segment(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert index.path.read_bytes() == before
    index.add(segment(1))
    later = opened(tmp_path)
    assert (later.name, len(later)) == (index.name, 2)

"""What is long ago and on no box any more is forgotten, and asked for no second time."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from fleet.manager.recordings import gathering
from fleet.manager.recordings.forgetting import REMEMBERED, forgettable
from fleet.manager.recordings.known import KnownIndex
from fleet.model import GONE, SegmentCheck
from fleet.operations.recordings import CutMark
from tests.recordings.house import Box, House, house
from tests.recordings.test_equal_ends import FILES, SCHEDULE, TALKS, TEXT, segment

NOW = datetime.now(UTC)
LONG_AGO = NOW - REMEMBERED - timedelta(days=10)


def test_what_the_schedule_names_is_not_long_ago() -> None:
    ((first, until),) = forgettable(None, NOW)
    assert (first.year, until) == (1, NOW - REMEMBERED)
    during = TALKS[0].begin + timedelta(hours=1)
    spans = forgettable(SCHEDULE, during + timedelta(days=200))
    assert [begin <= during < end for begin, end in spans] == [False, False]
    assert (spans[0][1], spans[1][0]) == (
        TALKS[0].begin - timedelta(hours=27),
        TALKS[-1].end + timedelta(hours=27),
    )
    assert len(forgettable(SCHEDULE, during)) == 1  # all before is long ago, nothing after


def recorded() -> Box:
    """A box that has 100 files of long ago, of which 50 went: 10 without a copy; and 10 of now."""
    box = Box("hall1", "mix")
    for number in range(1, 111):
        begin = (LONG_AGO if number <= 100 else NOW) + number * timedelta(minutes=3)
        skipped = GONE if number <= 50 else None
        one = evolve(
            segment(number),
            begin=begin,
            end=begin + timedelta(minutes=3),
            check=SegmentCheck(begin, skipped=skipped),
        )
        box.add(one)
    box.copied = {segment(number).file for number in range(11, FILES)}
    return box


def test_numbers_of_what_was_forgotten_are_no_hole() -> None:
    of = KnownIndex()
    for number in (61, 62, 64):
        of.learn("index-1", number, is_read=number != 62)
    assert (of.reached, of.begin, of.next) == (0, 0, 0.0)
    assert of.knows(told := evolve(segment(1), index="index-1", number=62))
    assert not of.knows(evolve(told, index="index-2"))
    of.skip("index-2", 0, 62)
    of.skip("index-1", 5, 62)
    assert of.reached == 0
    of.skip("index-1", 0, 62)
    assert (of.reached, of.begin, of.numbers) == (62, 61, {64})
    of.skip("index-1", 62, 63)
    assert (of.reached, of.numbers) == (64, set())


async def known(one: House, box: Box) -> set[int]:
    found = await one.ledger.keeper.run(one.ledger.keeper.opened.recordings.known, box.name, NOW)
    return {number for _, number, *_ in found}


async def comes_to_know(one: House, box: Box, numbers: set[int]) -> None:
    async with asyncio.timeout(60):
        while await known(one, box) != numbers:  # noqa: ASYNC110 (nothing tells of what is written)
            await asyncio.sleep(0.02)


async def test_what_went_is_forgotten_and_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_FORGET_SECONDS", 0.0)
    box = recorded()
    # Those without a copy are kept, and the newest of what went.
    left = {*range(1, 11), *range(50, 111)}
    async with house(tmp_path, [box], SCHEDULE, TEXT) as one:
        await one.recordings.mark(CutMark("hall1", "cut", LONG_AGO, "ann", LONG_AGO))
        one.come_online()
        for told in box.segments:
            one.hear(box, told)
        await comes_to_know(one, box, left)
        one.hear(box, box.segments[29])
        found = await one.recordings.of_time(LONG_AGO, NOW)
        assert await known(one, box) == left
        assert found.marks == []
    box.forgotten = 60
    async with house(tmp_path, [box], SCHEDULE, TEXT) as one:
        one.come_online()
        await one.until(lambda: "station segments" in dict(one.boxes.asked))
        asked = dict(one.boxes.asked)["station segments"]
        assert asked["after"] == {"index": box.index, "number": 110}
    async with house(tmp_path / "new", [box], SCHEDULE, TEXT) as one:
        one.come_online()
        await comes_to_know(one, box, set(range(61, 111)))

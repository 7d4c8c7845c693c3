"""Whatever was away or lost, a manager knows the same in the end as one that heard everything."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from fleet.manager.recordings import gathering
from fleet.manager.stations.allowances import Allowances
from fleet.model import SHORT_OF_CPU, Segment, SegmentCheck, Span
from fleet.operations.recordings import Receipt
from fleet.schedule import Schedule, ScheduledRoom, ScheduledTalk
from tests.recordings.house import Box, House, house

BEGIN = datetime(2026, 2, 1, 9, tzinfo=UTC)
NOW = BEGIN + timedelta(hours=6)
HALL = ScheduledRoom("Hall 1")
TALKS = tuple(
    ScheduledTalk(
        *(f"guid-{n}", HALL, f"Talk {n}", BEGIN + n * timedelta(minutes=40)),
        *(BEGIN + n * timedelta(minutes=40) + timedelta(minutes=30), 1, "2026-02-01"),
    )
    for n in range(9)
)
SCHEDULE = Schedule("DemoCon", None, "1", "UTC", (HALL,), TALKS)
TEXT = '[schedule]\nfile = "schedule.json"\n[rooms.hall1]\ntitle = "Hall 1"\n'
FILES = 130


def segment(number: int) -> Segment:
    begin = BEGIN + timedelta(minutes=3 * (number - 2))
    left_out = timedelta(seconds=90) if number == 70 else timedelta()
    check = SegmentCheck(begin + timedelta(minutes=4))
    if number == 21:
        silent = Span(begin, begin + timedelta(minutes=1), "channel 2")
        check = evolve(check, silences=(silent,))
    return Segment(
        index="",
        number=1,
        file=f"main-{number:03d}.ts",
        room="hall1",
        role="record",
        instance="main",
        begin=begin + left_out,
        end=begin + timedelta(minutes=3),
        bytes=1000,
        streams=(),
        frames=4500,
        checksum=None,
        gap=None,
        ended="crash" if number == 69 else "full",
        start=100.0 + 180 * (number if number < 70 else number - 70),
        check=check,
    )


def tell(one: House, box: Box, number: int, *, is_heard: bool = True) -> None:
    """As a station does: as soon as it is closed, then read back; some later, for want of CPU."""
    whole = segment(number)
    added = box.add(evolve(whole, check=None))
    stages: list[SegmentCheck | None] = [None, whole.check]
    if number % 10 == 0:
        stages.insert(1, SegmentCheck(whole.end, skipped=SHORT_OF_CPU))
    for check in stages:
        box.segments[added.number - 1] = told = evolve(added, check=check)
        if is_heard:
            one.hear(box, told)


async def ends(one: House, box: Box) -> tuple[Receipt, ...]:
    """What is said of the talks once nothing is missing."""
    one.come_online()
    wanted = sorted(it.file for it in box.segments)
    async with asyncio.timeout(60):
        while True:
            found = await one.recordings.of_time(BEGIN, NOW)
            there = [it for it in found.kept.get("hall1", ()) if it.segment.is_read and it.copied]
            newest = {it.segment.index for it in there} == {box.index}
            if newest and sorted(it.segment.file for it in there) == wanted:
                break
            await asyncio.sleep(0.05)
    return await one.recordings.receipts(one.ledger.rooms.all_talks(), NOW)


def station() -> Box:
    box = Box("hall1", "mix")
    box.copied = {segment(number).file for number in range(1, FILES + 1)}
    return box


@pytest.fixture
async def heard_all(tmp_path: Path) -> tuple[Receipt, ...]:
    box = station()
    async with house(tmp_path / "whole", [box], SCHEDULE, TEXT) as one:
        for number in range(1, FILES + 1):
            tell(one, box, number)
        return await ends(one, box)


async def test_one_that_heard_everything_knows_what_was_recorded(
    heard_all: tuple[Receipt, ...],
) -> None:
    told = [(one.verdict, one.coverage[0].missing) for one in heard_all]
    assert told == [
        ("yellow" if n == 1 else "red" if n == 5 else "green", 90.0 * (n == 5)) for n in range(9)
    ]
    assert "silent (channel 2) for 60.0 s" in heard_all[1].why


async def test_a_manager_that_was_away_for_an_hour_knows_the_same(
    heard_all: tuple[Receipt, ...], tmp_path: Path
) -> None:
    box = station()
    async with house(tmp_path / "store", [box], SCHEDULE, TEXT) as one:
        for number in range(1, 41):
            tell(one, box, number)
        await one.recordings.of_time(BEGIN, NOW)  # they are written down
        for number in range(41, 61):
            tell(one, box, number, is_heard=False)
    async with house(tmp_path / "store", [box], SCHEDULE, TEXT) as one:
        for number in range(61, FILES + 1):
            tell(one, box, number)
        assert await ends(one, box) == heard_all


async def test_a_broker_that_lost_everything_loses_no_recording(
    heard_all: tuple[Receipt, ...], tmp_path: Path
) -> None:
    box = station()
    async with house(tmp_path / "store", [box], SCHEDULE, TEXT) as one:
        one.come_online()
        for number in range(1, FILES + 1):
            if number == 30:
                one.inventory.broker_gone()
            tell(one, box, number, is_heard=not 30 <= number < 50)
        assert await ends(one, box) == heard_all


async def test_an_index_that_was_deleted_and_made_anew_counts_nothing_twice(
    heard_all: tuple[Receipt, ...], tmp_path: Path
) -> None:
    box = station()
    async with house(tmp_path / "store", [box], SCHEDULE, TEXT) as one:
        for number in range(1, FILES + 1):
            tell(one, box, number)
            if number == 100:
                await ends(one, box)
                box.begin_anew()
        assert await ends(one, box) == heard_all
    async with house(tmp_path / "store", [box], SCHEDULE, TEXT) as one:
        assert await ends(one, box) == heard_all


async def test_a_station_that_tells_too_much_is_not_written_down_and_others_are(
    tmp_path: Path,
) -> None:
    loud, other = station(), Box("hall1", "cam")
    async with house(tmp_path / "store", [loud, other], SCHEDULE, TEXT) as one:
        one.recordings.gathering.allowances = Allowances(30.0, 0.0)
        for number in range(1, 51):
            tell(one, loud, number)
        tell(one, other, 1)
        (found,) = (await one.recordings.of_time(BEGIN, NOW)).kept.values()
        there = [it.station for it in found]
        assert (there.count(loud.name) < 31, there.count(other.name)) == (True, 1)
        assert one.recordings.gathering.allowances.left_out[loud.name] > 50
        assert other.name not in one.recordings.gathering.allowances.left_out


async def test_a_copy_that_is_verified_later_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_COPIES_AGAIN", 0.0)
    box = station()
    late = segment(12).file
    box.copied.discard(late)
    async with house(tmp_path / "store", [box], SCHEDULE, TEXT) as one:
        for number in range(1, 15):
            tell(one, box, number)
        one.come_online()
        await one.until(lambda: ("sync list", {"after": "", "verified": True}) in one.boxes.asked)
        await one.recordings.of_time(BEGIN, NOW)
        by_name = ("sync list", {"after": late[:-1], "verified": True, "limit": 1})
        await one.until(lambda: by_name in one.boxes.asked)
        box.copied.add(late)
        assert len(await ends(one, box)) == len(TALKS)
        whole = [it for it in one.boxes.asked if it[0] == "sync list" and "limit" not in it[1]]
        assert len(whole) == 1

"""Three rooms, the real schedule, a clock that jumps through its days, and all that goes wrong.

What is read back is read back from real files; they are short, and stand for the begin of longer
ones. The manager's part is real, and is told what time it is.
"""

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve, frozen

from fleet.agent.recordings.probing import probe
from fleet.agent.recordings.reading_back import read_back
from fleet.manager.conference.rooms import Rooms, rooms_of
from fleet.model import GONE, SHORT_OF_CPU, Segment, SegmentCheck, SegmentEnd, Span
from fleet.operations.recordings import Receipt
from fleet.schedule import ScheduledTalk
from fleet.schedule.changes import changes
from fleet.schedule.reading import read
from tests.agent.test_reading_back import MOVES, encode
from tests.recordings.house import Box, House, house
from tests.schedule.publish import GREEN, PRETALX

BERLIN: Final = ZoneInfo("Europe/Berlin")
DAYS_BEFORE: Final = 22
"""So the export's second day is that on which summer time ends."""
FILE: Final = timedelta(minutes=3)
TEXT: Final = f"""
[conference]
timezone = "Europe/Berlin"
[schedule]
file = "schedule.json"
[rooms.hall1]
schedule = ["{GREEN}"]
[rooms.hall2]
schedule = ["Dark Red Room"]
[rooms.hall3]
schedule = ["Night Room"]
"""


def at(day: int, hour: int, minute: int = 0, second: float = 0, fold: int = 0) -> datetime:
    """Of October 2026, in Berlin."""
    local = datetime(2026, 10, day, hour, minute, tzinfo=BERLIN, fold=fold)
    return local.astimezone(UTC) + timedelta(seconds=second)


def schedule(*, changed: bool = False) -> bytes:
    """The real export, moved; `changed`: one talk is moved, and one is cancelled."""
    whole = json.loads(PRETALX["json"].read_text())
    conference = whole["schedule"]["conference"]
    for day in conference["days"]:
        for several in day["rooms"].values():
            for one in several:
                there = datetime.fromisoformat(one["date"]).replace(tzinfo=None)
                moved = there - timedelta(days=DAYS_BEFORE)
                if changed and one["code"] == "USEFJP":
                    moved += timedelta(minutes=30)
                one["date"] = moved.replace(tzinfo=BERLIN).isoformat()
            several[:] = [one for one in several if not (changed and one["code"] == "YE3F89")]
    nights = [("MIDNIGHT", at(24, 23, 40), "0:40"), ("SUMMER", at(25, 2, 30), "1:00")]
    conference["days"][0]["rooms"]["Night Room"] = [
        {
            "guid": code,
            "id": number,
            "code": code,
            "title": code,
            "duration": length,
            "date": begin.astimezone(BERLIN).isoformat(),
        }
        for number, (code, begin, length) in enumerate(nights, 9001)
    ]
    return json.dumps(whole).encode()


@frozen
class Films:
    """What real files were read back to have, by what is wrong with them."""

    checks: dict[str, SegmentCheck]
    begins: dict[str, datetime]

    def check(self, kind: str, begin: datetime) -> SegmentCheck:
        """As of a file that begins then."""
        found, by = self.checks[kind], begin - self.begins[kind]

        def moved(spans: tuple[Span, ...]) -> tuple[Span, ...]:
            return tuple(Span(one.begin + by, one.end + by, one.what) for one in spans)

        return evolve(
            found,
            at=begin + FILE,
            dropouts=moved(found.dropouts),
            silences=moved(found.silences),
            black=moved(found.black),
            frozen=moved(found.frozen),
        )


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Any]:
    directory = tmp_path_factory.mktemp("films")
    left = "aevalsrc='0.1*sin(2764*t)|0.1*sin(3141*t)*not(between(t,1,7))':s=48000"
    still = f"{MOVES},trim=duration=0.04,tpad=stop_mode=clone:stop_duration=8"
    frozen = f"{MOVES},trim=duration=1,tpad=stop_mode=clone:stop_duration=7"
    encode(directory / "fine.ts", seconds=2)
    encode(directory / "muted.ts", sound=left, seconds=8)
    encode(directory / "frozen.ts", frozen, seconds=8)
    encode(directory / "still.ts", still, "anullsrc=r=48000:cl=stereo", seconds=8)
    encode(directory / "damaged.ts", seconds=4)
    (directory / "broken.ts").write_bytes(bytes(range(256)) * 100)
    raw = (directory / "damaged.ts").read_bytes()
    third = len(raw) // 3 // 188 * 188
    (directory / "damaged.ts").write_bytes(raw[:third] + raw[third + len(raw) // 4 // 188 * 188 :])

    async def read_all() -> Films:
        files = sorted(directory.iterdir())
        held = {file.stem: probe(file) for file in files}
        checks = {file.stem: await read_back(file, held[file.stem]) for file in files}
        return Films(checks, {kind: one.begin for kind, one in held.items()})

    return read_all


RED, YELLOW = "red", "yellow"
WRONG: Final[dict[str, tuple[str, float, list[str]]]] = {
    "HNW9U8": (RED, 22, ["22 s from 11:40:10 CEST, it crashed"]),
    "KPAHCX": (RED, 180, ["180 s from 12:06:00 CEST, the next file is missing"]),
    "GSWS3C": (YELLOW, 0, ["silent (channel 2) for 6.0 s at 12:42:01 CEST"]),
    "3XPWW3": (YELLOW, 0, ["frozen for 6.", "s at 14:09:01 CEST"]),
    "RGDTQM": (YELLOW, 0, ["a hole in the sound", "lacks", "damaged pictures"]),
    "8XRKNH": (RED, 0, ["does not decode"]),
    "STDYSY": (RED, 180, ["180 s from 09:36:00 CET, its file was deleted"]),
    "MTM7DY": (YELLOW, 0, ["was not read back: the box is short of CPU"]),
    "WTCSWU": (RED, 600, ["600 s from 14:30:00 CEST, its source was lost"]),
}
"""Talk -> verdict, seconds missing, and each finding."""
FAULTS: Final[dict[tuple[str, datetime], str]] = {
    ("hall1", at(24, 12, 42)): "muted",
    ("hall1", at(24, 14, 9)): "frozen",
    ("hall1", at(24, 14, 36)): "damaged",
    ("hall1", at(25, 9, 6)): "broken",
    ("hall1", at(24, 13, 30)): "still",  # nobody there, and silent: no talk is on
}


def recorded(room: str, films: Films, *, is_slides: bool) -> Iterator[Segment]:
    """All that one box records, in the order in which it is closed."""
    if room == "hall3":
        spans = [(at(24, 23, 30), at(25, 2, 42, fold=1))]
    else:
        spans = [(at(day, 8, 45), at(day, 16)) for day in (24, 25, 26)]
    if room == "hall1" and not is_slides:
        killed = at(24, 11, 40, 10)
        spans = [(at(24, 8, 45), killed), (killed + timedelta(seconds=22), at(24, 16)), *spans[1:]]
    if room == "hall2":
        spans = [(at(24, 8, 45), at(24, 14, 30)), (at(24, 14, 40), at(24, 16)), *spans[1:]]
    why: SegmentEnd = "source lost" if room == "hall2" else "crash"
    for first, last in spans:
        begin = first
        while begin < last:
            grid = at(24, 0) + FILE * math.floor((begin - at(24, 0)) / FILE + 1)
            end = min(grid, last)
            ended: SegmentEnd = "full" if end < last else why
            kind = "still" if is_slides else FAULTS.get((room, begin), "fine")
            clock = timedelta()
            if room == "hall1" and at(25, 10, 9) <= begin < at(25, 10, 18):
                clock = timedelta(hours=1)  # somebody set it, and set it back
            check = films.check(kind, begin + clock)
            if room == "hall1" and begin == at(25, 9, 36) and not is_slides:
                check = evolve(check, skipped=GONE)
            if room == "hall2" and begin == at(24, 11, 42):
                check = SegmentCheck(end, skipped=SHORT_OF_CPU)
            one = Segment(
                index="",
                number=1,
                file=f"{room}-{begin:%Y%m%dT%H%M%SZ}.ts",
                room=room,
                role="record",
                instance="main",
                begin=begin + clock,
                end=end + clock,
                bytes=1000,
                streams=(),
                frames=4500,
                checksum=None,
                gap=None,
                ended=ended,
                start=(begin - first).total_seconds(),
                check=check,
            )
            deleted = room == "hall1" and not is_slides and begin == at(24, 12, 6)
            if not deleted:  # before anybody saw it
                yield one
            begin = end


SEATS: Final = {"hall1": ("mix", "cam", "slides"), "hall2": ("mix",), "hall3": ("cam",)}


def closed(segment: Segment) -> datetime:
    """When, by a clock that is right."""
    stamp = datetime.strptime(segment.file[-19:-3], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return stamp + (segment.end - segment.begin)


async def receipts(one: House, now: datetime) -> dict[str, Receipt]:
    found = await one.recordings.receipts(one.ledger.rooms.all_talks(), now.astimezone(BERLIN))
    return {str(it.talk.code): it for it in found}


def right(found: Receipt, code: str) -> None:
    """It says what happened, and nothing else."""
    verdict, missing, told = WRONG.get(code, ("green", 0, []))
    best = found.coverage[0]
    assert (code, found.verdict, found.why) == (code, verdict, found.why)
    assert abs(best.missing - missing) <= 1
    said = [found.why, *best.findings]
    assert all(any(text in one for one in said) for text in told), (code, said)
    if code not in WRONG:
        assert all(it.findings == () for it in found.coverage), code


async def test_each_talk_of_three_days_has_the_receipt_that_it_deserves(
    films: Callable[[], Any], tmp_path: Path
) -> None:
    real: Films = await films()
    first, second = read(schedule()), read(schedule(changed=True))
    said = changes(first, second, BERLIN)
    assert [text.partition(":")[0] for text in said] == ["moved", "cancelled"]
    to_come = {
        Box(room, seat): list(recorded(room, real, is_slides=seat == "slides"))
        for room, seats in SEATS.items()
        for seat in seats
    }
    async with house(tmp_path / "store", list(to_come), first, TEXT) as one:
        for box, segments in to_come.items():
            box.copied |= {it.file for it in segments if not it.is_gone}
        one.come_online()
        await one.until(lambda: len([it for it, _ in one.boxes.asked if it == "sync list"]) >= 5)
        one.ledger.rooms.go_by(second)
        for jump in (
            *(at(24, 9, 40), at(24, 11, 45), at(24, 13, 10), at(25, 0, 5)),
            *(at(25, 2, 45), at(25, 2, 15, fold=1), at(25, 12), at(26, 23)),
        ):
            for box, segments in to_come.items():
                while segments and closed(segments[0]) <= jump:
                    one.hear(box, box.add(segments.pop(0)))
            for code, found in (await receipts(one, jump)).items():
                talk = found.talk
                if talk.do_not_record:
                    assert found.verdict is None
                    assert "must not be published" in found.why
                elif jump < talk.begin:
                    assert found.why == "has not begun"
                elif jump < talk.end:
                    assert found.why == "goes on"
                elif talk.end + FILE <= jump:
                    right(found, code)
        last = await receipts(one, at(26, 23))
        assert "YE3F89" not in last
        assert len(last) == 37
        assert last["USEFJP"].talk.begin == at(24, 10, 30)


def test_which_talk_is_on_over_midnight_and_the_end_of_summer_time() -> None:
    rooms = Rooms()
    rooms.learn(rooms_of(TEXT))
    rooms.go_by(read(schedule()))

    def on(moment: datetime) -> str | None:
        now = rooms.talks("hall3", moment)
        talk: ScheduledTalk | None = now.on if now else None
        return talk.code if talk else None

    assert on(at(24, 23, 59)) == on(at(25, 0, 15)) == "MIDNIGHT"
    assert on(at(25, 0, 30)) is None
    assert on(at(25, 2, 31)) == on(at(25, 2, 20, fold=1)) == "SUMMER"
    assert on(at(25, 2, 40, fold=1)) is None
    ends = {one.code: one.end for one in read(schedule()).talks}
    assert ends["SUMMER"] == at(25, 2, 30, fold=1)

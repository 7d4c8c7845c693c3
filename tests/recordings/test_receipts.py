"""What of a talk is covered, and what is said of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from fleet.manager.recordings.coverage import Kept, coverage
from fleet.manager.recordings.receipts import RoomNow, receipt
from fleet.model import SHORT_OF_CPU, Segment, SegmentCheck, Span, StopByHand
from fleet.operations.recordings import CutMark
from fleet.schedule import ScheduledRoom, ScheduledTalk

BEGIN = datetime(2026, 2, 1, 12, tzinfo=UTC)
END = BEGIN + timedelta(minutes=30)
HALF = timedelta(minutes=30)
LATER = END + timedelta(minutes=5)
FINE = SegmentCheck(END)
TALK = ScheduledTalk("guid-1", ScheduledRoom("Hall 1"), "Opening", BEGIN, END, 1, "2026-02-01")


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def kept(first: float, last: float, copied: bool | None = True, **more: Any) -> Kept:
    values: dict[str, Any] = {"instance": "main", "ended": "full", "check": FINE} | more
    file = f"main-{first}.ts"
    segment = Segment(
        *("index", 1, file, "hall1", "record", values["instance"], at(first), at(last)),
        *(1000, (), 0, None, None, values["ended"]),
        check=values["check"],
    )
    return Kept(values.get("station", "hall1-cam"), segment, copied)


WHOLE = [kept(n, n + 10) for n in (-5, 5, 15, 25)]


def told(several: list[Kept], now: datetime = LATER) -> tuple[str | None, str]:
    found = receipt("hall1", TALK, several, (), now)
    return found.verdict, found.why


def test_a_talk_that_is_there_and_plays_is_green() -> None:
    assert told(WHOLE) == ("green", "covered, decodes, heard and copied")


@pytest.mark.parametrize(
    ("several", "missing", "why"),
    [
        (WHOLE[1:], 300, "nothing was recorded yet"),
        ([WHOLE[0], *WHOLE[2:]], 600, "the next file is missing"),
        ([WHOLE[0], kept(5, 10, ended="crash"), *WHOLE[2:]], 300, "it crashed"),
        ([*WHOLE[:2], kept(15, 20, ended="source lost"), WHOLE[3]], 300, "its source was lost"),
        ([*WHOLE[:3], kept(25, 29, ended="stopped")], 60, "it was stopped"),
    ],
)
def test_what_is_missing_has_its_times_and_its_reason(
    several: list[Kept], missing: float, why: str
) -> None:
    (found,) = coverage(BEGIN, END, several)
    assert (found.missing, [gap.why for gap in found.gaps]) == (missing, [why])
    verdict, text = told([*several, kept(31, 40, instance="late")])
    assert verdict == "red"
    assert why in text
    assert f"{1 - missing / 1800:.0%} is in record/main of hall1-cam" in text


def test_what_ended_before_the_talk_says_why_its_beginning_is_missing() -> None:
    (found,) = coverage(BEGIN, END, [kept(-9, -5), kept(-5, -2, ended="crash"), kept(10, 31)])
    assert [gap.why for gap in found.gaps] == ["it crashed"]
    assert coverage(BEGIN, END, [kept(-9, -5)]) == ()


def test_files_that_overlap_or_follow_within_a_second_have_no_gap() -> None:
    (found,) = coverage(BEGIN, END, [kept(-1, 10), kept(9, 20), kept(20.01, 31)])
    assert (found.share, found.gaps) == (1.0, ())


def test_five_seconds_may_be_missing() -> None:
    late = timedelta(seconds=4.9) / timedelta(minutes=1)
    assert told([kept(late, 31)])[0] == "green"
    assert told([kept(late + 0.01, 31)])[0] == "red"


def test_of_two_recordings_the_better_one_counts() -> None:
    hurt = [kept(5, 31, instance="hurt")]
    found = receipt("hall1", TALK, [*hurt, *WHOLE], (), LATER)
    assert found.verdict == "green"
    assert [one.instance for one in found.coverage] == ["record/main", "record/hurt"]


SILENT = SegmentCheck(END, silences=(Span(at(6), at(8), "speaker left"),))


@pytest.mark.parametrize(
    ("one", "verdict", "why"),
    [
        (kept(-1, 31, check=SILENT), "yellow", "silent (speaker left) for 120.0 s at 12:06:00 UTC"),
        (kept(-1, 31, check=SegmentCheck(END, error="damaged")), "red", "does not decode: damaged"),
        (kept(-1, 31, check=SegmentCheck(END, damaged=3)), "yellow", "has 3 damaged pictures"),
        (kept(-1, 31, check=SegmentCheck(END, damaged_sound=3)), "yellow", "3 damaged packets of"),
        (kept(-1, 31, check=SegmentCheck(END, offset=0.4)), "yellow", "ends 0.4 s ahead of the"),
        (
            kept(-1, 31, check=SegmentCheck(END, skipped=SHORT_OF_CPU)),
            "yellow",
            "was not read back",
        ),
        (kept(-1, 31, check=SegmentCheck(END, skipped="busy")), "yellow", "not read back: busy"),
        (kept(-1, 31, check=None), "yellow", "1 file not read back yet"),
        (kept(-1, 31, copied=None), "yellow", "nothing copies it off the box"),
        (kept(-1, 31, copied=False), "yellow", "0 of 1 file copied so far"),
    ],
)
def test_what_is_there_but_is_yellow_with_its_reason(one: Kept, verdict: str, why: str) -> None:
    found = told([one])
    assert found[0] == verdict
    assert why in found[1]
    assert found[1].endswith("it is in record/main of hall1-cam")


def test_silence_before_and_after_the_talk_is_nobodys_concern() -> None:
    outside = SegmentCheck(END, silences=(Span(at(-5), at(-1)), Span(at(30), at(35))))
    assert told([kept(-5, 35, check=outside)])[0] == "green"


def test_nothing_is_decided_before_it_can_be() -> None:
    assert told(WHOLE, at(-1)) == (None, "has not begun")
    assert told(WHOLE, at(15)) == (None, "goes on")
    assert told(WHOLE[:3], at(31)) == (None, "its last file is not closed yet")
    assert told(WHOLE[:3], at(70))[0] == "red"
    assert told([], at(31)) == ("red", "nothing of it was recorded")


@pytest.mark.parametrize(
    ("minutes", "records", "why"),
    [
        (20, True, "no file of it is closed yet"),
        (31, None, "no file of it is closed yet"),
        (20, False, "the next file is missing"),
        (70, True, "the next file is missing"),
    ],
)
def test_what_is_in_the_open_file_is_not_missing(
    minutes: float, records: bool | None, why: str
) -> None:
    found = receipt("hall1", TALK, WHOLE[:2], (), at(minutes), RoomNow((), records))
    assert [gap.why for gap in found.coverage[0].gaps] == [why]


def test_where_nothing_records_nobody_waits_for_a_file() -> None:
    def told_(several: list[Kept], minutes: float, records: bool | None) -> str | None:
        return receipt("hall1", TALK, several, (), at(minutes), RoomNow((), records)).verdict

    on = receipt("hall1", TALK, WHOLE[:3], (), at(29), RoomNow((), records=False))
    assert (on.verdict, on.why) == (None, "goes on, and nothing records it")
    assert told_(WHOLE[:3], 30.4, records=False) is None
    assert told_(WHOLE[:3], 31, records=False) == "red"
    assert told_(WHOLE[:3], 60, records=None) is None
    assert told_([], 31, records=False) == "red"
    assert told_([], 60, records=True) is None, "its only file may be half an hour long"
    assert told_([], 61, records=True) == "red"


def test_a_talk_that_must_not_be_recorded_is_in_no_list_to_publish() -> None:
    found = receipt("hall1", evolve(TALK, do_not_record=True), WHOLE, (), LATER)
    assert found.verdict is None
    assert found.why == "it must not be published; 4 files have its time"


def test_marks_near_the_talk_are_its_own() -> None:
    marks = [
        CutMark("hall1", "start", at(1), "ann", at(1)),
        CutMark("hall1", "end", at(90), "ann", at(90)),
        CutMark("hall2", "cut", at(2), "ann", at(2)),
    ]
    assert receipt("hall1", TALK, WHOLE, marks, LATER).marks == (marks[0],)


def test_it_speaks_in_the_time_zone_of_the_conference_though_summer_time_ends_meanwhile() -> None:
    zone = ZoneInfo("Europe/Brussels")
    night = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 CEST; an hour later it is 02:30 again
    talk = evolve(TALK, begin=night, end=night + timedelta(hours=1))
    half = evolve(kept(0, 1), segment=evolve(kept(0, 1).segment, begin=night, end=night + HALF))
    now = (night + timedelta(hours=2)).astimezone(zone)
    found = receipt("hall1", talk, [half], (), now)
    assert found.why.startswith("1800 s are missing (1800 s from 02:00:00 CET, the next file")
    assert found.coverage[0].missing == 1800


def test_a_recording_that_somebody_stopped_says_who() -> None:
    def stop(begin: float, end: float | None, by: str = "ann") -> tuple[str, StopByHand]:
        until = None if end is None else at(end)
        return "hall1-cam", StopByHand("record", "main", by, "fog", at(begin), until)

    ended = [kept(-5, 10, ended="stopped"), kept(15, 31)]
    found = receipt("hall1", TALK, ended, (), LATER, RoomNow((stop(10.1, 15),)))
    assert [gap.why for gap in found.coverage[0].gaps] == ["stopped by ann (fog)"]
    assert "300 s are missing" in found.why
    assert "stopped by ann (fog)" in found.why
    over = receipt("hall1", TALK, ended, (), LATER, RoomNow((stop(-60, -30),)))
    assert [gap.why for gap in over.coverage[0].gaps] == ["it was stopped"], "not by that one"
    nothing = receipt("hall1", TALK, (), (), LATER, RoomNow((stop(-60, None),)))
    assert nothing.why == (
        "nothing of it was recorded; hall1-cam record/main was stopped by ann (fog)"
    )


def test_what_was_recorded_by_a_wrong_clock_says_so_while_it_is() -> None:
    def told_(several: list[Kept], hours: float, ahead: float) -> tuple[str | None, str]:
        stands = RoomNow(ahead={"hall1-cam": ahead})
        found = receipt("hall1", TALK, several, (), END + timedelta(hours=hours), stands)
        return found.verdict, found.why

    verdict, why = told_(WHOLE, 1, -300.0)
    assert verdict == "yellow"
    assert why.startswith("the clock of hall1-cam is 300 s behind, and so may be its times")
    assert told_(WHOLE, 1, 4.0)[0] == "green"
    assert told_(WHOLE, 13, 300.0)[0] == "green"
    other = [kept(-5, 35, station="hall1-mix")]
    assert told_([*WHOLE, *other], 1, 300.0)[0] == "green", "another has all of it"

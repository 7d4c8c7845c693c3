"""A day of talks as the page draws it: which moments, and what of each recording."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from attrs import evolve

from fleet.manager.recordings.coverage import Kept
from fleet.manager.recordings.receipts import RoomNow
from fleet.manager.web.page.receipt_view import receipt_view
from fleet.manager.web.page.recording_lines import RecordingLine, Spot, joined
from fleet.manager.web.page.talks import DayFacts, RoomDay, TalksDay, day_of, talks_day
from fleet.model import GONE, Segment, SegmentCheck, Span
from fleet.operations.recordings import Coverage, CutMark, Gap, Receipt
from fleet.schedule import ScheduledRoom, ScheduledTalk, day_at
from fleet.wire import dumps

ZONE = ZoneInfo("Europe/Brussels")
DAY = date(2026, 11, 14)
FINE = SegmentCheck(datetime(2026, 11, 14, tzinfo=UTC))
MINUTE = timedelta(minutes=1)


def at(clock: str, day: date = DAY) -> datetime:
    hour, minute = map(int, clock.split(":"))
    local = datetime(day.year, day.month, day.day, hour % 24, minute, tzinfo=ZONE)
    return (local + timedelta(days=hour // 24)).astimezone(UTC)


def talk(begin: datetime, minutes: float, guid: str = "one", **more: Any) -> ScheduledTalk:
    end = begin + minutes * MINUTE
    return ScheduledTalk(
        *(guid, ScheduledRoom("Hall 1"), f"Talk {guid}", begin, end, 1),
        **({"date": f"{begin.astimezone(ZONE):%Y-%m-%d}"} | more),
    )


def kept(begin: datetime, end: datetime, seat: str = "cam", **more: Any) -> Kept:
    values: dict[str, Any] = {"ended": "full", "check": FINE, "instance": "main"} | more
    segment = Segment(
        *("index", 1, f"{begin:%H%M}.ts", "hall1", "record", values["instance"], begin, end, 9, ()),
        frames=0,
        checksum=None,
        gap=None,
        ended=values["ended"],
        check=values["check"],
    )
    return Kept(f"hall1-{seat}", segment, True)


def drawn(
    *talks: ScheduledTalk,
    recorded: tuple[Kept, ...] = (),
    now: datetime | None = None,
    day: date = DAY,
    **more: Any,
) -> TalksDay:
    values: dict[str, Any] = {"has_schedule": True, "kept": {"hall1": recorded}} | more
    facts = DayFacts(
        title="DemoCon 26",
        rooms={"hall1": "Hall 1"},
        talks=[("hall1", one) for one in talks],
        **values,
    )
    return talks_day(day, facts, (now or at("23:00", day)).astimezone(ZONE))


def hall(found: TalksDay) -> RoomDay:
    return found.rooms[0]


def line(found: TalksDay) -> RecordingLine:
    (only,) = hall(found).lines
    return only


def clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, ZONE):%H:%M:%S}"


def test_a_night_stays_on_its_day() -> None:
    late = talk(at("24:30"), 60, date="2026-11-15")
    assert day_at(at("28:59").astimezone(ZONE)) == DAY
    assert day_at(at("29:00").astimezone(ZONE)) == DAY + timedelta(days=1)
    assert day_of(evolve(late, date=""), ZONE) == DAY
    assert day_of(evolve(late, date="1999-01-01"), ZONE) == DAY, "the schedule's date is nonsense"
    assert day_of(talk(at("29:30"), 60, date="2026-11-14"), ZONE) == DAY
    found = drawn(talk(at("22:00"), 60), evolve(late, guid="late"), now=at("25:00"))
    assert found.is_today
    assert [one.time for one in hall(found).talks] == [
        "22:00\N{EN DASH}23:00",
        "00:30\N{EN DASH}01:30",
    ]
    assert (clock(found.begin), clock(found.end)) == ("21:00:00", "02:00:00")


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (date(2026, 10, 24), ["01:00", "02:00", "02:00 CET", "03:00"]),
        (date(2026, 3, 28), ["00:00", "01:00", "03:00 CEST", "04:00"]),
    ],
)
def test_hours_are_as_long_as_they_are_when_summer_time_begins_and_ends(
    day: date, hours: list[str]
) -> None:
    midnight = datetime.combine(day, datetime.min.time(), ZONE).astimezone(UTC)
    begin = midnight + timedelta(hours=24)
    found = drawn(talk(begin, 240, date=str(day)), day=day, now=begin - 60 * MINUTE)
    names = [one.name for one in found.hours]
    assert [one for one in names if one[:2] in ("00", "01", "02", "03", "04")][-4:] == hours
    steps = {b.at - a.at for a, b in zip(found.hours, found.hours[1:], strict=False)}
    assert steps == {3600.0}


def test_hours_begin_where_the_zones_do() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    facts = DayFacts("", {"hall1": "Hall 1"}, True, [("hall1", talk(at("10:00"), 60))])
    found = talks_day(DAY, facts, at("12:00").astimezone(zone))
    assert {one.name[2:] for one in found.hours} == {":00"}


def test_the_line_reaches_beyond_the_talks_and_the_days_beside_are_those_with_some() -> None:
    other = talk(at("10:00", date(2026, 11, 20)), 60, "other")
    found = drawn(talk(at("10:00"), 60), talk(at("17:00"), 45, "two"), other)
    assert (clock(found.begin), clock(found.end)) == ("09:00:00", "19:00:00")
    assert (found.previous, found.next) == ("2026-11-13", "2026-11-20")
    assert found.name == "Saturday 14 November 2026"
    assert len(hall(found).talks) == 2


def test_without_talks_it_shows_what_was_recorded_and_says_why() -> None:
    found = drawn(recorded=(kept(at("13:10"), at("20:20")),))
    assert (clock(found.begin), clock(found.end)) == ("13:00:00", "23:00:00"), "until now"
    assert found.note == "The schedule has no talk on this day."
    assert "There is no schedule" in (drawn(has_schedule=False).note or "")


WHOLE = tuple(kept(at("09:50") + n * 3 * MINUTE, at("09:53") + n * 3 * MINUTE) for n in range(30))


def test_files_that_follow_each_other_are_one_stretch_and_what_is_unread_is_told() -> None:
    unread = evolve(WHOLE[-1], segment=evolve(WHOLE[-1].segment, check=None))
    found = line(drawn(talk(at("10:00"), 60), recorded=(*WHOLE[:-1], unread)))
    assert [(clock(one.begin), clock(one.end or 0), one.state) for one in found.stretches] == [
        ("09:50:00", "11:17:00", "read"),
        ("11:17:00", "11:20:00", "unread"),
    ]
    assert found.spots == ()
    assert (
        found.said == "hall1-cam record/main: recorded 09:50:00 to 11:17:00, 11:17:00 to 11:20:00"
    )


def test_a_gap_in_a_talk_has_its_times_and_reason_and_one_between_talks_is_none() -> None:
    crashed = evolve(WHOLE[8], segment=evolve(WHOLE[8].segment, ended="crash"))
    recorded = (*WHOLE[:8], crashed, *WHOLE[10:26], kept(at("11:30"), at("12:00")))
    found = drawn(talk(at("10:00"), 60), recorded=recorded)
    (gap,) = line(found).spots
    assert (clock(gap.begin), clock(gap.end)) == ("10:17:00", "10:20:00")
    assert (gap.kind, gap.text) == ("gap", "missing: it crashed")
    (block,) = hall(found).talks
    assert (block.state, block.by) == ("red", "95.0% in record/main of hall1-cam")
    assert block.why.startswith("180 s are missing (180 s from 10:17:00 CET, it crashed)")


def test_a_gap_at_the_beginning_of_a_talk_says_how_it_came_about() -> None:
    crashed = kept(at("09:00"), at("09:30"), ended="crash")
    recorded = (kept(at("08:00"), at("09:00")), crashed, kept(at("10:20"), at("11:30")))
    found = line(drawn(talk(at("08:10"), 20, "first"), talk(at("10:00"), 60), recorded=recorded))
    assert [one.text for one in found.spots] == ["missing: it crashed"]


def test_a_talk_of_which_nobody_has_anything_is_missing_on_each_line() -> None:
    recorded = (kept(at("09:00"), at("09:30")), kept(at("09:00"), at("09:40"), "mix"))
    idle = {"hall1": RoomNow((), records=False)}
    first, second = talk(at("09:05"), 15, "first"), talk(at("10:00"), 60)
    found = drawn(first, second, recorded=recorded, now=at("10:20"), stands=idle)
    for one in hall(found).lines:
        (gap,) = one.spots
        assert (clock(gap.begin), clock(gap.end)) == ("10:00:00", "10:20:00")
        assert gap.text == "missing: nothing was recorded"
    assert hall(found).talks[1].why == "goes on, and nothing records it"
    work = {("hall1", "hall1-cam", "record/main"): at("09:00")}
    cam, mix = hall(drawn(first, second, recorded=recorded, now=at("10:20"), at_work=work)).lines
    assert (cam.spots, len(mix.spots)) == ((), 1)


def test_what_is_being_written_is_neither_there_nor_missing() -> None:
    work = {("hall1", "hall1-cam", "record/main"): at("09:00")}
    one, now = talk(at("10:00"), 240), at("11:22")
    found = line(drawn(one, recorded=WHOLE, now=now, at_work=work))
    assert [(one.state, one.end) for one in found.stretches][1:] == [("open", None)]
    assert found.spots == ()
    found = line(drawn(one, recorded=WHOLE, now=now, away=frozenset({"hall1-cam"})))
    assert (len(found.stretches), found.spots) == (1, ()), "nobody knows"
    found = line(drawn(one, recorded=WHOLE, now=now))
    assert [(clock(one.begin), clock(one.end)) for one in found.spots] == [("11:20:00", "11:22:00")]
    begins = line(drawn(one, now=now, at_work=work))
    assert [one.state for one in begins.stretches] == ["open"]


def test_what_the_read_back_found_is_on_the_line_once_over_the_ends_of_files() -> None:
    def hurt(number: int, **found: Any) -> Kept:
        segment = WHOLE[number].segment
        return evolve(WHOLE[number], segment=evolve(segment, check=evolve(FINE, **found)))

    silent = [
        hurt(n, silences=(Span(WHOLE[n].segment.begin, WHOLE[n].segment.end, "left"),))
        for n in (5, 6)
    ]
    broken = hurt(9, error="invalid data")
    recorded = (*WHOLE[:5], *silent, *WHOLE[7:9], broken, *WHOLE[10:])
    found = line(drawn(talk(at("10:00"), 60), recorded=recorded))
    assert [(one.kind, one.text, clock(one.begin), clock(one.end)) for one in found.spots] == [
        ("finding", "silent (left)", "10:05:00", "10:11:00"),
        ("broken", "does not decode", "10:17:00", "10:20:00"),
    ]
    assert found.said.endswith("does not decode 10:17:00 to 10:20:00")


def test_a_file_that_nobody_has_any_more_is_missing_and_slides_may_be_silent() -> None:
    silence = evolve(FINE, silences=(Span(at("10:05"), at("10:06"), "left"),))
    whole = kept(at("09:55"), at("11:05"), check=silence)
    gone = evolve(whole.segment, check=evolve(FINE, skipped=GONE))
    lost = evolve(whole, copied=False, segment=gone)
    found = line(drawn(talk(at("10:00"), 60), recorded=(kept(at("09:50"), at("10:01")), lost)))
    assert [clock(one.end or 0) for one in found.stretches] == ["10:01:00"]
    assert [one.kind for one in found.spots] == ["gap"]
    slides = evolve(whole, is_slides=True)
    assert line(drawn(talk(at("10:00"), 60), recorded=(slides,))).spots == ()


def test_talks_at_the_same_time_stand_below_each_other_and_those_without_place_are_counted() -> (
    None
):
    found = hall(drawn(*(talk(at("10:00"), 60, str(n)) for n in range(6))))
    assert ([one.row for one in found.talks], found.rows) == ([0, 1, 2, 3], 4)
    assert found.more == "and 2 talks"


def test_opt_outs_and_marks_are_told() -> None:
    note = CutMark("hall1", "cut", at("10:20"), "ann", at("10:21"), "the fire alarm")
    one = talk(at("10:00"), 60, do_not_record=True, do_not_stream=True)
    found = hall(drawn(one, recorded=WHOLE, marks=[note]))
    (block,) = found.talks
    assert block.state == "out"
    assert block.notes == ("not to be recorded", "not to be streamed")
    assert [one.said for one in found.marks] == ["cut 10:20:00, ann: the fire alarm"]


def test_recordings_of_no_room_have_a_line_too() -> None:
    found = drawn(talk(at("10:00"), 60), kept={"": WHOLE, "attic": WHOLE})
    assert [one.title for one in found.rooms] == ["Hall 1", "No room", "attic"]


def test_a_hundred_thousand_segments_make_a_page_of_little_size_in_little_time() -> None:
    """Short files, all with gaps between them and something found, of 15 rooms."""
    begin, step = at("09:00"), timedelta(seconds=6)
    silence = evolve(FINE, silences=(Span(begin, begin + step, "left"),))
    one = [
        kept(begin + n * step, begin + (n + 0.7) * step, seat, check=silence)
        for n in range(2222)
        for seat in ("cam", "mix", "slides")
    ]
    of_room = {f"room{room}": list(one) for room in range(15)}
    assert sum(map(len, of_room.values())) == 99_990
    talks = [
        (room, talk(at("09:00") + n * 20 * MINUTE, 15, f"{room}-{n}"))
        for room in of_room
        for n in range(11)
    ]
    facts = DayFacts("", {room: room for room in of_room}, True, talks, of_room)
    began = time.process_time()
    body = dumps(attrs.asdict(talks_day(DAY, facts, at("14:00").astimezone(ZONE))))
    assert len(body) < 1_500_000
    assert time.process_time() - began < 15


def test_no_number_of_texts_or_recordings_makes_it_large() -> None:
    found = joined((Spot(n, n + 1, "finding", f"error {n}") for n in range(5000)), 100)
    assert (len(found), found[-1].text, found[-1].end) == (100, "and 4901 more", 5000)
    found = joined((Spot(n * 10, n * 10 + 1, "finding", "silent") for n in range(5000)), 100)
    assert len(found) <= 100
    assert sum(one.times for one in found) == 5000
    many = tuple(
        kept(at("10:00"), at("10:01") + n * MINUTE, instance=str(n), check=None) for n in range(99)
    )
    drawn_ = hall(drawn(talk(at("10:00"), 60), recorded=many))
    assert len(drawn_.lines) == 16
    assert drawn_.more == "and 83 recordings"
    marks = [CutMark("hall1", "cut", at("10:01"), "ann", at("10:01")) for _ in range(150)]
    assert hall(drawn(marks=marks)).more == "and 50 marks"


def test_a_receipt_says_all_that_is_known_and_what_to_type() -> None:
    one = talk(at("10:00"), 60, "a b", persons=("Ann",))
    gap = Gap(at("10:10"), at("10:11"), "it crashed")
    of = Coverage("hall1-cam", "record/main", 0.98, 60, (gap,), ("a.ts",) * 50, ("silent",), 2, 1)
    mark = CutMark("hall1", "end", at("10:59"), "ann", at("10:59"))
    shown = receipt_view(
        Receipt(one, "hall1", "red", "60 s are missing", (of,), (mark,)),
        "Hall 1",
        at("12:00").astimezone(ZONE),
    )
    assert shown.when == "Sat 2026-11-14, 10:00\N{EN DASH}11:00 CET"
    (only,) = shown.recordings
    assert (only.share, only.copied) == ("98.0%", "1 of 50 files copied")
    assert (len(only.files), only.more) == (40, 10)
    assert only.wrong == (
        "missing 10:10:00 to 10:11:00: it crashed",
        "silent",
        "2 files not read back yet",
    )
    assert shown.marks == ("end at 10:59:00 by ann",)
    assert shown.command == "fleet receipt 'a b'"
    assert json.loads(dumps(attrs.asdict(shown)))["room"] == "Hall 1"

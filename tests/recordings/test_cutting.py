"""Where a talk lies in which files: by marks, else by the schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from fleet.manager.recordings.coverage import Kept
from fleet.manager.recordings.cutting import cut_lists, takes_of
from fleet.model import KeyFrames
from fleet.operations.recordings import CutList, CutMark, MarkKind
from fleet.schedule import ScheduledRoom, ScheduledTalk
from tests.recordings.test_receipts import BEGIN, FINE, SILENT, TALK, at, kept

NEXT = evolve(TALK, guid="guid-2", title="Next", begin=at(40), end=at(70))
PROGRAM = {("hall1-mix", "record/main")}


def mark(kind: MarkKind, minutes: float, said: float | None = None, room: str = "hall1") -> CutMark:
    return CutMark(room, kind, at(minutes), "ann", at(minutes if said is None else said))


def taken(*marks: CutMark) -> dict[str, list[tuple[float, float]]]:
    return {
        talk.title: [
            ((one.begin - BEGIN) / timedelta(minutes=1), (one.end - BEGIN) / timedelta(minutes=1))
            for one in found.takes
        ]
        for talk, found in takes_of([TALK, NEXT], marks)
    }


@pytest.mark.parametrize(
    ("marks", "first", "second"),
    [
        ([], [(0, 30)], [(40, 70)]),
        ([mark("start", 2), mark("end", 29)], [(2, 29)], [(40, 70)]),
        ([mark("start", 2)], [(2, 30)], [(40, 70)]),
        ([mark("end", 36)], [(0, 36)], [(40, 70)]),
        ([mark("start", 39), mark("end", 75)], [(0, 30)], [(39, 75)]),
        ([mark("start", 2), mark("start", 4, said=1), mark("end", 29)], [(2, 29)], [(40, 70)]),
        ([mark("end", 29), mark("end", 31), mark("start", 41)], [(0, 31)], [(41, 70)]),
        ([mark("start", 9), mark("end", 58)], [(9, 58)], [(40, 70)]),
        (
            [mark("start", 1), mark("end", 12), mark("start", 18), mark("end", 33)],
            [(1, 12), (18, 33)],
            [(40, 70)],
        ),
        ([mark("end", -9)], [(0, 30)], [(40, 70)]),
        ([mark("start", 200), mark("start", -45)], [(0, 30)], [(40, 70)]),
        ([mark("cut", 15)], [(0, 30)], [(40, 70)]),
        ([mark("start", 9), mark("end", 9, said=10)], [(0, 30)], [(40, 70)]),
        (
            [mark("start", 2), mark("end", 9), mark("start", 12), mark("end", 12, said=13)],
            [(2, 9)],
            [(40, 70)],
        ),
    ],
)
def test_a_talk_is_from_its_start_to_its_end_as_marked_else_as_scheduled(
    marks: list[CutMark], first: list[Any], second: list[Any]
) -> None:
    assert taken(*marks) == {TALK.title: first, "Next": second}


def test_a_start_after_the_scheduled_end_takes_the_scheduled_length_and_says_so() -> None:
    short = evolve(TALK, end=at(5))
    ((_, found),) = takes_of([short], [mark("start", 8)])
    assert [(one.begin, one.end) for one in found.takes] == [(at(8), at(13))]
    assert "marked after its end in the schedule" in found.notes[0]


def lists(several: list[Kept], *marks: CutMark, talk: ScheduledTalk = TALK) -> list[CutList]:
    return list(cut_lists([("hall1", talk)], {"hall1": several}, marks, PROGRAM))


def of(instance: str, *spans: tuple[float, float], station: str = "hall1-cam", **more: Any) -> Any:
    return [kept(a, b, instance=instance, station=station, **more) for a, b in spans]


WHOLE = ((-5.0, 10.0), (10.0, 31.0))
MIX = of("main", *WHOLE, station="hall1-mix")


@pytest.mark.parametrize(
    ("several", "whose"),
    [
        ([*of("a", *WHOLE), *MIX], "hall1-mix record/main"),
        ([*of("a", (-5.0, 31.0)), *of("main", (0.05, 31.0), station="hall1-mix")], "hall1-mix"),
        ([*of("a", *WHOLE), *of("main", (5.0, 31.0), station="hall1-mix")], "hall1-cam record/a"),
        ([*of("a", (1.0, 31.0)), *of("main", (1.5, 31.0), station="hall1-mix")], "hall1-mix"),
        ([*of("a", (9.0, 31.0)), *of("b", (2.0, 31.0))], "hall1-cam record/b"),
        (
            [
                *of("a", *WHOLE),
                *of("main", *WHOLE, station="hall1-mix", check=evolve(FINE, error="damaged")),
            ],
            "hall1-cam record/a",
        ),
        ([*of("a", *WHOLE, check=SILENT), *MIX], "hall1-mix"),
    ],
)
def test_the_program_is_cut_from_unless_another_has_more_of_the_talk(
    several: list[Kept], whose: str
) -> None:
    (found,) = lists(several)
    assert f"{found.station} {found.instance}".startswith(whose)
    assert found.is_program == whose.startswith("hall1-mix")


def points(found: CutList) -> list[list[tuple[str, float, float]]]:
    return [
        [(one.file, one.in_point, one.out_point) for one in piece.files] for piece in found.pieces
    ]


def test_files_have_in_and_out_points_and_what_is_missing_is_said() -> None:
    (found,) = lists(of("main", (-5.0, 10.0), (10.001, 20.0), (22.0, 29.0)))
    assert points(found) == [
        [
            ("hall1/main--5.0.ts", 300.0, 900.0),
            ("hall1/main-10.001.ts", 0.0, 599.94),
            ("hall1/main-22.0.ts", 0.0, 420.0),
        ]
    ]
    assert (found.missing, found.is_covered) == (180.0, False)
    assert [(gap.begin, gap.end) for gap in found.gaps] == [(at(20), at(22)), (at(29), at(30))]


def test_what_overlaps_is_seen_once() -> None:
    (found,) = lists(of("main", (-5.0, 20.0), (19.0, 31.0)))
    assert points(found)[0][1] == ("hall1/main-19.0.ts", 60.0, 660.0)


def test_a_cut_divides_and_between_an_end_and_a_start_something_is_left_out() -> None:
    several = of("main", (-5.0, 31.0))
    marks = (mark("end", 10), mark("start", 20), mark("cut", 25), mark("cut", 15))
    (found,) = lists(several, *marks)
    assert points(found) == [
        [("hall1/main--5.0.ts", 300.0, 900.0)],
        [("hall1/main--5.0.ts", 1500.0, 1800.0)],
        [("hall1/main--5.0.ts", 1800.0, 2100.0)],
    ]
    assert [one.kind for one in found.marks] == ["end", "start", "cut"]


def test_what_is_said_twice_of_one_moment_makes_no_piece_without_length() -> None:
    several = [*of("main", (-5.0, 31.0)), *of("main", (31.0, 31.0))]
    twice = (mark("cut", 15), mark("cut", 15, said=16))
    (found,) = lists(several, *twice, mark("start", 20), mark("end", 20, said=21))
    assert points(found) == [
        [("hall1/main--5.0.ts", 300.0, 1200.0)],
        [("hall1/main--5.0.ts", 1200.0, 2100.0)],
    ]
    assert found.notes == (
        "it is marked to begin and to end at one moment: both marks are left out",
    )


def test_of_a_talk_that_must_not_be_recorded_there_is_no_list() -> None:
    assert lists(of("main", *WHOLE), talk=evolve(TALK, do_not_record=True)) == []


def test_where_nothing_was_recorded_all_is_missing() -> None:
    (found,) = lists([])
    assert (found.station, found.pieces, found.missing) == (None, (), 1800.0)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((KeyFrames(101.4, 2.0, 400),), 299.4),
        ((KeyFrames(101.4, 2.0, 3), KeyFrames(200.0, 1.0, 2)), 101.0),
        ((KeyFrames(500.0, 2.0, 3),), None),
        ((), None),
    ],
)
def test_the_key_frame_before_the_in_point_is_told(
    keys: tuple[KeyFrames, ...], expected: float | None
) -> None:
    one = kept(-5, 31)
    segment = evolve(one.segment, start=100.0, keys=keys)
    (found,) = lists([evolve(one, segment=segment)])
    assert found.pieces[0].files[0].key == expected


def test_rooms_have_marks_of_their_own() -> None:
    other = evolve(TALK, guid="guid-3", room=ScheduledRoom("Hall 2"))
    found = cut_lists([("hall1", TALK), ("hall2", other)], {}, [mark("start", 2)], ())
    assert [one.begin for one in found] == [at(2), datetime(2026, 2, 1, 12, tzinfo=UTC)]

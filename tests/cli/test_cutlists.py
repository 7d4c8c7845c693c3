"""Cut lists as editors read them."""

from datetime import timedelta

import pytest
from attrs import evolve

from fleet.cli.cutlists import edl, ffconcat
from fleet.operations.recordings import CutFile, CutList, CutPiece
from tests.recordings.test_receipts import BEGIN, END, TALK


def of(rate: float | None) -> CutList:
    files = (
        CutFile("hall1/a.ts", BEGIN, 150.0, 180.0, 1.4, 148.0, rate),
        CutFile("hall1/b.ts", BEGIN, 0.0, 90.04, 181.4, None, rate),
    )
    pieces = (CutPiece(BEGIN, END, files),)
    return CutList(TALK, "hall1", BEGIN, END, "hall1-mix", "record/main", True, pieces, 0.0, True)


@pytest.mark.parametrize(
    ("rate", "first", "last"),
    [
        (24.998, "00:02:30:00 00:03:00:00", "00:00:30:00 00:02:00:01"),
        (10.0, "00:02:30:00 00:03:00:00", "00:00:30:00 00:02:00:01"),
        (None, "00:02:30:00 00:03:00:00", "00:00:30:00 00:02:00:01"),
        (29.968, "00:02:29:26 00:02:59:25", "00:00:29:29 00:01:59:28"),
        (49.99, "00:02:30:00 00:03:00:00", "00:00:30:00 00:02:00:02"),
    ],
)
def test_an_edl_counts_the_pictures_of_each_file(rate: float | None, first: str, last: str) -> None:
    lines = list(edl(of(rate)))
    assert lines[:2] == ["TITLE: Opening", "FCM: NON-DROP FRAME"]
    assert lines[3].startswith(f"001  AX       AA/V  C        {first} ")
    assert lines[7].endswith(last)
    assert lines[4:6] == ["* FROM CLIP NAME: a.ts", "* SOURCE FILE: hall1/a.ts"]


def test_a_piece_shorter_than_what_is_read_before_the_next_has_no_negative_length() -> None:
    """ffmpeg refuses all of such a list."""
    first, second = of(25.0).pieces[0].files
    second = evolve(second, in_point=40.0, key=None)
    half = BEGIN + timedelta(minutes=10)
    pieces = (
        CutPiece(BEGIN, half, (evolve(first, in_point=150.0, out_point=152.0),)),
        CutPiece(half + timedelta(minutes=1), END, (second,)),
    )
    lines = list(ffconcat(evolve(of(25.0), pieces=pieces), "UTC"))
    assert [one for one in lines if one.startswith("duration")] == [
        "duration 0.000000",
        "duration 60.040000",
    ]
    begins = next(one for one in lines if "-ss" in one).partition("-ss ")[2]
    assert begins.startswith("2.200 -t 57.840 ")
    tag = "file_packet_meta lavf.concatdec.start_time "
    assert [one.removeprefix(tag) for one in lines if one.startswith(tag)] == ["2199000", "9999000"]

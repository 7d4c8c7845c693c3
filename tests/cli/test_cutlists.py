"""Cut lists as editors read them."""

import pytest

from fleet.cli.cutlists import edl
from fleet.operations import CutFile, CutList, CutPiece
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

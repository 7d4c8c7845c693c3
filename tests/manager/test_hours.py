"""A room's hours are local to the conference."""

from datetime import datetime

import pytest

from fleet.manager.conference.hours import in_use, open_until


@pytest.mark.parametrize(
    ("hours", "timezone", "at", "expected"),
    [
        ((), None, "03:00", True),
        (("09:00-19:00",), "UTC", "08:59", False),
        (("09:00-19:00",), "UTC", "09:00", True),
        (("09:00-19:00",), "UTC", "19:00", False),
        (("09:00-19:00",), "Europe/Brussels", "07:30", True),
        (("09:00-19:00",), "Europe/Brussels", "17:30", False),
        (("22:00-02:00",), "UTC", "01:59", True),
        (("22:00-02:00",), "UTC", "02:00", False),
        (("20:00-24:00",), "UTC", "23:59", True),
        (("20:00-24:00",), "UTC", "00:00", False),
        (("09:00-12:00", "14:00-18:00"), "UTC", "13:00", False),
        (("09:00-12:00", "14:00-18:00"), "UTC", "14:00", True),
    ],
)
def test_a_room_is_in_use_in_its_hours(
    hours: tuple[str, ...], timezone: str | None, at: str, expected: bool
) -> None:
    # In July, Brussels is two hours ahead of UTC.
    moment = datetime.fromisoformat(f"2026-07-04T{at}:00+00:00")
    assert in_use(hours, timezone, moment) is expected


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        ((), "03:00", None),
        (("09:00-19:00",), "08:59", None),
        (("09:00-19:00",), "09:00", "04T19:00"),
        (("22:00-02:00",), "23:00", "05T02:00"),
        (("22:00-02:00",), "01:59", "04T02:00"),
        (("20:00-24:00",), "23:59", "05T00:00"),
        (("09:00-12:00", "11:00-18:00"), "11:30", "04T18:00"),
    ],
)
def test_it_is_known_until_when_a_room_is_in_use(
    hours: tuple[str, ...], at: str, expected: str | None
) -> None:
    moment = datetime.fromisoformat(f"2026-07-04T{at}:00+02:00")
    ends = open_until(hours, "Europe/Brussels", moment)
    assert (ends and ends.isoformat()) == (expected and f"2026-07-{expected}:00+02:00")

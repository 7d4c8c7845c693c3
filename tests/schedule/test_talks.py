"""Which talk is on, and what changed from one schedule to the next."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fleet.manager.conference.rooms import Rooms, rooms_of
from fleet.manager.conference.talks import RoomTalks
from fleet.schedule import Schedule
from fleet.schedule.changes import changes
from fleet.schedule.reading import read
from tests.schedule.publish import HOUR, MINUTE, NOON, event, published

FILE = (
    '[conference]\ntimezone = "Europe/Berlin"\n[schedule]\nfile = "x"\n'
    '[rooms.hall1]\ntitle = "Hall 1"\nhours = ["00:00-01:00"]\n'
    '[rooms.hall2]\nhours = ["09:00-19:00"]\n'
)


def of(*events: dict[str, Any]) -> Schedule:
    return read(published({"Hall 1": list(events)}))


def room(events: Sequence[dict[str, Any]], margin: timedelta = 5 * MINUTE) -> RoomTalks:
    return RoomTalks.of(of(*events).talks, margin, margin)


@pytest.mark.parametrize(
    ("minute", "on", "following"),
    [
        (-6, None, "Talk 1"),
        (-5, "Talk 1", "Talk 2"),
        (0, "Talk 1", "Talk 2"),
        (29, "Talk 1", "Talk 2"),
        (30, "Talk 1", "Talk 2"),  # over, and the next is ten minutes away
        (34, "Talk 1", "Talk 2"),
        (35, "Talk 2", None),
        (69, "Talk 2", None),
        (74, "Talk 2", None),
        (75, None, None),
    ],
)
def test_a_talk_counts_as_on_some_minutes_before_and_after(
    minute: int, on: str | None, following: str | None
) -> None:
    talks = room([event(1), event(2, NOON + 40 * MINUTE)])
    now = talks.now(NOON + minute * MINUTE)
    assert (now.on and now.on.title, now.next and now.next.title) == (on, following)


def test_of_two_talks_the_one_that_runs_is_on() -> None:
    talks = room([event(1), event(2, NOON + 30 * MINUTE), event(3, NOON + 60 * MINUTE)])
    shown = [talks.now(NOON + minute * MINUTE) for minute in (26, 29, 30, 31, 59)]
    assert [one.on and one.on.title for one in shown] == [
        *("Talk 1", "Talk 1", "Talk 2", "Talk 2", "Talk 2")
    ]
    assert [one.next and one.next.title for one in shown] == [
        *("Talk 2", "Talk 2", "Talk 3", "Talk 3", "Talk 3")
    ]


def test_a_long_talk_that_began_before_many_others_is_found() -> None:
    others = [event(n, NOON + n * MINUTE, duration="0:01") for n in range(2, 300)]
    talks = room([event(1, duration="8:00"), *others], timedelta(0))
    found = talks.now(NOON + 6 * HOUR).on
    assert found is not None
    assert found.title == "Talk 1"


def test_a_talk_across_midnight_and_a_change_of_summer_time_is_one_talk() -> None:
    night = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)  # 01:30 in Berlin, the clock goes back at 3
    talks = room([event(1, night, duration="3:00")], timedelta(0))
    assert [talks.now(night + n * HOUR).on is not None for n in (-1, 0, 1, 2, 3)] == [
        *(False, True, True, True, False)
    ]


def test_nothing_is_streamed_in_a_talk_that_must_not_be() -> None:
    talks = room([event(1), event(2, NOON + 30 * MINUTE, do_not_stream=True)])
    private = {
        n: talks.now(NOON + n * MINUTE).private is not None for n in (20, 27, 30, 59, 64, 66)
    }
    # While a talk runs that may be streamed it is; nothing is shown of people who clear up.
    assert private == {20: False, 27: False, 30: True, 59: True, 64: True, 66: False}


def rooms() -> Rooms:
    made = Rooms()
    made.learn(rooms_of(FILE))
    return made


def test_talks_go_by_the_schedule_in_rooms_it_knows_and_by_hours_elsewhere() -> None:
    made = rooms()
    assert not made.talk_on("hall1", NOON)
    assert made.talks("hall1", NOON) is None
    made.go_by(of(event(1)))
    assert made.talk_on("hall1", NOON)
    assert not made.talk_on("hall1", NOON + HOUR)
    assert not made.talk_on("hall1", datetime(2026, 2, 1, 23, 30, tzinfo=UTC))  # in its hours
    assert made.talk_on("hall2", NOON)
    assert made.talks("hall2", NOON) is None


def test_a_new_file_is_gone_by_at_once_and_without_a_schedule_nobody_goes_by_the_old() -> None:
    made = rooms()
    made.go_by(of(event(1)))
    made.learn(rooms_of(FILE.replace('"Hall 1"', '"Aula"')))
    assert made.talks("hall1", NOON) is None
    made.learn(rooms_of(FILE.replace('title = "Hall 1"', 'schedule = ["x", "Hall 1"]')))
    assert made.talk_on("hall1", NOON)
    made.learn(rooms_of(FILE.replace('[schedule]\nfile = "x"\n', "")))
    assert made.talks("hall1", NOON) is None
    made.learn(rooms_of(FILE))
    assert made.schedule is None


def test_a_change_is_told_as_people_say_it() -> None:
    old = of(event(1), event(2), event(3), event(4), event(5))
    new = read(
        published(
            {
                "Hall 1": [
                    event(1, NOON + HOUR),
                    event(3, title="Better"),
                    event(5, do_not_record=True),
                    event(6),
                ],
                "Aula": [event(4)],
            }
        )
    )
    assert changes(old, new, ZoneInfo("Europe/Berlin")) == [
        'added: "Talk 6", Hall 1, Sun 01 Feb 13:00-13:30 CET',
        'cancelled: "Talk 2", Hall 1, Sun 01 Feb 13:00-13:30 CET',
        'moved: "Talk 4", Hall 1, Sun 01 Feb 13:00-13:30 CET '
        "is now Aula, Sun 01 Feb 13:00-13:30 CET",
        'not to be recorded: "Talk 5", Hall 1, Sun 01 Feb 13:00-13:30 CET',
        'renamed: "Talk 3" is now "Better", Hall 1, Sun 01 Feb 13:00-13:30 CET',
        'moved: "Talk 1", Hall 1, Sun 01 Feb 13:00-13:30 CET '
        "is now Hall 1, Sun 01 Feb 14:00-14:30 CET",
    ]
    assert changes(new, new, UTC) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[schedule]\n", "schedule"),
        ('[schedule]\nfile = "x"\nurl = "https://example.org/x"\n', "schedule"),
        ('[schedule]\nurl = "ftp://example.org/x"\n', "schedule.url"),
        (
            '[rooms.a]\nschedule = ["Aula"]\n[rooms.b]\nschedule = ["x", "aula "]\n',
            "rooms.b.schedule.1",
        ),
        (
            '[schedule]\nfile = "x"\n[rooms.a]\ntitle = "Aula"\n[rooms.b]\nschedule = ["Aula"]\n',
            "rooms.b.schedule.0",
        ),
        (
            '[schedule]\nfile = "x"\n[rooms.a]\ntitle = "Aula"\n[rooms.b]\ntitle = "AULA"\n',
            "rooms.b.title",
        ),
        ('[rooms.a]\ntitle = "Aula"\n[rooms.b]\ntitle = "Aula"\n', None),
        (
            '[schedule]\nfile = "x"\n[rooms.a]\ntitle = "Aula"\nschedule = ["1"]\n'
            '[rooms.b]\ntitle = "Aula"\n',
            None,
        ),
    ],
)
def test_no_room_of_the_schedule_is_two_of_ours(text: str, path: str | None) -> None:
    found = [one.path for one in rooms_of(text).problems]
    assert found == ([path] if path else [])

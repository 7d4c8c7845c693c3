"""Who is told what, and when again; the clock is a number of seconds."""

from datetime import UTC, datetime, timedelta

from attrs import evolve

from fleet.manager.conference.hours import Override
from fleet.manager.notifications.deciding import Concern, Notification, NotificationKind, Notifying

BEGAN = datetime(2026, 2, 1, 9, tzinfo=UTC)
LOST = Concern("Lost cam", "cam (rack left): lost since 09:00. Type: fleet status cam")
SILENT = Concern("Silence cam", "cam: digital silence since 09:05.")


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def ack(since: float) -> dict[str, Override]:
    return {"hall1": Override("ack", "hall1", "on", "ann", at(since), at(since + 1800))}


class People:
    """What they are told, of one room."""

    def __init__(self) -> None:
        self.notifying = Notifying()

    def told(
        self, seconds: float, *there: Concern, **more: dict[str, Override]
    ) -> list[Notification]:
        return self.notifying.look({"hall1": there}, more.get("acknowledged", {}), at(seconds))


def test_what_lasts_is_told_once_then_seldom_and_that_it_is_over() -> None:
    people = People()
    assert people.told(0, LOST) == people.told(29, LOST) == []
    (notification,) = people.told(30, LOST)
    assert (notification.room, notification.kind, notification.title) == (
        "hall1",
        NotificationKind.NEW,
        "hall1 needs somebody",
    )
    assert notification.text == f"{LOST.text}\nI take it: fleet ack hall1"
    assert people.told(35, LOST) == people.told(1829, LOST) == []
    (again,) = people.told(1830, LOST)
    assert again.kind is NotificationKind.STILL
    assert people.told(1831) == people.told(1835, LOST) == people.told(1840) == []
    (over,) = people.told(1870)
    assert (over.kind, over.title) == (NotificationKind.OVER, "hall1 is well again")
    assert people.told(1900) == []


def test_what_alertmanager_has_watched_already_is_told_at_once() -> None:
    people, lost = People(), evolve(LOST, lasting=True)
    assert [one.kind for one in people.told(0, lost)] == [NotificationKind.NEW]
    assert [one.kind for one in people.told(5)] == [NotificationKind.OVER]


def test_what_is_short_is_told_to_nobody() -> None:
    people = People()
    assert people.told(0, LOST) == people.told(20) == people.told(40, LOST) == people.told(60) == []
    assert people.told(100) == []


def test_what_is_new_in_a_room_calls_again_and_stands_first() -> None:
    people = People()
    people.told(0, LOST)
    people.told(30, LOST)
    people.told(40, LOST, SILENT)
    (notification,) = people.told(70, LOST, SILENT)
    assert notification.kind is NotificationKind.NEW
    assert notification.text.splitlines()[:2] == [LOST.text, SILENT.text]
    assert people.told(80, LOST, SILENT) == []


def test_who_acknowledges_is_called_for_what_comes_after_it_alone() -> None:
    people = People()
    people.told(0, LOST)
    people.told(30, LOST)
    (taken,) = people.told(60, LOST, acknowledged=ack(60))
    assert (taken.kind, taken.title) == (NotificationKind.TAKEN, "ann sees to hall1")
    assert "until 09:31 UTC" in taken.text
    assert people.told(65, LOST, acknowledged=ack(60)) == []
    assert people.told(1900, LOST, acknowledged=ack(60)) == []
    people.told(2000, LOST, SILENT, acknowledged=ack(60))
    (notification,) = people.told(2030, LOST, SILENT, acknowledged=ack(60))
    assert notification.text.splitlines()[0] == SILENT.text
    (over,) = people.told(2100, acknowledged=ack(60)) + people.told(2130, acknowledged=ack(60))
    assert over.kind is NotificationKind.OVER


def test_it_calls_again_once_nobody_sees_to_it_any_more() -> None:
    people = People()
    people.told(0, LOST)
    people.told(30, LOST)
    assert [one.kind for one in people.told(40, LOST, acknowledged=ack(40))] == [
        NotificationKind.TAKEN
    ]
    (notification,) = people.told(1860, LOST)
    assert notification.kind is NotificationKind.STILL


def test_who_has_a_phone_is_told_where_the_button_is() -> None:
    people = People()
    people.notifying = Notifying("https://av.example.org:9700/")
    people.told(0, LOST)
    (notification,) = people.told(30, LOST)
    button = "the button at https://av.example.org:9700/"
    assert notification.text.splitlines()[-1] == f"I take it: fleet ack hall1, or {button}"


def test_a_manager_that_has_just_begun_calls_nobody_for_what_is_acknowledged() -> None:
    people = People()
    assert people.told(500, LOST, acknowledged=ack(0)) == []
    assert people.told(540, LOST, acknowledged=ack(0)) == []


def test_of_many_the_first_few_are_told() -> None:
    people, many = People(), [Concern(f"k{n:02}", f"thing {n:02}") for n in range(20)]
    people.told(0, *many)
    (notification,) = people.told(30, *many)
    assert notification.text.splitlines()[-3:] == [
        *("thing 07", "and 12 more: fleet status"),
        "I take it: fleet ack hall1",
    ]

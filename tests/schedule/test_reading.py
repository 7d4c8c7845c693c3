"""What is published -> a schedule, or all that is wrong with it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.schedule import MOST_TALKS, BadSchedule, ScheduledRoom, match
from fleet.schedule.reading import MOST_BYTES, read
from tests.schedule.publish import GREEN, NOON, PRETALX, event, published


def mistakes(content: bytes) -> str:
    with pytest.raises(BadSchedule) as bad:
        read(content)
    return str(bad.value)


def xml(inner: str) -> bytes:
    return (
        "<?xml version='1.0' encoding='utf-8'?><schedule><version>1</version><conference>"
        "<title>C</title><acronym>c</acronym><time_zone_name>Europe/Berlin</time_zone_name>"
        f"</conference><day index='1' date='2026-02-01'><room name='Hall 1'>{inner}</room></day>"
        "</schedule>"
    ).encode()


def test_the_two_exports_of_one_real_event_say_the_same() -> None:
    as_xml, as_json = (read(PRETALX[kind].read_bytes()) for kind in ("xml", "json"))
    assert (as_json.title, as_json.acronym, as_json.version) == ("DemoCon", "democon", "v1.0")
    assert (as_json.timezone, len(as_json.talks)) == ("Europe/Berlin", 36)
    assert as_json.rooms[0] == ScheduledRoom("Dark Olive Green Room", GREEN)
    first = as_json.talks[0]
    # Its `start` is 09:00 in one and 08:00 in the other; its date is one moment.
    assert first.begin == datetime(2026, 11, 15, 8, tzinfo=UTC)
    assert first.end - first.begin == timedelta(minutes=30)
    assert (first.day, first.date, first.persons) == (1, "2026-11-15", ("Autumn Dougherty",))
    assert first.do_not_record
    assert not first.do_not_stream
    assert sum(one.do_not_record for one in as_json.talks) == 4
    assert (as_xml.rooms, as_xml.notes, as_json.notes) == (as_json.rooms, (), ())
    for one, other in zip(as_xml.talks, as_json.talks, strict=True):
        same = ("guid", "room", "title", "begin", "end", "day", "id", "slug", "do_not_record")
        assert [getattr(one, key) for key in same] == [getattr(other, key) for key in same]


@pytest.mark.parametrize(
    ("said", "record", "stream"),
    [
        ({}, False, False),
        ({"do_not_record": True}, True, False),
        ({"do_not_record": "true"}, True, False),
        ({"do_not_record": "false", "do_not_stream": "True"}, False, True),
        ({"do_not_stream": 1}, False, True),
        ({"do_not_record": None, "recording": {"optout": "true"}}, True, False),
        ({"do_not_record": "ja, bitte"}, True, False),
    ],
)
def test_the_two_optouts_are_two_things(said: Any, record: bool, stream: bool) -> None:
    schedule = read(published({"A": [event(1, **said)]}))
    talk = schedule.talks[0]
    assert (talk.do_not_record, talk.do_not_stream) == (record, stream)
    assert any("taken as true" in note for note in schedule.notes) is ("ja" in str(said))


@pytest.mark.parametrize(
    ("duration", "minutes"), [("0:45", 45), ("00:30", 30), ("1:30:00", 90), ("24:00", 1440)]
)
def test_durations_that_people_export(duration: str, minutes: int) -> None:
    talk = read(published({"A": [event(1, duration=duration)]})).talks[0]
    assert talk.end - talk.begin == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "duration", ["135.0:00", "-0:30", "-1:00", "0:00", "0:75", "49:00", "half an hour", "0:30 "[:0]]
)
def test_a_duration_that_is_none_is_named_with_its_talk(duration: str) -> None:
    told = mistakes(published({"Hall 1": [event(1, duration=duration), event(2)]}))
    assert 'Hall 1: "Talk 1"' in told
    assert "duration" in told
    assert "Talk 2" not in told


def test_an_end_is_as_good_as_a_duration() -> None:
    end = (NOON + timedelta(minutes=20)).isoformat()
    talk = read(published({"A": [event(1, duration=None, end=end)]})).talks[0]
    assert talk.end == NOON + timedelta(minutes=20)
    told = mistakes(published({"A": [event(1, duration=None, end="2026-02-01T11:00:00Z")]}))
    assert "its end is" in told


def test_a_date_without_an_offset_is_of_the_schedules_time_zone() -> None:
    talk = read(published({"A": [event(1, date="2026-07-01T10:00:00")]})).talks[0]
    assert talk.begin == datetime(2026, 7, 1, 8, tzinfo=UTC)
    nobody_knows = published({"A": [event(1, date="2026-07-01T10:00:00")]}, time_zone_name="X/Y")
    assert "names no time zone that is known" in mistakes(nobody_knows)
    schedule = read(published({"A": [event(1)]}, time_zone_name="X/Y"))
    assert schedule.talks[0].begin == NOON
    assert 'there is no time zone "X/Y"' in schedule.notes[0]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"date": None}, "has no date"),
        ({"date": "tomorrow"}, 'its date is "tomorrow"'),
        ({"date": "2026-02-01", "start": "13:00"}, 'its date is "2026-02-01"'),
        ({"date": "2026-02-01T13:00 Europe/Berlin"}, "its date is"),
        ({"date": "0001-01-01T00:00:00Z"}, "its date is"),
        ({"date": "9999-12-31T23:59:59-12:00"}, "its date is"),
        ({"guid": None, "id": None}, "no guid, and no id or slug"),
    ],
)
def test_what_a_talk_cannot_be_without(wrong: dict[str, Any], told: str) -> None:
    assert told in mistakes(published({"A": [event(1, **wrong)]}))


def test_a_talk_without_a_guid_is_known_by_its_id() -> None:
    schedule = read(published({"A": [event(7, guid=None), event(8, guid="", id=None, slug="s")]}))
    assert {one.guid for one in schedule.talks} == {"id:7", "slug:s"}
    assert "2 talks have no guid" in schedule.notes[0]


def test_one_guid_for_two_talks_is_a_mistake() -> None:
    assert "guid-1 is that of another talk" in mistakes(
        published({"A": [event(1)], "B": [event(2, guid="guid-1")]})
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"  \n", "it is empty"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"{", "not JSON"),
        (PRETALX["json"].read_bytes()[:30_000], "not JSON"),
        (PRETALX["xml"].read_bytes()[:30_000], "neither JSON nor XML"),
        (b"\x1f\x8b\x08\0garbage", "it is compressed"),
        (b"PK\x03\x04garbage", "it is compressed"),
        (b"<rss></rss>", "begins with <rss>"),
        (b'{"a": 1}', "not a schedule"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"schedule": 1, "schedule": 2}', "given twice"),
        (published({"A": []}), "it has no talks"),
        (b"BEGIN:VCALENDAR", "it is a calendar"),
        (b'{"schedule": {"conference": null}}', "not a schedule"),
        (b'{"schedule": {"conference": {"days": [{"rooms": [{"name": "A"}]}]}}}', "no table"),
        (b" " * (MOST_BYTES + 1), f"at most {MOST_BYTES} are read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_schedule_says_what_it_is(content: bytes, told: str) -> None:
    assert told in mistakes(content)


def test_entities_are_not_expanded() -> None:
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a0 "lol">{bomb}]>'
    told = mistakes(head.encode() + b"<schedule>&a9;</schedule>")
    assert "entities" in told
    outside = '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><schedule>&x;</schedule>'
    assert "entities" in mistakes(outside.encode())


def test_many_mistakes_are_counted() -> None:
    told = mistakes(published({"A": [event(n, duration="x") for n in range(100)]}))
    assert told.endswith("; and 80 more")


def test_ten_thousand_talks_are_read_and_too_many_refused() -> None:
    many = [event(n, NOON + timedelta(minutes=n)) for n in range(10_000)]
    assert len(read(published({"A": many})).talks) == 10_000
    assert f"more than {MOST_TALKS} talks" in mistakes(
        published({"A": [event(n) for n in range(MOST_TALKS + 1)]})
    )


def test_what_would_steer_a_terminal_is_left_out_of_titles() -> None:
    title = "a\x1b[31mred\u202edetrevni\nline\u2066 \U0001f468\u200d\U0001f4bb"
    talk = read(published({"A": [event(1, title=title + "x" * 500)]})).talks[0]
    assert talk.title.startswith("a [31mreddetrevni line \U0001f468\u200d\U0001f4bbxxx")
    assert len(talk.title) == 300


def test_xml_without_rooms_names_or_events_is_named() -> None:
    good = (
        "<event guid='g'><title>T</title><date>2026-02-01T12:00:00+01:00</date>"
        "<duration>0:30</duration></event>"
    )
    assert read(xml(good)).talks[0].begin == NOON - timedelta(hours=1)
    assert "no talks" in mistakes(xml(""))
    nameless = xml(good).replace(b"name='Hall 1'", b"")
    assert "day 1: a room has no name" in mistakes(nameless)


def test_rooms_are_found_by_guid_then_name_then_alias() -> None:
    schedule = read(published({"Hall 1": [event(1)], "Aula": [event(2)], "Bar": [event(3)]}))
    found = match(schedule, {"hall1": ("hall  1",), "hall2": ("Great Hall", "Aula")})
    assert {key: [one.name for one in rooms] for key, rooms in found.rooms.items()} == {
        "hall1": ["Hall 1"],
        "hall2": ["Aula"],
    }
    assert [one.name for one in found.unknown] == ["Bar"]
    real = read(PRETALX["json"].read_bytes())
    swapped = match(real, {"a": ("Dark Red Room",), "b": (GREEN.upper(),), "c": ("Nowhere",)})
    assert [swapped.rooms[key][0].name for key in "ab"] == [
        "Dark Red Room",
        "Dark Olive Green Room",
    ]
    assert "c" not in swapped.rooms


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("json", "utf-8-sig"),
        ("json", "utf-16"),
        ("json", "utf-16-le"),
        ("xml", "utf-8-sig"),
        ("xml", "utf-16"),
    ],
)
def test_an_export_may_be_encoded_as_some_tools_do_it(kind: str, encoding: str) -> None:
    text = PRETALX[kind].read_text().replace("utf-8", encoding.removesuffix("-sig"))
    assert read(text.encode(encoding)) == read(PRETALX[kind].read_bytes())


def test_what_is_odd_and_means_something_is_read() -> None:
    day = b"<day index='2'/>"
    one = "<event guid='g'><title><![CDATA[A & <b>]]></title><date>2026-02-01T12:00:00Z</date>"
    content = xml(f"{one}<duration>30:00</duration></event>").replace(b"<day", day + b"<day")
    content = content.replace(b"<schedule>", b"<!DOCTYPE schedule SYSTEM 'x.dtd'><schedule>")
    (talk,) = read(b"\n\n" + content).talks
    assert (talk.title, talk.end - talk.begin) == ("A & <b>", timedelta(hours=30))
    keys = ("title", "id", "code", "slug", "language", "persons", "recording")
    nothing: dict[str, Any] = dict.fromkeys(keys)
    rooms: dict[str, Any] = {"Bar": None, "A": [event(1) | nothing]}
    (talk,) = read(published(rooms)).talks
    assert (talk.title, talk.room.name) == ("untitled", "A")


def test_a_room_is_found_however_its_letters_are_composed() -> None:
    schedule = read(published({"Cafe\u0301": [event(1)], "\u0642\u0627\u0639\u0629": [event(2)]}))
    found = match(schedule, {"bar": ("caf\u00e9",), "hall": ("\u0642\u0627\u0639\u0629",)})
    assert sorted(found.rooms) == ["bar", "hall"]

"""A conference file becomes what is wanted, or all its mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.conference import file as conference
from fleet.manager.conference.merging import merge
from fleet.strict import same

PLAIN = """
[conference]
id = "democon-26"
timezone = "Europe/Brussels"

[rooms.hall1]
title = "Hall 1"
hours = ["09:00-19:00", "22:00-02:00"]

[profiles.base.roles]
record.main = {source = {type = "test", size = "640x360"}, segment_seconds = 180, tags = ["a", "b"]}
record.spare = {source = {type = "test"}}

[profiles.short.roles.record.main]
segment_seconds = 60
tags = ["c"]
directory = "{conference}/{room}/{station}-{seat}/{{as is}}"

[stations.hall1-cam]
id = "b827eb0000a1"
room = "hall1"
seat = "cam"
where = "tripod, back wall"
address = "192.0.2.7"
profiles = ["base", "short"]
roles.record.main.source.rate = 25
roles.record.spare.enabled = false

[stations.hall1-slides]
id = "slides"
room = "hall1"
"""


def mistakes(text: str) -> dict[str | None, str]:
    found = conference.examine(text).problems
    assert found
    assert all(one.type == "InvalidConfiguration" for one in found)
    return {one.path: one.message for one in found}


def test_profiles_in_their_order_then_the_station_make_the_roles() -> None:
    read = conference.examine(PLAIN)
    cam = read.stations["b827eb0000a1"]
    assert cam.roles == {
        "record": {
            "main": {
                "source": {"type": "test", "size": "640x360", "rate": 25},
                "segment_seconds": 60,
                "tags": ["c"],
                "directory": "democon-26/hall1/hall1-cam-cam/{as is}",
            }
        }
    }
    assert (cam.facts.name, cam.facts.seat, cam.facts.address) == ("hall1-cam", "cam", "192.0.2.7")


def test_a_station_needs_an_id_and_a_room_only() -> None:
    read = conference.examine('[rooms.a]\n[stations.x]\nid = "x1"\nroom = "a"')
    assert read.stations["x1"].roles == {}
    assert read.stations["x1"].facts.name == "x"


def test_a_switched_off_instance_can_be_switched_on_again_and_enabled_never_travels() -> None:
    text = """
    [rooms.a]
    [profiles.p.roles.record.main]
    enabled = false
    size = 1
    [stations.x]
    id = "x"
    room = "a"
    profiles = ["p"]
    roles.record.main.enabled = true
    [stations.y]
    id = "y"
    room = "a"
    profiles = ["p"]
    """
    read = conference.examine(text)
    assert read.stations["x"].roles == {"record": {"main": {"size": 1}}}
    assert read.stations["y"].roles == {}


def test_role_names_are_case_sensitive_and_unknown_ones_are_no_mistake() -> None:
    text = """
    [rooms.a]
    [stations.x]
    id = "x"
    room = "a"
    roles.Record.main = {}
    roles.record.main = {}
    roles.mystic.main = {}
    """
    assert set(conference.examine(text).stations["x"].roles) == {"Record", "record", "mystic"}


def test_all_mistakes_of_a_file_come_at_once_each_with_its_path() -> None:
    found = mistakes(
        """
        colour = "red"
        [conference]
        id = "demo con"
        timezone = "Europe/Brusels"
        [rooms.hall1]
        titel = "Hall"
        hours = ["9-19", "09:00-09:00", "10:00-24:00", 5]
        [rooms."big hall"]
        [profiles.rec.roles.record.main]
        name = "{rom}"
        [profiles.rec.roles.record."a b"]
        [stations.cam]
        id = "B8:27:EB:00:00:A1"
        room = "hal1"
        profiles = ["rek", "rec"]
        seats = "x"
        where = 5
        roles.record.main.segment_seconds = inf
        roles.record.main.when = 2026-02-01
        roles.record.main.enabled = "no"
        roles.record.side = 5
        roles.mix = 7
        [stations.slides]
        id = "b1"
        roles.record.main.directory = "{seat}"
        roles.record.main.open = "{"
        [stations.twin]
        id = "b1"
        room = "hall1"
        [stations."bad name"]
        id = "b2"
        room = "hall1"
        """
    )
    expected = {
        "colour": "is not known here",
        "conference.id": "cannot be the id of a conference",
        "conference.timezone": "did you mean 'Europe/Brussels'?",
        "rooms.hall1.titel": "did you mean 'title'?",
        "rooms.hall1.hours.0": 'expected hours such as "09:00-19:00"',
        "rooms.hall1.hours.1": "expected hours",
        "rooms.hall1.hours.3": "expected a string",
        'rooms."big hall"': "cannot be the name of a room",
        "profiles.rec.roles.record.main.name": "did you mean 'room'?",
        'profiles.rec.roles.record."a b"': "cannot be the name of an instance",
        "stations.cam.id": "(did you mean 'b827eb0000a1'?)",
        "stations.cam.room": "there is no room 'hal1' in this file (did you mean 'hall1'?)",
        "stations.cam.profiles.0": "there is no profile 'rek' in this file (did you mean 'rec'?)",
        "stations.cam.seats": "did you mean 'seat'?",
        "stations.cam.where": "expected a string, got 5",
        "stations.cam.roles.record.main.segment_seconds": "expected a finite number",
        "stations.cam.roles.record.main.when": "got a date or time",
        "stations.cam.roles.record.main.enabled": "expected true or false",
        "stations.cam.roles.record.side": "expected a table, got 5",
        "stations.cam.roles.mix": "expected a table, got 7",
        "stations.slides.room": "is missing",
        "stations.slides.roles.record.main.directory": "the station 'slides' has no seat",
        "stations.slides.roles.record.main.open": "write '{{'",
        "stations.twin.id": "is already the id of 'slides'",
        'stations."bad name"': "cannot be the name of a station",
    }
    assert found.keys() == expected.keys()
    for path, part in expected.items():
        assert part in found[path], path


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[rooms", "line 1"),
        ("a = 1\na = 2", "line 2"),
        ("x = " + "[" * 5000, "nested too deep"),
        ("\x00", "not TOML"),
    ],
)
def test_what_is_not_toml_is_said_with_its_line(text: str, part: str) -> None:
    found = mistakes(text)
    assert list(found) == [None]
    assert part in str(found[None])


@pytest.mark.parametrize("text", ["stations = 5", "[[stations]]", "rooms.a = 1", "conference = []"])
def test_a_table_that_is_none_is_a_mistake(text: str) -> None:
    assert any("expected a table" in message for message in mistakes(text).values())


def test_settings_that_would_not_travel_are_mistakes() -> None:
    deep = "{a = " * 60 + "1" + "}" * 60
    found = mistakes(
        f"""
        [rooms.a]
        [stations.big]
        id = "big"
        room = "a"
        roles.record.main.text = "{"x" * 270_000}"
        [stations.deep]
        id = "deep"
        room = "a"
        roles.record.main.a = {deep}
        """
    )
    assert "at most 262144 travel" in found["stations.big.roles"]
    assert any(path and path.startswith("stations.deep.roles") for path in found)


REFERENCES = """
[rooms.a]
[rooms.b]
[stations.cam]
id = "1"
room = "a"
seat = "cam"
roles.ingest.main.port = 7000
roles.ingest.off = {{enabled = false}}
roles.record.main.source = {own}
[stations.mix]
id = "2"
room = "a"
seat = "mix"
address = "192.0.2.9"
roles.ingest.main = {{}}
roles.record.main.source = {other}
[stations.cam2]
id = "3"
room = "b"
seat = "cam"
"""
TEST = '{type = "test"}'


@pytest.mark.parametrize(
    ("reference", "source"),
    [
        ('{role = "ingest"}', {"host": "127.0.0.1"}),
        ('{role = "ingest", seat = "cam"}', {"host": "cam.local", "port": 7000}),
        ('{role = "ingest", station = "cam", output = "main"}',
         {"host": "cam.local", "port": 7000, "output": "main"}),
        ('{type = "url", role = "x"}', {"type": "url", "role": "x"}),
    ],
)  # fmt: skip
def test_a_reference_becomes_host_and_port_from_the_file_alone(
    reference: str, source: dict[str, object]
) -> None:
    read = conference.examine(REFERENCES.format(own=TEST, other=reference))
    assert read.stations["2"].roles["record"]["main"]["source"] == source


@pytest.mark.parametrize(
    ("reference", "part"),
    [
        ('{role = "ingest", instance = "x"}', "'mix' has no ingest/x"),
        ('{role = "ingest", seat = "cam", instance = "off"}', "'cam' has no ingest/off"),
        ('{role = "ingest", seat = "slides"}', "no station with the seat 'slides' in the room 'a'"),
        ('{role = "ingest", station = "x"}', "no station 'x'"),
        ('{role = "ingest", station = "x", seat = "cam"}', "one of them is enough"),
        ('{role = "record"}', "in a circle"),
        ('{role = "record", seat = "cam"}', "in a circle"),
    ],
)
def test_a_reference_to_nothing_or_round_in_a_circle_is_a_mistake(
    reference: str, part: str
) -> None:
    own = '{role = "record", seat = "mix"}'
    found = mistakes(REFERENCES.format(own=own, other=reference))
    assert part in found["stations.mix.roles.record.main.source"]


def test_a_brace_in_a_secret_is_told_without_the_secret() -> None:
    target = '{type = "icecast", password = "{hunter2}"}'
    text = REFERENCES.format(own=TEST, other=TEST) + f"roles.stream.main.target = {target}"
    found = mistakes(text)
    assert found == {
        "stations.cam2.roles.stream.main.target.password": "has a brace: write {{ or }} for the "
        "character itself"
    }


def test_a_misspelt_reference_is_a_mistake_at_its_key() -> None:
    found = mistakes(REFERENCES.format(own=TEST, other='{role = "ingest", seta = "cam"}'))
    assert "did you mean 'seat'?" in found["stations.mix.roles.record.main.source.seta"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)
TABLES = st.dictionaries(st.text(max_size=2), VALUES, max_size=4)


@given(TABLES, TABLES)
def test_merging_keeps_every_key_and_the_upper_table_wins(
    under: dict[str, object], over: dict[str, object]
) -> None:
    merged = merge(under, over)
    assert merged.keys() == under.keys() | over.keys()
    for key, value in over.items():
        if not isinstance(value, dict):
            assert merged[key] == value
    assert merge(merged, over) == merged


def test_a_file_is_read_the_same_whatever_was_read_before() -> None:
    read = conference.examine.__wrapped__  # a text that was read is not read again
    short = PLAIN.replace("segment_seconds = 60", "segment_seconds = 60.0")
    one = PLAIN.replace("roles.record.main.source.rate = 25", "roles.record.main.source.rate = 30")
    texts = [
        PLAIN,
        one,
        short,
        one.replace("rate = 30", "rate = 30.0"),
        one.replace("rate = 30", "rate = true"),
        PLAIN.replace("democon-26", "democon-27"),
        PLAIN.replace('room = "hall1"', 'room = "hall2"'),
        PLAIN.replace("[rooms.hall1]", "[rooms.hall2]"),
        PLAIN.replace('"slides"', '"b827eb0000a1"'),
        PLAIN.replace("[stations.hall1-slides]", "[stations.hall1-slides.roles.mix.a.sources]"),
        PLAIN.replace("{conference}", "{nobody}"),
    ]
    alone = []
    for text in texts:
        read("")
        alone.append(read(text))
    assert any(one.problems for one in alone)
    for before in texts:
        for text, found in zip(texts, alone, strict=True):
            read("")
            read(before)
            again = read(text)
            assert again == found
            assert same(
                {id_: one.roles for id_, one in again.stations.items()},
                {id_: one.roles for id_, one in found.stations.items()},
            )


def test_a_station_of_which_nothing_changed_is_taken_as_it_was_read() -> None:
    before = conference.examine(PLAIN).stations
    after = conference.examine(PLAIN.replace("rate = 25", "rate = 24")).stations
    assert after["slides"] is before["slides"]
    assert after["b827eb0000a1"].roles != before["b827eb0000a1"].roles

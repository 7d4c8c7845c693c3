"""What is exported, applied again, changes nothing; what is shown has no secret in it."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.conference import export
from fleet.manager.conference import file as conference
from fleet.manager.conference.wanted import DesiredState, Facts, Header, Room, ScheduleSource
from fleet.strict import same

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
keys = text.filter(lambda key: key not in ("enabled", "source"))
settings_ = st.dictionaries(keys, values, max_size=3)
roles = st.dictionaries(
    names.filter(lambda role: role != "station"),
    st.dictionaries(names, settings_, min_size=1, max_size=2),
    max_size=2,
)


@given(
    st.lists(
        st.builds(
            lambda number, room, seat, where, given: DesiredState(
                f"box-{number}", Facts(f"name{number}", room, seat, where), given
            ),
            st.integers(0, 50),
            names,
            st.none() | names,
            st.none() | text,
            roles,
        ),
        max_size=3,
        unique_by=lambda one: one.id,
    )
)
def test_an_exported_file_says_what_is_wanted(stations: list[DesiredState]) -> None:
    header = Header("democon", "Demo", "Europe/Brussels")
    rooms = {"x1": Room("X", ("09:00-10:00",), ("Hall X", "guid"))}
    source = ScheduleSource(url="https://example.org/s.json", every=60, blank_optouts=True)
    written, left_out = export.conference(header, source, rooms, stations)
    assert left_out == []
    read = conference.examine(written)
    assert read.header == header
    assert read.rooms["x1"] == rooms["x1"]
    assert read.schedule == source
    assert read.stations.keys() == {one.id for one in stations}
    for one in stations:
        assert read.stations[one.id].facts == one.facts
        assert same(read.stations[one.id].roles, one.roles)


def test_what_a_file_cannot_name_is_left_out_and_said() -> None:
    stations = [
        DesiredState("adopted", Facts(), {}),
        DesiredState("old", Facts("cam", "hall1"), {}),
        DesiredState("twin", Facts("cam", "hall1"), {}),
        DesiredState("odd", Facts("odd", "hall1"), {"record": {"main": {"source": None}}}),
    ]
    written, left_out = export.conference(Header(), None, {}, stations)
    assert list(conference.examine(written).stations) == ["old"]
    assert [one.split(":")[0] for one in left_out] == ["adopted", "twin", "odd"]


def test_settings_are_shown_as_a_file_has_them() -> None:
    shown = export.roles_text({"record": {"main": {"source": {"type": "test"}, "n": 1}}})
    assert shown == '[roles.record.main]\nsource = {type = "test"}\nn = 1\n'
    assert export.roles_text({}) == ""

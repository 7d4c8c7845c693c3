"""What a reference becomes: from the file alone, without the network on one station."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.conference import file as conference
from fleet.manager.conference.wanted import behind

PICTURE = {"type": "test"}
CAM, SLIDES = "cam", "slides"
ANYWHERE = "0.0.0.0"  # noqa: S104 (what people write)


def text(stations: dict[str, dict[str, Any]]) -> str:
    """A file with these stations (name -> its table), all in one room, each in its own seat."""
    lines = ["[rooms.hall1]"]
    for name, table in stations.items():
        lines += [f'[stations.{name}]\nid = "{name}"\nroom = "hall1"\nseat = "{name}"']
        lines += [f"{key} = {toml(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f'"{key}" = {toml(one)}' for key, one in value.items()) + "}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case bool() | int():
            return str(value).lower()
    return f'"{value}"'


def roles(**given: Any) -> dict[str, Any]:
    """`ingest={...}` for the only instance, `ingest__two={...}` for another."""
    made: dict[str, Any] = {}
    for key, settings in given.items():
        role, _, instance = key.partition("__")
        made.setdefault(role, {})[instance or "main"] = settings
    return made


def ingest(**more: Any) -> dict[str, Any]:
    return {"picture": PICTURE, **more}


def reading(**reference: Any) -> dict[str, Any]:
    return {"source": {"role": "ingest", **reference}}


def source_of(stations: dict[str, dict[str, Any]], station: str) -> Any:
    read = conference.examine(text(stations))
    return read.stations[station].roles["record"]["main"]["source"]


def mistakes(stations: dict[str, dict[str, Any]]) -> dict[str | None, str]:
    found = conference.examine(text(stations)).problems
    assert found
    return {one.path: one.message for one in found}


@pytest.mark.parametrize("address", [{}, {"address": "192.0.2.9"}, {"address": "cam.example"}])
@pytest.mark.parametrize("listen", [{}, {"listen": "127.0.0.1"}, {"listen": "192.0.2.9"}])
@pytest.mark.parametrize("named", [{}, {"seat": CAM}, {"station": CAM}])
def test_within_a_station_it_is_loopback_whatever_address_and_listen_say(
    address: dict[str, str], listen: dict[str, str], named: dict[str, str]
) -> None:
    own = {**address, "roles": roles(ingest=ingest(**listen), record=reading(**named))}
    assert source_of({CAM: own}, CAM) == {"host": "127.0.0.1"}


@pytest.mark.parametrize(
    ("address", "listen", "host"),
    [
        (None, None, "cam.local"),
        (None, ANYWHERE, "cam.local"),
        (None, "192.0.2.9", "192.0.2.9"),
        ("192.0.2.9", None, "192.0.2.9"),
        ("192.0.2.9", "192.0.2.9", "192.0.2.9"),
        ("192.0.2.9", "::", "192.0.2.9"),
        ("2001:db8::9", "::", "2001:db8::9"),
        ("cam.example", "192.0.2.9", "cam.example"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),  # several stations on one machine
        ("localhost", "127.0.0.1", "localhost"),
    ],
)
def test_another_station_is_where_the_file_says(
    address: str | None, listen: str | None, host: str
) -> None:
    cam = {"address": address} if address else {}
    offered = ingest(listen=listen) if listen else ingest()
    stations: dict[str, Any] = {
        CAM: {**cam, "roles": roles(ingest=offered)},
        SLIDES: {"roles": roles(record=reading(seat=CAM))},
    }
    assert source_of(stations, SLIDES) == {"host": host}
    (feed,) = conference.examine(text(stations)).readings
    assert (feed.reader.station, feed.source.station) == (SLIDES, CAM)
    assert feed.by_mdns == (host == "cam.local")


@pytest.mark.parametrize(
    ("address", "listen", "part"),
    [
        (None, "127.0.0.1", "listens on 127.0.0.1 alone"),
        (None, "::1", "listens on ::1 alone"),
        ("192.0.2.9", "127.0.0.1", "listens on 127.0.0.1 alone"),
        ("cam.example", "127.0.0.1", "listens on 127.0.0.1 alone"),
        ("192.0.2.9", "192.0.2.10", "the address of 'cam' is 192.0.2.9"),
        ("2001:db8::9", ANYWHERE, "IPv4 alone"),
    ],
)
def test_where_a_reader_cannot_reach_it_the_file_is_wrong(
    address: str | None, listen: str, part: str
) -> None:
    cam = {"address": address} if address else {}
    found = mistakes(
        {
            CAM: {**cam, "roles": roles(ingest=ingest(listen=listen), record=reading())},
            SLIDES: {"roles": roles(record=reading(seat=CAM))},
        }
    )
    assert list(found) == ["stations.slides.roles.record.main.source"]
    assert part in found["stations.slides.roles.record.main.source"]


def test_a_port_that_is_not_the_usual_one_is_in_it() -> None:
    own = {"roles": roles(ingest=ingest(port=9711), record=reading())}
    assert source_of({CAM: own}, CAM) == {"host": "127.0.0.1", "port": 9711}


@pytest.mark.parametrize(
    ("one", "two"),
    [({}, {}), ({"port": 9710}, {}), ({}, {"port": 9710}), ({}, {"listen": "192.0.2.9"})],
)
def test_ports_that_collide_on_one_station_are_a_mistake(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    own = {"roles": roles(ingest=ingest(**one), ingest__two=ingest(**two))}
    found = mistakes({CAM: own, SLIDES: {"roles": roles(ingest=ingest())}})
    assert found == {
        "stations.cam.roles.ingest.two.port": "9710 is already the port of ingest/main on this "
        "station: give each its own"
    }


def test_a_mistake_in_one_hides_neither_a_collision_nor_that_nothing_is_offered() -> None:
    own = roles(ingest=ingest(rate="x"), ingest__two={}, record={})
    own["monitor"] = {"main": {"source": {"role": "record"}}}
    assert set(mistakes({CAM: {"roles": own}})) == {
        "stations.cam.roles.ingest.two.port",
        "stations.cam.roles.monitor.main.source",
    }


def test_what_is_switched_off_or_has_a_port_of_its_own_collides_with_nothing() -> None:
    for other in (ingest(enabled=False), ingest(port=9711)):
        own = {"roles": roles(ingest=ingest(), ingest__two=other)}
        assert conference.examine(text({CAM: own})).problems == ()


@pytest.mark.parametrize("role", ["record", "stream", "monitor"])
def test_what_offers_nothing_cannot_be_referred_to(role: str) -> None:
    settings: dict[str, Any] = {"source": PICTURE}
    if role == "stream":
        settings["target"] = {"type": "hls"}
    own = {"roles": roles(**{role: settings, "monitor__other": {"source": {"role": role}}})}
    found = mistakes({CAM: own})
    assert found["stations.cam.roles.monitor.other.source"] == (
        f"refers to {role}/main of 'cam', which offers nothing to be read"
    )


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ({"role": "ingst"}, "'cam' has no ingst/main (did you mean 'ingest'?)"),
        ({"role": "ingest", "instance": "mian"}, "no ingest/mian (did you mean 'main'?)"),
        ({"role": "ingest", "seat": "cma"}, "in the room 'hall1' (did you mean 'cam'?)"),
        ({"role": "ingest", "station": "cma"}, "in this file (did you mean 'cam'?)"),
        ({"role": "mix"}, "'cam' has no mix/main, or it is switched off"),
    ],
)
def test_a_misspelt_name_in_a_reference_gets_its_did_you_mean(
    reference: dict[str, str], hint: str
) -> None:
    own = {"roles": roles(ingest=ingest(), monitor={"source": reference})}
    assert hint in mistakes({CAM: own})["stations.cam.roles.monitor.main.source"]


def test_an_output_that_is_none_is_a_mistake() -> None:
    own = {"roles": roles(ingest=ingest(), record=reading(output="mian"))}
    assert mistakes({CAM: own}) == {
        "stations.cam.roles.record.main.source.output": "ingest/main of 'cam' has no output 'mian' "
        "(did you mean 'main'?)"
    }


def test_readers_are_told_the_names_of_tracks_and_can_take_no_other() -> None:
    sound = [{"name": name, "type": "alsa"} for name in ("speaker", "german")]
    stations = {"cam": {"roles": roles(ingest=ingest(sound=sound), record=reading())}}
    assert source_of(stations, "cam")["tracks"] == ["speaker", "german"]
    plain = {"cam": {"roles": roles(ingest=ingest(), record=reading())}}
    assert "tracks" not in source_of(plain, "cam"), "an earlier release would refuse it"


def test_a_role_of_a_stations_own_may_offer_what_it_likes_and_read_several() -> None:
    stations: dict[str, Any] = {
        CAM: {"roles": roles(relay={"port": 7000, "source": {"role": "ingest"}}, ingest=ingest())},
        SLIDES: {
            "roles": roles(
                desk={"sources": {"a": {"role": "relay", "seat": CAM}, "b": {"type": "test"}}}
            )
        },
    }
    read = conference.examine(text(stations))
    assert read.stations[SLIDES].roles["desk"]["main"]["sources"] == {
        "a": {"host": "cam.local", "port": 7000},
        "b": {"type": "test"},
    }
    assert {feed.place for feed in read.readings} == {("source",), ("sources", "a")}


def test_a_circle_over_several_sources_is_a_mistake_of_each() -> None:
    stations: dict[str, Any] = {
        CAM: {"roles": roles(relay={"sources": {"x": {"role": "relay", "seat": SLIDES}}})},
        SLIDES: {"roles": roles(relay={"source": {"role": "relay", "seat": CAM}})},
    }
    found = mistakes(stations)
    assert set(found) == {
        "stations.cam.roles.relay.main.sources.x",
        "stations.slides.roles.relay.main.source",
    }
    assert all("in a circle" in one for one in found.values())


NAMES = ["a", "b", "c"]
REFERENCE = st.fixed_dictionaries({}, optional={"station": st.sampled_from(NAMES)})
STATION = st.fixed_dictionaries(
    {"roles": st.builds(
        lambda port, listen, reader: roles(
            ingest=ingest(port=port, listen=listen), record={"source": {"role": "ingest", **reader}}
        ),
        st.sampled_from([9710, 9711]),
        st.sampled_from([ANYWHERE, "127.0.0.1", "::", "192.0.2.1"]),
        REFERENCE,
    )},
    optional={"address": st.sampled_from(["192.0.2.1", "2001:db8::1", "box.example"])},
)  # fmt: skip


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, STATION)))
def test_each_reference_is_resolved_or_is_told_as_a_mistake(stations: dict[str, Any]) -> None:
    read = conference.examine(text(stations))
    told = {problem.path for problem in read.problems}
    assert len(read.readings) == len(NAMES)
    for feed in read.readings:
        source = read.stations[feed.reader.station].roles["record"]["main"]["source"]
        assert set(source) <= {"host", "port"}
        if feed.reader.station == feed.source.station:
            assert source["host"] == "127.0.0.1"
        else:
            offered = stations[feed.source.station]["roles"]["ingest"]["main"]
            alone = offered["listen"] == "127.0.0.1"
            path = f"stations.{feed.reader.station}.roles.record.main.source"
            assert path in told or not alone
            assert alone or source["host"] != "127.0.0.1"


@given(st.dictionaries(st.integers(0, 6), st.sets(st.integers(0, 6), max_size=3)))
def test_what_is_behind_is_all_that_can_be_reached(sources: dict[int, set[int]]) -> None:
    for start in range(7):
        found = behind(start, sources)
        assert found >= sources.get(start, set())
        assert all(found >= sources.get(one, set()) for one in found)
        assert all(any(one in sources.get(x, set()) for x in (start, *found)) for one in found)

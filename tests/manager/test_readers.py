"""Whom a change cuts off, by the configs that are wanted now."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.conference import file as conference
from fleet.manager.conference.readers import Configs, Running, cut, reads, records
from fleet.manager.conference.wanted import Facts
from tests.manager.test_references import NAMES, STATION, text

INGEST = {"picture": {"type": "test"}}
OFFER = Running("cam", "ingest", "main")


def configs(reader: Any, offering: Any = INGEST, role: str = "ingest", **facts: Any) -> Configs:
    return {
        "cam": (Facts("hall1-cam", "hall1", **facts), {role: {"main": offering}}),
        "rec": (Facts("hall1-rec", "hall1"), {"record": {"main": {"source": reader}}}),
    }


@pytest.mark.parametrize(
    ("source", "facts", "more"),
    [
        ({"host": "hall1-cam.local"}, {}, {}),
        ({"host": "hall1-cam.local", "port": 9710}, {}, {}),
        ({"host": "192.0.2.7"}, {"address": "192.0.2.7"}, {}),
        ({"host": "192.0.2.8"}, {}, {"listen": "192.0.2.8"}),
        ({"host": "cam.example", "port": 9711}, {"address": "cam.example"}, {"port": 9711}),
        ({"host": "127.0.0.1"}, {"address": "127.0.0.1"}, {}),
        ({"type": "url", "url": "tcp://192.0.2.7:9710"}, {"address": "192.0.2.7"}, {}),
    ],
)
def test_a_reader_is_known_by_host_and_port(source: Any, facts: Any, more: Any) -> None:
    reader = Running("rec", "record", "main")
    assert cut(configs(source, {**INGEST, **more}, **facts), [OFFER]) == {reader: OFFER}


@pytest.mark.parametrize(
    "source",
    [
        {"host": "hall1-cam.local", "port": 9711},
        {"host": "other.local"},
        {"host": "127.0.0.1"},
        {"type": "test"},
        {"type": "url", "url": "rtsp://hall1-cam.local:9710/x"},
        {"type": "url", "url": "tcp://["},
        {"type": "url", "url": 5},
        {"host": 5, "port": "x"},
        None,
    ],
)
def test_who_reads_something_else_is_not_cut_off(source: Any) -> None:
    assert cut(configs(source), [OFFER]) == {}


@pytest.mark.parametrize(
    ("role", "settings", "found"),
    [
        ("record", {}, True),
        ("ingest", {}, True),
        ("ingest", {"local_copy": {"minimum_free_gib": 1.0}}, True),
        ("ingest", {"local_copy": {"enabled": False}}, False),
        ("ingest", {"local_copy": "no"}, True),
        ("stream", {"local_copy": {"enabled": True}}, False),
    ],
)
def test_what_keeps_a_copy_records_too(role: str, settings: Any, found: bool) -> None:
    assert records(role, settings) is found


def test_a_role_of_a_stations_own_offers_the_port_it_is_given() -> None:
    found = configs({"host": "hall1-cam.local", "port": 7000}, {"port": 7000}, role="relay")
    assert cut(found, [Running("cam", "relay", "main")])


def test_who_reads_it_by_way_of_another_is_cut_off_too() -> None:
    loop = {"host": "127.0.0.1"}
    found: Configs = {
        "cam": (
            Facts("cam"),
            {"ingest": {"main": INGEST}, "record": {"own": {"source": loop}}},
        ),
        "mix": (
            Facts("mix"),
            {
                "relay": {"main": {"port": 7000, "sources": {"a": {"host": "cam.local"}}}},
                "stream": {"main": {"source": {"host": "127.0.0.1", "port": 7000}}},
            },
        ),
    }
    assert cut(found, [OFFER]) == dict.fromkeys(
        [
            Running("cam", "record", "own"),
            Running("mix", "relay", "main"),
            Running("mix", "stream", "main"),
        ],
        OFFER,
    )
    relay = Running("mix", "relay", "main")
    assert cut(found, [relay]) == {Running("mix", "stream", "main"): relay}
    assert cut(found, []) == {}


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, STATION)))
def test_whom_a_file_refers_to_is_found_again_in_the_configs_it_makes(
    stations: dict[str, Any],
) -> None:
    read = conference.examine(text(stations))
    found = reads({one.id: (one.facts, one.roles) for one in read.stations.values()})
    for one in read.readings:
        assert Running(*one.source) in found[Running(*one.reader)]

"""A room with a mixer, in the conference file: what reads what, and every mistake with its path."""

import tomllib
from typing import Any

import pytest

from fleet.manager.conference import file as conference
from fleet.manager.conference.plan import advice, changes, doubts, warning
from fleet.manager.conference.readers import Running, cut
from fleet.manager.conference.wanted import ConferenceFile, DesiredState
from fleet.model import State

AUDIO = 'audio = "cam"'
ROOM = """
[rooms.hall1]
[stations.hall1-cam]
id = "cam"
room = "hall1"
seat = "cam"
address = "192.0.2.1"
roles.ingest.main = {picture = {type = "test"}, sound = {type = "test"}}
[stations.hall1-slides]
id = "slides"
room = "hall1"
seat = "slides"
address = "192.0.2.2"
roles.ingest.main = {picture = {type = "test"}}
[stations.hall1-mix]
id = "mix"
room = "hall1"
seat = "mix"
address = "192.0.2.3"
roles.record.main = {source = {role = "mix"}}
roles.stream.main = {source = {role = "mix", output = "blankable"}, target = {type = "hls"}}
[stations.hall1-mix.roles.mix.main]
sources.cam = {role = "ingest", seat = "cam"}
sources.slides = {role = "ingest", seat = "slides"}
audio = "cam"
composite = "side_by_side"
"""


def read(*changed: tuple[str, str], more: str = "") -> ConferenceFile:
    text = ROOM + more
    for old, new in changed:
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    tomllib.loads(text)
    return conference.examine(text)


def roles(file: ConferenceFile, station: str = "mix") -> Any:
    return file.stations[station].roles


def test_sources_and_outputs_of_a_mixer_are_read_where_they_are() -> None:
    found = roles(read())
    assert found["mix"]["main"]["sources"] == {
        "cam": {"host": "192.0.2.1"},
        "slides": {"host": "192.0.2.2"},
    }
    assert found["record"]["main"]["source"] == {"host": "127.0.0.1", "port": 9720}
    blankable = {"host": "127.0.0.1", "port": 9721, "output": "blankable"}
    assert found["stream"]["main"]["source"] == blankable
    alone = read(
        (AUDIO, f'{AUDIO}\noutputs = ["blankable"]\nport = 9800'),
        ("roles.record.main", "roles.monitor.main"),
    )
    assert roles(alone)["monitor"]["main"]["source"] == {"host": "127.0.0.1", "port": 9801}
    told = [one for one in advice([*alone.stations.values()], alone) if "reads" in one]
    assert told == [
        "hall1-mix monitor/main reads 'blankable', the only output of mix/main of 'hall1-mix': "
        'say output = "blankable" if that is meant'
    ]
    first = read((AUDIO, f'{AUDIO}\noutputs = ["blankable", "program"]'))
    assert roles(first)["record"]["main"]["source"]["port"] == 9720


INGEST = 'roles.ingest.main = {picture = {type = "test"}}\nroles.record.main'
MIX = "/stations/hall1-mix/roles/mix"


@pytest.mark.parametrize(
    ("changed", "path", "message"),
    [
        ((('seat = "slides"}', 'seat = "slide"}'),), f"{MIX}/main/sources/slides",
         "did you mean 'slides'?"),
        ((('sources.slides = {role = "ingest"', 'sources.slides = {role = "record"'),),
         f"{MIX}/main/sources/slides", "refers to nothing"),
        ((('sources.slides = {role = "ingest", seat = "slides"}',
           'sources.slides = {role = "record"}'),
          ('{source = {role = "mix"}}', '{source = {type = "test"}}')),
         f"{MIX}/main/sources/slides", "which offers nothing to be read"),
        ((('sources.slides = {role = "ingest", seat = "slides"}',
           'sources.slides = {role = "mix"}'),), f"{MIX}/main/sources/slides", "in a circle"),
        ((('output = "blankable"', 'output = "blanked"'),),
         "/stations/hall1-mix/roles/stream/main/source/output", "did you mean 'blankable'?"),
        (((AUDIO, 'audio = "slides"'),), f"{MIX}/main/audio", "captures no sound"),
        (((AUDIO, f"{AUDIO}\nport = 9710"),
          ("roles.record.main", INGEST)),
         f"{MIX}/main/port", "9710 is already the port of ingest/main"),
        ((("roles.record.main", 'roles.ingest.main = {picture = {type = "test"}, port = 9721}\n'
           "roles.record.main"),), f"{MIX}/main/port", "9721 is already the port of ingest/main"),
        ((("roles.record.main", 'roles.ingest.main = {picture = {type = "test"}, port = 10001}\n'
           "roles.record.main"),), "/stations/hall1-mix/roles/ingest/main/port",
         "10001 is already the port of mix/main"),
    ],
)  # fmt: skip
def test_a_mistake_of_the_file_is_told_with_its_path(
    changed: tuple[tuple[str, str], ...], path: str, message: str
) -> None:
    found = {one.path: one.message for one in read(*changed).problems}
    where = path.strip("/").replace("/", ".")
    assert where in found, found
    assert message in found[where]


@pytest.mark.parametrize(
    ("changed", "path", "message"),
    [
        (((AUDIO, 'audio = "cma"'),), "/audio", "there is no source 'cma' (did you mean 'cam'?)"),
        (((AUDIO, f'{AUDIO}\na = "desk"'),), "/a", "there is no source 'desk'"),
        (((AUDIO, f'{AUDIO}\nb = "cam2"'),), "/b", "there is no source 'cam2'"),
        ((('"side_by_side"', '"sidebyside"'),), "/composite", "did you mean 'side_by_side'?"),
    ],
)
def test_what_the_mixer_would_refuse_is_in_the_plan_with_its_path(
    changed: tuple[tuple[str, str], ...], path: str, message: str
) -> None:
    (doubt,) = doubts(read(*changed).stations["mix"], None)
    assert (doubt.problem.role, doubt.problem.instance, doubt.problem.path) == ("mix", "main", path)
    assert message in doubt.problem.message
    assert warning(doubt).startswith(f"hall1-mix mix/main {path}: ")


def test_two_mixers_on_one_station_are_one_too_many() -> None:
    second = '[stations.hall1-mix.roles.mix.second]\naudio = "cam"\nport = 9730\n'
    second += 'sources.cam = {role = "ingest", seat = "cam"}\n'
    (doubt,) = doubts(read(more=second).stations["mix"], None)
    assert warning(doubt) == "hall1-mix runs at most 1 of the role 'mix', 2 are wanted"


def plan(then: DesiredState, now: DesiredState) -> list[tuple[str, bool]]:
    keys = ("mix", "main"), ("record", "main"), ("stream", "main")
    running = dict.fromkeys(keys, State.RUNNING)
    return [(one.detail, one.live) for one in changes(then, now.roles, running)]


def test_what_is_shown_and_where_a_source_is_change_without_an_interruption() -> None:
    now = read().stations["mix"]
    cut_otherwise = read(('"side_by_side"', '"fullscreen"'), (AUDIO, f"{AUDIO}\nlive = false"))
    assert [live for _, live in plan(cut_otherwise.stations["mix"], now)] == [True]
    moved = read(('"192.0.2.1"', '"192.0.2.9"')).stations["mix"]
    assert plan(moved, now) == [("sources.cam.host 192.0.2.1 -> 192.0.2.9", True)]
    other = read(("sources.slides", "sources.desk")).stations["mix"]
    assert [live for _, live in plan(other, now)] == [False]


def test_a_change_of_an_ingest_is_seen_to_cut_what_the_mixer_feeds() -> None:
    file = read()
    configs = {one.id: (one.facts, one.roles) for one in file.stations.values()}
    ingest = Running("cam", "ingest", "main")
    readers = {Running("mix", role, "main") for role in ("mix", "record", "stream")}
    assert cut(configs, [ingest]) == dict.fromkeys(readers, ingest)

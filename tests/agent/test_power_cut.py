"""Whatever a disk holds after a power cut, in every file the agent keeps: the work begins."""

import json
import logging
import os
import resource
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fleet import kept
from fleet.agent.config.accept import Memory
from fleet.agent.config.store import StateDirectory, kept_id, saved
from fleet.agent.engine.reconcile import Key
from fleet.agent.local.socket import LocalServer
from fleet.agent.recordings.index import RecordingIndex
from fleet.media.playlist import EndedList
from fleet.model import Config, State
from fleet.roles.monitor import Monitor, MonitorSettings
from fleet.roles.record import Record, RecordSettings
from fleet.strict import structure
from tests.agent.engine import ChildFactory, Station
from tests.processes import until
from tests.roles.host import RealHost

MEMORY = Memory(Config(3, None, "ann", {"record": {"main": {}}}, "cam", "hall1"))
MAIN = Key("child", "main")
OTHERS = "another's words\n"


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**36)


def link_elsewhere(path: Path) -> None:
    other = path.with_name(f"{path.name}-of-another")
    other.write_text(OTHERS)
    path.symlink_to(other)


def is_aside(path: Path) -> bool:
    return os.path.lexists(f"{path}.damaged")


def untouched(directory: Path) -> bool:
    return all(one.read_text() == OTHERS for one in directory.rglob("*-of-another"))


Damage = bytes | Callable[[Path], None]
DAMAGES: dict[str, Damage] = {
    "zeros": b"\0" * 100,
    "empty": b"",
    "half": b'{"in_force": {"revision": 3, "at"',
    "no UTF-8": b"\xff\xfe\x80",
    "a path upwards": b"../../etc/passwd\n",
    "much": b"a" * 5_000_000,
    "huge": huge,
    "a directory": lambda path: (path / "inside").mkdir(parents=True),
    "a pipe": os.mkfifo,
    "a link to nowhere": lambda path: path.symlink_to("nowhere/at/all"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link elsewhere": link_elsewhere,
}
damaged = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def spoil(path: Path, damage: Damage) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(damage):
        damage(path)
    else:
        path.write_bytes(damage)


@damaged
@pytest.mark.parametrize("file", ["decision.json", "station", "spare", "lock", "agent.sock"])
async def test_the_station_is_who_it_was_and_knows_what_it_decided(
    tmp_path: Path, file: str, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    store = StateDirectory(tmp_path)
    store.station("hall1-cam", None)
    store.save(MEMORY)
    store.keep_copy()
    store.close()
    for name in (file, f"{file}.new"):
        spoil(tmp_path / name, damage)
    assert saved(tmp_path) == MEMORY
    assert kept_id(tmp_path) == "hall1-cam"
    caplog.set_level(logging.ERROR)
    for _ in range(2):
        store = StateDirectory(tmp_path)
        assert store.station(None, "aabbccddeeff") == "hall1-cam"
        assert store.load() == MEMORY
        later = Memory(Config(4, None, None, {}))
        store.save(later)
        assert store.load() == later
        store.save(MEMORY)
        store.keep_copy()
        assert (tmp_path / "spare").stat().st_size == 1024 * 1024
        local = LocalServer(tmp_path, {})
        await local.start()
        assert (tmp_path / "agent.sock").is_socket()
        await local.close()
        store.close()
    assert untouched(tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)), "said more than once"
    if file in ("decision.json", "station"):
        assert any(f"{tmp_path / file} is damaged" in one for one in said)
        assert is_aside(tmp_path / file)


def test_what_cannot_be_read_for_want_of_files_is_not_damaged_and_stays(tmp_path: Path) -> None:
    store = StateDirectory(tmp_path)
    store.save(MEMORY)
    index = RecordingIndex(tmp_path, "b1")
    index.open()
    before = index.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        for look in (store.load, RecordingIndex(tmp_path, "b1").open):
            with pytest.raises(OSError, match="Too many open files"):
                look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert store.load() == MEMORY
    assert index.path.read_bytes() == before
    assert list(tmp_path.glob("*.damaged")) == []


@damaged
def test_a_decision_and_its_copy_that_are_both_lost_leave_the_station_without_one(
    tmp_path: Path, damage: Damage
) -> None:
    for name in ("decision.json", "decision.json.copy"):
        spoil(tmp_path / name, damage)
    store = StateDirectory(tmp_path)
    assert store.load() == Memory()
    store.save(MEMORY)
    assert store.load() == MEMORY
    store.close()


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    station = Station(tmp_path)
    yield station
    await station.supervisor.stop()


_STATE = ("instances", "instances/child", "instances/child/main", "logs", "logs/child/main")
_FILES = ("instances/child/main.live", "logs/child/main/main.stderr", "logs/child/main/main.stdout")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((one, kind) for one in _STATE for kind in ("zeros", "a directory", "a pipe")),
        *((one, kind) for one in _FILES for kind in DAMAGES),
    ],
)
async def test_a_child_begins_with_its_own_directory_and_its_words_are_read(
    station: Station, file: str, damage: str
) -> None:
    spoil(station.state_dir / file, DAMAGES[damage])
    wanted = ChildFactory().wanted("sh", "-c", "pwd; exec sleep 1000")
    await station.supervisor.apply({MAIN: wanted})
    await until(lambda: station.state(MAIN) == State.RUNNING)
    await until(lambda: [line.text for line in station.lines if line.text.startswith("/")] != [])
    assert untouched(station.state_dir)
    own = station.state_dir / "instances/child/main"
    assert [line.text for line in station.lines][-1] == str(own)


def test_what_somebody_has_removed_does_not_come_back_from_its_copy(tmp_path: Path) -> None:
    store = StateDirectory(tmp_path)
    store.station("hall1-cam", None)
    store.save(MEMORY)
    store.keep_copy()
    (tmp_path / "station").unlink()
    (tmp_path / "decision.json").unlink()
    assert kept_id(tmp_path) is None
    assert saved(tmp_path) == Memory()
    assert store.station(None, "aabbccddeeff") == "aabbccddeeff"
    assert store.load() == Memory()
    store.close()


def test_the_oldest_of_many_damaged_ones_goes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for number in range(12):
        path.write_text(json.dumps(number))
        kept.set_aside(path, "a test")
    assert len(list(tmp_path.iterdir())) == 9


async def test_roles_find_their_own_files_whatever_stands_there(tmp_path: Path) -> None:
    host = RealHost(tmp_path, "main", "cam1", None)
    for name in ("thumbnail.jpg", "thumbnail.jpg.tmp"):
        (host.state / name / "inside").mkdir(parents=True)
    source = {"type": "test", "size": "160x90", "rate": 5}
    Monitor(host, structure({"source": source}, MonitorSettings))
    assert sorted(path.name for path in host.state.iterdir()) == [
        *("thumbnail.jpg.damaged", "thumbnail.jpg.tmp.damaged")
    ]
    for name in ("read-by-itself", "ended-list"):
        os.mkfifo(host.state / name)
    recorder = Record(host, structure({"source": source}, RecordSettings))
    ended = EndedList(recorder.settings.source, host.state / "ended-list")
    assert not await ended.still()

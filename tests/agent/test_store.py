"""The state directory: kept whole through power cuts, full disks and a second agent."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.agent.config.accept import Memory, Rejection
from fleet.agent.config.store import BadState, StateDirectory, StateInUse, kept_id, saved
from fleet.model import Config, Error
from tests.processes import Mosquitto, Programs
from tests.roles.disk import Disk
from tests.stranger import Stranger

MEMORY = Memory(
    Config(3, None, "ann", {"record": {"main": {"source": {"type": "test"}}}}, "cam", "hall1"),
    Rejection(4, Error("BlockedRole", "no", ())),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateDirectory]:
    opened = StateDirectory(tmp_path / "state")
    yield opened
    opened.close()


def test_gives_back_what_was_saved(store: StateDirectory) -> None:
    assert store.load() == Memory()
    store.save(MEMORY)
    assert store.load() == saved(store.directory) == MEMORY


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\0" * 100, b"[]", b'{"in_force": 5, "rejection": null}', b"\xff"]
)
def test_damaged_decision_is_set_aside_and_told(
    store: StateDirectory, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (store.directory / "decision.json").write_bytes(damage)
    with caplog.at_level(logging.ERROR):
        assert store.load() == Memory()
    assert "damaged" in caplog.text
    assert (store.directory / "decision.json.damaged").read_bytes() == damage
    store.save(MEMORY)
    assert store.load() == MEMORY


def test_power_cut_while_saving_leaves_what_was(
    store: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(MEMORY)

    def cut(self: Path, target: Path) -> Path:
        raise OSError(errno.EIO, "the power went")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut)
        with pytest.raises(OSError, match="power"):
            store.save(Memory())
    assert store.load() == MEMORY
    assert sorted(path.name for path in store.directory.iterdir()) == [
        *("decision.json", "lock", "spare")
    ]


def test_second_agent_is_told_who_has_it(store: StateDirectory) -> None:
    with pytest.raises(StateInUse, match=rf"process {os.getpid()}\).*--state-dir"):
        StateDirectory(store.directory)


def test_freed_directory_can_be_taken(tmp_path: Path) -> None:
    StateDirectory(tmp_path).close()
    StateDirectory(tmp_path).close()


def test_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadState, match="cannot be used"):
        StateDirectory(tmp_path / "file" / "state")


def test_id_is_taken_once_and_kept(store: StateDirectory) -> None:
    assert store.station(None, "aabbccddeeff") == "aabbccddeeff"
    assert store.station(None, "001122334455") == "aabbccddeeff"
    assert store.station("given", "001122334455") == "given"
    assert store.station(None, None) == "given"


@pytest.mark.parametrize("wrong", ["Upper", "a_b", "x" * 65, "a/b", "+"])
def test_id_that_cannot_be_is_refused(store: StateDirectory, wrong: str) -> None:
    with pytest.raises(BadState, match="cannot be a station's id"):
        store.station(wrong, None)


def test_no_id_at_all_says_what_to_give(store: StateDirectory) -> None:
    with pytest.raises(BadState, match="--station"):
        store.station(None, None)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk("3m")
    yield made
    made.close()


def fill(disk: Disk) -> None:
    disk.run("(dd if=/dev/zero of=/mnt/full bs=4k 2>/dev/null; true)")


def test_spare_file_makes_room_on_a_full_disk_and_comes_back(disk: Disk) -> None:
    store = StateDirectory(disk.path / "state")
    spare = store.directory / "spare"
    store.save(MEMORY)
    assert spare.stat().st_blocks * 512 >= 1024 * 1024
    fill(disk)
    longer = Memory(Config(5, None, None, {"record": {"m": {"text": "x" * 200_000}}}))
    store.save(longer)
    assert store.load() == longer
    assert not spare.exists()
    disk.run("rm /mnt/full")
    store.save(MEMORY)
    assert spare.exists()
    store.close()


async def test_config_that_cannot_be_saved_is_rejected_and_changes_nothing(
    broker: Mosquitto, stranger: Stranger, programs: Programs, disk: Disk
) -> None:
    state = disk.path / "state"
    agent = programs.start(
        "fleet-agent", "run", "--broker", broker.url, "--station", "b1", "--state-dir", str(state)
    )
    base = "fleet/v1/station/b1"
    await stranger.expect(f"{base}/presence")
    await stranger.publish(f"{base}/config", config(1, "x"), retain=True)
    await stranger.expect(f"{base}/ack", lambda ack: ack["result"] == "accepted")
    (state / "spare").unlink()
    fill(disk)
    await stranger.publish(f"{base}/config", config(2, "x" * 10_000), retain=True)
    ack = await stranger.expect(f"{base}/ack", lambda ack: ack["revision"] == 2)
    assert (ack["result"], ack["in_force"]["revision"]) == ("rejected", 1)
    (problem,) = ack["error"]["problems"]
    assert (problem["type"], problem["role"], problem["instance"], problem["path"]) == (
        *("InvalidConfiguration", None, None, None),
    )
    assert "No space left" in problem["message"]
    agent.kill()
    assert saved(state).revision == 1


@pytest.mark.parametrize("trouble", ["full", "read-only"])
async def test_agent_started_on_a_disk_that_takes_nothing_runs_what_it_had(
    broker: Mosquitto,
    stranger: Stranger,
    programs: Programs,
    disk: Disk,
    tmp_path: Path,
    trouble: str,
) -> None:
    state = disk.path / "state"
    store = StateDirectory(state)
    source = {"type": "test", "size": "64x64", "rate": 5}
    roles = {"record": {"main": {"source": source}}}
    store.save(Memory(Config(1, None, None, roles)))
    (state / "spare").unlink()
    store.close()
    if trouble == "full":
        fill(disk)
    else:
        disk.run("mount -o remount,ro /mnt")
    settings = tmp_path / "agent.toml"
    settings.write_text(f'recordings = "{tmp_path}/recordings"\n')
    agent = programs.start(
        *("fleet-agent", "run", "--broker", broker.url, "--station", "b1"),
        *("--state-dir", str(state), "--settings", str(settings)),
    )
    base = "fleet/v1/station/b1"
    await stranger.expect(
        f"{base}/status",
        lambda s: s["roles"].get("record", {}).get("main", {}).get("state") == "running",
    )
    await stranger.publish(f"{base}/config", config(2, "x" * 10_000), retain=True)
    ack = await stranger.expect(f"{base}/ack", lambda ack: ack["revision"] == 2)
    assert (ack["result"], ack["in_force"]["revision"]) == ("rejected", 1)
    assert "cannot be saved" in ack["error"]["message"]
    agent.terminate()
    assert await agent.ended() == 0
    assert "Traceback" not in agent.log()


def config(revision: int, name: str) -> dict[str, object]:
    return {"revision": revision, "at": None, "by": None, "roles": {}, "name": name}


def test_decision_is_plain_json_for_whoever_has_to_look(store: StateDirectory) -> None:
    store.save(MEMORY)
    value = json.loads((store.directory / "decision.json").read_text())
    assert value["in_force"]["revision"] == 3
    assert value["rejection"]["revision"] == 4


def test_a_directory_that_somebody_removed_is_made_anew_and_still_ours(
    store: StateDirectory,
) -> None:
    store.station("hall1-cam", None)
    shutil.rmtree(store.directory)
    store.save(MEMORY)
    assert (store.load(), kept_id(store.directory)) == (MEMORY, "hall1-cam")
    with pytest.raises(StateInUse):
        StateDirectory(store.directory)
    (store.directory / "lock").unlink()
    other = StateDirectory(store.directory)
    with pytest.raises(OSError, match="in use by another fleet-agent"):
        store.save(Memory())
    other.close()
    store.save(Memory())
    with pytest.raises(StateInUse):
        StateDirectory(store.directory)

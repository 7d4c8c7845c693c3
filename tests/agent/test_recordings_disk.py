"""A disk for recordings that vanishes below its mount point, comes late, or is another one."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.agent.engine.recordings import RecordingsDisk, mount_of
from tests.processes import Mosquitto, Programs, until
from tests.roles.disk import Disk
from tests.stranger import Stranger
from tests.wire.sides import Boss

SMALL = {"source": {"type": "test", "size": "160x90"}, "video_bitrate": 200_000}


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk("40m")
    made.run("mkdir -p /mnt/rec && mount -t tmpfs -o size=30m first /mnt/rec")
    yield made
    made.close()


def looking(disk: Disk, state: Path, needs_mount: bool = False) -> RecordingsDisk:
    state.mkdir(exist_ok=True)
    looks = RecordingsDisk(disk.path / "rec", state, needs_mount)
    looks.look()
    return looks


def reason(looks: RecordingsDisk) -> str | None:
    looks.look()
    return None if looks.trouble is None else looks.trouble.reason


@pytest.mark.parametrize("needs_mount", [False, True])
def test_a_disk_that_goes_is_missed_and_its_return_is_noticed(
    disk: Disk, tmp_path: Path, needs_mount: bool, caplog: pytest.LogCaptureFixture
) -> None:
    looks = looking(disk, tmp_path / "state", needs_mount)
    assert reason(looks) is None
    disk.run("mount --move /mnt/rec /media")
    assert [reason(looks) for _ in range(3)] == ["DiskMissing"] * 3
    assert looks.refused == needs_mount
    assert len(caplog.records) == 1
    assert f"no disk is mounted at {disk.path}/rec" in caplog.text
    late = looking(disk, tmp_path / "state", needs_mount)  # the agent of the next boot
    assert late.trouble == looks.trouble
    disk.run("mount --move /media /mnt/rec")
    assert reason(looks) is None
    assert reason(late) is None
    assert [path.name for path in (disk.path / "rec").iterdir()] == [".fleet-disk"]


def test_another_disk_is_said_and_recorded_on(disk: Disk, tmp_path: Path) -> None:
    looks = looking(disk, tmp_path / "state", needs_mount=True)
    disk.run("mount --move /mnt/rec /media && mount -t tmpfs -o size=10m second /mnt/rec")
    assert [reason(looks) for _ in range(2)] == ["OtherDisk"] * 2
    assert not looks.refused
    assert looking(disk, tmp_path / "state").trouble is None, "it is the one of now"


def test_without_a_mount_nothing_is_recorded_where_one_is_asked_for(tmp_path: Path) -> None:
    place = Path("/recordings-of-nobody")
    assert mount_of(place) == Path("/")
    for needs_mount in (False, True):
        looks = RecordingsDisk(place, tmp_path, needs_mount)
        assert reason(looks) == ("DiskMissing" if needs_mount else None)
        assert looks.refused == needs_mount


@pytest.mark.parametrize("damage", [b"\0" * 9, b"", b"{", b"\xff"])
def test_what_a_power_cut_left_of_the_notes_is_no_other_disk(
    disk: Disk, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    looking(disk, tmp_path)
    (tmp_path / "recordings.json").write_bytes(damage)
    caplog.set_level(logging.ERROR)
    looks = looking(disk, tmp_path)
    assert reason(looks) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize("needs_mount", [True, False])
async def test_a_recording_whose_disk_vanishes_says_so_and_is_back_with_it(
    broker: Mosquitto, stranger: Stranger, programs: Programs, disk: Disk, needs_mount: bool
) -> None:
    boss, rec = Boss(stranger, "b1"), disk.path / "rec"
    programs.agent(
        broker,
        "b1",
        f'recordings = "{rec}"\nrecordings_mount = {str(needs_mount).lower()}\ninterval = 1\n',
    )
    await boss.online()
    await boss.push(1, {"record": {"main": SMALL | {"minimum_free_gib": 0}}})

    async def wait(state: str, reason: str | None) -> None:
        def shown(status: Any) -> bool:
            one = status["roles"].get("record", {}).get("main", {})
            return (one.get("state"), one.get("reason")) == (state, reason)

        mark = stranger.mark()
        await stranger.expect(boss.topic("status"), shown, after=mark)

    await wait("running", None)
    disk.run("mount --move /mnt/rec /media")
    await wait(*(("failed", "DiskMissing") if needs_mount else ("running", "DiskMissing")))
    assert bool(list(rec.glob("*.ts"))) != needs_mount
    disk.run("mount --move /media /mnt/rec")
    await wait("running", None)
    await until(lambda: len(list(rec.glob("*.ts"))) == 2)

"""Where recordings go while nobody says it, and what becomes of those of an earlier release."""

from pathlib import Path

import pytest

from fleet.agent.settings import AgentSettings
from tests.roles.disk import Disk
from tests.roles.host import RealHost


@pytest.fixture
def box(tmp_path: Path) -> AgentSettings:
    (tmp_path / "fleet-agent").mkdir()
    return AgentSettings(state_dir=str(tmp_path / "fleet-agent"))


def test_recordings_lie_outside_of_the_state_directory(box: AgentSettings, tmp_path: Path) -> None:
    assert box.recordings_dir == tmp_path / "fleet-recordings"
    assert box.former_recordings is None


def test_an_upgrade_moves_nothing_and_reads_both(box: AgentSettings, tmp_path: Path) -> None:
    former = box.state / "recordings"
    former.mkdir()
    (former / "loop.ts").write_text("then")
    assert box.recordings_dir == tmp_path / "fleet-recordings"
    assert box.former_recordings == former
    host = RealHost(tmp_path, "main", "cam1", None)
    host.recordings, host.former_recordings = box.recordings_dir, former
    assert host.recorded("loop.ts") == former / "loop.ts"
    host.recordings.mkdir()
    assert host.recorded("new.ts") == host.recordings / "new.ts"
    (host.recordings / "loop.ts").write_text("now")
    assert host.recorded("loop.ts") == host.recordings / "loop.ts"
    assert host.recorded("/srv/loop.ts") == Path("/srv/loop.ts")


def test_a_unit_of_an_earlier_release_lets_nothing_be_written_beside_the_state(
    box: AgentSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Tests may be run by root, to whom everything is open.
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    assert box.recordings_dir == box.state / "recordings"
    (tmp_path / "fleet-recordings").mkdir()
    assert box.recordings_dir == tmp_path / "fleet-recordings"


def test_a_disk_that_somebody_put_into_the_state_directory_is_recorded_on(tmp_path: Path) -> None:
    disk = Disk("1m")
    try:
        disk.run("mkdir -p /mnt/state/recordings && mount -t tmpfs none /mnt/state/recordings")
        box = AgentSettings(state_dir=str(disk.path / "state"))
        assert box.recordings_dir == disk.path / "state/recordings"
        assert box.former_recordings is None
    finally:
        disk.close()
    (tmp_path / "state").mkdir()
    (tmp_path / "state/recordings").symlink_to(tmp_path)
    box = AgentSettings(state_dir=str(tmp_path / "state"))
    assert box.recordings_dir == tmp_path / "state/recordings"


def test_under_the_unit_the_first_of_its_state_directories_is_the_agents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: True)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/fleet-agent:/var/lib/fleet-recordings")
    assert AgentSettings().state == Path("/var/lib/fleet-agent")
    assert AgentSettings().recordings_dir == Path("/var/lib/fleet-recordings")

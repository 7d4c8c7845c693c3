"""The agent's index says of every closed segment what it is and why it ended, once."""

import shutil
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.agent.processes.adoption import Place
from fleet.agent.recordings import keeper
from fleet.agent.recordings.ends import Ends, what_became
from fleet.agent.recordings.keeper import IndexKeeper
from fleet.model import SHORT_OF_CPU, Config, InstanceStatus, Segment, State
from tests.agent.test_reading_back import encode

CONFIG = Config(
    1,
    None,
    None,
    {"record": {"main": {}}, "ingest": {"cam": {"local_copy": {}}}},
    "hall1-cam",
    "hall1",
)


def place(directory: Path) -> Place:
    return Place("b1", directory / "state", directory, directory / "secrets")


def status(state: State, reason: str | None = None) -> InstanceStatus:
    return InstanceStatus(state, datetime.now(UTC), 0, reason, None)


@pytest.fixture(autouse=True)
def idle_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests beside this one may have all of the processors."""
    monkeypatch.setattr(keeper, "_busy", lambda: (0.0, 0.0))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("made") / "a.ts", seconds=1)


def test_why_an_instance_writes_no_more() -> None:
    assert what_became(status(State.RUNNING)) is None
    assert what_became(status(State.STOPPING)) == "stopped"
    assert what_became(status(State.BACKOFF, "ChildExited")) == "crash"
    assert what_became(status(State.BACKOFF, "SourceEnded")) == "source lost"
    assert what_became(status(State.FAILED, "DeviceMissing")) == "source lost"


def test_an_instance_that_is_gone_was_stopped() -> None:
    ends = Ends()
    ends.note({"record": {"main": status(State.RUNNING)}}, 100.0)
    assert ends.changed.is_set()
    ends.note({}, 200.0)
    assert ends.of("record", "main", 195.0, 201.0) == "stopped"
    assert ends.of("record", "main", 100.0, 199.0) is None
    assert ends.of("record", "other", 195.0, 201.0) is None


async def test_every_closed_segment_is_told_once_and_again_by_an_index_begun_anew(
    tmp_path: Path, recording: Path
) -> None:
    now = datetime.now(UTC).timestamp()

    def name(age: float, instance: str = "main", station: str = "hall1-cam") -> str:
        at = datetime.fromtimestamp(now - age, UTC)
        return f"hall1-{station}-{instance}-{at:%Y%m%dT%H%M%SZ}.ts"

    files = [name(1), name(0), f"local-copy/{name(1, 'cam')}", name(9, "gone")]
    for file in (*files, name(1, station="of-another")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(recording, tmp_path / file)
    told: list[Segment] = []
    keeping = IndexKeeper(place(tmp_path), lambda: CONFIG, told.append)
    await keeping.look()
    await keeping.look()
    whose = {one.file: (one.room, one.role, one.instance, one.ended) for one in told}
    assert whose == {
        files[0]: ("hall1", "record", "main", "full"),
        files[1]: ("hall1", "record", "main", "stopped"),
        files[2]: ("hall1", "ingest", "cam", "stopped"),
        files[3]: ("hall1", "record", "gone", "stopped"),
    }
    assert [one.number for one in told] == [1, 2, 3, 4]
    assert all((one.frames, one.bytes) == (25, told[0].bytes) for one in told)
    again: list[Segment] = []
    await IndexKeeper(place(tmp_path), lambda: CONFIG, again.append).look()
    assert again == []
    (tmp_path / ".fleet-index-b1").unlink()
    await keeping.look()
    anew = told[4:]
    assert [(one.file, one.checksum) for one in anew] == [
        (one.file, one.checksum) for one in told[:4]
    ]
    assert {one.index for one in anew}.isdisjoint(one.index for one in told[:4])
    kept = (await keeping.after(None)).segments
    assert [(one.index, one.number, one.file) for one in kept] == [
        (one.index, one.number, one.file) for one in anew
    ]


async def test_a_recording_that_was_killed_crashed_and_is_read_back(tmp_path: Path) -> None:
    at = datetime.now(UTC)
    file = tmp_path / f"hall1-hall1-cam-main-{at:%Y%m%dT%H%M%SZ}.ts"
    writes = [
        *("ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=s=160x90"),
        *("-f", "lavfi", "-i", "sine", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-tune", "zerolatency", "-flush_packets", "1", "-progress", "pipe:1", str(file)),
    ]
    told: list[Segment] = []
    keeping = IndexKeeper(place(tmp_path), lambda: CONFIG, told.append)
    with subprocess.Popen(writes, stdout=subprocess.PIPE, text=True) as writer:  # noqa: ASYNC220
        keeping.ends.note({"record": {"main": status(State.RUNNING)}}, at.timestamp())
        assert writer.stdout is not None
        for line in writer.stdout:
            if line.startswith("frame=") and int(line.partition("=")[2]) >= 10:
                break
        await keeping.look()
        assert told == []
        writer.send_signal(signal.SIGKILL)
    failed = {"record": {"main": status(State.BACKOFF, "ChildExited")}}
    keeping.ends.note(failed, datetime.now(UTC).timestamp())
    await keeping.look()
    await keeping.read_back()
    closed, checked = told
    assert (closed.ended, closed.check) == ("crash", None)
    assert closed.frames >= 5
    assert checked.check is not None
    assert (checked.check.missing, checked.check.error) == (0, None)
    await keeping.read_back()
    assert len(told) == 2


async def test_while_the_box_is_short_of_cpu_it_is_said_that_nobody_looked(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(recording, tmp_path / "hall1-hall1-cam-main-20260201T093000Z.ts")
    busy = [(0.0, 0.0), (95.0, 100.0), (190.0, 200.0), (195.0, 300.0), (195.0, 300.0)]
    monkeypatch.setattr(keeper, "_busy", lambda: busy.pop(0) if len(busy) > 1 else busy[0])
    monkeypatch.setattr(keeper, "SAID_SECONDS", 0.0)
    told: list[Segment] = []
    keeping = IndexKeeper(place(tmp_path), lambda: CONFIG, told.append)
    await keeping.look()
    await keeping.read_back()
    await keeping.read_back()
    assert [one.check and one.check.skipped for one in told] == [None, SHORT_OF_CPU]
    await keeping.read_back()
    check = told[-1].check
    assert check is not None
    assert check.skipped is None
    assert check.loudness is not None


async def test_a_file_that_goes_is_told_and_one_that_comes_back_is_read_again(
    tmp_path: Path, recording: Path
) -> None:
    names = [f"hall1-hall1-cam-main-20260201T0930{second:02d}Z.ts" for second in (0, 10)]
    for name in names:
        shutil.copy(recording, tmp_path / name)
    told: list[Segment] = []
    keeping = IndexKeeper(place(tmp_path), lambda: CONFIG, told.append)
    await keeping.look()
    del told[:]
    away = tmp_path / names[0]
    away.rename(tmp_path / "elsewhere")
    await keeping.look()
    await keeping.look()
    assert [(one.file, one.is_gone) for one in told] == [(names[0], True)]
    (tmp_path / "elsewhere").rename(away)
    later = IndexKeeper(place(tmp_path), lambda: CONFIG, told.append)
    await later.look()
    await later.look()
    assert [(one.file, one.check) for one in told[1:]] == [(names[0], None)]
    assert (await later.after(None)).segments[0].check is None

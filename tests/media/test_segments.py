"""No recording is ever overwritten, and each is named after when it was opened."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from fleet.media.archive import finished
from fleet.media.segments import Segments, public_name, publish_left
from fleet.roles import Failed, OwnStation
from fleet.roles.record import Record, RecordSettings
from tests.roles.disk import Disk
from tests.roles.host import RealHost
from tests.roles.media import each, frames, hidden, joined, numbers, public

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

NOON = datetime(2026, 2, 1, 12, 0, 0, 900_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("room", "name", "expected"),
    [
        ("hall1", "hall1-cam", "hall1-hall1-cam-main-20260201T120000Z.ts"),
        (None, "b827eb0000a1", "b827eb0000a1-main-20260201T120000Z.ts"),
        ("Säal", "cam", "Säal-cam-main-20260201T120000Z.ts"),
        ("../../etc", "a/b", "_.._etc-a_b-main-20260201T120000Z.ts"),
    ],
    ids=["room", "no-room", "letters", "no-way-out"],
)
def test_names_are_flat_and_in_utc(room: str | None, name: str, expected: str) -> None:
    assert public_name(room, name, "main", NOON, ".ts") == expected
    there = NOON.astimezone(datetime.now().astimezone().tzinfo)
    assert public_name(room, name, "main", there, ".ts") == expected


def test_names_fit_a_file_system_however_long_their_parts_are() -> None:
    assert len(public_name("ä" * 999, "b" * 999, "c" * 999, NOON, ".mkv").encode()) < 255


def written(segments: Segments, number: int, text: str, at: datetime) -> None:
    """What a recorder does, with the time its last write is to have."""
    file = segments.run / f"{number:09d}.ts"
    file.write_text(text)
    os.utime(file, (at.timestamp(), at.timestamp()))


def begin(host: RealHost, at: datetime) -> Segments:
    """A run that began at `at`."""
    segments = Segments.begin(host, host.recordings, ".ts")
    stem = f".{host.station}.{host.role}.{host.instance}.{at:%Y%m%dT%H%M%SZ}"
    segments.run = segments.run.rename(host.recordings / stem)
    return segments


async def ticking(role: Record) -> None:
    """Ticks until one raises: what it sees of the disk comes with a later one."""
    async with asyncio.timeout(60):
        while True:
            role.tick()
            await asyncio.sleep(0.02)


def contents(host: RealHost) -> dict[str, str]:
    return {
        path.name[-19:-3]: path.read_text() for path in public(host.recordings) if path.is_file()
    }


def test_a_segment_is_named_after_the_last_write_of_the_one_before(make_host: MakeHost) -> None:
    host = make_host()
    segments = begin(host, NOON)
    written(segments, 0, "a", NOON + timedelta(seconds=60))
    segments.publish()
    written(segments, 1, "b", NOON + timedelta(seconds=120))
    written(segments, 2, "c", NOON + timedelta(seconds=125))
    segments.publish()
    assert contents(host) == {
        "20260201T120000Z": "a",
        "20260201T120100Z": "b",
        "20260201T120200Z": "c",
    }
    assert segments.written == 3
    assert segments.last_write == NOON + timedelta(seconds=125)


def test_a_burst_of_segments_in_one_second_takes_the_next_free_seconds(
    make_host: MakeHost,
) -> None:
    host = make_host()
    segments = begin(host, NOON)
    for number in range(3):
        written(segments, number, str(number), NOON)
    segments.publish()
    assert contents(host) == {
        "20260201T120000Z": "0",
        "20260201T120001Z": "1",
        "20260201T120002Z": "2",
    }


def test_two_runs_in_one_second_leave_two_files(make_host: MakeHost) -> None:
    for text in "ab":
        segments = begin(make_host(), NOON)
        written(segments, 0, text, NOON)
        segments.close()
    assert contents(make_host()) == {"20260201T120000Z": "a", "20260201T120001Z": "b"}


def test_a_clock_that_is_stepped_back_overwrites_nothing(make_host: MakeHost) -> None:
    host = make_host()
    segments = begin(host, NOON)
    written(segments, 0, "before", NOON + timedelta(seconds=1))
    segments.publish()
    written(segments, 1, "after", NOON)
    segments.publish()
    segments.close()
    back = begin(host, NOON - timedelta(seconds=0))
    written(back, 0, "again", NOON)
    back.close()
    assert sorted(contents(host).values()) == ["after", "again", "before"]


def test_two_stations_on_one_disk_keep_their_files_and_runs_apart(make_host: MakeHost) -> None:
    one, other = make_host("b-c", "a"), make_host("c", "a-b")
    one.name, other.name = "x", "x-b"  # so that both want the very same name
    mine, theirs = begin(one, NOON), begin(other, NOON)
    written(mine, 0, "mine", NOON)
    written(theirs, 0, "theirs", NOON)
    mine.sweep()
    assert theirs.run.is_dir(), "another station's run is none of ours"
    mine.publish()
    theirs.publish()
    assert contents(one) == {"20260201T120000Z": "mine", "20260201T120001Z": "theirs"}


def test_a_run_left_by_a_dead_recorder_is_published_at_the_next_start(
    make_host: MakeHost,
) -> None:
    host = make_host()
    left = begin(host, NOON)
    written(left, 0, "a", NOON + timedelta(seconds=60))
    left.publish()
    written(left, 1, "b", NOON + timedelta(seconds=120))
    written(left, 2, "c", NOON + timedelta(seconds=130))
    written(left, 3, "", NOON + timedelta(seconds=130))
    Segments.begin(host, host.recordings / "elsewhere", ".ts").sweep()
    assert contents(host).keys() >= {"20260201T120000Z", "20260201T120100Z", "20260201T120200Z"}
    assert not left.run.exists()


@pytest.mark.parametrize("died", ["before its name is reserved", "after it"])
def test_an_agent_that_died_while_it_named_a_segment_leaves_no_name_without_one(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    host = make_host()
    left = begin(host, NOON)
    written(left, 0, "a", NOON)
    left.publish()
    written(left, 1, "b", NOON + timedelta(seconds=60))
    reserve = os.open

    def dies(path: Path, flags: int, *rest: int) -> int:
        if flags & os.O_EXCL and Path(path).parent == host.recordings:
            if died == "after it":
                os.close(reserve(path, flags, *rest))
            raise KeyboardInterrupt
        return reserve(path, flags, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", dies)
        with pytest.raises(KeyboardInterrupt):
            left.publish()
    Segments.of(host, left.run / "0.ts").close()
    assert sorted(contents(host).values()) == ["a", "b"]


def test_a_segment_that_cannot_be_named_now_is_named_later_and_leaves_nothing_else(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host()
    segments = begin(host, NOON)
    written(segments, 0, "a", NOON)

    def fails(one: Path, path: Path) -> Path:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(one), None, str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(Failed, match="NotWritable"):
            segments.publish()
    assert public(host.recordings) == []
    segments.publish()
    assert contents(host) == {"20260201T120000Z": "a"}


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 40,
        b"",
        b"hall1-hall1-c",
        b"\xff\xfe",
        b"../outside.ts",
        b".",
        b"x" * 9000,
        None,
        "a pipe",
    ],
    ids=["zeros", "empty", "half", "no UTF-8", "upwards", "dot", "much", "a directory", "a pipe"],
)
def test_whatever_a_power_cut_left_in_a_run_it_is_published_and_the_next_begins(
    make_host: MakeHost, damage: bytes | str | None, caplog: pytest.LogCaptureFixture
) -> None:
    host = make_host()
    cut = begin(host, NOON)
    for number, text in enumerate(("first", "", "third")):
        written(cut, number, text, NOON + timedelta(seconds=10 * (number + 1)))
    (cut.run / "000000009.ts").mkdir()
    (cut.run / "12abc.ts").write_text("nobody's")
    (host.recordings / f".{host.station}.{host.role}.{host.instance}.garbage").mkdir()
    outside = host.recordings.parent / "outside.ts"
    outside.write_text("")
    last = cut.run / "last"
    if damage is None:
        (last / "inside").mkdir(parents=True)
    elif isinstance(damage, str):
        os.mkfifo(last)
    else:
        last.write_bytes(damage)
    assert finished([host.recordings]) == []
    for _ in range(2):
        segments = Segments.begin(host, host.recordings, ".ts")
        segments.sweep()
        written(segments, 0, "next", NOON + timedelta(hours=1))
        segments.publish()
        segments.close()
    assert sorted(path.read_text() for path in public(host.recordings)) == [
        *("first", "next", "next", "third")
    ]
    assert outside.exists()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "last is damaged" in said[0]


@contextlib.contextmanager
def writing(pattern: str) -> Iterator[None]:
    """A process that seems to write there, from when it shows its arguments: those come last."""
    with subprocess.Popen(["tail", "-f", "/dev/null", pattern]) as writer:
        try:
            while not psutil.Process(writer.pid).cmdline():
                assert writer.poll() is None
            yield
        finally:
            writer.kill()


@pytest.mark.parametrize("moved", [False, True])
def test_a_run_that_somebody_writes_to_is_left_alone_by_whoever_does_not_know_him(
    make_host: MakeHost, moved: bool
) -> None:
    # All processes of the machine are looked at, those of another run of the tests too.
    host = make_host(f"written-to-{os.getpid()}-{moved}")
    cut = begin(host, NOON)
    written(cut, 0, "first", NOON)
    with writing(cut.pattern):
        if moved:  # as with a directory that is moved behind a link
            (host.recordings / "disk2").mkdir()
            cut.run = cut.run.rename(host.recordings / "disk2" / cut.run.name)
        Segments.begin(host, host.recordings, ".ts").sweep()
        publish_left(facts(host, instances=()), "record")
        assert (cut.run / "000000000.ts").read_text() == "first"
    Segments.begin(host, host.recordings, ".ts").sweep()
    assert [path.read_text() for path in public(cut.directory)] == ["first"]


def test_a_writer_to_a_run_of_the_same_name_elsewhere_holds_up_nobody(
    make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    cut = begin(host, NOON)
    written(cut, 0, "first", NOON)
    elsewhere = tmp_path / "elsewhere" / cut.run.name
    elsewhere.mkdir(parents=True)
    with writing(str(elsewhere / "%09d.ts")):
        Segments.begin(host, host.recordings, ".ts").sweep()
    assert [path.read_text() for path in public(host.recordings)] == ["first"]


def test_what_an_instance_left_that_is_not_there_any_more_is_published(
    make_host: MakeHost,
) -> None:
    host = make_host()
    cut = begin(host, NOON)
    written(cut, 0, "first", NOON)
    publish_left(facts(host), "record")
    assert public(host.recordings) == [], "whose instance is there tidies up itself"
    publish_left(facts(host, instances=()), "monitor")
    assert public(host.recordings) == []
    publish_left(facts(host, instances=()), "record")
    assert public(host.recordings) == [], "it may just be beginning"
    os.utime(cut.run, (NOON.timestamp(), NOON.timestamp()))
    publish_left(facts(host, instances=()), "record")
    (file,) = public(host.recordings)
    assert file.name == public_name(host.room, host.name, "main", NOON, ".ts")
    assert hidden(host.recordings) == []


def facts(host: RealHost, instances: tuple[str, ...] = ("main",)) -> OwnStation:
    return OwnStation(host.station, host.name, host.room, host.recordings, frozenset(instances))


def test_a_percent_sign_in_the_path_is_no_pattern(tmp_path: Path, make_host: MakeHost) -> None:
    host = make_host()
    host.recordings = tmp_path / "100%d"
    assert "100%%d" in Segments.begin(host, host.recordings, ".ts").pattern


async def test_two_recordings_started_in_the_same_second_are_both_whole(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    one, other = make_host("a"), make_host("a", station="cam2")
    roles = [Record(host, record_settings()) for host in (one, other)]
    for role in roles:
        await role.start()
    files = public(one.recordings)
    assert len(files) == 2
    await until(lambda: all(file.stat().st_size > 30_000 for file in files), *roles)
    for role in roles:
        await role.stop()
    assert min(each(files)) > 10


async def test_a_restart_within_the_second_leaves_the_first_file_as_it_was(
    make_host: MakeHost, record_settings: Settings
) -> None:
    for _ in range(3):
        role = Record(make_host(), record_settings())
        await role.start()
        await role.stop()
    files = public(role.host.recordings)
    assert len(files) == 3
    assert min(each(files)) > 0


async def test_adoption_leaves_the_recording_unbroken(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    first = Record(make_host(), record_settings())
    await first.start()
    (file,) = public(first.host.recordings)
    await until(lambda: file.stat().st_size > 30_000)
    for _ in range(3):  # each time as if the agent had died
        role = Record(make_host(), record_settings())
        await role.start()
        assert role.child.adopted
        size = file.stat().st_size
        await until(lambda size=size: file.stat().st_size > size + 10_000, role)
    value = role.host.registry.get_sample_value
    await until(lambda: value("fleet_ffmpeg_frames_total"), role)
    assert first.child.pid == role.child.pid
    await role.stop()
    seen = numbers(file)
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert public(role.host.recordings) == [file]
    assert hidden(role.host.recordings) == []
    first._watch.cancel()  # type: ignore[union-attr]


async def test_segments_written_while_no_agent_was_there_get_their_own_times(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    settings = record_settings(segment_seconds=1)
    first = Record(make_host(), settings)
    began = time.time()
    await first.start()
    (run,) = hidden(first.host.recordings)
    last = run / "000000004.ts"
    await until(lambda: last.exists() and last.stat().st_size)
    role = Record(make_host(), settings)
    await role.start()
    assert role.child.adopted
    await until(lambda: len(public(role.host.recordings)) == 5, role)
    files = public(role.host.recordings)
    stamps = [opened(file) for file in files]
    assert stamps == [pytest.approx(began + n, abs=2) for n in range(5)]
    await role.stop()
    seen = numbers(joined(public(role.host.recordings), tmp_path / "joined.ts"))
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    first._watch.cancel()  # type: ignore[union-attr]


def opened(file: Path) -> float:
    return datetime.fromisoformat(file.stem.rsplit("-", 1)[1]).timestamp()


async def test_a_recorder_that_died_with_its_agent_loses_nothing(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = record_settings(segment_seconds=1)
    first = Record(make_host(), settings)
    await first.start()
    (run,) = hidden(first.host.recordings)
    await until(lambda: (run / "000000002.ts").exists())
    first._watch.cancel()  # type: ignore[union-attr]
    os.kill(first.child.pid, signal.SIGKILL)
    await first.child.wait()
    monkeypatch.setattr("fleet.media.segments._OPEN", set())  # another process knows of none
    role = Record(make_host(), settings)
    await role.start()
    await until(lambda: not run.exists())
    await role.stop()
    assert hidden(role.host.recordings) == []
    assert sum(map(frames, public(role.host.recordings))) > 50


async def test_a_full_disk_is_the_reason_and_is_recovered_from(
    make_host: MakeHost, record_settings: Settings, until: Until, small_disk: Disk
) -> None:
    host = make_host()
    host.recordings = small_disk.path
    role = Record(host, record_settings())
    await role.start()
    filler = small_disk.path / "filler"
    fill(filler)
    await until(lambda: host.failed, role)
    await role.stop()
    assert host.failed is not None
    assert host.failed.reason == "DiskFull"
    assert str(host.recordings) in host.failed.message
    for _ in range(3):
        with pytest.raises(Failed, match="DiskFull"):
            await Record(again(make_host, host), record_settings()).start()
    (first,) = {*public(host.recordings)} - {filler}
    assert first.stat().st_size
    filler.unlink()
    role = Record(again(make_host, host), record_settings())
    await role.start()
    await role.stop()
    assert hidden(host.recordings) == []


async def test_a_recording_stops_while_some_of_the_disk_is_free_and_goes_on_with_more(
    make_host: MakeHost, record_settings: Settings, small_disk: Disk
) -> None:
    host, mebibyte = make_host(), 1024**2
    host.recordings = small_disk.path
    settings = record_settings(minimum_free_gib=4 / 1024)
    role = Record(host, settings)
    await role.start()
    filler = small_disk.path / "filler"
    filler.write_bytes(bytes(5 * mebibyte))
    with pytest.raises(Failed, match=r"DiskLow.*0\.0 GiB are free.*delete or move"):
        await ticking(role)
    await role.stop()
    with pytest.raises(Failed, match="DiskLow"):
        await Record(again(make_host, host), settings).start()
    filler.unlink()
    role = Record(again(make_host, host), settings)
    await role.start()
    await role.stop()
    assert len(public(host.recordings)) == 2


def fill(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", 0) as file:
        while True:
            file.write(bytes(4096))


async def test_a_read_only_disk_is_the_reason(
    make_host: MakeHost, record_settings: Settings, small_disk: Disk
) -> None:
    host = make_host()
    host.recordings = small_disk.path
    small_disk.run("mount -o remount,ro /mnt")
    role = Record(host, record_settings())
    with pytest.raises(Failed, match=r"NotWritable.*read-only"):
        await role.start()
    small_disk.run("mount -o remount,rw /mnt")
    await role.start()
    await role.stop()


def again(make_host: MakeHost, host: RealHost) -> RealHost:
    new = make_host()
    new.recordings = host.recordings
    return new


async def test_a_removed_directory_is_noticed_and_made_again(
    make_host: MakeHost, record_settings: Settings
) -> None:
    host = make_host()
    role = Record(host, record_settings(directory="day1"))
    await role.start()
    (host.recordings / "day1").rename(host.recordings / "gone")
    with pytest.raises(Failed, match=r"DirectoryMissing.*day1"):
        await ticking(role)
    await role.stop()
    role = Record(make_host(), record_settings(directory="day1"))
    await role.start()
    await role.stop()
    assert public(host.recordings / "day1")


async def test_a_removed_recording_is_noticed(
    make_host: MakeHost, record_settings: Settings
) -> None:
    host = make_host()
    role = Record(host, record_settings())
    await role.start()
    public(host.recordings)[0].unlink()
    with pytest.raises(Failed, match="FileRemoved"):
        await ticking(role)
    await role.stop()


async def test_a_directory_that_cannot_be_made_is_the_reason(
    make_host: MakeHost, record_settings: Settings
) -> None:
    host = make_host()
    host.recordings.write_text("a file")
    with pytest.raises(Failed, match=rf"DirectoryMissing.*{host.recordings}"):
        await Record(host, record_settings()).start()

"""A disk that is slow, hangs or cannot be written holds up nobody, and is said."""

import _thread
import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fleet.media.disk import PATIENCE, DiskWork
from fleet.media.local_copy import LocalCopy, LocalCopySettings
from fleet.media.segments import Segments, short_of
from fleet.roles import Failed
from fleet.roles.record import Record, RecordSettings
from tests.processes import free_port
from tests.roles.disk import Disk
from tests.roles.host import RealHost
from tests.roles.media import hidden, public

MakeHost = Callable[..., RealHost]
Until = Callable[..., Awaitable[None]]
NOBODY = 65534


class HangingDisk:
    """What a call into a disk that hangs is like; there is none here that could be made to."""

    def __init__(self) -> None:
        self.reached, self._back = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self._back.wait(60)

    def answer(self) -> None:
        self._back.set()


@pytest.fixture
def hanging() -> Iterator[HangingDisk]:
    disk = HangingDisk()
    yield disk
    disk.answer()


async def test_work_is_done_in_order_and_what_it_raises_is_raised(tmp_path: Path) -> None:
    disk, done = DiskWork(tmp_path), []
    for number in range(100):
        disk.begin(lambda number=number: done.append(number))  # type: ignore[misc]
    assert await disk.do(lambda: list(done)) == list(range(100))
    with pytest.raises(FileNotFoundError):
        await disk.do((tmp_path / "nothing").stat)


async def test_a_disk_that_hangs_holds_up_no_loop_and_is_said(
    tmp_path: Path, hanging: HangingDisk
) -> None:
    now = 0.0
    disk = DiskWork(tmp_path, lambda: now)
    disk.look(hanging.wait)
    now = PATIENCE
    disk.look(hanging.wait)
    now += 1
    with pytest.raises(Failed, match=rf"DiskHangs.*{tmp_path} has not answered for 16 s"):
        disk.look(hanging.wait)
    with pytest.raises(Failed, match="DiskHangs"):
        await disk.do(lambda: None, patience=0.01)
    hanging.answer()
    assert await disk.do(lambda: "back") == "back"
    disk.look(lambda: None)


async def test_what_a_look_found_is_raised_by_the_next(tmp_path: Path) -> None:
    disk = DiskWork(tmp_path)
    disk.look((tmp_path / "nothing").stat)
    await disk.do(lambda: None)
    with pytest.raises(FileNotFoundError):
        disk.look(lambda: None)
    disk.look(lambda: None)


async def test_a_look_for_which_the_box_has_no_thread_left_is_taken_once_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    disk, seen = DiskWork(tmp_path), asyncio.Event()
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", none_left)
        disk.look(lambda: loop.call_soon_threadsafe(seen.set))
        await asyncio.sleep(0)
        with pytest.raises(Failed, match="DiskHangs"):
            await disk.do(lambda: None, patience=0.01)
    disk.look(lambda: None)
    await asyncio.wait_for(seen.wait(), PATIENCE)


async def test_a_search_of_a_slow_archive_holds_up_neither_start_nor_recording(
    make_host: MakeHost,
    record_settings: Callable[..., RecordSettings],
    until: Until,
    hanging: HangingDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = make_host()
    for day in range(20):
        (host.recordings / f"day{day}").mkdir(parents=True)
        for number in range(5):
            (host.recordings / f"day{day}/{number}.ts").touch()
    left = host.recordings / f"day7/.{host.station}.record.{host.instance}.20260201T120000Z"
    left.mkdir()
    (left / "000000000.ts").write_bytes(b"left")
    search, loop_thread = Path.rglob, threading.get_ident()

    def slowly(path: Path, pattern: str) -> Iterator[Path]:
        assert threading.get_ident() != loop_thread
        hanging.wait()
        return search(path, pattern)

    monkeypatch.setattr(Path, "rglob", slowly)
    role = Record(host, record_settings(segment_seconds=1))
    await role.start()
    assert hanging.reached.wait(60)

    def several() -> bool:
        role.tick()
        return len([one for one in public(host.recordings) if one.is_file()]) > 1

    await until(several)
    assert left.exists()
    hanging.answer()
    await until(lambda: not left.exists())
    assert hidden(host.recordings), "the one that is being written was left alone"
    await role.stop()
    assert [one for one in public(host.recordings / "day7") if one.read_bytes() == b"left"]


async def test_publishing_on_a_disk_that_hangs_lets_the_loop_go_on(
    make_host: MakeHost,
    record_settings: Callable[..., RecordSettings],
    hanging: HangingDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    role = Record(make_host(), record_settings())
    await role.start()
    monkeypatch.setattr(Segments, "publish", lambda _: hanging.wait())
    async with asyncio.timeout(60):
        while not hanging.reached.is_set():
            role.tick()
            await asyncio.sleep(0)
    role.tick()
    hanging.answer()
    await role.stop()


def copy_on(host: RealHost) -> LocalCopy:
    """A local copy of an ingest that nobody has begun."""
    return LocalCopy(host, LocalCopySettings(minimum_free_gib=0), "127.0.0.1", 1)


async def test_a_local_copy_whose_directory_cannot_be_made_is_said(
    make_host: MakeHost, until: Until
) -> None:
    host = make_host()
    host.recordings.write_text("a file")
    copy = copy_on(host)
    await copy.start()
    await until(lambda: copy.trouble)
    await copy.stop()
    assert copy.trouble is not None
    assert copy.trouble[0] == "DirectoryMissing"
    assert copy.trouble[1].startswith(f"no local copy: {host.recordings}/local-copy is not a dir")


async def test_a_local_copy_on_a_read_only_disk_is_said(
    make_host: MakeHost, until: Until, small_disk: Disk
) -> None:
    host = make_host()
    host.recordings = small_disk.path
    small_disk.run("mount -o remount,ro /mnt")
    copy = copy_on(host)
    await copy.start()
    await until(lambda: copy.trouble)
    await copy.stop()
    assert copy.trouble is not None
    assert copy.trouble[0] == "NotWritable"
    assert "read-only" in copy.trouble[1]


async def test_a_local_copy_whose_directory_is_taken_away_is_said(
    make_host: MakeHost, until: Until
) -> None:
    host, port = make_host(), free_port()
    picture = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=25", "-c:v", "mpeg2video"]
    url = f"tcp://127.0.0.1:{port}?listen=1"
    sends = ["ffmpeg", "-v", "quiet", "-nostdin", "-re", *picture, "-f", "mpegts", url]
    ingest = await asyncio.create_subprocess_exec(*sends)
    copy = LocalCopy(host, LocalCopySettings(minimum_free_gib=0), "127.0.0.1", port)

    def ticked() -> bool:
        copy.tick()
        return host.registry.get_sample_value("fleet_ingest_local_copy") == 1

    try:
        await until(lambda: listens(port))
        await copy.start()
        await until(ticked)
        (host.recordings / "local-copy").rename(host.recordings / "gone")
        await until(lambda: (ticked(), copy.trouble)[1])
        assert copy.trouble is not None
        assert copy.trouble[0] == "DirectoryMissing"
        assert host.registry.get_sample_value("fleet_ingest_local_copy") == 0
    finally:
        await copy.stop()
        with contextlib.suppress(ProcessLookupError):  # it ends where its one reader does
            ingest.kill()
        await ingest.wait()


def listens(port: int) -> bool:
    """Asked of the kernel: whoever connects to ffmpeg is its one reader."""
    return any(
        one.status == psutil.CONN_LISTEN and tuple(one.laddr)[1] == port
        for one in psutil.net_connections("tcp")
    )


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["no-entry", "no-writing"])
async def test_a_local_copy_without_rights_is_said(
    make_host: MakeHost, until: Until, mode: int
) -> None:
    assert os.geteuid() == 0, "only root can lose the rights of root"
    host = make_host()
    with tempfile.TemporaryDirectory() as place:  # not below pytest's, which is root's alone
        host.recordings = Path(place)
        host.recordings.chmod(mode)
        copy = copy_on(host)
        os.seteuid(NOBODY)
        try:
            await copy.start()
            await until(lambda: copy.trouble)
        finally:
            os.seteuid(0)
        await copy.stop()
    assert copy.trouble is not None
    assert copy.trouble[0] == "NotWritable"
    assert "may not be written to: give it to the agent" in copy.trouble[1]


def test_space_that_cannot_be_known_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match=r"DirectoryMissing|NotWritable"):
        short_of(1, tmp_path / ("long" * 100))

"""The time of day of a recording's pictures, found from the file to within one of them."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from fleet.media.began import began, has_marks
from fleet.programs.stamp import MARK
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.record import Record, RecordSettings
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import public
from tests.roles.network import QUIET, Peer

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

BITS, WIDTH = 20, 16
PICTURE = 0.040


def clock(url: str, *encoded: str) -> Peer:
    """Sends pictures that show as boxes, lowest bit first, at which millisecond each was made."""
    boxes = [
        f"drawbox=x={WIDTH * bit}:w={WIDTH}:color=white:thickness=fill"
        rf":enable='mod(floor(t*1000/{2**bit})\,2)'"
        for bit in range(BITS)
    ]
    at = "setpts=RTCTIME/(TB*1000000),settb=1/1000000"
    shown = ",".join([at, *boxes, "setpts=PTS-STARTPTS"])
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25")
    return Peer(
        *(*QUIET, "-re", "-f", "lavfi", "-i", f"color=black:size={WIDTH * BITS}x180:rate=25"),
        *("-vf", shown, "-fps_mode", "passthrough", "-enc_time_base", "1:1000"),
        *(encoded or (*h264, "-pix_fmt", "yuv420p")),
        *("-f", "flv" if url.startswith("rtmp") else "mpegts", url),
    )


def shown(file: Path) -> float:
    """The time of day that the first picture shows."""
    columns = ("-vf", f"scale={BITS}:1:flags=area,format=gray", "-frames:v", "1")
    argv = (*QUIET, "-i", str(file), *columns, "-f", "rawvideo", "-")
    (row,) = [subprocess.run(argv, capture_output=True, check=True).stdout]
    known = sum(2**bit for bit, light in enumerate(row) if light > 120)
    now = file.stat().st_mtime
    ago: float = (now * 1000 - known) % 2**BITS / 1000
    return now - ago


def assert_found(files: list[Path]) -> list[datetime]:
    """Each first picture is found where it was made; what lies between, to within a picture.

    The way from the sender to here takes longer where the processors are busy, and is not
    counted; and where they are very busy a picture may stand where the one before was due.
    """
    found = [began(file) for file in files]
    off = sorted(at.timestamp() - shown(file) for at, file in zip(found, files, strict=True))
    assert len(off) > 1
    assert off[(len(off) - 1) // 2] - off[0] < 2.5 * PICTURE, off  # the sender was held up, too
    assert -2.5 * PICTURE < off[0] < 0.4, off
    return found


def made(files: list[Path]) -> list[datetime]:
    """When each says that it was made; one ffmpeg tells of all, and wants to write nothing."""
    inputs = [part for file in files for part in ("-i", str(file))]
    told = subprocess.run(["ffmpeg", "-hide_banner", *inputs], capture_output=True, text=True)
    _, *each = told.stderr.split("Input #")
    return [datetime.fromisoformat(one.split("creation_time   : ")[1].split()[0]) for one in each]


def recordings(directory: Path) -> list[Path]:
    """All that are there, oldest first."""
    return [file for file in public(directory) if file.is_file()]


def let_go(role: Record | Ingest) -> None:
    """As if the agent were killed: nothing is stopped."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_what_an_ingest_captured_tells_when_also_encoded_anew_and_over_a_kill(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    sent = {"type": "url", "url": f"udp://127.0.0.1:{free_port()}"}
    given: dict[str, Any] = {
        "picture": sent,
        "sound": {"type": "none"},
        "size": "320x180",
        "port": free_port(),
        "listen": "127.0.0.1",
        "local_copy": {"segment_seconds": 2, "minimum_free_gib": 0},
    }
    wanted = structure(given, IngestSettings)
    source = {"host": "127.0.0.1", "port": wanted.port}
    anew = record_settings(source=source, segment_seconds=2, video_codec="h264")
    host = make_host(role="ingest")
    directory = host.recordings / "local-copy"
    with clock(f"{sent['url']}?pkt_size=1316"):
        ingest = Ingest(host, wanted)
        await ingest.start()
        encoded = Record(make_host(), anew)
        await encoded.start()
        await until(lambda: len(public(directory)) > 1, ingest, encoded)
        let_go(ingest)
        after = make_host(role="ingest")
        ingest, encoded = Ingest(after, wanted), Record(make_host(), anew)
        await ingest.start()
        await encoded.start()
        both = (directory, host.recordings)
        await until(lambda: min(len(recordings(one)) for one in both) > 3, ingest, encoded)
        await encoded.stop()
        await ingest.stop()
    assert [child.adopted for child in after.children] == [True, True], "capture and its copy"
    assert_found(recordings(directory)[1:-1])  # the first begins black
    assert_found(recordings(host.recordings)[1:-1])


async def test_what_comes_from_another_machine_tells_when_it_came(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    sent = f"tcp://127.0.0.1:{free_port()}"
    host = make_host()
    settings = record_settings(
        source={"type": "url", "url": sent}, segment_seconds=2, container="matroska"
    )
    with clock(f"{sent}?listen=1") as sender:
        await until(lambda: sender.listens)
        role = Record(host, settings)
        await role.start()
        await until(lambda: len(public(host.recordings)) > 5, role)
        await role.stop()
    files = recordings(host.recordings)
    found = assert_found(files[3:-1])  # while it was looked at, much came in a heap
    said = made(files)
    assert said == sorted(set(said)), "each its own"
    for taken, at in zip([*found, began(files[-1])], said[3:], strict=True):
        assert 0 <= (at - taken).total_seconds() + PICTURE < 30, "it is made when it is written"


def test_a_mark_is_found_wherever_a_packet_or_a_piece_divides_it(tmp_path: Path) -> None:
    file = tmp_path / "a.ts"
    for at in range(len(MARK) + 1):
        file.write_bytes(MARK[:at] + b"\x47\x01\x00\x17" + MARK[at:])
        assert has_marks(file)
        file.write_bytes(bytes((1 << 20) - at) + MARK)
        assert has_marks(file)
    file.write_bytes(bytes(3 << 20) + MARK[:7])
    assert not has_marks(file)

"""The time of day in key frames: where it goes, and whose it is."""

import re
import subprocess
from pathlib import Path

import pytest

from fleet.programs.heads import Head
from fleet.programs.nut import SHIFT, Nut
from fleet.programs.stamp import (
    MARK,
    WINDOW_SECONDS,
    Arrivals,
    in_bytes,
    in_units,
    message,
    written,
)

AT = 1_764_000_000.123456
QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y")


def told(file: Path) -> list[float]:
    """What a decoder finds, picture by picture."""
    argv = ["ffmpeg", "-hide_banner", "-i", str(file), "-vf", "showinfo", "-f", "null", "-"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stderr
    found = re.findall(rf"UUID={MARK.hex()[:8]}.*\n.*User Data=([0-9a-f]+)", said)
    return [at for data in found if (at := written(bytes.fromhex(data))) is not None]


@pytest.mark.parametrize(("codec", "encoder"), [("h264", "libx264"), ("h265", "libx265")])
def test_a_decoder_finds_it_in_a_byte_stream_and_in_units(
    tmp_path: Path, codec: str, encoder: str
) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-frames:v", "1")
    encoded = ("-c:v", encoder, "-preset", "ultrafast")
    plain, dated = tmp_path / f"plain.{codec}", tmp_path / f"dated.{codec}"
    subprocess.run([*QUIET, *picture, *encoded, str(plain)], check=True, stderr=subprocess.DEVNULL)
    dated.write_bytes(in_bytes(codec, plain.read_bytes(), AT))
    assert told(dated) == [AT]

    plain, file = tmp_path / "plain.mp4", tmp_path / "dated.mkv"
    subprocess.run([*QUIET, *picture, *encoded, str(plain)], check=True, stderr=subprocess.DEVNULL)
    times = ("-bsf", f"setts=pts=PTS+{SHIFT}:dts=N")
    argv = [*QUIET, "-i", str(plain), "-c", "copy", *times, "-f", "nut", "-"]
    nut = Nut()
    (block,) = nut.feed(subprocess.run(argv, capture_output=True, check=True).stdout)
    head = Head(nut.streams[block.track])
    assert (head.codec, head.length) == (codec, 4)
    block.data = head.stamped(block.data, AT)
    stream = nut.header({}) + nut.packed(0, block)
    back = [*QUIET, "-f", "nut", "-i", "-", "-c", "copy", str(file)]
    subprocess.run(back, input=stream, check=True)
    assert told(file) == [AT]


def test_what_holds_no_picture_stays_as_it_was() -> None:
    for data in (b"", b"\0\0\1", b"\0\0\0\1\x67abc\0\0\1\x68d", b"no start at all"):
        assert in_bytes("h264", data, AT) == data
    for data in (b"", b"\0\0\0\2\x67a", b"\xff\xff\xff\xff\x67", b"\0\0\0\0" * 4):
        assert in_units("h264", data, 4, AT) == data


def test_no_time_makes_a_start_code_of_itself() -> None:
    for at in (0.0, 0.000001, AT, 2**40 / 1e6):
        body = message("h264", at)[1:]
        assert not re.search(rb"\0\0[\0-\3]", body)
        assert written(body[2 + len(MARK) : -1]) == at


def test_what_came_in_a_heap_is_dated_by_what_came_soonest() -> None:
    arrivals = Arrivals(1000)
    for own in range(0, 2000, 40):
        arrivals.came(own, 5000)  # two seconds at once
    assert arrivals.late == 5000 - 1960
    for own in range(2000, 4000, 40):
        arrivals.came(own, own + 3010 + own % 7)
    assert arrivals.late == 3010
    arrivals.came(4000, 4000 + 9000)
    assert arrivals.late == 9000, "its clock began again"


def test_a_clock_that_drifts_is_followed() -> None:
    arrivals = Arrivals(1000)
    drift = 1.0001
    for own in range(0, 600_000, 40):
        arrivals.came(own, round(own * drift))
    late = round(600_000 * drift) - 600_000
    assert arrivals.late is not None
    assert 0 <= late - arrivals.late <= WINDOW_SECONDS * 1000 * (drift - 1) + 1

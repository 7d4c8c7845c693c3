"""A segment that is read back says what is wrong with it, and nothing else."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.agent.recordings.probing import probe
from fleet.agent.recordings.reading_back import read_back
from fleet.model import SegmentCheck, Span

MOVES = "testsrc2=s=160x90:r=25,noise=alls=20:allf=t"
SOUND = "sine=440:r=48000,asplit[l][r];[l][r]amerge=2,aformat=sample_fmts=fltp"


def encode(file: Path, picture: str = MOVES, sound: str = SOUND, seconds: float = 7) -> Path:
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound),
            *("-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"),
            *("-c:a", "aac", "-f", "mpegts", str(file)),
        ],
        check=True,
    )
    return file


def slower(file: Path, made: Path) -> Path:
    """The same with a twentieth more time between the packets of its sound."""
    copy = ("-c", "copy", "-bsf:a", "setts=ts=TS*1.05")
    subprocess.run(["ffmpeg", "-v", "error", "-i", file, *copy, made], check=True)
    return made


def as_matroska(file: Path) -> Path:
    made = file.with_suffix(".mkv")
    subprocess.run(["ffmpeg", "-v", "error", "-i", file, "-c", "copy", made], check=True)
    return made


def without(check: SegmentCheck, *kinds: str) -> bool:
    """Whether nothing else was found."""
    found = {
        kind
        for kind in (
            *("missing", "damaged", "dropouts", "silences", "black", "frozen"),
            *("error", "skipped", "damaged_sound"),
        )
        if getattr(check, kind)
    }
    return found == set(kinds)


@pytest.fixture
def spans(tmp_path: Path) -> Callable[..., tuple[float, float, str | None]]:
    def told(span: Span, file: Path) -> tuple[float, float, str | None]:
        begin = probe(file).begin
        seconds = [(at - begin).total_seconds() for at in (span.begin, span.end)]
        return round(seconds[0]), round(seconds[1]), span.what

    return told


async def checked(file: Path) -> SegmentCheck:
    return await read_back(file, probe(file))


async def test_of_a_sound_file_nothing_is_found_but_how_loud_it_is(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.ts", seconds=2)
    held = probe(file)
    check = await read_back(file, held)
    assert without(check)
    assert check.loudness is not None
    assert -25 < check.loudness < -15
    assert [(one.stream.kind, one.stream.codec) for one in held.tracks] == [
        ("video", "h264"),
        ("audio", "aac"),
    ]
    assert held.tracks[0].packets == 50
    assert (held.end - held.begin).total_seconds() == pytest.approx(2, abs=0.1)
    assert held.bytes == file.stat().st_size
    assert held.checksum.startswith("xxh3-128:")
    assert [(one.every, one.count) for one in held.keys] == [(1.0, 2)]
    assert held.start <= held.keys[0].first < held.start + 0.1


async def test_a_muted_channel_and_black_are_found_with_their_times(
    tmp_path: Path, spans: Callable[..., tuple[float, float, str | None]]
) -> None:
    right = "aevalsrc='0.1*sin(2764*t)|0.1*sin(3141*t)*not(between(t,1,7))':s=48000"
    black = f"{MOVES},drawbox=t=fill:c=black:enable='between(t,2,5)'"
    file = encode(tmp_path / "a.ts", black, right, 8)
    check = await checked(file)
    assert without(check, "silences", "black")
    assert [spans(one, file) for one in check.silences] == [(1, 7, "channel 2")]
    assert [spans(one, file) for one in check.black] == [(2, 5, None)]


async def test_a_frozen_picture_is_found_until_the_end(
    tmp_path: Path, spans: Callable[..., tuple[float, float, str | None]]
) -> None:
    frozen = f"{MOVES},trim=duration=1,tpad=stop_mode=clone:stop_duration=7"
    file = encode(tmp_path / "a.ts", frozen, seconds=8)
    check = await checked(file)
    assert without(check, "frozen")
    (found,) = check.frozen
    begin, end, _ = spans(found, file)
    assert (begin, end) == (1, 8)


async def test_zeros_in_the_midst_of_sound_are_dropouts(
    tmp_path: Path, spans: Callable[..., tuple[float, float, str | None]]
) -> None:
    holes = f"{SOUND},volume=0:enable='between(t,1,1.3)+between(t,2,2.3)'"
    file = encode(tmp_path / "a.ts", sound=holes, seconds=3)
    check = await checked(file)
    assert without(check, "dropouts")
    assert [spans(one, file)[0] for one in check.dropouts] == [1, 2]


async def test_packets_that_are_not_there_are_missing(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.ts", seconds=4)
    raw = file.read_bytes()
    third = len(raw) // 3 // 188 * 188
    file.write_bytes(raw[:third] + raw[third + len(raw) // 4 // 188 * 188 :])
    check = await checked(file)
    assert 15 < check.missing < 35
    assert check.damaged
    assert any((one.end - one.begin).total_seconds() > 0.5 for one in check.dropouts)
    assert without(check, "missing", "damaged", "dropouts")


async def test_sound_that_is_damaged_but_there_is_told(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.ts", seconds=3)
    raw, seen = bytearray(file.read_bytes()), 0
    for at in range(0, len(raw), 188):
        pid = int.from_bytes(raw[at + 1 : at + 3]) & 0x1FFF
        begins, plain = raw[at + 1] & 0x40, raw[at + 3] & 0x30 == 0x10
        seen += pid == 0x101 and plain and not begins
        if pid == 0x101 and plain and not begins and seen % 30 == 10:
            raw[at + 20 : at + 150] = bytes(byte ^ 0x5A for byte in raw[at + 20 : at + 150])
    file.write_bytes(raw)
    check = await checked(file)
    assert check.damaged_sound >= 2
    assert (check.missing, check.damaged, check.error) == (0, 0, None)


async def test_sound_that_ends_before_its_picture_is_a_hole(
    tmp_path: Path, spans: Callable[..., tuple[float, float, str | None]]
) -> None:
    file = encode(tmp_path / "a.ts", sound=f"{SOUND},atrim=0:2", seconds=4)
    check = await checked(file)
    assert without(check, "dropouts")
    assert [spans(one, file) for one in check.dropouts] == [(2, 4, None)]


async def test_how_far_sound_comes_from_its_picture_is_told(tmp_path: Path) -> None:
    even = encode(tmp_path / "even.ts", seconds=4)
    check = await checked(even)
    assert check.offset is not None
    assert abs(check.offset) < 0.01
    (sound,) = probe(as_matroska(even)).of("audio")
    assert sound.ahead is not None
    assert abs(sound.ahead) < 0.03, "though its times are whole milliseconds"
    check = await checked(slower(even, tmp_path / "slow.ts"))
    assert check.offset == pytest.approx(0.2, abs=0.05)
    assert without(check)


async def test_what_cannot_be_decoded_at_all_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.ts"
    file.write_bytes(bytes(range(256)) * 100)
    check = await checked(file)
    assert without(check, "error")

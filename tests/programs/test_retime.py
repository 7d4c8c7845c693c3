"""Times of a source whose clock does anything become times on one line."""

import itertools
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleet import programs
from fleet.programs import reader
from fleet.programs.continuity import AHEAD_IN_FILE, BEGIN, SECOND, WRAPS, Block, Continuity
from fleet.programs.nut import Nut

PICTURE, SOUND = 1, 2
_QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error")
_PICTURES = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25")


class Source:
    """A picture every 40 ms and sound every 20 ms, by a clock that is set at will."""

    def __init__(self, line: Continuity) -> None:
        self.line = line
        self.now = 100.0
        self.clock = {PICTURE: 0, SOUND: 0}
        self.out: dict[int, list[int]] = {PICTURE: [], SOUND: []}

    def plays(self, seconds: float, tracks: tuple[int, ...] = (PICTURE, SOUND)) -> None:
        for tick in range(round(seconds * 50)):
            for track in tracks:
                if track == SOUND or tick % 2 == 0:
                    block = Block(
                        track, self.clock[track] + tick * 20, tick % 50 == 0, b"", self.now
                    )
                    for at, placed in self.line.put(block):
                        self.out[placed.track].append(at - BEGIN)
            self.now += 0.02
        for track in self.clock:
            self.clock[track] += round(seconds * 50) * 20

    def set_by(self, milliseconds: int, tracks: tuple[int, ...] = (PICTURE, SOUND)) -> None:
        for track in tracks:
            self.clock[track] += milliseconds

    def begins_again(self) -> None:
        self.clock = {PICTURE: 0, SOUND: 0}


def source() -> Source:
    return Source(Continuity(frozenset({PICTURE})))


def steps(times: list[int]) -> set[int]:
    return {after - before for before, after in itertools.pairwise(times)}


def is_none_of_a_wrap(by: int) -> bool:
    return all(abs(by - wrap) > 2 * SECOND for wrap in WRAPS)


MOVED = st.integers(-(2**41), 2**41).filter(is_none_of_a_wrap)


@given(st.lists(st.one_of(st.none(), MOVED), max_size=4))
@example([-71])  # picture and sound are differently far behind by it
@example([-91, 40])
def test_whatever_the_clock_does_all_is_there_once_evenly_and_together(
    happens: list[int | None],
) -> None:
    played = source()
    played.plays(3)
    small = 0
    for by in happens:
        moved = -played.clock[PICTURE] if by is None else by
        played.set_by(moved)
        small += abs(moved) < 2 * SECOND  # may be a pause, or pictures in another order
        played.plays(3)
    seconds = 3 * (len(happens) + 1)
    assert len(played.out[PICTURE]) == 25 * seconds
    assert len(played.out[SOUND]) == 50 * seconds
    pictures, sound = (sorted(played.out[track]) for track in (PICTURE, SOUND))
    assert abs(pictures[-1] - (seconds * SECOND - 40)) <= 25 * len(happens) + 2000 * small
    assert abs(sound[-1] - pictures[-1]) <= 20
    if not small:
        assert steps(pictures) <= set(range(40, 66))


@pytest.mark.parametrize("tracks", [(PICTURE, SOUND), (PICTURE,), (SOUND,)])
def test_the_wrap_of_a_transport_stream_is_no_jump_also_of_one_track_alone(
    tracks: tuple[int, ...],
) -> None:
    played = source()
    played.set_by(round(2**33 / 90) - 2 * SECOND)
    played.plays(2)
    played.set_by(-round(2**33 / 90), tracks)
    played.plays(2)
    assert (steps(played.out[PICTURE]), steps(played.out[SOUND])) == ({40}, {20})
    assert played.line.jumps == 0


def test_pictures_seconds_apart_that_come_at_once_and_behind_their_sound_are_no_jump() -> None:
    line, out = Continuity(frozenset({PICTURE})), []
    for second in range(0, 12, 2):
        sound = (Block(SOUND, 1000 * second + at, True, b"", 100.0) for at in range(0, 2000, 20))
        for block in (*sound, Block(PICTURE, 1000 * second, True, b"", 100.0)):
            out += [at - BEGIN for at, put in line.put(block) if put.track == PICTURE]
    assert out == [0, 2000, 4000, 6000, 8000, 10000]
    assert line.jumps == 0


@pytest.mark.parametrize("apart", [5_000, 150_000])
def test_slides_of_a_file_stand_as_long_as_it_says_though_they_are_read_at_once(apart: int) -> None:
    line, out = Continuity(frozenset({PICTURE}), AHEAD_IN_FILE), []
    for turn in range(2):
        for number, shown in enumerate((0, 3, 1, 2)):  # the last is decoded before two others
            block = Block(PICTURE, shown * apart, number == 0, b"", 100.0 + turn)
            block.decoded = (number - 1) * apart
            out += [at - BEGIN for at, _ in line.put(block)]
        line.begins_again()
    assert out == [slide * apart for slide in (0, 3, 1, 2, 4, 7, 5, 6)]
    assert line.jumps == 0


def test_two_pictures_that_are_read_over_and_over_follow_one_another() -> None:
    line, out = Continuity(frozenset({PICTURE})), []
    for turn in range(4):
        for at in (0, 40):
            placed = line.put(Block(PICTURE, at, at == 0, b"", 100 + 0.08 * turn))
            out += [when - BEGIN for when, _ in placed]
        line.begins_again()
    assert out == list(range(0, 320, 40))
    assert line.jumps == 0


def test_pictures_of_no_even_rate_that_jump_alone_stay_with_their_sound() -> None:
    line, out = Continuity(frozenset({PICTURE})), []
    shown = [400 * (n // 3) + (0, 40, 120)[n % 3] for n in range(60)]
    times = [(at, PICTURE) for at in shown] + [(at, SOUND) for at in range(0, 8000, 20)]
    for at, track in sorted(times):
        raw = at - 7_000_000 * (track == PICTURE and at >= 4000)
        for placed, block in line.put(Block(track, raw, True, b"", 100 + at / SECOND)):
            if block.track == PICTURE:
                out.append(placed - BEGIN)
    assert out == shown


def test_a_pause_lasts_as_long_as_it_did() -> None:
    played = source()
    played.plays(2)
    played.now += 5
    played.begins_again()
    played.plays(2)
    assert max(steps(played.out[PICTURE])) == 5040
    assert max(steps(played.out[SOUND])) == 5020


def test_tracks_whose_clocks_are_set_one_after_the_other_stay_together() -> None:
    played = source()
    played.plays(3)
    played.set_by(3_600_000, (PICTURE,))
    played.plays(3)
    played.set_by(3_600_000, (SOUND,))
    played.plays(3)
    assert steps(played.out[PICTURE]) == {40}
    assert steps(played.out[SOUND]) == {20}
    assert played.line.jumps == 1


@pytest.mark.parametrize("held", [True, False], ids=["its-last-held-back", "all-came"])
def test_a_track_that_comes_back_as_the_clock_begins_again_once_more_is_with_the_others(
    held: bool,
) -> None:
    played = source()
    for tracks in ((PICTURE, SOUND), (PICTURE,)):
        played.begins_again()
        played.plays(6, tracks)
    played.begins_again()
    if held:  # until it was known where that packet ends
        played.plays(0.04, (PICTURE,))
        list(played.line.put(Block(SOUND, 6000, True, b"", played.now)))
    played.plays(6, (SOUND, PICTURE))
    list(played.line.due(played.now + 1))
    assert steps(played.out[PICTURE]) == {40}
    assert abs(played.out[SOUND][-1] - played.out[PICTURE][-1]) <= 40


def test_a_track_that_comes_late_goes_by_the_clock_of_the_other() -> None:
    played = source()
    played.plays(3, (PICTURE,))
    played.plays(1)
    assert played.out[SOUND][0] == 3000
    assert played.line.jumps == 0


def test_a_track_with_a_clock_of_its_own_begins_where_the_other_is() -> None:
    played = source()
    played.set_by(-50_000_000, (SOUND,))
    played.plays(2)
    assert abs(played.out[SOUND][0] - played.out[PICTURE][0]) <= 40
    assert steps(played.out[SOUND]) == {20}
    assert played.line.jumps == 0


def test_sound_that_pauses_is_no_jump_where_the_picture_went_on() -> None:
    line = Continuity(frozenset({PICTURE}))
    for raw in range(0, 10_000, 40):  # read faster than it plays
        for track in (PICTURE, SOUND):
            if track == PICTURE or not 2000 < raw < 8000:
                list(line.put(Block(track, raw, True, b"", 100.0)))
    assert line.jumps == 0


SENT = (80, 200, 120, 160, 320, 240, 280)
"""When pictures are shown, in the order in which they are decoded: every 40 ms."""


def test_what_goes_by_our_own_clock_does_not_jump_however_long_it_waited_to_be_looked_at() -> None:
    line = Continuity(frozenset({PICTURE}))
    seen: list[tuple[int, Block]] = []
    came = [0, 100, 200, 1900, 1901, 1902, 2000]
    for raw in came:  # all are looked at when the machine had time: at once
        seen += line.put(Block(PICTURE, raw, True, b"", 2.0, ours=True))
    assert [at - BEGIN for at, _ in seen] == came
    assert line.jumps == 0


def reordered(line: Continuity, by: int = 0, begun: int = 0) -> list[int]:
    """Where pictures go that are sent in another order, by a clock that was set."""
    out = []
    for number, shown in enumerate(SENT):
        decoded, first = begun + number * 40, number == 0 and not begun
        block = Block(PICTURE, begun + shown + by, first, b"", 100 + decoded / SECOND)
        block.decoded = decoded + by
        out += [at - BEGIN + SENT[0] for at, _ in line.put(block)]
    return out


def test_pictures_sent_in_another_order_are_left_in_it() -> None:
    line = Continuity(frozenset({PICTURE}))
    assert reordered(line) == list(SENT)
    assert line.jumps == 0


@pytest.mark.parametrize("back", [120, 400, 1000])
def test_a_clock_that_is_set_back_a_little_is_no_other_order(back: int) -> None:
    line = Continuity(frozenset({PICTURE}))
    before, after = reordered(line), reordered(line, -back, 280)
    assert line.jumps == 1
    assert len(after) == len(SENT), "all of them, and at once: nothing else is waited for"
    assert min(after) >= max(before), "none is where one was"
    assert [at - after[0] for at in after] == [raw - SENT[0] for raw in SENT]


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the reader makes of files of a kind, five pictures of H.264 with their sound."""
    directory, made = tmp_path_factory.mktemp("streams"), {}
    inputs = (*_PICTURES, "-f", "lavfi", "-i", "sine=sample_rate=48000")
    encoded = ("-c:v", "libx264", "-bf", "2", "-c:a", "aac", "-t", "0.2")
    files = [directory / f"film.{kind}" for kind in ("ts", "flv", "avi")]
    outputs = (part for file in files for part in (*encoded, str(file)))
    subprocess.run([*_QUIET, *inputs, *outputs], check=True)
    for file in files:
        _, out = reader.outputs(9, 0, decoded=False)
        reading = [*_QUIET, "-copyts", "-i", str(file), "-map", "0", *out]
        made[file.suffix[1:]] = subprocess.run(reading, capture_output=True, check=True).stdout
    return made


@pytest.mark.parametrize("kind", ["ts", "flv", "avi"])
@settings(max_examples=20)
@given(size=st.integers(1, 5000))
def test_packets_come_out_of_pieces_of_any_size_and_go_back_as_they_were(
    streams: dict[str, bytes], kind: str, size: int
) -> None:
    stream, whole, reader = streams[kind], Nut(), Nut()
    pieces = (stream[begin : begin + size] for begin in range(0, len(stream), size))
    blocks = [block for piece in pieces for block in reader.feed(piece)]
    assert [*map(vars, blocks)] == [*map(vars, whole.feed(stream))]
    assert [one.timed for one in blocks if one.track == 0] == [kind != "avi"] * 5
    assert len([one for one in blocks if one.track == 1]) >= 9
    again = Nut()
    packed = [reader.packed(one.raw + BEGIN, one) for one in blocks]
    back = list(again.feed(reader.header({}) + b"".join(packed)))
    assert again.streams == reader.streams
    for before, after in zip(blocks, back, strict=True):
        assert (after.track, after.key, after.data) == (before.track, before.key, before.data)
    for track in (0, 1):
        was, now = ([one.raw for one in some if one.track == track] for some in (blocks, back))
        apart = [after - before for before, after in zip(was, now, strict=True)]
        assert max(apart) - min(apart) <= 1, "in milliseconds"


def test_asked_alone_it_ends_at_once_also_where_its_reader_waits_for_the_network(
    tmp_path: Path,
) -> None:
    retime = str(Path(programs.__file__).with_name("retime.py"))
    pictures = (*_PICTURES, "-t", "3", "-c:v", "libx264")
    stream = [*_QUIET, *pictures, "-preset", "ultrafast", "-g", "25", "-f", "flv", "-"]
    sent = subprocess.run(stream, capture_output=True, check=True).stdout
    out = tmp_path / "out.ts"
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        reader = [
            *_QUIET,
            "-copyts",
            "-analyzeduration",
            "500000",
            "-f",
            "flv",
            "-i",
            url,
            "-map",
            "0:v",
        ]
        writer = [*_QUIET, "-f", "nut", "-i", "pipe:0", "-c", "copy", "-flush_packets", "1"]
        argv = [sys.executable, retime, *reader, "--", *writer, "-f", "mpegts", str(out)]
        program = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        try:
            client, _ = server.accept()
            with client:
                client.sendall(sent)  # and then nothing more, and no end
                deadline = time.monotonic() + 60
                while not out.exists() or not out.stat().st_size:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                program.send_signal(signal.SIGINT)
                program.wait(60)
        finally:
            program.kill()
            program.wait()
    show = ("-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0")
    counted = subprocess.run(["ffprobe", "-v", "error", *show, str(out)], capture_output=True)
    assert int(counted.stdout.split()[0].strip(b",")) > 60, "what had come is written"


def test_a_list_that_is_numbered_anew_is_begun_anew_not_waited_for(tmp_path: Path) -> None:
    piece, a_list, out = (tmp_path / name for name in ("0.ts", "live.m3u8", "out.ts"))
    coded = ("-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25")
    subprocess.run([*_QUIET, *_PICTURES, *coded, str(piece)], check=True)
    listed = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{{}}\n#EXTINF:2,\n{piece}\n"
    a_list.write_text(listed.format(100))
    retime = str(Path(programs.__file__).with_name("retime.py"))
    telling = (*_QUIET[:-1], "level+info", "-copyts")
    writer = [*_QUIET, "-f", "nut", "-i", "pipe:0", "-c", "copy", "-flush_packets", "1"]
    argv = [sys.executable, retime, *telling, "-i", str(a_list), "--", *writer, str(out)]
    program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not out.exists() or not out.stat().st_size:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        a_list.write_text(listed.format(0))
        _, said = program.communicate(timeout=60)
    finally:
        program.kill()
        program.wait()
    assert said.splitlines()[-1].endswith(b"its list went back: the recording begins anew")


def test_sound_that_is_announced_and_late_keeps_no_picture_back_and_is_heard_of(
    tmp_path: Path,
) -> None:
    film, out = tmp_path / "film.ts", tmp_path / "out.ts"
    pictures = ("-f", "lavfi", "-t", "8", "-i", "testsrc2=size=160x90:rate=5")
    late = ("-itsoffset", "7", "-f", "lavfi", "-t", "1", "-i", "sine=sample_rate=48000")
    coded = ("-max_interleave_delta", "0", "-c:v", "libx264", "-g", "5", "-c:a", "aac")
    subprocess.run([*_QUIET, *pictures, *late, *coded, str(film)], check=True)
    retime = str(Path(programs.__file__).with_name("retime.py"))
    looking = ("-copyts", "-fpsprobesize", "0", "-analyzeduration", "2000000")
    reader = [*_QUIET, *looking, "-i", str(film), "-map", "0:V:0?", "-map", "0:a?"]
    writer = [*_QUIET, "-f", "nut", "-i", "pipe:0", "-c", "copy", str(out)]
    argv = [sys.executable, retime, *reader, "--", *writer]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
    assert ended.stderr.splitlines()[-1].endswith(b"a track came: the recording begins anew")
    show = ("-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0")
    counted = subprocess.run(["ffprobe", "-v", "error", *show, str(out)], capture_output=True)
    assert int(counted.stdout.split()[0].strip(b",")) >= 30, "what came before it"

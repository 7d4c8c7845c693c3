"""ffmpeg makes of a cut list what was marked, to the picture; the films count their pictures."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from fleet.agent.recordings.probing import probe
from fleet.cli.cutlists import ffconcat
from fleet.manager.recordings.coverage import Kept
from fleet.manager.recordings.cutting import cut_lists
from fleet.manager.recordings.timeline import on_one_clock
from fleet.model import Segment
from fleet.operations.recordings import CutList, CutMark
from fleet.schedule import ScheduledRoom, ScheduledTalk
from tests.roles.numbered import RATE, film, shown, which

BEGIN = datetime(2026, 2, 1, 12, tzinfo=UTC)
SECONDS = 10.4
LIST = "talk.ffconcat"
GOP = 40
B_FRAMES = (
    "-c:v",
    "libx264",
    "-preset",
    "superfast",
    "-bf",
    "2",
    "-g",
    str(GOP),
    "-fps_mode",
    "passthrough",
    "-c:a",
    "copy",
)
KINDS = {".ts": ("-c", "copy"), "-b.ts": B_FRAMES, ".mkv": ("-c:v", "copy", "-c:a", "flac")}


def run(*argv: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *map(str, argv)], check=True)


def picture(number: float) -> datetime:
    return BEGIN + timedelta(seconds=number / RATE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("film") / "film.ts"
    film(file, SECONDS)
    return file


@pytest.fixture(scope="module", params=KINDS)
def copies(request: pytest.FixtureRequest, whole: Path) -> tuple[Path, list[Kept]]:
    """A directory with a room in it, of files of 3 s, and their index."""
    kind, room = request.param, whole.parent / f"copies{request.param}" / "hall1"
    room.mkdir(parents=True)
    container = "matroska" if kind == ".mkv" else "mpegts"
    segmented = ("-f", "segment", "-segment_time", "3", "-segment_format", container)
    anew = ("-reset_timestamps", "1") if kind == ".mkv" else ()
    suffix = kind[kind.index(".") :]
    run("-i", whole, *KINDS[kind], *segmented, *anew, room / f"main-%02d{suffix}")
    several, clock = [], 0.0
    for number, file in enumerate(sorted(room.iterdir())):
        held = probe(file)
        video = held.of("video")[0]
        # The films say nothing of the time of day.
        begin = BEGIN + timedelta(seconds=clock - (video.first - held.start))
        end = begin + (held.end - held.begin)
        streams = tuple(one.stream for one in held.tracks)
        segment = Segment(
            *("index", number + 1, file.name, "hall1", "record", "main", begin, end),
            *(held.bytes, streams, video.packets, held.checksum, None, "full"),
            *(held.start, held.keys),
        )
        several.append(Kept("hall1-mix", segment))
        clock += video.packets / RATE

    return room.parent, several


Cut = Callable[..., CutList]


@pytest.fixture
def cut(copies: tuple[Path, list[Kept]]) -> Cut:
    """Writes the list of a talk of these pictures, and gives what is in it."""
    directory, several = copies

    def listed(first: int, last: int, *marks: CutMark) -> CutList:
        talk = ScheduledTalk(
            *("guid-1", ScheduledRoom("Hall 1"), "It's on", picture(first), picture(last), 1, "")
        )
        (found,) = cut_lists([("hall1", talk)], {"hall1": several}, marks, ())
        (directory / LIST).write_text("\n".join(ffconcat(found, "UTC")))
        return found

    return listed


def encoded(directory: Path) -> Path:
    """By the line that the list itself says."""
    said = (directory / LIST).read_text().partition("#   ffmpeg ")[2].partition("\n")[0]
    argv = said.removesuffix(" ... OUTPUT").replace("LIST", str(directory / LIST)).split()
    made = directory / "encoded.mp4"
    run(*argv, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-y", made)
    return made


def copied(directory: Path) -> Path:
    made = directory / "copied.mkv"
    run("-f", "concat", "-safe", "0", "-i", directory / LIST, "-c", "copy", "-y", made)
    return made


def test_a_film_over_files_is_exact_encoded_and_copied_from_the_key_frame_before(
    cut: Cut, copies: tuple[Path, list[Kept]]
) -> None:
    directory, _ = copies
    found = cut(36, 221)
    assert found.missing == 0.0
    assert len(found.pieces[0].files) >= 3
    numbers = which(made := encoded(directory))
    assert (numbers[0], numbers[-1]) == (36, 220)
    seen = shown(made)
    assert (seen.lost, seen.repeated) == (0, 0)
    assert seen.apart
    assert all(abs(apart) < 1 / RATE for _, apart in seen.apart)
    numbers = which(copied(directory))
    assert 36 - GOP < numbers[0] <= 36
    assert numbers[-1] < 220 + GOP
    assert set(range(36, 221)) <= set(numbers)


def test_what_is_left_out_is_not_seen_and_sound_stays_with_its_picture(
    cut: Cut, copies: tuple[Path, list[Kept]]
) -> None:
    directory, _ = copies
    marks = [
        CutMark("hall1", "end", picture(90), "ann", BEGIN),
        CutMark("hall1", "start", picture(170), "ann", BEGIN),
    ]
    assert len(cut(30, 240, *marks).pieces) == 2
    made = encoded(directory)
    assert len(set(which(made)) ^ {*range(30, 90), *range(170, 240)}) <= 2
    beep = (90 - 30 + 200 - 170) / RATE  # that of the film at 8 s
    apart = [apart for at, apart in shown(made).apart if abs(at - beep) < 0.5]
    assert len(apart) == 1
    assert abs(apart[0]) < 1 / RATE


def test_real_files_of_a_clock_that_was_set_and_set_back_have_their_true_times(
    copies: tuple[Path, list[Kept]],
) -> None:
    directory, several = copies
    true = [one.segment for one in several]
    hour = timedelta(hours=1)
    told = [
        evolve(one, begin=one.begin + hour, end=one.end + hour) if one.number == 2 else one
        for one in true
    ]
    found = [one for _, one in on_one_clock([("b1", one) for one in told])]
    if directory.name.endswith(".mkv"):  # each file begins at zero: nothing tells
        assert found[-1].begin == true[1].begin + hour
    else:
        ahead = [abs(one.begin - of.begin) for one, of in zip(found, true, strict=True)]
        assert max(ahead) < timedelta(seconds=0.1)

"""What comes late or changes in mid-stream is recorded from then on, and can be read."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fleet.roles import Host
from fleet.roles.record import Record, RecordSettings
from tests.roles.host import RealHost
from tests.roles.media import public
from tests.roles.network import QUIET, Looping

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]
Films = Callable[[str], list[Path]]

SECONDS = 2
_H264 = "-c:v libx264 -preset ultrafast -bf 0 -g 25 -pix_fmt yuv420p"
SMALL, LARGE = f"{_H264} -s 160x90", f"{_H264} -s 320x180"
MPEG2 = "-c:v mpeg2video -g 25 -bf 0 -s 320x180"


CASES = {
    "size": ("flv", f"{SMALL} -c:a aac", f"{LARGE} -c:a aac"),
    "sound-rate": ("flv", f"{SMALL} -c:a aac", f"{SMALL} -c:a aac -ar 44100"),
    "sound-late": ("flv", f"{SMALL} -an", f"{SMALL} -c:a aac"),
    "picture-late": ("flv", "-vn -c:a aac", f"{SMALL} -c:a aac"),
    "codec": ("ts", f"{SMALL} -c:a aac", f"{MPEG2} -c:a aac"),
    "codec-and-back": ("ts", f"{MPEG2} -c:a aac", f"{SMALL} -c:a aac"),
    "size-on": ("ts", f"{SMALL} -c:a aac", f"{LARGE} -c:a aac"),
    "again": ("ts", f"{SMALL} -c:a aac", f"{SMALL} -c:a aac"),
}
"""Container, and what is sent first and then."""


def made(directory: Path) -> None:
    """Two films of two seconds of each case, the second beginning where the first ends.

    One ffmpeg makes them all: to start one takes longer.
    """
    directory.mkdir()
    picture = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25")
    sound = ("-f", "lavfi", "-i", "sine=sample_rate=48000")
    outputs: list[str] = []
    for case, (kind, *codecs) in CASES.items():
        for number, one in enumerate(codecs):
            offset = ("-output_ts_offset", str(number * SECONDS))
            file = directory / f"{case}-{number}.{kind}"
            outputs += ["-t", str(SECONDS), *one.split(), *offset, str(file)]
    subprocess.run([*QUIET, *picture, *sound, *outputs], check=True)


@pytest.fixture(scope="session")
def films(once: Callable[[str, Callable[[Path], object]], Path]) -> Callable[[str], list[Path]]:
    """`films(case)`: both of it."""
    directory = once("changing", made)
    return lambda case: sorted(directory.glob(f"{case}-[01].*"))


def shown(file: Path) -> tuple[set[str], int]:
    """Codec and width or rate of each track that can be decoded, and how many pictures."""
    show = "stream=codec_name,width,sample_rate,nb_read_frames"
    argv = ["ffprobe", "-v", "quiet", "-count_frames", "-show_entries", show, "-of", "csv=p=0"]
    said = subprocess.run([*argv, str(file)], capture_output=True, text=True, check=True).stdout
    rows = [line.rstrip(",").split(",") for line in said.split()]
    read = [row for row in rows if row[-1].isdecimal()]
    pictures = max((int(row[-1]) for row in read if row[0] != "aac"), default=0)
    return {"-".join(row[:-1]) for row in read}, pictures


@pytest.mark.parametrize(
    ("case", "last"),
    [
        ("size", {"h264-320", "aac-48000"}),
        ("sound-rate", {"h264-160", "aac-44100"}),
        ("sound-late", {"h264-160", "aac-48000"}),
        ("picture-late", {"h264-160", "aac-48000"}),
        ("codec", {"mpeg2video-320", "aac-48000"}),
        ("codec-and-back", {"h264-160", "aac-48000"}),
    ],
)
async def test_what_changes_is_recorded_from_then_on_and_said(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    films: Films,
    case: str,
    last: set[str],
) -> None:
    host, files = make_host(), films(case)
    with Looping(files, SECONDS, header=13 if files[0].suffix == ".flv" else 0) as sender:
        source = {"type": "url", "url": sender.url}
        role = Record(host, record_settings(source=source))
        await role.start()
        await until(lambda: host.noted[0] and tracks(host) == last, role)
        await role.stop()
    assert tracks(host) == last, "to the end"
    assert host.failed is None


@pytest.mark.parametrize("container", ["mpegts", "matroska"])
async def test_pictures_of_another_size_go_on_in_a_new_file_without_a_new_connection(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    films: Films,
    container: str,
) -> None:
    host = make_host()
    with Looping(films("size-on"), SECONDS) as sender:
        source = {"type": "url", "url": sender.url}
        role = Record(host, record_settings(source=source, container=container))
        await role.start()
        child = role.child
        large = {"h264-320", "aac-48000"}
        await until(lambda: host.noted[0] and tracks(host) == large, role)
        await role.stop()
    assert role.child is child
    found = [shown(file) for file in public(host.recordings)]
    assert [it for it, _ in found] == [{"h264-160", "aac-48000"}, large]
    assert found[0][1] >= SECONDS * 25 - 5, "all of what came before"
    assert host.registry.get_sample_value("fleet_source_changes_total") == 1
    assert host.noted[0] in ("SourceChanged", "ClockJumped")
    assert host.failed is None


async def test_a_sender_that_ends_and_is_there_again_is_read_on_at_once_and_that_is_said(
    make_host: MakeHost, record_settings: Settings, until: Until, films: Films
) -> None:
    host = make_host()
    with Looping(films("again"), SECONDS, ends=True) as sender:
        role = Record(host, record_settings(source={"type": "url", "url": sender.url}))
        await role.start()
        await until(lambda: host.noted[0], role)
        await role.stop()
    assert (host.noted[0], host.failed) == ("SourceChanged", None)
    assert host.registry.get_sample_value("fleet_source_changes_total") == 1
    assert shown(public(host.recordings)[0])[1] >= 2 * SECONDS * 25 - 5


async def test_sound_that_is_announced_and_never_comes_is_not_waited_for(
    make_host: MakeHost, record_settings: Settings, films: Films, tmp_path: Path
) -> None:
    file, data = tmp_path / "silent.flv", bytearray(films("sound-late")[0].read_bytes())
    data[4] = 5  # sound and picture, says the header
    file.write_bytes(data)
    with Looping([file], SECONDS, header=13) as sender:
        role = Record(make_host(), record_settings(source={"type": "url", "url": sender.url}))
        await role.start()
        await role.stop()
    assert tracks(role.host) == {"h264-160"}


def tracks(host: Host) -> set[str]:
    """Of the newest file, where it has a second or more of pictures."""
    found, pictures = shown(public(host.recordings)[-1])
    return found if pictures > 25 else set()

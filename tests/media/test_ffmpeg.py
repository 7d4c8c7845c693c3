"""ffmpeg's report and last output."""

import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.media.ffmpeg import diagnose
from fleet.media.progress import Report, latest_values
from fleet.roles import Failed
from fleet.roles.record import Record, RecordSettings
from fleet.roles.stream import Stream, StreamSettings
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.host import RealHost

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]


def block(frame: int, progress: str = "continue") -> bytes:
    return f"frame={frame}\nspeed=1.0x\nprogress={progress}\n".encode()


@given(st.lists(st.integers(1, 60), max_size=20))
def test_a_report_read_in_any_pieces_ends_with_its_last_block(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int]
) -> None:
    text = b"".join(block(n) for n in range(30)) + block(30, "end")
    file = tmp_path_factory.mktemp("report") / "report"
    file.touch()
    report = Report(file)
    seen = [0]
    for size in [*pieces, len(text)]:
        piece, text = text[:size], text[size:]
        with file.open("ab") as out:
            out.write(piece)
        report.read()
        seen.append(report.frames)
    assert seen == sorted(seen)
    assert report.values == {"frame": "30", "speed": "1.0x", "progress": "end"}


def test_a_report_that_was_emptied_is_read_on(tmp_path: Path) -> None:
    file = tmp_path / "report"
    report = Report(file)
    for frame in range(3):
        file.write_bytes(block(frame) * (3 - frame))
        report.read()
        assert report.frames == frame


def test_sound_that_comes_before_the_first_picture_is_not_taken_for_frames(
    make_host: MakeHost, tmp_path: Path
) -> None:
    settings = {
        "source": {"type": "url", "url": "tcp://127.0.0.1:9"},
        "target": {"type": "hls"},
    }
    host = make_host(role="stream")
    stream, file = Stream(host, structure(settings, StreamSettings)), tmp_path / "report"
    stream._report = Report(file)
    sound, pictures = ("frame=0\nout_time_us=34656\n", "frame=0\nout_time_us=58000\n"), (1, 26)
    for lines in (*sound, *(f"frame={count}\nout_time_us=0\n" for count in pictures)):
        with file.open("a") as out:
            out.write(f"{lines}total_size=N/A\nprogress=continue\n")
        host.progressed = 0.0
        stream.tick()
        assert host.progressed > 0, f"{lines!r} is progress"
        assert host.registry.get_sample_value("fleet_stream_connected") == 1
    host.progressed = 0.0
    stream.tick()
    assert host.progressed == 0, "nothing more came out"
    assert stream._report.frames == 26


@pytest.mark.parametrize("text", [b"", b"frame=1\n", b"\xff\xfe", b"progress", b"frame\n"])
def test_a_report_without_a_whole_block_says_nothing(text: bytes) -> None:
    assert latest_values(text) == ({}, len(text))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[error] av_interleaved_write_frame(): No space left on device", "DiskFull"),
        ("[error] av_interleaved_write_frame(): Input/output error", "NotWritable"),
        ("[error] av_interleaved_write_frame(): Read-only file system", "NotWritable"),
        ("[fatal] Unknown encoder 'libx264'", "CodecMissing"),
        ("[error] tcp://h:1: Connection refused", "SourceUnreachable"),
        ("[error] rtmp://h/x: Input/output error", "SourceUnreachable"),
        ("[error] http://h/x: Server returned 404 Not Found", "SourceUnreachable"),
        ("[error] file:/a.mp4: No such file or directory", "FileMissing"),
        ("[error] file:/a.mkv: End of file", "SourceUnreadable"),
        ("[error] tcp://h:1: End of file", "SourceUnreachable"),
        ("[error] file:/a.txt: Invalid data found when processing input", "SourceUnreadable"),
        ("[error] vp8 codec not currently supported in container", "CodecUnsuitable"),
        ("[alsa @ 0x1] [error] cannot open audio device hw:1 (No such device)", "DeviceMissing"),
        ("[x11grab @ 0x1] [error] Cannot open display :7, error 1.", "DeviceMissing"),
        (
            "[alsa @ 0x1] [error] cannot open audio device hw:1 (Device or resource busy)",
            "DeviceBusy",
        ),
        ("[video4linux2,v4l2 @ 0x1] [error] ioctl(VIDIOC_DQBUF): No such device", "DeviceMissing"),
        ("[error] Output file #0 does not contain any stream", "SourceUnreadable"),
    ],
)
def test_last_words_become_a_reason(line: str, reason: str) -> None:
    failed = diagnose(f"[warning] something else\n{line}\nbye", "the camera", "/rec")
    assert failed is not None
    assert failed.reason == reason


def test_words_that_say_nothing_give_no_reason() -> None:
    assert diagnose("[warning] deprecated pixel format used", "the camera", "/rec") is None


async def fails(host: RealHost, settings: RecordSettings) -> Failed:
    with pytest.raises(Failed) as caught:
        await Record(host, settings).start()
    assert not [p for p in host.recordings.rglob(".*") if p.is_dir()], "nothing is left behind"
    return caught.value


async def test_a_source_nobody_sends_is_named(
    make_host: MakeHost, record_settings: Settings
) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    failed = await fails(make_host(), record_settings(source={"type": "url", "url": url}))
    assert failed.reason == "SourceUnreachable"
    assert url in failed.message
    assert "Connection refused" in failed.message


async def test_a_missing_file_is_named(make_host: MakeHost, record_settings: Settings) -> None:
    source = {"type": "file", "path": "talk.mp4"}
    failed = await fails(make_host(), record_settings(source=source))
    assert failed.reason == "FileMissing"
    assert "talk.mp4" in failed.message


async def test_a_file_that_is_no_video_is_named(
    make_host: MakeHost, record_settings: Settings
) -> None:
    host = make_host()
    host.recordings.mkdir()
    (host.recordings / "talk.mp4").write_text("not a video")
    source = {"type": "file", "path": "talk.mp4"}
    failed = await fails(host, record_settings(source=source))
    assert failed.reason == "SourceUnreadable"
    assert "talk.mp4" in failed.message


async def test_a_file_that_holds_neither_picture_nor_sound_does_not_end_well(
    make_host: MakeHost, record_settings: Settings, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.wav"
    with wave.open(str(empty), "wb") as file:
        file.setparams((1, 2, 48000, 0, "NONE", "none"))
    host = make_host()
    source = {"type": "file", "path": str(empty), "loop": False}
    failure = await fails(host, record_settings(source=source))
    assert failure.reason == "SourceUnreadable"
    assert str(empty) in failure.message
    assert not host.completed


async def test_a_source_that_sends_nothing_does_not_start_for_ever(
    make_host: MakeHost, record_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Record, "start_seconds", 0.5)
    url = f"udp://127.0.0.1:{free_port()}"
    host = make_host()
    failed = await fails(host, record_settings(source={"type": "url", "url": url}))
    assert failed.reason == "SourceUnreachable"
    assert await host.children[0].wait() is None, "ffmpeg is gone"


async def test_sound_that_nobody_can_read_is_found_out_whatever_else_is_said_of_it(
    make_host: Callable[..., RealHost],
) -> None:
    settings = {"source": {"type": "file", "path": "song.flac"}, "target": {"type": "hls"}}
    role = Stream(make_host(role="stream"), structure(settings, StreamSettings))
    (role.host.recordings / "hls").mkdir(parents=True)
    said = "Stream 0, codec flac, is muxed as a private data stream and may not be recognized"
    words = f'echo "{said}" >&2; for n in $(seq 60); do echo "has duration 0" >&2; done'
    role.child = await role.host.spawn(["sh", "-c", words])
    await role.child.wait()
    assert await role.unfit() == {"video", "audio"}

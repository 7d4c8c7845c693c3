"""Who encodes: chosen by trying, and said where it is not what was asked for.

There are no graphics that encode where this runs: where one is chosen, its trial is a stand-in.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleet.media import encoders
from fleet.media.encoders import Chosen, choose
from fleet.media.ffmpeg import FILTERS
from fleet.media.pipelines import output, raw
from fleet.roles import Child
from fleet.roles.record import Record, RecordSettings
from fleet.strict import structure
from tests.roles.host import RealHost


class Able(RealHost):
    """A station on which what is tried on one device works."""

    device = "renderD129"

    async def spawn(self, argv: Sequence[str], **how: Any) -> Child:
        works = any(self.device in part for part in argv)
        return await super().spawn(["true" if works else "false"], **how)


@pytest.fixture
def graphics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "dri"
    directory.mkdir()
    monkeypatch.setattr(encoders, "GRAPHICS", directory)
    return directory


@pytest.fixture
def host(tmp_path: Path) -> RealHost:
    return RealHost(tmp_path, "main", "cam1", "hall1")


async def test_without_graphics_auto_is_software_and_nothing_to_be_said(
    graphics: Path, host: RealHost
) -> None:
    assert await choose(host, "auto", "ffmpeg", "h264") == Chosen()
    asked = await choose(host, "vaapi", "ffmpeg", "h264")
    assert asked.encoder == "software"
    assert asked.fallback == (
        "EncoderFallback",
        f"VAAPI does not encode here (there is nothing in {graphics}): it is done in software, "
        "which takes processor time",
    )
    assert host.children == [], "nothing had to be tried"


@pytest.mark.parametrize("program", ["ffmpeg", "gstreamer"])
@pytest.mark.parametrize("wanted", ["auto", "vaapi"])
async def test_graphics_that_cannot_are_said_with_the_reason(
    graphics: Path, host: RealHost, program: str, wanted: str
) -> None:
    (graphics / "renderD128").touch()
    found = await choose(host, wanted, program, "h264")
    assert found.encoder == "software"
    assert found.fallback is not None
    assert found.fallback[0] == "EncoderFallback"
    assert "(there is nothing" not in found.fallback[1]
    assert len(host.children) == 1


async def test_software_and_other_codecs_are_not_tried(graphics: Path, host: RealHost) -> None:
    (graphics / "renderD128").touch()
    assert await choose(host, "software", "ffmpeg", "h264") == Chosen()
    assert await choose(host, "vaapi", "ffmpeg", "mpeg2") == Chosen()
    assert host.children == []


async def test_the_device_that_encodes_is_taken(graphics: Path, tmp_path: Path) -> None:
    for number in (128, 129):
        (graphics / f"renderD{number}").touch()
    able = Able(tmp_path, "main", "cam1", "hall1")
    found = await choose(able, "auto", "ffmpeg", "h264")
    assert found == Chosen("vaapi", graphics / "renderD129")
    argv = found.ffmpeg(FILTERS)
    assert argv is not None
    assert argv[:2] == ["-vaapi_device", str(graphics / "renderD129")]
    assert argv[-4:] == ["-c:v", "h264_vaapi", "-bf", "0"]

    def pipeline(chosen: Chosen) -> str:
        return output(
            f"{raw('320x180')},framerate=25/1",
            sound=(),
            video=("h264", 2_000_000),
            audio=("aac", 128_000),
            listen="127.0.0.1",
            port=9710,
            chosen=chosen,
        )

    assert "vah264enc bitrate=2000 " in pipeline(found)
    assert "x264enc" not in pipeline(found)
    assert "x264enc bitrate=2000 " in pipeline(Chosen())


async def test_a_recording_says_what_encodes_instead(
    graphics: Path, host: RealHost, tmp_path: Path
) -> None:
    source = {"type": "test", "size": "160x90"}
    given = {"source": source, "encoder": "vaapi", "minimum_free_gib": 0}
    role = Record(host, structure(given, RecordSettings))
    await role.start()
    role.tick()
    await role.stop()
    assert str(graphics) in str(host.noted[1])
    assert host.noted[0] == "EncoderFallback"
    assert "libx264" in role.child.argv
    after = RealHost(tmp_path, "after", "cam1", "hall1")
    role = Record(after, structure({**given, "encoder": "software"}, RecordSettings))
    await role.start()
    role.tick()
    await role.stop()
    assert after.noted == (None, None)

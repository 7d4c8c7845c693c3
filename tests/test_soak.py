"""`make soak` for ten seconds: what is captured and recorded stays whole and together."""

from pathlib import Path

import pytest

from bench.soak import soak


@pytest.mark.long
async def test_an_agent_records_every_picture_with_its_sound_over_segments(tmp_path: Path) -> None:
    soaked = await soak(tmp_path, 10 / 60, segment_seconds=2, settled=3.0, every=2.0)
    assert soaked.restarts == 0
    assert soaked.far == [], "a sound is heard with its picture"
    assert soaked.files > 3
    assert soaked.found.pictures > 150
    assert (soaked.found.lost, soaked.found.repeated) == (0, 0)
    assert len(soaked.found.apart) > 2
    assert {"ingest", "record", "monitor", "agent"} <= soaked.memory.samples.keys()

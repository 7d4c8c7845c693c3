"""`make soak` for ten seconds: what is captured and recorded stays whole and together."""

from itertools import count
from pathlib import Path

import pytest

from bench.soak import soak
from tests.processes import keeps_pace


@pytest.mark.long
async def test_an_agent_records_every_picture_with_its_sound_over_segments(tmp_path: Path) -> None:
    numbers = count()

    async def soaked() -> str:
        place = tmp_path / str(next(numbers))
        place.mkdir()
        found = await soak(place, 10 / 60, segment_seconds=2, settled=3.0, every=2.0)
        assert found.restarts == 0
        assert found.files > 3
        assert found.found.pictures > 150
        assert len(found.found.apart) > 2
        assert {"ingest", "record", "monitor", "agent"} <= found.memory.samples.keys()
        missed = (found.found.lost, found.found.repeated)
        # A sound is heard with its picture, and each picture is seen once.
        return "" if (found.far, missed) == ([], (0, 0)) else f"{missed}, apart: {found.far}"

    await keeps_pace(soaked)

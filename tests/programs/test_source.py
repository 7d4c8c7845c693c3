"""When what is captured is begun again, without GStreamer: its pipeline is a stand-in."""

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from fleet.programs import source
from fleet.programs.source import Source


@pytest.fixture(autouse=True)
def no_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "Gst", SimpleNamespace(SECOND=10**9), raising=False)


def feed(kind: str, last: float) -> Any:
    return SimpleNamespace(kind=kind, last=last, present=True, look=lambda present: None)


@pytest.mark.parametrize(
    ("came", "over", "again"),
    [
        ({"picture"}, {"picture"}, True),
        ({"picture"}, set(), False),
        ({"picture", "sound"}, {"picture"}, False),
        (set(), set(), False),
    ],
    ids=["no-sound-in-it", "it-plays", "sound-goes-on", "nothing-yet"],
)
def test_a_film_begins_again_at_its_end_also_where_it_lacks_the_sound_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, came: set[str], over: set[str], again: bool
) -> None:
    now, ended = monotonic(), []
    monkeypatch.setattr(Source, "end", lambda self, retry=1.0: ended.append(retry))
    feeds = {kind: feed(kind, now) for kind in ("picture", "sound")}
    specification = {"pipeline": "name=picture name=sound", "stands": True, "far": False}
    captured = Source(specification, None, feeds)
    captured._pipeline, captured._begun = object(), now - 3
    captured._came.update(came)
    captured._over |= over
    captured.look()
    assert ended == ([0] if again else [])

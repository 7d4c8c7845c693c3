"""Every example in docs/media.md is a conference file that stations would take."""

import re
from typing import Any, get_args

import attrs
import pytest

from fleet.manager.conference import file as conference
from fleet.media.inputs import Picture, Sound
from fleet.media.meter import THRESHOLDS, Meter
from fleet.media.mixer_settings import MixSettings
from fleet.roles.exec import ExecSettings
from fleet.roles.ingest import IngestSettings
from fleet.roles.monitor import MonitorSettings
from fleet.roles.record import RecordSettings
from fleet.roles.stream import StreamSettings
from fleet.roles.sync import SyncSettings
from fleet.strict import structure
from tests.processes import ROOT

PAGE = (ROOT / "docs/media.md").read_text()
SETTINGS: dict[str, type[Any]] = {
    "ingest": IngestSettings,
    "record": RecordSettings,
    "stream": StreamSettings,
    "monitor": MonitorSettings,
    "exec": ExecSettings,
    "sync": SyncSettings,
    "mix": MixSettings,
}
AROUND = """
[conference]
id = "mediacon"
timezone = "Europe/Brussels"
[rooms.hall1]
[rooms.hall2]
"""
NAMES = {
    "hall1-cam": "cam",
    "hall1-slides": "slides",
    "hall1-mix": "mix",
    "hall2-cam": "cam",
}


def whole(example: str) -> str:
    """A file around an example: the rooms, the boxes, and what is captured unless it says so."""
    text = AROUND + example
    for name, seat in NAMES.items():
        if f"[stations.{name}.roles.ingest.main]" not in example:
            text += f'[stations.{name}.roles.ingest.main]\npicture = {{type = "test"}}\n'
            text += 'sound = {type = "test"}\n'
        text += f'[stations.{name}]\nid = "{name}"\nroom = "{name[:5]}"\nseat = "{seat}"\n'
    return text


EXAMPLES: list[str] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0])
def test_an_example_is_taken(example: str) -> None:
    text = whole(example)
    read = conference.examine(text)
    assert read.problems == ()
    taken = 0
    for station in read.stations.values():
        for role, instances in station.roles.items():
            for settings in instances.values():
                structure(settings, SETTINGS[role])
                taken += 1
    assert taken == text.count(".roles.")


def test_what_can_be_captured_is_told_in_full() -> None:
    def told(kind: str) -> list[str]:
        (sentence,) = re.findall(rf"\b{kind} is ([^.;]*)[.;]", " ".join(PAGE.split()))
        return re.findall(r"`([a-z0-9]+)`", sentence)

    def types(union: Any) -> list[str]:
        return [get_args(attrs.fields(one).type.type)[0] for one in get_args(union)]

    assert sorted(told("A picture")) == sorted(types(Picture))
    assert sorted(told("sound")) == sorted(types(Sound))


def test_what_a_monitor_says_is_told_in_full() -> None:
    told = set(re.findall(r"`([A-Z]\w+)`", PAGE.partition("| What it says |")[2]))
    meter, said = Meter(THRESHOLDS["camera"]), set()
    lines = {
        "SoundLow": "lavfi.r128.S=-60",
        "SoundHigh": "lavfi.r128.S=-3",
        "ChannelSilent": "lavfi.astats.1.Peak_level=-inf\nlavfi.astats.2.Peak_level=-20",
        "DigitalSilence": "lavfi.astats.1.Peak_level=-inf",
        "PictureBlack": "lavfi.blackframe.pblack=100",
        "PictureFrozen": "lavfi.signalstats.YMAX=0",
    }
    for line in lines.values():
        meter = Meter(THRESHOLDS["camera"])
        for now in range(40):
            for one in line.splitlines():
                meter.feed(one, now)
        said |= {trouble.reason for trouble in meter.troubles(39)}
        said |= {trouble.reason for trouble in meter.troubles(60)}
    assert set(lines) <= said
    assert told == said | {"NoSignal"}

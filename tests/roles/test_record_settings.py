"""What a recording may be told, and the sentences that answer the rest."""

from typing import Any

import pytest

from fleet.roles.ingest import IngestSettings
from fleet.roles.record import RecordSettings
from fleet.strict import Mistakes, structure

TEST = {"type": "test"}
DEVICE = {"type": "device", "sound": {"type": "alsa"}}


def test_a_source_is_all_that_must_be_said() -> None:
    settings = structure({"source": TEST}, RecordSettings)
    assert settings.segment_seconds == 180
    assert settings.container == "mpegts"
    assert settings.stall_seconds == 15


@pytest.mark.parametrize(
    ("settings", "path", "says"),
    [
        ({}, "/source", "is missing"),
        ({"source": {"type": "camera"}}, "/source", "test, device, url, file"),
        ({"source": "test"}, "/source", "expected a table with a type"),
        ({"source": {"type": "test", "size": "641x360"}}, "/source/size", "even numbers"),
        ({"source": {"type": "test", "rate": 0}}, "/source/rate", "1 to 120"),
        ({"source": {"type": "file", "path": ""}}, "/source/path", "the path of a file"),
        ({"source": {"type": "url", "url": "file:///etc/shadow"}}, "/source/url", "an address"),
        ({"source": {"type": "url", "url": "rtsp://"}}, "/source/url", "an address"),
        ({"source": {"type": "url", "url": "rtsp://[cam/"}}, "/source/url", "an address"),
        ({"source": {"type": "device"}}, "/source", "neither picture nor sound"),
        ({"source": TEST, "segment_seconds": 0}, "/segment_seconds", "1 to 86400"),
        ({"source": TEST, "segment_seconds": 86401}, "/segment_seconds", "1 to 86400"),
        ({"source": TEST, "segment_seconds": 3.0}, "/segment_seconds", "a whole number"),
        ({"source": TEST, "container": "mp4"}, "/container", "mpegts"),
        ({"source": TEST, "segment_second": 3}, "/segment_second", "segment_seconds"),
        ({"source": TEST, "video_codec": "copy"}, "", "nothing to copy"),
        ({"source": DEVICE, "audio_codec": "copy"}, "", "nothing to copy"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:60],
)
def test_a_mistake_has_its_path_and_says_what_was_expected(
    settings: dict[str, Any], path: str, says: str
) -> None:
    with pytest.raises(Mistakes) as caught:
        structure(settings, RecordSettings)
    (mistake,) = caught.value.mistakes
    assert mistake.pointer == path
    assert says in mistake.message


def test_a_source_without_a_type_is_what_another_role_offers() -> None:
    source = {"role": "ingest", "seat": "cam", "host": "hall1-cam.local", "port": 9710}
    settings = structure({"source": source}, RecordSettings)
    assert str(settings.source) == "ingest/main at hall1-cam.local:9710"


@pytest.mark.parametrize("directory", ["..", "a/../../b", "/etc", "a\0b"])
def test_a_directory_stays_below_the_recordings(directory: str) -> None:
    with pytest.raises(Mistakes) as caught:
        structure({"source": TEST, "directory": directory}, RecordSettings)
    (mistake,) = caught.value.mistakes
    assert mistake.pointer == "/directory"


@pytest.mark.parametrize(
    "url", ["udp://@239.1.1.1:5004", "rtp://@239.1.1.1:5004", "udp://239.1.1.1:5004", "udp://:5004"]
)
def test_multicast_as_people_write_it_is_an_address(url: str) -> None:
    for cls, key in ((RecordSettings, "source"), (IngestSettings, "picture")):
        settings: Any = structure({key: {"type": "url", "url": url}}, cls)
        assert getattr(settings, key).url == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("udp://ann@239.1.1.1:5004", "without user name"),
        ("udp://@", "such as"),
        ("rtsp://@cam/1", "without the @"),
        ("rtsp://cam:hunter2/1", "a port from 1 to 65535"),
        ("rtsp://cam:99999/1", "a port from 1 to 65535"),
        ("udp://@239.1.1.1", "with a port such as udp://"),
        ("srt://cam", "with a port such as srt://"),
    ],
)
def test_what_no_program_could_open_is_no_address(url: str, message: str) -> None:
    for cls, key in ((RecordSettings, "source"), (IngestSettings, "picture")):
        with pytest.raises(Mistakes, match=message) as caught:
            structure({key: {"type": "url", "url": url}}, cls)
        assert "hunter2" not in str(caught.value)


def test_a_mistyped_type_gets_its_did_you_mean() -> None:
    for cls, key in ((RecordSettings, "source"), (IngestSettings, "picture")):
        with pytest.raises(Mistakes, match=r"got 'tpye' \(did you mean 'type'\?\)"):
            structure({key: {"tpye": "test"}}, cls)


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    source = {"type": "url", "url": "rtsp://ann:hunter2@camera/main"}
    with pytest.raises(Mistakes) as caught:
        structure({"source": source}, RecordSettings)
    assert caught.value.mistakes[0].pointer == "/source/url"
    assert "hunter2" not in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    wrong = {"source": {"type": "test", "rate": "5"}, "directory": "/", "stall_seconds": 0}
    with pytest.raises(Mistakes) as caught:
        structure(wrong, RecordSettings)
    assert [mistake.pointer for mistake in caught.value.mistakes] == [
        "/source/rate",
        "/directory",
        "/stall_seconds",
    ]


HARMLESS = (
    *("default", "any", "sysdefault", "sysdefault:CARD=Device", "hw:CARD=Device", "hw:0"),
    *("hw:CARD=Device,DEV=1", "plughw:1,0,2", "dsnoop:CARD=USB_2-b,DEV=0,SUBDEV=1"),
)


@pytest.mark.parametrize("device", HARMLESS)
def test_a_sound_card_is_named_as_alsa_lists_it(device: str) -> None:
    source = {"type": "device", "sound": {"type": "alsa", "device": device}}
    assert str(structure({"source": source}, RecordSettings).source)
    sound = {"type": "alsa", "device": device}
    assert structure({"picture": TEST, "sound": sound}, IngestSettings).sound


PROGRAMS = (
    *("tee:null,'|touch\x20/tmp/x',raw", "tee:null,'|cmd',raw", "file:'|cmd',raw"),
    *("hw:0,'|cmd'", "hw:{card 0}", "hw:CARD=Device,DEV=@func", "plug:tee", "pulse", "null"),
    *("hw:", "hw:0\n", "hw:0,1,2,3", "default,tee", "plughw:CARD=../x", "hw:Ä", "hw:0;tee:x"),
)


@pytest.mark.parametrize("device", PROGRAMS)
@pytest.mark.parametrize("role", [RecordSettings, IngestSettings])
def test_nothing_else_of_alsas_language_is_taken(device: str, role: type[Any]) -> None:
    sound = {"type": "alsa", "device": device}
    recorded = role is RecordSettings
    settings = {"source": {"type": "device", "sound": sound}} if recorded else {"sound": sound}
    with pytest.raises(Mistakes) as caught:
        structure(settings if recorded else {"picture": TEST, **settings}, role)
    (mistake,) = caught.value.mistakes
    assert mistake.pointer == ("/source/sound/device" if recorded else "/sound/device")
    assert "hw:CARD=Device" in mistake.message


@pytest.mark.parametrize(
    "picture",
    [
        *({"type": "v4l2", "device": one} for one in ("/etc/shadow", "/dev/../etc/shadow")),
        *({"type": "v4l2", "device": one} for one in ("../../etc/shadow", "..", "/dev", "a b")),
        *({"type": "screen", "display": one} for one in ("far:0", "tcp/far:0", ":0+1,2", ":x")),
    ],
    ids=lambda picture: next(reversed(picture.values())),
)
def test_a_device_is_one_of_this_station(picture: dict[str, Any]) -> None:
    with pytest.raises(Mistakes) as caught:
        structure({"source": {"type": "device", "picture": picture}}, RecordSettings)
    (mistake,) = caught.value.mistakes
    assert mistake.pointer.startswith("/source/picture/")
    assert "such as :0" in mistake.message or "below /dev" in mistake.message

"""What is sent arrives, its key stays private, and what is in the way has a name."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.roles import Failed
from fleet.roles.stream import Stream, StreamSettings
from fleet.strict import Mistakes, structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import probe
from tests.roles.network import QUIET, Peer, icecast, nginx_rtmp, sender

MakeHost = Callable[..., RealHost]
Until = Callable[..., Awaitable[None]]
KEY = "a-key-nobody-may-see"


def settings(target: dict[str, Any], **values: Any) -> StreamSettings:
    small = {"source": {"type": "test", "size": "160x90"}, "video_bitrate": 200_000}
    return structure({**small, "target": target, **values}, StreamSettings)


@pytest.fixture
def host(make_host: MakeHost) -> RealHost:
    host = make_host(role="stream")
    host.secrets["key"] = KEY
    return host


def metric(host: RealHost, name: str) -> float | None:
    return host.registry.get_sample_value(name)


def leaks(host: RealHost) -> list[str]:
    """Where the key can be read by others: command lines, logs, files, status."""
    seen = {"argv": " ".join(map(str, host.children[-1].argv)), "status": str(host.failed)}
    seen["ps"] = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    for path in host.state.rglob("*"):
        if path.is_file():
            seen[str(path)] = path.read_text(errors="replace")
    return [where for where, text in seen.items() if KEY in text]


def mount(port: int, **values: Any) -> dict[str, Any]:
    return {
        "type": "icecast",
        "host": "127.0.0.1",
        "port": port,
        "mount": "/hall1.webm",
        "password": {"secret": "key"},
        **values,
    }


async def test_a_listener_of_icecast_sees_and_hears_the_stream(
    host: RealHost, until: Until, tmp_path: Path
) -> None:
    port = free_port()
    with icecast(tmp_path, port, KEY):
        role = Stream(host, settings(mount(port)))
        await role.start()
        await until(lambda: (metric(host, "fleet_stream_bytes_total") or 0) > 20_000, role)
        assert metric(host, "fleet_stream_connected") == 1
        file = tmp_path / "heard.webm"
        url = f"http://127.0.0.1:{port}/hall1.webm"
        with Peer(*QUIET, "-i", url, "-c", "copy", "-t", "2", str(file)) as listener:
            await until(lambda: not listener.running, role)
            assert listener.end() == ""
        assert leaks(host) == []
        await role.stop()
    assert [s["codec_name"] for s in probe(file)["streams"]] == ["vp8", "opus"]
    assert host.failed is None


async def test_ogg_carries_sound_alone(host: RealHost, until: Until, tmp_path: Path) -> None:
    port = free_port()
    with icecast(tmp_path, port, KEY):
        role = Stream(host, settings(mount(port, mount="/hall1.ogg", format="ogg")))
        await role.start()
        file = tmp_path / "heard.ogg"
        url = f"http://127.0.0.1:{port}/hall1.ogg"
        with Peer(*QUIET, "-i", url, "-c", "copy", "-t", "1", str(file)) as listener:
            await until(lambda: not listener.running, role)
        await role.stop()
    assert [s["codec_name"] for s in probe(file)["streams"]] == ["opus"]


async def test_a_wrong_password_is_refused_and_stays_private(
    host: RealHost, tmp_path: Path
) -> None:
    port = free_port()
    with icecast(tmp_path, port, "another"):
        role = Stream(host, settings(mount(port)))
        with pytest.raises(Failed, match="check its key or password") as failed:
            await role.start()
    assert failed.value.reason == "TargetRefused"
    assert leaks(host) == []


async def test_a_target_that_goes_away_is_named_and_reached_again(
    host: RealHost, until: Until, tmp_path: Path
) -> None:
    port = free_port()
    server = icecast(tmp_path, port, KEY)
    role = Stream(host, settings(mount(port)))
    await role.start()
    server.end()
    await until(lambda: host.failed, role)
    assert host.failed is not None
    assert host.failed.reason == "TargetUnreachable"
    assert f"icecast://127.0.0.1:{port}/hall1.webm" in host.failed.message
    assert metric(host, "fleet_stream_connected") == 0
    with icecast(tmp_path, port, KEY):
        again = Stream(RealHost(tmp_path, "again", "cam1", None, "stream"), settings(mount(port)))
        again.host.secrets["key"] = KEY  # type: ignore[attr-defined]
        await again.start()
        await again.stop()


@pytest.mark.parametrize(
    "target",
    [
        {"type": "rtmp", "url": "rtmp://127.0.0.1:1/live", "key": {"secret": "key"}},
        {"type": "srt", "url": "srt://127.0.0.1:1"},
        {"type": "rtmp", "url": "rtmp://nowhere.invalid/live/hall1"},
    ],
)
async def test_an_unreachable_target_is_named(host: RealHost, target: dict[str, Any]) -> None:
    with pytest.raises(Failed, match=target["url"]) as failed:
        await Stream(host, settings(target)).start()
    assert failed.value.reason == "TargetUnreachable"
    assert leaks(host) == []


async def test_an_rtmp_server_gets_the_key_and_the_stream(
    host: RealHost, until: Until, tmp_path: Path
) -> None:
    url, file = f"rtmp://127.0.0.1:{free_port()}/live/app", tmp_path / "got.flv"
    listen = ("ffmpeg", "-nostdin", "-loglevel", "warning", "-listen", "1", "-timeout", "15")
    with Peer(*listen, "-i", f"{url}/other", "-c", "copy", "-t", "2", str(file)) as server:
        await until(lambda: server.listens)
        role = Stream(host, settings({"type": "rtmp", "url": url, "key": {"secret": "key"}}))
        await role.start()
        assert leaks(host) == []
        await until(lambda: not server.running, role)
        assert KEY in server.end(), "the server says which stream was published"
        await role.stop()
    assert {s["codec_name"] for s in probe(file)["streams"]} == {"h264", "aac"}


async def test_an_rtmp_server_that_refuses_the_key_is_said_to_refuse(
    host: RealHost, until: Until, tmp_path: Path
) -> None:
    url = f"rtmp://127.0.0.1:{(port := free_port())}/live"
    target = {"type": "rtmp", "url": url, "key": {"secret": "key"}}
    with nginx_rtmp(tmp_path, port, "deny publish all;"):
        role = Stream(host, settings(target))
        failed = None
        try:
            await role.start()
        except Failed as refused:
            failed = refused
        else:  # it may take some before it closes
            await until(lambda: host.failed)
            failed = host.failed
            await role.stop()
    assert failed is not None
    assert failed.reason == "TargetRefused"
    assert "check its key" in failed.message
    assert leaks(host) == []


async def test_a_passphrase_too_short_for_srt_is_told_before_anything_is_sent(
    host: RealHost,
) -> None:
    host.secrets["key"] = "too-short"
    target = {"type": "srt", "url": "srt://127.0.0.1:1", "passphrase": {"secret": "key"}}
    with pytest.raises(Failed, match=r"9 characters.*10 to 64") as failed:
        await Stream(host, settings(target)).start()
    assert failed.value.reason == "SecretUnsuitable"
    assert host.children == []


async def test_a_stream_that_sends_nothing_is_not_connected(
    host: RealHost, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.roles.stream._SILENT_SECONDS", 1.5)
    role = Stream(host, settings({"type": "hls"}))
    await role.start()
    await until(lambda: metric(host, "fleet_stream_connected") == 1, role)
    os.kill(role.child.pid, signal.SIGSTOP)
    await until(lambda: metric(host, "fleet_stream_connected") == 0, role)
    os.kill(role.child.pid, signal.SIGCONT)
    await until(lambda: metric(host, "fleet_stream_connected") == 1, role)
    await role.stop()


async def test_an_srt_listener_gets_the_stream_with_the_passphrase_alone(
    host: RealHost, until: Until, tmp_path: Path
) -> None:
    url, file = f"srt://127.0.0.1:{free_port()}", tmp_path / "got.ts"
    target = {"type": "srt", "url": url, "passphrase": {"secret": "key"}}
    listen = (*QUIET, "-i", f"{url}?mode=listener&passphrase={{}}", "-c", "copy", "-t", "2")

    def server(passphrase: str) -> Peer:
        return Peer(*(part.format(passphrase) for part in listen), str(file))

    with server("quite-another-one") as wrong:
        await until(lambda: wrong.listens)
        with pytest.raises(Failed) as failed:
            await Stream(host, settings(target)).start()
        assert failed.value.reason == "TargetRefused"
    with server(KEY) as right:
        await until(lambda: right.listens)
        host = RealHost(tmp_path, "again", "cam1", None, "stream")
        host.secrets["key"] = KEY
        role = Stream(host, settings(target))
        await role.start()
        assert KEY not in " ".join(host.children[-1].argv)
        await until(lambda: not right.running, role)
        await role.stop()
    assert {s["codec_name"] for s in probe(file)["streams"]} == {"h264", "aac"}


async def test_hls_is_a_playlist_of_the_newest_segments_whatever_stood_there(
    host: RealHost, until: Until, tmp_path: Path
) -> None:
    target = {"type": "hls", "segment_seconds": 1, "segments": 3}
    role = Stream(host, settings(target))
    directory = host.recordings / "hls"
    playlist = directory / "main.m3u8"
    (playlist / "inside").mkdir(parents=True)
    (directory / "main-000000001.ts").mkdir()
    os.mkfifo(directory / "main.m3u8.tmp")
    await role.start()
    await until(lambda: playlist.is_file() and playlist.read_text().count(".ts") == 3, role)
    file = tmp_path / "seen.ts"
    with Peer(*QUIET, "-i", str(playlist), "-c", "copy", "-t", "1", str(file)) as viewer:
        await until(lambda: not viewer.running, role)
    await role.stop()
    assert [s["codec_name"] for s in probe(file)["streams"]] == ["h264", "aac"]
    assert host.failed is None


def numbered(playlist: Path) -> dict[str, int]:
    """Segment -> its number, as a player counts."""
    lines = playlist.read_text().splitlines()
    first = next(int(line.split(":")[1]) for line in lines if "MEDIA-SEQUENCE" in line)
    names = [line for line in lines if not line.startswith("#")]
    return {name: first + index for index, name in enumerate(names)}


async def test_a_list_that_goes_on_after_a_stop_keeps_its_numbers_and_marks_the_cut(
    make_host: MakeHost, until: Until
) -> None:
    target = {"type": "hls", "segment_seconds": 1, "segments": 5}
    playlist = make_host().recordings / "hls/main.m3u8"
    before: dict[str, int] = {}
    for segments in (3, 5):
        role = Stream(make_host(role="stream"), settings(target))
        await role.start()
        await until(lambda n=segments: playlist.exists() and len(numbered(playlist)) == n, role)
        await role.stop()
        after = numbered(playlist)
        assert all(after.get(name, number) == number for name, number in before.items())
        assert not before or set(before) & set(after), "the list goes on"
        before = after
    assert "#EXT-X-DISCONTINUITY" in playlist.read_text()
    assert "#EXT-X-ENDLIST" not in playlist.read_text()


async def test_what_another_role_offers_is_copied_when_it_comes(
    host: RealHost, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setattr(Stream, "patience_seconds", 1.0)
    wanted = structure(
        {"source": {"host": "127.0.0.1", "port": port}, "target": {"type": "hls"}}, StreamSettings
    )
    with pytest.raises(Failed, match=f"127.0.0.1:{port}") as failed:
        await Stream(host, wanted).start()
    assert failed.value.reason == "SourceUnreachable"
    assert host.noted[0] == "SourceNotYet", "and it waited for it"
    with sender(f"tcp://127.0.0.1:{port}?listen=1", "160x90", 25) as source:
        role = None
        while role is None:
            with contextlib.suppress(Failed):  # it may not listen yet
                again = RealHost(host.recordings.parent, "again", "cam1", None, "stream")
                trying = Stream(again, wanted)
                await trying.start()
                role = trying
        assert "libx264" not in again.children[-1].argv
        source.end()
        await until(lambda: again.failed, role)
        await role.stop()
    assert again.failed is not None
    assert again.failed.reason in ("SourceEnded", "SourceUnreachable")


async def test_a_missing_secret_is_named(make_host: MakeHost) -> None:
    host = make_host(role="stream")
    with pytest.raises(Failed) as failed:
        await Stream(host, settings(mount(1))).start()
    assert failed.value.reason == "SecretMissing"
    assert host.children == []


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        ({"type": "rtmp", "url": "rtmp://me:pw@host/app"}, {}, "without user name"),
        ({"type": "rtmp", "url": "https://host/app"}, {}, "expected an address such as rtmp"),
        ({"type": "srt", "url": "srt://host:1?passphrase=x"}, {}, "without passphrase"),
        (
            {"type": "rtmp", "url": "rtmp://host/app", "key": "plain"},
            {},
            "expected a secret by its name",
        ),
        (mount(1, password="plain"), {}, "expected a secret by its name"),  # noqa: S106 (it is refused)
        ({"type": "hls", "directory": "../out"}, {}, "expected a directory below"),
        (mount(1), {"video_codec": "h264"}, "icecast takes"),
        ({"type": "hls"}, {"audio_codec": "copy"}, "nothing to copy"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(
    target: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(Mistakes, match=message):
        settings(target, **values)

"""Addresses that ask who is there, and what opens them, which nobody else ever reads."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from fleet.bound import misled
from fleet.programs.discreet import without_login
from fleet.roles import Failed, Role
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.monitor import Monitor, MonitorSettings
from fleet.roles.record import Record, RecordSettings
from fleet.roles.stream import Stream, StreamSettings
from fleet.roles.sync import Sync, SyncSettings
from fleet.strict import Mistakes, structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import frames, public
from tests.roles.network import QUIET, Peer, takes_connections

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

USER, PASSWORD = "op er", "canary's:8@f/é"
PASSPHRASE = "canary-of-sixteen's"  # noqa: S105 (made up)


def found(directory: Path, *canaries: str) -> Iterator[str]:
    """Where a canary is: files, command lines and environments."""
    forms = [form.encode() for one in canaries for form in (one, quote(one, safe=""))]
    places = [path for path in directory.rglob("*") if path.is_file()]
    for process in psutil.Process().children(recursive=True):
        places += [Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")]
    for place in places:
        with suppress(OSError):
            said = place.read_bytes()
            if b"camera.py" not in said and any(form in said for form in forms):
                yield str(place)


def camera(port: int) -> Peer:
    program = str(Path(__file__).with_name("camera.py"))
    return Peer("/usr/bin/python3", program, str(port), USER, PASSWORD)


async def test_a_camera_that_asks_for_a_digest_is_captured_recorded_and_watched(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    port = free_port()
    source = {"type": "url", "url": f"rtsp://127.0.0.1:{port}/main"}
    source |= {"user": USER}
    with_password: dict[str, Any] = {**source, "password": {"secret": "camera"}}
    given: dict[str, Any] = {
        "picture": with_password,
        "sound": with_password,
        "size": "160x90",
        "port": free_port(),
        "local_copy": {"enabled": False},
    }
    roles: list[Role[Any]] = [
        Record(make_host(), record_settings(source=with_password)),
        Monitor(
            make_host("watch", role="monitor"),
            structure({"source": with_password, "thumbnail_seconds": 1}, MonitorSettings),
        ),
        Ingest(make_host("opens", role="ingest"), structure(given, IngestSettings)),
    ]
    hosts = [role.host for role in roles if isinstance(role.host, RealHost)]
    for host in hosts:
        host.secrets["camera"] = PASSWORD
    with camera(port):
        await until(lambda: takes_connections(port))
        for role in roles:
            await role.start()
        await until(lambda: hosts[1].thumbnails, *roles)
        assert list(found(tmp_path, PASSWORD)) == []
        for role in roles:
            await role.stop()
        assert frames(public(hosts[0].recordings)[0]) > 10
        assert [host.failed for host in hosts] == [None] * 3
        assert hosts[2].noted[0] in (None, "Choppy"), "captured, picture and sound"


async def test_a_camera_that_refuses_is_recorded_with_its_password(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    port = free_port()
    login: dict[str, Any] = {"user": USER, "password": {"secret": "camera"}}
    source = {"type": "url", "url": f"rtsp://127.0.0.1:{port}/main", **login}
    before, after = make_host(), make_host("after")
    before.secrets["camera"], after.secrets["camera"] = f"{PASSWORD}-not", PASSWORD
    with camera(port):
        await until(lambda: takes_connections(port))
        with pytest.raises(Failed) as refused:
            await Record(before, record_settings(source=source)).start()
        mended = Record(after, record_settings(source=source))
        await mended.start()
        await mended.stop()
    assert after.failed is None
    assert refused.value.reason == "SourceRefused"
    assert "user and password" in refused.value.message
    assert list(found(tmp_path, PASSWORD)) == [], "also where it was refused"
    assert PASSWORD not in refused.value.message


async def test_a_sender_with_a_passphrase_is_recorded(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    address = f"srt://127.0.0.1:{free_port()}"
    picture = ("-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25")
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-f", "mpegts")
    listening = f"{address}?mode=listener&passphrase={PASSPHRASE}"
    source = {"type": "url", "url": address, "passphrase": {"secret": "srt"}}
    host = make_host()
    host.secrets["srt"] = PASSPHRASE
    role = Record(host, record_settings(source=source))
    with Peer(*QUIET, *picture, *h264, listening) as sender:
        await until(lambda: sender.listens)
        await role.start()
        await until(lambda: frames_of(role) > 20, role)
        leader = psutil.Process(role.child.pid)
        every = [leader, *leader.children(recursive=True)]
        assert len(every) > 1
        assert not any(PASSPHRASE in part for one in every for part in one.cmdline())
        await role.stop()
    assert frames(public(host.recordings)[0]) > 10
    again = make_host("again")
    again.secrets["srt"] = "short"
    with pytest.raises(Failed, match="takes 10 to 64"):
        await Record(again, record_settings(source=source)).start()


def frames_of(role: Record) -> int:
    return int(role._report.values.get("frame", 0)) if role._report else 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"url": "rtsp://a/1?user=me&password=pw"}, "without user, which all could read"),
        ({"url": "https://a/live.m3u8?access_token=abc"}, "without access_token"),
        ({"url": "https://a/live.m3u8?sig=abc"}, "without sig, .*: set user, and password = "),
        ({"url": "rtmp://a/live/hall1?key=abc"}, "without key, .*: have what sends let in"),
        ({"url": "srt://a:1?passphrase=0123456789"}, "set passphrase = "),
        ({"url": "rtsp://a/1", "user": "me"}, "user or password alone"),
        ({"url": "rtsp://a/1", "password": {"secret": "a"}}, "user or password alone"),
        ({"url": "rtsp://a/1", "user": "me", "password": "pw"}, "a secret by its name"),
        ({"url": "udp://a:1", "user": "me", "password": {"secret": "a"}}, "udp does not know"),
        ({"url": "rtsp://a/1", "passphrase": {"secret": "a"}}, "rtsp does not know: srt does"),
    ],
)
def test_a_login_that_all_could_read_or_that_fits_nothing_is_refused(
    source: dict[str, Any], message: str
) -> None:
    one = {"type": "url", **source}
    with pytest.raises(Mistakes, match=message):
        structure({"source": one}, RecordSettings)
    with pytest.raises(Mistakes, match=message):
        structure({"picture": one}, IngestSettings)


def test_what_a_program_says_of_a_login_is_left_out() -> None:
    said = b"Impossible to open 'rtsp://me:p%20w@camera/1' passphrase='abc def'"
    assert without_login(said).startswith("Impossible to open 'rtsp://…@camera/1'".encode())
    assert b"abc" not in without_login(b"option passphrase=abc")
    plain = b"mail a@b.example, udp://239.1.1.1:5004 and rtsp://camera/1"
    assert without_login(plain) == plain


LOGIN = {"user": "me", "password": {"secret": "key"}}
SSH = {
    "type": "ssh",
    "host": "storage.example.org",
    "user": "fleet",
    "path": "/srv",
    "key": {"secret": "key"},
    "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
}


@pytest.mark.parametrize(
    ("make", "values", "to"),
    [
        (Record, {"source": {"type": "url", "url": "rtsp://Cam.example.org/1", **LOGIN}}, "cam"),
        (
            Ingest,
            {"picture": {"type": "url", "url": "http://cam.example.org:8/a", **LOGIN}},
            "cam",
        ),
        (
            Record,
            {
                "source": {
                    "type": "url",
                    "url": "srt://cam.example.org:9",
                    "passphrase": LOGIN["password"],
                }
            },
            "cam",
        ),
        (
            Stream,
            {"target": {"type": "icecast", "host": "live.example.org", "mount": "/a"}},
            "live",
        ),
        (Stream, {"target": {"type": "rtmp", "url": "rtmps://live.example.org/app"}}, "live"),
        (Stream, {"target": {"type": "srt", "url": "srt://live.example.org:9"}}, "live"),
        (Sync, {"target": SSH}, "storage"),
    ],
)
async def test_whatever_takes_a_secret_says_to_which_host_it_goes(
    make_host: MakeHost, make: Any, values: dict[str, Any], to: str
) -> None:
    kinds = {Record: RecordSettings, Ingest: IngestSettings, Stream: StreamSettings}
    if make is Stream:
        named = {"icecast": "password", "rtmp": "key", "srt": "passphrase"}
        target = values["target"] | {named[values["target"]["type"]]: {"secret": "key"}}
        values = {"source": {"type": "test"}, "target": target}
    if make is Ingest:
        values = values | {"port": free_port()}
    settings: Any = structure(values, kinds.get(make, SyncSettings))
    ((path, message),) = misled(settings, {"key": ("elsewhere.example.org",)})
    assert path.rpartition("/")[2] in ("password", "passphrase", "key")
    assert f"not to {to}.example.org" in message
    assert list(misled(settings, {"key": ("*.example.org",)})) == []
    host = make_host()
    role = make(host, settings)
    with pytest.raises(Failed) as failed:
        await role.start()
    assert failed.value.reason == "SecretMissing"
    assert host.sent == [("key", f"{to}.example.org")]

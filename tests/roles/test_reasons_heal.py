"""What the sentence of a reason says is done word for word, and the instance runs by itself.

One agent, in as many troubles at once as can be made here without a device. An ffmpeg of our own
stands before the real one and says what that does of a device somebody has open, and of a codec
that it lacks.
"""

import asyncio
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Mosquitto, Programs, free_port
from tests.roles.media import clip
from tests.stranger import Stranger
from tests.wire.sides import Boss, config

STATION = "cam1"
ROLES = """
from attrs import frozen
from fleet.roles import ChildRole, Role, RoleFactory, Secret, register_factory

@frozen
class Settings:
    key: Secret = Secret("stream-key")

class Keyed(Role[Settings]):
    async def start(self):
        self.host.secret(self.settings.key)

class Tooled(ChildRole[Settings]):
    def argv(self):
        return ["a-tool-of-ours"]

class Worn(ChildRole[Settings]):
    def argv(self):
        return ["a-worn-tool"]

class Of(RoleFactory[Settings]):
    settings = Settings
    def __init__(self, role):
        self.role = role

register_factory("keyed", Of(Keyed))
register_factory("tooled", Of(Tooled))
register_factory("worn", Of(Worn))
"""

FFMPEG = """#!/bin/sh
case " $* " in
*" -f v4l2 "*) echo "[video4linux2,v4l2] [error] /dev/null: Device or resource busy" >&2; exit 1;;
*" mpeg2video "*) echo "[fatal] Unknown encoder 'mpeg2video'" >&2; exit 1;;
esac
exec {real} "$@"
"""

PICTURE = ("-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=25")
WRITE = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-f", "mpegts")


BUSY = {"type": "v4l2", "device": "/dev/null"}
SMALL = {"picture": {"type": "test"}, "size": "160x90", "rate": 5}


def troubles(taken: int, silent: int, other: int) -> Any:
    return {
        "keyed": {"main": {}},
        "tooled": {"main": {}},
        "worn": {"main": {}},
        "record": {
            "directory": {"source": {"type": "test", "size": "160x90"}, "directory": "day/one"},
            "file": {"source": {"type": "file", "path": "talk.mp4", "loop": True}},
            "noise": {"source": {"type": "file", "path": "noise.mp4", "loop": True}},
            "source": {"source": {"type": "url", "url": f"tcp://127.0.0.1:{silent}"}},
            "device": {
                "source": {"type": "device", "picture": {"type": "v4l2", "device": "/dev/null"}}
            },
            "codec": {"source": {"type": "test", "size": "160x90"}, "video_codec": "mpeg2"},
        },
        "ingest": {
            "main": {**SMALL, "port": taken},
            "other": {**SMALL, "port": other},
        },
    }


EXPECTED: dict[str, str | None] = {
    "keyed/main": "SecretMissing",
    "tooled/main": "ProgramMissing",
    "worn/main": "ProgramUnusable",
    "record/directory": "DirectoryMissing",
    "record/noise": "SourceUnreadable",
    "record/file": "FileMissing",
    "record/source": "SourceUnreachable",
    "record/device": "DeviceBusy",
    "record/codec": "CodecMissing",
    "ingest/main": "PortInUse",
    "ingest/other": None,
}


def flat(status: Any) -> dict[str, Any]:
    return {
        f"{role}/{name}": one for role, of in status["roles"].items() for name, one in of.items()
    }


def make(file: Path, mode: int, text: str = "") -> None:
    file.write_text(text)
    file.chmod(mode)


@pytest.mark.long
async def test_each_heals_once_its_sentence_was_followed(
    broker: Mosquitto, programs: Programs, stranger: Stranger, tmp_path: Path
) -> None:
    place = tmp_path / STATION
    for name in ("roles", "bin", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "roles/odd.py").write_text(ROLES)
    recordings = place / "recordings"
    recordings.mkdir(parents=True)
    (recordings / "day").write_text("in the way")
    (recordings / "noise.mp4").write_bytes(random.Random(5).randbytes(100_000))
    make(tmp_path / "bin/a-worn-tool", 0o755, "what a disk made of it")
    make(tmp_path / "bin/ffmpeg", 0o755, FFMPEG.format(real=shutil.which("ffmpeg")))
    path = f"{tmp_path}/bin:{programs.environment()['PATH']}"
    settings = f'roles_dir = "{tmp_path}/roles"\nsecrets_dir = "{tmp_path}/secrets"\n'
    programs.instead = {"fleet.agent.engine.policy.EXPLAINED_CAP": 2}
    programs.agent(broker, STATION, settings + "interval = 1\n", PATH=path)
    boss = Boss(stranger, STATION)
    await boss.online()
    holder = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    taken, silent, other = holder.sockets[0].getsockname()[1], free_port(), free_port()
    await boss.ask(config(1, troubles(taken, silent, other)))
    status = await stranger.expect(
        boss.topic("status"),
        lambda said: {name: one["reason"] for name, one in flat(said).items()} == EXPECTED,
        60,
    )
    said = {name: one["message"] for name, one in flat(status).items()}

    assert f"tcp://127.0.0.1:{silent}" in said["record/source"]
    listen = f"tcp://127.0.0.1:{silent}?listen=1"
    send = ("ffmpeg", "-v", "error", *PICTURE, *WRITE, listen)
    sender = await asyncio.create_subprocess_exec(*send)

    try:
        (file,) = re.findall(r"put it in (\S+)$", said["keyed/main"])
        make(Path(file), 0o644, "secret\n")
        mark = stranger.mark()
        status = await stranger.expect(
            boss.topic("status"),
            lambda seen: "read by others" in (flat(seen)["keyed/main"]["message"] or ""),
            30,
            after=mark,
        )
        (mode,) = re.findall(r"chmod (\d+) it$", flat(status)["keyed/main"]["message"])
        make(Path(file), int(mode, 8), "secret\n")

        (tool,) = re.findall(r"^(\S+) is not on this station: install it$", said["tooled/main"])
        make(tmp_path / "bin" / tool, 0o755, "#!/bin/sh\nexec sleep 1000\n")

        assert said["worn/main"] == "a-worn-tool cannot be run: Exec format error"
        make(tmp_path / "bin/a-worn-tool", 0o755, "#!/bin/sh\nexec sleep 1000\n")

        assert str(recordings / "noise.mp4") in said["record/noise"]
        await asyncio.to_thread(clip, recordings / "good.mp4")
        (recordings / "good.mp4").rename(recordings / "noise.mp4")

        (directory,) = re.findall(r"(\S+) is not a directory", said["record/directory"])
        assert directory == str(recordings / "day/one")
        (recordings / "day").unlink()
        (recordings / "day/one").mkdir(parents=True)

        (film,) = re.findall(r"^(\S+) is not on this station: put it there", said["record/file"])
        await asyncio.to_thread(clip, Path(film))

        assert f"port {taken}" in said["ingest/main"]
        assert "let an ingest open it, and all others read that" in said["record/device"]
        assert "choose another" in said["record/codec"]
        roles = troubles(free_port(), silent, other)
        roles["record"]["device"]["source"] = {"host": "127.0.0.1", "port": other}
        roles["record"]["codec"]["video_codec"] = "h264"
        await boss.ask(config(2, roles))
        await boss.runs(2, roles)
    finally:
        sender.kill()
        await sender.wait()
        holder.close()

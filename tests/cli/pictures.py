"""Draws docs/pictures/status*.svg and doctor.svg: part of `make pages`.

`fleet` itself types into a terminal of its own, against a real manager and broker; only the
stations are played, so that all that can be seen is on few lines.
"""

import asyncio
import fcntl
import io
import os
import struct
import subprocess
import sys
import tempfile
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from fleet.version import __version__
from fleet.wire import format_time
from tests.manager.station import apply, ask
from tests.page.stage import Box
from tests.processes import ROOT, Mosquitto, Programs, until
from tests.schedule.publish import MINUTE, event, published
from tests.stranger import Stranger

_PICTURES: Final = ROOT / "docs/pictures"
_FLEET: Final = Path(sys.executable).with_name("fleet")
_DRAWN: Final = (
    ("status-80", 80, "status"),
    ("status", 120, "status"),
    ("status-160", 160, "status"),
    ("doctor", 80, "doctor"),
)
_ROWS: Final = 60
_CONFERENCE: Final = """
[conference]
id = "democon-26"
title = "DemoCon 26"
timezone = "Europe/Brussels"

[schedule]
file = "{schedule}"

[rooms.hall1]
title = "Hall 1"
[rooms.auditorium-max]
title = "Auditorium Maximum"

[profiles.camera.roles]
ingest.main = {{picture = {{type = "test"}}, sound = {{type = "test"}}}}
record.main = {{source = {{role = "ingest"}}}}
monitor.main = {{source = {{role = "ingest"}}}}
[profiles.mixer.roles]
mix.main = {{sources = {{cam = {{role = "ingest", seat = "cam"}}}}, audio = "cam"}}
record.main = {{source = {{role = "mix"}}}}
stream.main = {{source = {{role = "mix"}}, target = {{type = "srt", url = "srt://ingest.example.org:9000"}}}}

[stations.hall1-cam]
id = "b827eb0000a1"
room = "hall1"
seat = "cam"
where = "tripod, back wall"
address = "192.0.2.11"
profiles = ["camera"]
[stations.hall1-mix]
id = "b827eb0000a2"
room = "hall1"
seat = "mix"
where = "desk, back row"
profiles = ["mixer"]
[stations.auditorium-max-camera-balcony]
id = "b827eb0000a3"
room = "auditorium-max"
where = "balcony, left"
profiles = ["camera"]
[stations.auditorium-max-slides]
id = "b827eb0000a4"
room = "auditorium-max"
where = "under the lectern"
address = "10.1.2.3"
profiles = ["camera"]
"""
_UNREACHABLE: Final = (
    "srt://ingest.example.org:9000 takes nothing: check its address, the network, and that it "
    "listens (Input/output error)"
)
_BLOCKED: Final = "the role 'monitor' is blocked on this station by its settings (blocked_roles)"

_THEME: Final = TerminalTheme(
    (22, 26, 31),
    (236, 239, 242),
    [
        (22, 26, 31),
        (255, 122, 107),
        (92, 201, 196),
        (243, 187, 69),
        (120, 160, 220),
        (190, 140, 200),
        (92, 201, 196),
        (200, 205, 210),
    ],
)


async def play(stranger: Stranger, directory: Path) -> None:
    """Two rooms: one stream does not get out, one box rejects its config, one is new."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    schedule = directory / "schedule.json"
    talks = [
        event(1, now - 60 * MINUTE, title="Opening"),
        event(2, now - 10 * MINUTE, title="Ten years of capturing talks"),
        event(3, now + 30 * MINUTE, title="Sound that one understands in the last row"),
    ]
    schedule.write_bytes(published({"hall1": talks}))
    await ask(stranger, "status", 30)
    ids = ("b827eb0000a1", "b827eb0000a2", "b827eb0000a3", "b827eb0000a4")
    cam, mix, balcony, _ = boxes = [Box(stranger, id_) for id_ in ids]
    await apply(stranger, _CONFERENCE.format(schedule=schedule))
    for number, box in enumerate(boxes):
        box.began = format_time(now - timedelta(minutes=96))
        await box.come_online(interval=60)
        await box.register(agent=__version__, addresses=[f"192.0.2.{number + 11}"])
        config = await box.config()
        if box is not balcony:
            await box.obey(config)
            await box.measure()
            continue
        problem = {"type": "BlockedRole", "role": "monitor", "instance": None, "path": None}
        error = {
            "type": "BlockedRole",
            "message": _BLOCKED,
            "problems": [problem | {"message": _BLOCKED}],
        }
        await box.ack(config["revision"], "rejected", error)
    await mix.become(
        "stream/main", state="failed", reason="TargetUnreachable", message=_UNREACHABLE
    )
    new = Box(stranger, "b827eb0000c9")
    await new.come_online(interval=60)
    await new.register(agent=__version__)
    for number in (0, 1, 2, 3, 7, 8, 9, 10):
        begin = now - 61 * MINUTE + number * 3 * MINUTE
        segment = {
            "index": "index-1",
            "number": number + 1,
            "file": f"record/main-{number}.ts",
            "room": "hall1",
            "role": "record",
            "instance": "main",
            "bytes": 9_000_000,
            "begin": format_time(begin),
            "end": format_time(begin + 3 * MINUTE),
            "streams": [],
            "frames": 4500,
            "checksum": None,
            "gap": None,
            "ended": "full",
            "check": {"at": format_time(now)},
        }
        await cam.say("segment", segment, retain=False)


def typed(command: str, columns: int, broker: Mosquitto, programs: Programs) -> str:
    """What appears on a terminal that wide."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    environment = programs.environment(FLEET_BROKER=broker.url, TERM="xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [_FLEET, command], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end was closed
            break
        if not chunk:
            break
        seen += chunk
    process.wait()
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def keep(name: str, command: str, columns: int, text: str, to: Path) -> None:
    """Draw it as a terminal."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ fleet {command}", style="bold"))
    console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=False)
    svg = console.export_svg(title="", theme=_THEME, unique_id=f"fleet-{name}")
    (to / f"{name}.svg").write_text(svg)
    print(f"{name}.svg", len(svg), "bytes", flush=True)


async def draw(to: Path, directory: Path) -> None:
    """All of them."""
    broker, programs = Mosquitto(directory), Programs(directory)
    broker.start()
    try:
        programs.manager(broker)
        async with Stranger(broker.port, "fleet/v1/#") as stranger:
            await play(stranger, directory)
            await until(lambda: "s are missing" in typed("status", 200, broker, programs))
            for name, columns, command in _DRAWN:
                text = await asyncio.to_thread(typed, command, columns, broker, programs)
                keep(name, command, columns, text, to)
    finally:
        programs.end()
        broker.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        asyncio.run(draw(_PICTURES, Path(work)))

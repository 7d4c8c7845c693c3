"""The payloads of docs/protocol.md: captured from the programs, and read from the page.

    python -m tests.wire.page

puts freshly captured ones into the page.
"""

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.processes import ROOT, Mosquitto, Programs
from tests.stranger import Stranger
from tests.wire.sides import Json, dumps_toml, now

PAGE = ROOT / "docs/protocol.md"
STATION = "b827eb0000a1"
WIDTH = 96
KEPT_LAST = ("status", "ack", "telemetry")
"""Kinds of which the last word is shown."""
_BLOCK = re.compile(r"(### `([^`]+)`\n(?:(?!\n#).|\n(?!#))*?```json\n)(.*?)(\n```)", re.DOTALL)
_TOPICS = {
    f"station/{STATION}": "station/<id>",
    "command/ann/shout/whisper": "command/<caller>/<role>/<command>",
    "reply/ann": "reply/<caller>",
    "request/anonymous/status": "request/<caller>/<operation>",
    "reply/anonymous": "reply/<caller>",
}

RECORD = {"source": {"type": "test", "size": "320x180", "rate": 5}, "segment_seconds": 180}
SHOUT = """
from attrs import frozen
from fleet.roles import ChildRole, RoleFactory, command, register_factory

@frozen
class ShoutSettings:
    text: str = "on air"

@frozen
class Whisper:
    text: str

@frozen
class Whispered:
    characters: int

class Shout(ChildRole[ShoutSettings]):
    def argv(self) -> list[str]:
        return ["sh", "-c", 'while echo "$0"; do sleep 0.4; done', self.settings.text]

    @command
    async def whisper(self, asked: Whisper) -> Whispered:
        return Whispered(len(asked.text))

class ShoutFactory(RoleFactory[ShoutSettings]):
    role = Shout
    settings = ShoutSettings
    instances = 1

register_factory("shout", ShoutFactory())
"""
BROKEN = "import laserpointer\n"
HOST = {
    "hostname": "hall1-cam",
    "mac": STATION,
    "addresses": ["192.0.2.17"],
    "broken_roles": {
        "point": "ImportError: No module named 'laserpointer' (/etc/fleet/roles/point.py, line 1)"
    },
}
"""Put in place of what tells about the machine that was captured on."""


def payloads() -> dict[str, Any]:
    """Heading of the page -> the payload that stands under it."""
    return {found[2]: json.loads(found[3]) for found in _BLOCK.finditer(PAGE.read_text())}


async def capture(broker: Mosquitto, programs: Programs) -> dict[str, Any]:
    """Heading -> what the programs sent in a small conference."""
    async with Stranger(broker.port, "fleet/v1/#") as stranger:
        manager = programs.manager(broker)
        await manager.says("connected")
        roles_dir = programs.directory / "roles"
        await asyncio.to_thread(roles_dir.mkdir)
        await asyncio.to_thread((roles_dir / "shout.py").write_text, SHOUT)
        await asyncio.to_thread((roles_dir / "point.py").write_text, BROKEN)
        programs.agent(
            broker, STATION, f'interval = 1.0\nblocked_roles = ["mix"]\nroles_dir = "{roles_dir}"\n'
        )
        await stranger.expect(f"fleet/v1/station/{STATION}/presence")

        first = {"record": {"main": RECORD}, "shout": {"main": {}}}
        await _apply(stranger, first)
        await stranger.expect(f"fleet/v1/station/{STATION}/status", _all_run)
        await stranger.expect(f"fleet/v1/station/{STATION}/log")
        mark = stranger.mark()
        await stranger.expect(f"fleet/v1/station/{STATION}/telemetry", _has_figures, after=mark)
        command = f"fleet/v1/station/{STATION}/command/ann/shout/whisper"
        asked = {"instance": None, "arguments": {"text": "two minutes"}}
        await stranger.publish(command, asked, correlation=b"1")
        await stranger.expect(f"fleet/v1/station/{STATION}/reply/ann")
        restart = f"fleet/v1/station/{STATION}/command/bob/station/restart"
        main = {"role": "record", "instance": "main"}
        await stranger.publish(restart, {"instance": None, "arguments": main}, correlation=b"2")
        await stranger.expect(f"fleet/v1/station/{STATION}/segment")
        mark = stranger.mark()
        await stranger.expect(f"fleet/v1/station/{STATION}/status", _all_run, after=mark)
        mark = stranger.mark()
        await stranger.expect(f"fleet/v1/station/{STATION}/telemetry", _has_figures, after=mark)
        await _apply(stranger, {"mix": {"main": {}}, "record": {"main": RECORD | {"rate": 5}}})
        await stranger.expect(f"fleet/v1/station/{STATION}/ack", lambda ack: ack["error"])
        stop = {"station": STATION, "role": "shout", "why": "the speaker asked for quiet"}
        await _request(stranger, "stop", stop | {"seconds": 2700})
        await stranger.expect(f"fleet/v1/station/{STATION}/status", lambda said: said["stops"])
        status = programs.start("fleet", "--broker", broker.url, "status", "--json")
        await status.ended()
        return _by_heading(stranger)


async def _apply(stranger: Stranger, roles: Json) -> None:
    text = (
        '[conference]\nid = "democon"\n[rooms.hall1]\n[stations.hall1-cam]\n'
        f'id = "{STATION}"\nroom = "hall1"\nroles = {dumps_toml(roles)}\n'
    )
    await _request(stranger, "apply", {"text": text, "name": "c", "force": True})


async def _request(stranger: Stranger, operation: str, arguments: Json) -> None:
    mark = stranger.mark()
    topic = f"fleet/v1/manager/request/bob/{operation}"
    await stranger.publish(topic, arguments, correlation=now().encode())
    reply = await stranger.expect("fleet/v1/manager/reply/bob", after=mark)
    assert reply["error"] is None, reply


def _all_run(status: Json) -> bool:
    shown = [one for named in status["roles"].values() for one in named.values()]
    return len(shown) == 2 and all(one["state"] == "running" for one in shown)


def _has_figures(telemetry: Json) -> bool:
    return any(
        family["name"] == "fleet_recording_bytes" and family["samples"]
        for family in telemetry["families"]
    )


def _by_heading(stranger: Stranger) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for message in stranger.heard:
        heading = message.topic.removeprefix("fleet/v1/")
        for part, name in _TOPICS.items():
            heading = heading.replace(part, name)
        keep = heading not in found or heading.rpartition("/")[2] in KEPT_LAST
        if message.payload and keep and not ("/bob" in heading or "/manager-" in heading):
            found[heading] = message.json
    return found


def shortened(heading: str, payload: Any) -> Any:
    """What the page shows of a payload: one role and a few families stand for the others."""
    if heading.endswith("/registration"):
        return payload | HOST | {"factories": {"shout": payload["factories"]["shout"]}}
    if heading.endswith("/telemetry"):
        families = [one for one in payload["families"] if one["samples"]]
        few = [families[0], families[-1]]
        return payload | {"families": [one | {"samples": one["samples"][:2]} for one in few]}
    return payload


def dumps(value: Any, indent: str = "") -> str:
    """JSON with as much on a line as fits."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        items = (f"{json.dumps(k)}: {dumps(v, deeper)}" for k, v in value.items())
        return "{\n" + ",\n".join(deeper + one for one in items) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + dumps(one, deeper) for one in value) + f"\n{indent}]"


async def renew() -> None:
    """Capture, and put what was captured into the page."""
    with tempfile.TemporaryDirectory(prefix="fleet-page-") as directory:
        place = Path(directory)
        broker, programs = Mosquitto(place), Programs(place)
        broker.start()
        try:
            found = await capture(broker, programs)
        finally:
            programs.end()
            broker.stop()
    text = PAGE.read_text()
    PAGE.write_text(_BLOCK.sub(lambda m: m[1] + dumps(shortened(m[2], found[m[2]])) + m[4], text))


if __name__ == "__main__":
    asyncio.run(renew())

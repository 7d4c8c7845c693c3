"""A conference played for the page: rooms with cameras, slides and a mix."""

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.manager.station import PretendStation
from tests.stranger import Stranger, wire_time

HEAD = '[conference]\nid = "democon-26"\ntitle = "DemoCon 26"\ntimezone = "Europe/Brussels"\n'
SEATS = {
    "cam": ("camera", "tripod, back wall"),
    "slides": ("slides", "under the lectern"),
    "mix": ("mix", "desk, back row"),
}


def conference(rooms: dict[str, tuple[str, ...]], extra: str = "") -> str:
    """A file with these rooms and seats; a mix also streams."""
    text = HEAD
    for number, (room, seats) in enumerate(rooms.items()):
        text += f'[rooms.{room}]\ntitle = "{room.capitalize().replace("ll", "ll ")}"\n'
        for seat in seats:
            kind, where = SEATS[seat]
            text += (
                f'[stations.{room}-{seat}]\nid = "{mac(number, seat)}"\nroom = "{room}"\n'
                f'seat = "{seat}"\nwhere = "{where}"\n'
                'roles.record.main = {source = {type = "test"}}\n'
                f'roles.monitor.main = {{source = {{type = "test"}}, kind = "{kind}"}}\n'
            )
            if seat == "mix":
                text += 'roles.stream.main = {target = {type = "hls"}, source = {type = "test"}}\n'
    return text + extra


def mac(room: int, seat: str) -> str:
    """The id of a box, as a MAC address makes it."""
    return f"b827eb00{room + 1:02x}{list(SEATS).index(seat) + 1:02x}"


def now() -> str:
    return wire_time(datetime.now(UTC))


class Box(PretendStation):
    """A station whose instances each have a state of their own, and figures."""

    def __init__(self, stranger: Stranger, id_: str) -> None:
        super().__init__(stranger, id_)
        self.said: dict[str, dict[str, Any]] = {}
        self.began = now()

    async def become(self, instance: str, **said: Any) -> None:
        """Say something else of `record/main` from now on."""
        self.said[instance] = {"since": now(), **said}
        await self.status()

    async def status(self, state: str = "running", **more: Any) -> None:
        roles = {
            role: {
                name: {
                    "state": state,
                    "since": self.began,
                    "restarts": 0,
                    "reason": None,
                    "message": None,
                }
                | more
                | self.said.get(f"{role}/{name}", {})
                for name in names
            }
            for role, names in self.roles.items()
        }
        status = {"boot": self.boot, "at": now(), "revision": self.revision, "roles": roles}
        await self.say("status", status)

    async def measure(
        self,
        lufs: float | None = -23.0,
        peaks: tuple[float, float] = (-9.0, -10.5),
        free: float = 400e9,
        wrote: float = 0.5,
        **more: float,
    ) -> None:
        """Send telemetry; `lufs` None: no monitor measures. `wrote`: seconds ago."""
        at = time.time()
        record = {"role": "record", "role_instance": "main"}
        monitor = {"role": "monitor", "role_instance": "main"}
        families = [
            _family("fleet_station_disk_free_bytes", [({"directory": "recordings"}, free)]),
            _family("fleet_station_disk_total_bytes", [({"directory": "recordings"}, 1e12)]),
            _family("fleet_recording_last_write_timestamp_seconds", [(record, at - wrote)]),
            _family("fleet_recording_bitrate_bits_per_second", [(record, 8e6)]),
            *(_family(name, [({}, value)]) for name, value in more.items()),
        ]
        if lufs is not None:
            channels = zip(("left", "right"), peaks, strict=True)
            families += [
                _family("fleet_monitor_signal", [(monitor, 1)]),
                _family("fleet_monitor_digital_silence", [(monitor, lufs <= -100)]),
                _family("fleet_monitor_loudness_short_term_lufs", [(monitor, lufs)]),
                _family("fleet_monitor_last_update_timestamp_seconds", [(monitor, at - 0.5)]),
                _family(
                    "fleet_monitor_true_peak_dbtp",
                    [(monitor | {"channel": name}, peak) for name, peak in channels],
                ),
            ]
        telemetry = {"boot": self.boot, "at": now(), "families": families}
        await self.say("telemetry", telemetry, retain=False)

    async def show(self, jpeg: bytes, instance: str = "monitor/main") -> None:
        """Send a thumbnail."""
        await self.stranger.publish(self.topic(f"thumbnail/{instance}"), jpeg, qos=0)


def _family(name: str, samples: list[tuple[dict[str, str], float]]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "gauge",
        "help": "",
        "samples": [[name, labels, float(value)] for labels, value in samples],
    }


def jpeg(directory: Path, source: str = "testsrc2=size=320x180") -> bytes:
    """A real JPEG of what ffmpeg draws."""
    path = directory / "thumbnail.jpg"
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source),
            *("-frames:v", "1", "-q:v", "6", path),
        ],
        check=True,
    )
    return path.read_bytes()

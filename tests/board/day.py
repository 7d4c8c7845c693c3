"""A day on which everything goes wrong that has an alert, played by pretended stations."""

import asyncio
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from tests.board.page import Metric, metrics
from tests.manager.station import NOW, PretendStation, apply
from tests.schedule.publish import HOUR, event, published
from tests.stranger import Stranger

Value = float | Callable[[float], float]
"""A figure, or what it is so many seconds into the day."""

WELL: Final[dict[str, Value]] = {
    "fleet_station_cpu_usage_ratio": 0.3,
    "fleet_station_cpus": 4,
    "fleet_station_load5": 1.2,
    "fleet_station_memory_total_bytes": 8e9,
    "fleet_station_memory_available_bytes": 5e9,
    "fleet_station_boot_timestamp_seconds": lambda t: time.time() - 3600 - t,
    "fleet_station_temperature_celsius": 55,
    "fleet_station_disk_total_bytes": 1e12,
    "fleet_station_disk_free_bytes": 6e11,
    "fleet_station_link_up": 1,
    "fleet_station_link_bytes_per_second": 125e6,
    "fleet_station_link_full_duplex": 1,
    "fleet_station_clock_offset_seconds": 0.001,
    "fleet_station_mains": 1,
    "fleet_station_battery_charge_ratio": 1,
    "fleet_station_throttled": 0,
    "fleet_station_undervoltage": 0,
    "fleet_station_disk_healthy": 1,
    "fleet_station_tcp_retransmit_ratio": 0.0005,
    "fleet_agent_cpu_seconds_total": lambda t: 10 + t / 100,
    "fleet_agent_resident_memory_bytes": 42e6,
    "fleet_agent_messages_ignored_total": 0,
    "fleet_agent_loop_lag_seconds": 0.01,
    "fleet_agent_task_deaths_total": 0,
    "fleet_role_series_omitted": 0,
    "fleet_source_clock_jumps_total": 0,
    "fleet_source_changes_total": 0,
    "fleet_ffmpeg_frames_total": lambda t: 25 * t,
    "fleet_ffmpeg_dropped_frames_total": 0,
    "fleet_ffmpeg_duplicated_frames_total": 0,
    "fleet_ffmpeg_speed_ratio": 1,
    "fleet_ingest_readers": 3,
    "fleet_ingest_held_seconds": 0,
    "fleet_ingest_picture_present": 1,
    "fleet_ingest_sound_present": 1,
    "fleet_ingest_sound_missing_seconds_total": 0,
    "fleet_ingest_input_width_pixels": 1920,
    "fleet_ingest_input_height_pixels": 1080,
    "fleet_ingest_input_rate_hertz": 50,
    "fleet_ingest_local_copy": 1,
    "fleet_ingest_local_copy_bytes_total": lambda t: 4e5 * t,
    "fleet_stream_connected": 1,
    "fleet_mix_live": 1,
    "fleet_mix_source_present": 1,
    "fleet_mix_audio_source": 1,
    "fleet_mix_composite": 1,
    "fleet_mix_mixer_restarts_total": 0,
    "fleet_sync_pending_files": 0,
    "fleet_sync_pending_bytes": 0,
    "fleet_sync_oldest_unverified_timestamp_seconds": 0,
    "fleet_sync_verified_files": 40,
    "fleet_sync_verified_bytes": 4e9,
    "fleet_sync_last_verified_timestamp_seconds": lambda t: time.time() - 60,
    "fleet_sync_last_error_timestamp_seconds": 0,
    "fleet_monitor_signal": 1,
    "fleet_monitor_loudness_momentary_lufs": -22,
    "fleet_monitor_loudness_short_term_lufs": -23,
    "fleet_monitor_true_peak_dbtp": -12,
    "fleet_monitor_digital_silence": 0,
    "fleet_monitor_channel_silent": 0,
    "fleet_monitor_picture_black": 0,
    "fleet_monitor_picture_frozen": 0,
    "fleet_monitor_last_update_timestamp_seconds": lambda t: time.time(),
}
"""Every figure of a station that is well."""
for _output in ("recording", "ingest", "stream"):
    WELL[f"fleet_{_output}_bytes_total"] = lambda t: 4e5 * t
    WELL[f"fleet_{_output}_bitrate_bits_per_second"] = 3.2e6
    WELL[f"fleet_{_output}_last_write_timestamp_seconds"] = lambda t: time.time()
_LABELS: Final = {
    "sensor": ("coretemp",),
    "directory": ("recordings",),
    "interface": ("eno1",),
    "device": ("sda",),
    "kind": ("command",),
    "track": ("1",),
    "task": ("session",),
    "channel": ("left", "right"),
    "source": ("cam",),
    "composite": ("fullscreen",),
}
_WHOLE: Final = (
    "fleet_monitor_loudness_momentary_lufs",
    "fleet_monitor_loudness_short_term_lufs",
    "fleet_monitor_digital_silence",
)
"""What is shown for all sound as well as for each track."""
_OUTPUTS: Final = {
    "record": ("fleet_recording_", "fleet_ffmpeg_", "fleet_source_"),
    "ingest": ("fleet_ingest_", "fleet_ffmpeg_"),
    "stream": ("fleet_stream_", "fleet_ffmpeg_", "fleet_source_"),
    "monitor": ("fleet_monitor_",),
    "sync": ("fleet_sync_",),
    "mix": ("fleet_mix_",),
}
_PEAK_CLIPS: Final = -1.0


@define
class Player:
    """One station: what it measures, and what its instances do."""

    name: str
    roles: tuple[str, ...]
    figures: dict[str, Value] = field(factory=dict)
    states: dict[str, str] = field(factory=dict)
    restarting: tuple[str, ...] = ()
    """Roles that are restarted every second."""
    silent: bool = False
    """It says nothing (any more)."""

    @property
    def room(self) -> str:
        return self.name.partition("-")[0]

    @property
    def id(self) -> str:
        return "b827eb" + self.name.encode().hex()[-12:]

    def telemetry(self, at: float) -> list[dict[str, Any]]:
        families: dict[str, dict[str, Any]] = {}
        for metric in metrics().values():
            if metric.section == "The manager":
                continue
            samples = list(self._samples(metric, at))
            if samples:
                families[metric.family] = {
                    "name": metric.family,
                    "type": metric.type,
                    "help": "As docs/metrics.md says.",
                    "samples": samples,
                }
        return list(families.values())

    def _samples(self, metric: Metric, at: float) -> list[tuple[str, dict[str, str], float]]:
        value = self.figures.get(metric.name, WELL[metric.name])
        number = value(at) if callable(value) else value
        extra = metric.labels - {"station", "room", "role", "role_instance"}
        values = [[(label, one) for one in _LABELS[label]] for label in sorted(extra)]
        sets = [dict(labels) for labels in itertools.product(*values)]
        sets += [{}] if metric.name in _WHOLE else []
        if metric.section == "The roles":
            roles = [r for r in self.roles if metric.name.startswith(_OUTPUTS[r])]
            sets = [{**one, "role": r, "role_instance": "main"} for one in sets for r in roles]
        elif "role" in metric.labels:
            sets = [{**one, "role": r} for one in sets for r in self.roles]
        return [(metric.name, labels, number) for labels in sets]

    def status(self, at: float) -> dict[str, Any]:
        return {
            role: {
                "main": {
                    "state": self.states.get(role, "running"),
                    "since": NOW,
                    "restarts": int(at) if role in self.restarting else 0,
                    "reason": None,
                    "message": None,
                }
            }
            for role in self.roles
        }


ALL: Final = ("record", "ingest", "stream", "monitor", "sync", "mix")
CAST: Final = (
    Player("hall1-cam", ALL),
    Player(  # a camera that fails, hears digital zero and sees nothing
        "hall2-cam",
        ALL,
        {
            "fleet_monitor_digital_silence": 1,
            "fleet_monitor_loudness_short_term_lufs": -70,
            "fleet_ingest_picture_present": 0,
            "fleet_ingest_sound_present": 0,
        },
        {"record": "failed"},
        ("record",),
    ),
    Player(  # a box at its end: slow, hot, nearly full, crashing, and its stream is down
        "hall2-mix",
        ALL,
        {
            "fleet_recording_bytes_total": 4e5,
            "fleet_monitor_loudness_short_term_lufs": -55,
            "fleet_monitor_picture_black": 1,
            "fleet_monitor_picture_frozen": 1,
            "fleet_stream_connected": 0,
            "fleet_station_disk_free_bytes": lambda t: 5e10 - 5e7 * t,
            "fleet_station_temperature_celsius": 82,
            "fleet_sync_pending_bytes": 8e9,
            "fleet_sync_oldest_unverified_timestamp_seconds": lambda t: time.time() - 7200,
            "fleet_sync_last_verified_timestamp_seconds": lambda t: time.time() - 7200,
            "fleet_station_mains": 0,
            "fleet_station_battery_charge_ratio": 0.4,
            "fleet_station_throttled": 1,
            "fleet_station_undervoltage": 1,
            "fleet_station_disk_healthy": 0,
            "fleet_station_tcp_retransmit_ratio": 0.03,
            "fleet_station_load5": 9,
            "fleet_station_link_bytes_per_second": 12.5e6,
            "fleet_station_clock_offset_seconds": -0.4,
        },
        {"stream": "failed"},
        ("record", "stream"),
    ),
    Player(  # too loud, no laptop; its owner rejects what is wanted of it
        "hall2-slides",
        ("ingest", "monitor"),
        {
            "fleet_ingest_picture_present": 0,
            "fleet_monitor_loudness_short_term_lufs": -8,
            "fleet_monitor_true_peak_dbtp": _PEAK_CLIPS,
            "fleet_monitor_channel_silent": 1,
        },
    ),
    Player(  # online, and does not come to run what is wanted; its monitor hangs
        "hall2-late",
        ("record", "monitor"),
        {"fleet_monitor_last_update_timestamp_seconds": lambda t: time.time() - 300},
        {"monitor": "starting"},
    ),
    Player("hall2-spare", ("record",)),  # switched off by somebody
    Player("hall2-boxed", ("record",), silent=True),  # still in its box
    Player("hall3-cam", ("record", "ingest")),  # lost with the core
    Player("hall4-cam", ("record",)),  # lost with the core
    Player("hall4-info", ("stream",)),  # lost with the core, and nobody runs for it
)


def conference(schedule: Path) -> str:
    text = f'[schedule]\nfile = "{schedule}"\n'
    text += "".join(f"[rooms.{room}]\n" for room in sorted({one.room for one in CAST}))
    for one in CAST:
        seat = one.name.partition("-")[2]
        text += f'[stations.{one.name}]\nid = "{one.id}"\nroom = "{one.room}"\nseat = "{seat}"\n'
        text += f'where = "{one.name}, back wall"\n'
        for role in one.roles:
            if role == "sync":
                text += 'roles.sync.main.target = {type = "path", path = "/mnt"}\n'
                continue
            if role == "mix":
                text += 'roles.mix.main = {sources = {cam = {host = "cam.local"}}, audio = "cam"}\n'
                continue
            first = "picture" if role == "ingest" else "source"
            text += f'roles.{role}.main.{first} = {{type = "test"}}\n'
            if role == "stream":
                text += 'roles.stream.main.target = {type = "hls"}\n'
    return text


class Day:
    """Plays the cast; `async with Day(stranger, directory):`."""

    def __init__(self, stranger: Stranger, directory: Path) -> None:
        self._stranger = stranger
        self._schedule = directory / "schedule.json"
        self._begun = time.monotonic()
        self._stations = {one.name: PretendStation(stranger, one.id) for one in CAST}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Day":
        for one in CAST:
            if not one.silent:
                await self._stations[one.name].come_online()
        now = datetime.now(UTC)
        talks = {
            "hall1": [event(1, now), event(2, now + HOUR)],
            "hall2": [event(3, now), event(4, now - 2 * HOUR)],  # of which nothing was recorded
        }
        self._schedule.write_bytes(published(talks))
        await apply(self._stranger, conference(self._schedule))
        for one in CAST:
            if one.silent:
                continue
            station = self._stations[one.name]
            config = await station.config()
            if one.name == "hall2-slides":
                problem = {
                    "type": "BlockedRole",
                    "role": "ingest",
                    "instance": None,
                    "path": None,
                    "message": "blocked here",
                }
                error = {"type": "BlockedRole", "message": "no", "problems": [problem]}
                await station.ack(config["revision"], "rejected", error)
            else:
                station.revision, station.roles = config["revision"], config["roles"]
                await station.ack()
        await self._say()  # what it cannot say ends the test at once
        self._task = asyncio.create_task(self._play())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def goes_wrong(self) -> None:
        """The schedule breaks, one box says goodbye, and with the core two rooms are lost."""
        self._schedule.write_bytes(b"<html>")
        await apply(self._stranger, conference(self._schedule))
        endings = {"hall2-spare": "offline"}
        endings |= dict.fromkeys(("hall3-cam", "hall4-cam", "hall4-info"), "lost")
        for one in CAST:
            if one.name in endings:
                one.silent = True
                await self._stations[one.name].presence(endings[one.name])

    async def _play(self) -> None:
        while True:
            await self._say()
            await asyncio.sleep(0.5)

    async def _say(self) -> None:
        at = time.monotonic() - self._begun
        for one in CAST:
            station = self._stations[one.name]
            if one.silent:
                continue
            status = {
                "boot": station.boot,
                "at": NOW,
                "revision": station.revision,
                "roles": one.status(at),
            }
            telemetry = {"boot": station.boot, "at": NOW, "families": one.telemetry(at)}
            self._stranger.publish(station.topic("status"), status, retain=True)
            self._stranger.publish(station.topic("telemetry"), telemetry, qos=0)
            if "monitor" in one.roles:
                self._stranger.publish(
                    station.topic("thumbnail/monitor/main"), b"\xff\xd8\xff", qos=0
                )
        # Somebody else's box has a word of its own, and two boxes share one id.
        self._stranger.publish(self._stations["hall1-cam"].topic("ack"), b"not JSON")
        twin = self._stations["hall2-late"]
        other = {"boot": "boot-2", "at": NOW, "families": []}
        self._stranger.publish(twin.topic("telemetry"), other, qos=0)

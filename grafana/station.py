"""One station: all of one box, for whoever stands in front of it."""

from grafana_foundation_sdk.models import dashboard as models

from grafana.alerts import alerts
from grafana.parts import (
    BOTH,
    NAME,
    TO_ROOM,
    Column,
    Panel,
    board,
    graph,
    room_variable,
    rows,
    station_variable,
    tiles,
    timeline,
)
from grafana.words import (
    GREEN,
    LOUDNESS,
    PRESENCE,
    RED,
    STATES,
    YELLOW,
    steps,
    yes_no,
)

_OF = 'station="$station"'
_ROLE = "{{role}}/{{role_instance}}"


def station() -> models.Dashboard:
    """The last of Rooms → Room → Station."""
    return board(
        "fleet-station",
        "Station",
        "What this box is told, what it does, and how it fares.",
        [room_variable(everything=True), station_variable()],
        [
            (4, _now()),
            (8, [(24, _states())]),
            (8, [(12, _loudness()), (12, _seen())]),
            (7, [(8, _recorded()), (8, _speed()), (8, _frames())]),
            (7, [(8, _captured()), (8, _readers()), (8, _sent())]),
            (7, [(8, _pending()), (8, _behind()), (8, _verified())]),
            (7, [(8, _load()), (8, _memory()), (8, _disk())]),
            (7, [(8, _heat()), (8, _link()), (8, _clock())]),
            (7, [(8, _power()), (8, _body()), (8, _lost())]),
            (7, [(8, _restarts()), (8, _agent()), (8, _release())]),
            (8, [(12, alerts("critical", _OF)), (12, alerts("warning", _OF))]),
        ],
    )


def _now() -> list[tuple[int, Panel]]:
    name = tiles(
        "Where",
        "Its room, and where in it the box stands; a click opens the room.",
        {"{{room}} {{where}}": f"fleet_station_info{{{_OF}}}"},
        show=NAME,
        link=TO_ROOM,
    )
    return [
        (4, name),
        (
            3,
            tiles(
                "Presence",
                "Offline was said by the station itself, lost was not.",
                {"presence": f"station:fleet_presence:code{{{_OF}}}"},
                words=PRESENCE,
            ),
        ),
        (
            3,
            tiles(
                "In sync",
                "Whether it runs exactly what is wanted of it.",
                {"in sync": f"fleet_station_in_sync{{{_OF}}}"},
                words=yes_no("yes", "no"),
            ),
        ),
        (
            4,
            tiles(
                "Revision",
                "Of its config: the one wanted, and the one it runs.",
                {
                    "running": f"fleet_station_running_revision{{{_OF}}}",
                    "wanted": f"fleet_station_wanted_revision{{{_OF}}}",
                },
                show=BOTH,
                decimals=0,
            ),
        ),
        (
            4,
            tiles(
                "Last rejection",
                "Why its last answer was a rejection; every mistake is told by fleet status.",
                {"{{type}}": f"fleet_station_config_rejected{{{_OF}}}"},
                words=yes_no("rejected", "no", good=False),
                show=BOTH,
            ),
        ),
        (
            2,
            tiles(
                "Maintenance",
                "Whether somebody works on it: then nobody is called.",
                {"maintenance": f"fleet_maintenance{{{_OF}}}"},
                words=yes_no("on", "off", good=None),
            ),
        ),
        (
            2,
            tiles(
                "One box?",
                "Whether two boxes use this id; neither then gets a new config.",
                {"conflict": f"fleet_station_conflict{{{_OF}}}"},
                words=yes_no("two boxes", "one", good=False),
            ),
        ),
        (
            2,
            tiles(
                "Up for",
                "Since the machine was started.",
                {"up": f"time() - fleet_station_boot_timestamp_seconds{{{_OF}}}"},
                unit="s",
            ),
        ),
    ]


def _states() -> Panel:
    return timeline(
        "What runs",
        "Every instance. Grey: the station cannot be heard.",
        {_ROLE: f"instance:fleet_state:code{{{_OF}}}"},
        STATES,
        link=None,
    )


def _loudness() -> Panel:
    short = f"clamp_min(instance:fleet_loudness_short_term:lufs{{{_OF}}}, -70)"
    momentary = f"clamp_min(fleet_monitor_loudness_momentary_lufs{{{_OF},track=''}}, -70)"
    return graph(
        "Loudness (LUFS)",
        "EBU R128, over 3 s and over 400 ms. Red: too quiet, green: good, yellow: too loud.",
        {
            "short-term {{role_instance}}": short,
            "momentary {{role_instance}}": momentary,
        },
        "none",
        bands=LOUDNESS,
        low=-60,
        high=0,
        link=None,
    )


def _seen() -> Panel:
    return timeline(
        "What monitors see",
        "Trouble with what is watched: silence, black, a picture that stands still.",
        {
            "digital zero {{role_instance}}": f"instance:fleet_digital_silence:bool{{{_OF}}}",
            "black {{role_instance}}": f"fleet_monitor_picture_black{{{_OF}}}",
            "frozen {{role_instance}}": f"fleet_monitor_picture_frozen{{{_OF}}}",
        },
        yes_no("trouble", "well", good=False),
        link=None,
    )


def _recorded() -> Panel:
    copy = f"rate(fleet_ingest_local_copy_bytes_total{{{_OF}}}[1m]) * 8"
    return graph(
        "Recorded",
        "What recordings and local copies grow by.",
        {
            _ROLE: f"rate(fleet_recording_bytes_total{{{_OF}}}[1m]) * 8",
            "local copy {{role_instance}}": copy,
        },
        "bps",
        low=0,
        link=None,
    )


def _speed() -> Panel:
    return graph(
        "Speed of ffmpeg",
        "Media time over real time: 1 keeps up, below it falls behind.",
        {_ROLE: f"fleet_ffmpeg_speed_ratio{{{_OF}}}"},
        "none",
        bands=steps(RED, (0.95, "transparent")),
        low=0.8,
        high=1.2,
        link=None,
    )


def _frames() -> Panel:
    return graph(
        "Frames",
        "Written, left out, and written twice to keep the rate, a second.",
        {
            f"{_ROLE} written": f"rate(fleet_ffmpeg_frames_total{{{_OF}}}[1m])",
            f"{_ROLE} dropped": f"rate(fleet_ffmpeg_dropped_frames_total{{{_OF}}}[1m])",
            f"{_ROLE} doubled": f"rate(fleet_ffmpeg_duplicated_frames_total{{{_OF}}}[1m])",
        },
        "none",
        low=0,
        link=None,
    )


def _captured() -> Panel:
    return graph(
        "What comes in",
        "Size of the picture and its frames a second, as the device sends it.",
        {
            "width {{role_instance}}": f"fleet_ingest_input_width_pixels{{{_OF}}}",
            "height {{role_instance}}": f"fleet_ingest_input_height_pixels{{{_OF}}}",
            "frames/s {{role_instance}}": f"fleet_ingest_input_rate_hertz{{{_OF}}}",
        },
        "none",
        low=0,
        link=None,
    )


def _readers() -> Panel:
    return graph(
        "Readers",
        "Connections an ingest serves.",
        {_ROLE: f"fleet_ingest_readers{{{_OF}}}"},
        "none",
        low=0,
        link=None,
    )


def _sent() -> Panel:
    return graph(
        "Streamed",
        "What is sent out of the building.",
        {_ROLE: f"rate(fleet_stream_bytes_total{{{_OF}}}[1m]) * 8"},
        "bps",
        low=0,
        link=None,
    )


def _pending() -> Panel:
    return graph(
        "Not copied yet",
        "Finished recordings that are not verified at their target.",
        {_ROLE: f"fleet_sync_pending_bytes{{{_OF}}}"},
        "bytes",
        low=0,
        link=None,
    )


def _behind() -> Panel:
    oldest = f"fleet_sync_oldest_unverified_timestamp_seconds{{{_OF}}}"
    return graph(
        "Copies behind",
        "How long ago the oldest of them was finished: yellow from 15 min on, red from an hour.",
        {_ROLE: f"(time() - {oldest}) * ({oldest} > bool 0)"},
        "s",
        bands=steps("transparent", (900, YELLOW), (3600, RED)),
        low=0,
        link=None,
    )


def _verified() -> Panel:
    return graph(
        "Copied",
        "Recordings that checksums of both sides say are the same.",
        {_ROLE: f"fleet_sync_verified_bytes{{{_OF}}}"},
        "bytes",
        low=0,
        link=None,
    )


def _load() -> Panel:
    return graph(
        "Processor",
        "Share of all processors in use; load over five minutes per processor, trouble from 2 on.",
        {
            "in use": f"fleet_station_cpu_usage_ratio{{{_OF}}}",
            "load per processor": f"fleet_station_load5{{{_OF}}} / fleet_station_cpus{{{_OF}}}",
        },
        "percentunit",
        bands=steps("transparent", (2, RED)),
        low=0,
        high=1,
        link=None,
    )


def _memory() -> Panel:
    return graph(
        "Memory",
        "What there is, and what can be had.",
        {
            "in all": f"fleet_station_memory_total_bytes{{{_OF}}}",
            "available": f"fleet_station_memory_available_bytes{{{_OF}}}",
        },
        "bytes",
        low=0,
        link=None,
    )


def _disk() -> Panel:
    return graph(
        "Disk used",
        "Yellow from 85 %, red from 95 %.",
        {
            "{{directory}}": f"1 - fleet_station_disk_free_bytes{{{_OF}}}"
            f" / fleet_station_disk_total_bytes{{{_OF}}}"
        },
        "percentunit",
        bands=steps("transparent", (0.85, YELLOW), (0.95, RED)),
        low=0,
        high=1,
        link=None,
    )


def _heat() -> Panel:
    return graph(
        "Temperature",
        "By sensor; too hot above 75 °C.",
        {"{{sensor}}": f"fleet_station_temperature_celsius{{{_OF}}}"},
        "celsius",
        bands=steps("transparent", (75, RED)),
        link=None,
    )


def _link() -> Panel:
    return rows(
        "Network link",
        "Below 1 Gbit/s or at half duplex it is usually the cable.",
        {
            "speed": f"max by (interface) (fleet_station_link_bytes_per_second{{{_OF}}}) * 8",
            "duplex": f"max by (interface) (fleet_station_link_full_duplex{{{_OF}}})",
            "cable": f"max by (interface) (fleet_station_link_up{{{_OF}}})",
        },
        {
            "speed": Column(thresholds=steps(RED, (1e9, GREEN)), unit="bps"),
            "duplex": Column(words=yes_no("full", "half")),
            "cable": Column(words=yes_no("there", "absent")),
        },
    )


def _power() -> Panel:
    return graph(
        "Battery",
        "How full it is, and whether there is mains (1) or not (0); nothing where it has none.",
        {
            "charge": f"fleet_station_battery_charge_ratio{{{_OF}}}",
            "mains": f"fleet_station_mains{{{_OF}}}",
        },
        "percentunit",
        bands=steps(RED, (0.2, "transparent")),
        low=0,
        high=1,
        link=None,
    )


def _body() -> Panel:
    return timeline(
        "Power and health",
        "Slowed down by heat, a power supply that is too weak, a disk that says that it fails.",
        {
            "throttled": f"fleet_station_throttled{{{_OF}}}",
            "undervoltage": f"fleet_station_undervoltage{{{_OF}}}",
            "{{device}} fails": f"1 - fleet_station_disk_healthy{{{_OF}}}",
        },
        yes_no("trouble", "well", good=False),
        link=None,
    )


def _lost() -> Panel:
    return graph(
        "TCP sent again",
        "Share of what it sends that the network loses; trouble above 1 %.",
        {"sent again": f"fleet_station_tcp_retransmit_ratio{{{_OF}}}"},
        "percentunit",
        bands=steps("transparent", (0.01, RED)),
        low=0,
        high=0.02,
        link=None,
    )


def _clock() -> Panel:
    return graph(
        "Clock offset",
        "Against its time servers; more than 200 ms shifts cuts and names.",
        {"offset": f"fleet_station_clock_offset_seconds{{{_OF}}}"},
        "s",
        bands=steps(RED, (-0.2, "transparent"), (0.2, RED)),
        low=-0.25,
        high=0.25,
        link=None,
    )


def _restarts() -> Panel:
    return graph(
        "Restarts in 5 minutes",
        "Three are a crash loop.",
        {_ROLE: f"increase(fleet_instance_restarts_total{{{_OF}}}[5m])"},
        "none",
        bands=steps("transparent", (3, RED)),
        low=0,
        link=None,
    )


def _agent() -> Panel:
    return graph(
        "Memory of the agent",
        "Resident; it does not grow.",
        {"memory": f"fleet_agent_resident_memory_bytes{{{_OF}}}"},
        "bytes",
        low=0,
        link=None,
    )


def _release() -> Panel:
    return tiles(
        "Release",
        "Of the agent, and the host name of its box.",
        {"{{version}} on {{hostname}}": f"fleet_station_agent_info{{{_OF}}}"},
        show=NAME,
    )

"""One room: what runs in it, how it sounds, whether it is saved and sent."""

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.models import dashboard as models

from grafana.alerts import alerts
from grafana.parts import (
    BOTH,
    TO_STATION,
    Panel,
    bars,
    board,
    graph,
    named,
    room_variable,
    tiles,
    timeline,
)
from grafana.words import (
    GREEN,
    GREY,
    LOUDNESS,
    PRESENCE,
    RED,
    STATES,
    TROUBLE,
    YELLOW,
    steps,
    yes_no,
)

_IN = 'room="$room"'
_PEAKS = steps(GREEN, (-12, YELLOW), (-5, RED))


def room() -> models.Dashboard:
    """Room → Station."""
    return board(
        "fleet-room",
        "Room",
        "What happens in this room: captured, with usable sound, saved, leaving the building?",
        [room_variable(everything=False)],
        [
            (4, _now()),
            (8, [(24, _states())]),
            (9, [(16, _loudness()), (8, _peaks())]),
            (7, [(12, _written()), (12, _bitrate())]),
            (6, [(8, _stream()), (8, _picture()), (8, _thumbnails())]),
            (6, [(12, _live()), (12, _mixed())]),
            (7, [(12, _disk()), (12, _presence())]),
            (8, [(12, alerts("critical", _IN)), (12, alerts("warning", _IN))]),
        ],
    )


def _now() -> list[tuple[int, Panel]]:
    return [
        (
            4,
            tiles(
                "$room",
                "The worst alert that fires in this room.",
                {"room": f"room:fleet_trouble:level{{{_IN}}}"},
                words=TROUBLE,
            ),
        ),
        (
            4,
            tiles(
                "Talk",
                "Whether a talk is on (as somebody said, else by its hours), and the room in use.",
                {
                    "talk": f"fleet_room_talk_on{{{_IN}}}",
                    "room in use": f"fleet_room_in_use{{{_IN}}}",
                },
                show=BOTH,
                words=yes_no("on", "off", good=None),
            ),
        ),
        (
            4,
            _recording(),
        ),
        (
            4,
            tiles(
                "Last write",
                "The oldest last write of a recording.",
                {
                    "last write": "max(time() -"
                    f" fleet_recording_last_write_timestamp_seconds{{{_IN}}})"
                },
                thresholds=steps(GREEN, (20, YELLOW), (60, RED)),
                unit="s",
            ),
        ),
        (
            4,
            tiles(
                "Stream",
                "Whether every stream that is wanted is taken by its target.",
                {"stream": f"min(instance:fleet_stream_live:bool{{{_IN}}})"},
                words=yes_no("live", "down"),
                nothing="none wanted",
            ),
        ),
        (
            4,
            tiles(
                "Disk left",
                "How long the fullest disk lasts if it fills as it does now.",
                {"disk": f"min(station:fleet_disk_left:seconds{{{_IN}}})"},
                thresholds=steps(RED, (2 * 3600, YELLOW), (6 * 3600, GREEN)),
                unit="s",
                nothing="not filling",
                decimals=1,
            ),
        ),
    ]


def _recording() -> Panel:
    wanted = (
        f'fleet_instance_wanted{{{_IN}, role="record"}} unless on (station, role, role_instance)'
        f' fleet_instance_state{{{_IN}, state="completed"}} == 1'
    )
    growing = f"sum(instance:fleet_recording_growing:bool{{{_IN}}})"
    panel = tiles(
        "Recording",
        "Recordings that grow now, and those that are wanted and do not.",
        {"growing": growing, "not growing": f"sum({wanted}) - ({growing} or vector(0))"},
        thresholds=steps(GREEN, (1, RED)),
        show=BOTH,
        nothing="none",
    )
    good = boards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps(GREEN))
    return panel.override_by_name(
        "growing", [models.DynamicConfigValue(id_val="thresholds", value=good.build())]
    )


def _states() -> Panel:
    return timeline(
        "What runs",
        "Every instance of the room's stations. Grey: its station cannot be heard.",
        {"{{name}} {{role}}/{{role_instance}}": named(f"instance:fleet_state:code{{{_IN}}}")},
        STATES,
    )


def _loudness() -> Panel:
    return graph(
        "Loudness",
        "Short-term loudness (EBU R128, 3 s). Red: too quiet, green: good, yellow: too loud. "
        "No line: nothing comes from the source.",
        {
            "{{name}} {{role_instance}}": named(
                f"clamp_min(instance:fleet_loudness_short_term:lufs{{{_IN}}}, -70)"
            )
        },
        "none",
        bands=LOUDNESS,
        low=-60,
        high=0,
    )


def _peaks() -> Panel:
    return bars(
        "True peaks (dBTP)",
        "Per channel, over the last second; above -5 it is about to clip.",
        {
            "{{name}} {{track}} {{channel}}": named(
                f"clamp_min(fleet_monitor_true_peak_dbtp{{{_IN}}}, -70)"
            )
        },
        "none",
        _PEAKS,
        -70,
        0,
    )


def _written() -> Panel:
    return graph(
        "Seconds since the last write",
        "A recording that is well writes every second; figures come every 10 s.",
        {
            "{{name}} {{role_instance}}": named(
                f"time() - fleet_recording_last_write_timestamp_seconds{{{_IN}}}"
            )
        },
        "s",
        bands=steps("transparent", (60, RED)),
        low=0,
    )


def _bitrate() -> Panel:
    return graph(
        "Recorded",
        "What recordings grow by.",
        {
            "{{name}} {{role_instance}}": named(
                f"rate(fleet_recording_bytes_total{{{_IN}}}[1m]) * 8"
            )
        },
        "bps",
        low=0,
    )


def _stream() -> Panel:
    return timeline(
        "Stream",
        "Whether each stream that is wanted is taken by its target.",
        {"{{name}} {{role_instance}}": named(f"instance:fleet_stream_live:bool{{{_IN}}}")},
        yes_no("live", "down"),
    )


def _live() -> Panel:
    return timeline(
        "Live or blank",
        "Whether the mixer's blankable output shows the program. Blank in a talk: fleet live ROOM.",
        {"{{name}} {{role_instance}}": named(f"fleet_mix_live{{{_IN}}}")},
        yes_no("live", "blank"),
    )


def _mixed() -> Panel:
    return timeline(
        "Mixer's sources",
        "Whether each source of the mixer sends, and which one is heard.",
        {
            "{{source}}": named(f"fleet_mix_source_present{{{_IN}}}"),
            "{{source}} heard": named(f"fleet_mix_audio_source{{{_IN}}} == 1"),
        },
        yes_no("there", "absent"),
    )


def _picture() -> Panel:
    return timeline(
        "Signal",
        "Whether devices send picture and sound, and whether what monitors watch sends at all.",
        {
            "{{name}} picture": named(f"fleet_ingest_picture_present{{{_IN}}}"),
            "{{name}} sound": named(f"fleet_ingest_sound_present{{{_IN}}}"),
            "{{name}} watched": named(f"fleet_monitor_signal{{{_IN}}}"),
        },
        yes_no("there", "absent"),
    )


def _thumbnails() -> Panel:
    return tiles(
        "Age of thumbnails",
        "How old the newest picture of each monitor is. Grey: stale, nobody knows what is seen.",
        {
            "{{name}} {{role_instance}}": named(
                f"time() - fleet_instance_last_thumbnail_timestamp_seconds{{{_IN}}}"
            )
        },
        thresholds=steps(GREEN, (30, GREY)),
        unit="s",
        link=TO_STATION,
        show=BOTH,
        nothing="no picture yet",
        decimals=0,
    )


def _disk() -> Panel:
    return graph(
        "Disk free",
        "Of the recordings' disk.",
        {"{{name}}": named(f"fleet_station_disk_free_bytes{{{_IN}}}")},
        "bytes",
        low=0,
    )


def _presence() -> Panel:
    return timeline(
        "Stations",
        "Offline was said by the station itself, lost was not.",
        {"{{name}}": named(f"station:fleet_presence:code{{{_IN}}}")},
        PRESENCE,
    )

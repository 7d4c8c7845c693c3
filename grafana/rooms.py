"""The first board: which room needs somebody, worst first."""

from grafana_foundation_sdk.models import dashboard as models

from grafana.alerts import alerts
from grafana.parts import BOTH, TO_ROOM, Column, board, rows, tiles
from grafana.words import GREEN, LOUDNESS, RED, TROUBLE, YELLOW, steps, yes_no

_WRITTEN = steps(GREEN, (20, YELLOW), (60, RED))
_LEFT = steps(RED, (2 * 3600, YELLOW), (6 * 3600, GREEN))


def rooms() -> models.Dashboard:
    """Rooms → Room → Station."""
    each = tiles(
        "Rooms",
        "Red: somebody has to go there. Yellow: worth a look. Grey: nothing is known. "
        "Worst first; a click opens the room.",
        {"{{room}}": "sort_desc(room:fleet_trouble:level)"},
        words=TROUBLE,
        link=TO_ROOM,
        show=BOTH,
        nothing="no rooms",
    )
    detail = rows(
        "What happens in them",
        "REC: recordings that grow, of those wanted. LIVE: whether a stream leaves the building. "
        "The oldest last write, the loudest sound and the fullest disk of each room.",
        {
            "room is": "room:fleet_trouble:level",
            "in use": 'max by (room) (fleet_room_in_use{room!=""})',
            "talk": 'max by (room) (fleet_room_talk_on{room!=""})',
            "REC": 'sum by (room) (instance:fleet_recording_growing:bool{room!=""})'
            ' or on (room) 0 * sum by (room) (fleet_instance_wanted{role="record", room!=""})',
            "wanted": 'sum by (room) (fleet_instance_wanted{role="record", room!=""})',
            "LIVE": 'max by (room) (instance:fleet_stream_live:bool{room!=""})',
            "LUFS": 'max by (room) (instance:fleet_loudness_short_term:lufs{room!=""})',
            "last write": "max by (room) (time() -"
            ' fleet_recording_last_write_timestamp_seconds{room!=""})',
            "disk left": 'min by (room) (station:fleet_disk_left:seconds{room!=""})',
        },
        {
            "room": Column(link=TO_ROOM),
            "room is": Column(words=TROUBLE),
            "in use": Column(words=yes_no("yes", "no", good=None)),
            "talk": Column(words=yes_no("on", "off", good=None)),
            "LIVE": Column(words=yes_no("live", "down")),
            "LUFS": Column(thresholds=LOUDNESS, unit="none"),
            "last write": Column(thresholds=_WRITTEN, unit="s"),
            "disk left": Column(thresholds=_LEFT, unit="s"),
        },
        sort=("room is", True),
    )
    talks = rows(
        "Talks of today",
        "Whether each talk that is over is there, and plays: green, yellow with the reason, red. "
        "fleet receipt says all that is known of one.",
        {"receipt": "max by (room, title, verdict, why, guid) (fleet_talk_receipt)"},
        {
            "room": Column(link=TO_ROOM, width=80),
            "verdict": Column(width=80),
            "guid": Column(hidden=True),
        },
        hide=["receipt"],
        order=["verdict", "room", "title", "why", "guid"],
        nothing="no talk of today is over, or the schedule knows none",
    )
    return board(
        "fleet-rooms",
        "Rooms",
        "Which room needs somebody?",
        [],
        [
            (7, [(24, each)]),
            (9, [(24, detail)]),
            (7, [(24, talks)]),
            (8, [(12, alerts("critical", 'room=~".*"')), (12, alerts("warning", 'room=~".*"'))]),
        ],
    )

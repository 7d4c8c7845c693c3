"""The fleet: versions, revisions, rollouts, and how manager and broker fare."""

from grafana_foundation_sdk.models import dashboard as models

from grafana.parts import (
    BOTH,
    NAME,
    TO_ROOM,
    TO_STATION,
    Column,
    Panel,
    board,
    graph,
    named,
    rows,
    tiles,
)
from grafana.words import BLUE, GREEN, PRESENCE, RED, YELLOW, steps, yes_no


def fleet() -> models.Dashboard:
    """For whoever looks after all the boxes."""
    return board(
        "fleet-fleet",
        "Fleet",
        "Does every box run what is wanted of it, in the release that is wanted?",
        [],
        [
            (4, _now()),
            (12, [(16, _stations()), (8, _versions())]),
            (7, [(12, _targets()), (12, _sync())]),
            (7, [(8, _messages()), (8, _unreadable()), (8, _manager())]),
            (7, [(8, _agents()), (8, _ignored()), (8, _omitted())]),
        ],
        hours=6,
    )


def _now() -> list[tuple[int, Panel]]:
    return [
        (
            3,
            tiles(
                "Release",
                "Of the manager.",
                {"{{version}}": "fleet_build_info"},
                show=NAME,
            ),
        ),
        (
            3,
            tiles(
                "Manager",
                "Whether Prometheus can read it.",
                {"manager": 'up{job="fleet-manager"}'},
                words=yes_no("up", "silent"),
                nothing="silent",
            ),
        ),
        (
            3,
            tiles(
                "Broker",
                "Whether the manager is connected to it.",
                {"broker": "fleet_manager_broker_connected"},
                words=yes_no("connected", "gone"),
            ),
        ),
        (
            4,
            tiles(
                "Stations online",
                "Of all that are known.",
                {"online": "sum(fleet_station_up)", "known": "count(fleet_station_up)"},
                show=BOTH,
            ),
        ),
        (
            4,
            tiles(
                "Stations in sync",
                "Those that run exactly what is wanted.",
                {"in sync": "sum(fleet_station_in_sync)", "known": "count(fleet_station_in_sync)"},
                show=BOTH,
            ),
        ),
        (
            4,
            tiles(
                "Rejections",
                "Stations that rejected their config.",
                {"rejected": "sum(fleet_station_config_rejected)"},
                thresholds=steps(GREEN, (1, RED)),
            ),
        ),
        (
            3,
            tiles(
                "Rollout",
                "Whether one is running.",
                {"rollout": "fleet_rollout_running"},
                words=yes_no("under way", "none", good=None),
            ),
        ),
    ]


def _stations() -> Panel:
    columns = "station, name, room, where"
    of = "on (station) group_left (name, where) fleet_station_info"
    return rows(
        "Stations",
        "Wanted and running are revisions of the config.",
        {
            "presence": f"sum by ({columns}) (station:fleet_presence:code * {of})",
            "in sync": f"sum by ({columns}) (fleet_station_in_sync * {of})",
            "wanted": f"sum by ({columns}) (fleet_station_wanted_revision * {of})",
            "running": f"sum by ({columns}) (fleet_station_running_revision * {of})",
            "maintenance": f"sum by ({columns}) (fleet_maintenance * {of})",
            "rejected": f"sum by ({columns}) (fleet_station_config_rejected * {of})",
        },
        {
            "name": Column(link=TO_STATION),
            "room": Column(link=TO_ROOM),
            "station": Column(hidden=True),
            "presence": Column(words=PRESENCE),
            "in sync": Column(words=yes_no("yes", "no")),
            "maintenance": Column(words=yes_no("on", "off", good=None)),
            "rejected": Column(words=yes_no("rejected", "no", good=False)),
        },
        sort=("in sync", False),
        nothing="no station is known",
    )


def _versions() -> Panel:
    return rows(
        "Releases",
        "Of the agents, and how many stations run each.",
        {"stations": "count by (version) (fleet_station_agent_info)"},
        {"stations": Column(thresholds=steps(BLUE))},
        sort=("stations", True),
    )


def _targets() -> Panel:
    return graph(
        "Rollout",
        "Stations of the rollout by what became of them.",
        {"{{outcome}}": "fleet_rollout_targets"},
        "none",
        low=0,
        link=None,
    )


def _sync() -> Panel:
    return graph(
        "Not in sync",
        "Stations that are online and do not run what is wanted.",
        {"stations": "count(fleet_station_in_sync == 0 and on (station) fleet_station_up == 1)"},
        "none",
        low=0,
        link=None,
    )


def _messages() -> Panel:
    return graph(
        "Messages heard",
        "By the manager, a second, by kind.",
        {"{{kind}}": "sum by (kind) (rate(fleet_mqtt_messages_total[1m]))"},
        "none",
        low=0,
        link=None,
    )


def _unreadable() -> Panel:
    return graph(
        "Messages that could not be read",
        "They change nothing; topic and reason are in the manager's log.",
        {"{{kind}}": "sum by (kind) (increase(fleet_mqtt_undecodable_total[5m]))"},
        "none",
        low=0,
        link=None,
    )


def _manager() -> Panel:
    return graph(
        "Scrape of the manager",
        "How long /metrics takes.",
        {"scrape": 'scrape_duration_seconds{job="fleet-manager"}'},
        "s",
        bands=steps("transparent", (2, YELLOW), (4, RED)),
        low=0,
        link=None,
    )


def _agents() -> Panel:
    return graph(
        "Processor time of the agents",
        "Share of one processor.",
        {"{{name}}": named("rate(fleet_agent_cpu_seconds_total[1m])")},
        "percentunit",
        low=0,
    )


def _ignored() -> Panel:
    return graph(
        "Messages the agents ignored",
        "In five minutes: retained commands and the like.",
        {"{{name}} {{kind}}": named("increase(fleet_agent_messages_ignored_total[5m])")},
        "none",
        low=0,
    )


def _omitted() -> Panel:
    return graph(
        "Figures left out",
        "Series a role has beyond the 200 that a station reports.",
        {"{{name}} {{role}}": named("fleet_role_series_omitted")},
        "none",
        low=0,
    )

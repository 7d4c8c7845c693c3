"""What Prometheus is shown. Reads ledger and inventory, changes nothing."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import define, field
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fleet import __version__
from fleet.manager import report, station_status
from fleet.manager.findings.whole import sound_watched
from fleet.manager.health import running_revision, stand
from fleet.manager.recordings.keeper import Recordings
from fleet.manager.rollouts.model import Outcome
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.stops import is_stopped
from fleet.manager.stations.telemetry import Figures
from fleet.manager.stations.thumbnails import Thumbnails
from fleet.manager.store.ledger import Ledger
from fleet.model import CONFIG_ERRORS, PresenceState, Result, Roles, State
from fleet.operations.health import Standing
from fleet.operations.recordings import Receipt

RESERVED: Final = frozenset(
    f"fleet_{name}"
    for name in (
        "build_info",
        "notifications",
        "manager_broker_connected",
        "manager_loop_lag_seconds",
        "station_info",
        "station_agent_info",
        "station_up",
        "station_presence",
        "station_conflict",
        "station_credential_ends_timestamp_seconds",
        "boxes_waiting",
        "broker_certificate_ends_timestamp_seconds",
        "station_in_sync",
        "station_wanted_revision",
        "station_running_revision",
        "station_config_rejected",
        "instance_wanted",
        "instance_stopped_by_hand",
        "instance_state",
        "instance_restarts",
        "instance_last_thumbnail_timestamp_seconds",
        "mqtt_messages",
        "mqtt_undecodable",
        "room_talk_on",
        "room_talk_info",
        "room_next_talk_timestamp_seconds",
        "talk_receipt",
        "schedule_good",
        "schedule_last_good_timestamp_seconds",
        "schedule_talks",
        "room_in_use",
        "room_sound_watched",
        "maintenance",
        "rollout_running",
        "rollout_targets",
    )
)
"""Families that are the manager's own, whatever a station sends."""
_TEXT: Final = 300
"""Characters of a reason in a label."""
_INSTANCE: Final = ("station", "room", "role", "role_instance")


@define
class Counts:
    """Messages by kind: all, and those that could not be read."""

    messages: Counter[str] = field(factory=Counter)
    undecodable: Counter[str] = field(factory=Counter)


class FleetCollector(Collector):
    """Makes every family anew at each scrape, so that nothing is left of a station gone."""

    def __init__(
        self,
        ledger: Ledger,
        inventory: Inventory,
        figures: Figures,
        thumbnails: Thumbnails,
        counts: Counts,
        schedule: ScheduleWatch,
        recordings: Recordings,
        notifications: Callable[[], Mapping[str, int]],
        lag: Callable[[], float],
        access: Callable[[], Iterable[Metric]],
    ) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._figures = figures
        self._thumbnails = thumbnails
        self._counts = counts
        self._schedule = schedule
        self._recordings = recordings
        self._notifications = notifications
        self._lag = lag
        self._access = access

    def collect(self) -> Iterator[Metric]:
        """All families."""
        build = GaugeMetricFamily(
            "fleet_build_info", "The release of the manager.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily(
            "fleet_manager_broker_connected",
            "Whether stations can be heard.",
            self._inventory.connected,
        )
        yield GaugeMetricFamily(
            "fleet_manager_loop_lag_seconds",
            "How late the manager's event loop was at most in the last half minute.",
            self._lag(),
        )
        yield from self._stations()
        yield from self._access()
        yield from self._instances()
        yield from _said(
            self._ledger, report.shown(self._ledger, self._inventory), datetime.now(UTC)
        )
        yield from _talks(self._ledger, self._schedule, datetime.now(UTC))
        yield _receipts(self._recordings.decided)
        called = CounterMetricFamily(
            "fleet_notifications",
            "Notifications to people, by what became of each try.",
            labels=["result"],
        )
        for result, number in self._notifications().items():
            called.add_metric([result], number)
        yield called
        yield _counter("fleet_mqtt_messages", "Messages heard.", self._counts.messages)
        yield _counter(
            "fleet_mqtt_undecodable",
            "Messages that could not be read; they changed nothing.",
            self._counts.undecodable,
        )
        yield from self._figures.families(
            time.monotonic(), lambda station: self._ledger[station].facts.room or ""
        )

    def _stations(self) -> Iterator[Metric]:
        info = _gauge(
            "station_info", "What people call a station.", "name", "room", "seat", "where"
        )
        agent = _gauge(
            "station_agent_info", "What runs on a station.", "room", "hostname", "version"
        )
        up = _gauge("station_up", "Whether a station can be reached.", "room")
        presence = _gauge(
            "station_presence",
            "1 for the presence of a station, 0 for every other.",
            *("room", "state"),
        )
        conflict = _gauge("station_conflict", "Whether two boxes use this id.", "room")
        in_sync = _gauge(
            "station_in_sync", "Whether a station runs exactly what is wanted of it.", "room"
        )
        wanted = _gauge("station_wanted_revision", "The revision wanted, 0 for none.", "room")
        running = _gauge("station_running_revision", "The revision in force, 0 for none.", "room")
        rejected = _gauge(
            "station_config_rejected",
            "Whether the station's last answer was a rejection of this type.",
            *("room", "type"),
        )
        for id_ in report.shown(self._ledger, self._inventory):
            entry, heard = self._ledger[id_], self._inventory.get(id_)
            facts, room = entry.facts, entry.facts.room or ""
            is_ = self._inventory.presence(id_)
            info.add_metric([id_, facts.name or id_, room, facts.seat or "", facts.where or ""], 1)
            if heard and heard.registration:
                said = heard.registration
                agent.add_metric([id_, room, said.hostname, said.agent], 1)
            up.add_metric([id_, room], is_ is PresenceState.ONLINE)
            for state in PresenceState:
                presence.add_metric([id_, room, state.value], is_ is state)
            said_so = self._inventory.reported(id_, entry.heard)
            config = entry.config
            standing, _ = stand(
                config.roles if config else None, config.revision if config else None, said_so
            )
            conflict.add_metric([id_, room], said_so.conflict)
            in_sync.add_metric([id_, room], standing is Standing.IN_SYNC)
            wanted.add_metric([id_, room], config.revision if config else 0)
            revision = running_revision(said_so)
            if revision is not None:
                running.add_metric([id_, room], revision)
            ack = heard.ack if heard else None
            error = ack.error.type if ack and ack.error and ack.result is Result.REJECTED else None
            for type_ in CONFIG_ERRORS:
                rejected.add_metric([id_, room, type_.__name__], type_.__name__ == error)
        yield from (info, agent, up, presence, conflict, in_sync, wanted, running, rejected)

    def _instances(self) -> Iterator[Metric]:
        wanted = GaugeMetricFamily(
            "fleet_instance_wanted",
            "1 where an instance is to run, 0 where it is not wanted or somebody stopped it.",
            labels=_INSTANCE,
        )
        stopped = GaugeMetricFamily(
            "fleet_instance_stopped_by_hand",
            "1 where somebody has stopped an instance.",
            labels=_INSTANCE,
        )
        states = GaugeMetricFamily(
            "fleet_instance_state",
            "1 for the state an instance is in, 0 for every other.",
            labels=[*_INSTANCE, "state"],
        )
        restarts = CounterMetricFamily(
            "fleet_instance_restarts", "How often an instance was restarted.", labels=_INSTANCE
        )
        pictures = GaugeMetricFamily(
            "fleet_instance_last_thumbnail_timestamp_seconds",
            "When the newest thumbnail of an instance came in.",
            labels=_INSTANCE,
        )
        now = datetime.now(UTC)
        clock_began = now.timestamp() - time.monotonic()
        for id_ in report.shown(self._ledger, self._inventory):
            entry, presence = self._ledger[id_], self._inventory.presence(id_)
            heard = self._inventory.get(id_)
            said = heard.status.roles if heard and heard.status else {}
            room = entry.facts.room or ""
            named = entry.config.roles if entry.config else {}
            roles = station_status.instances(entry.config, heard, presence, now, time.monotonic())
            for role, instances in roles.items():
                for name, one in instances.items():
                    to_run = name in named.get(role, {}) and not is_stopped(one)
                    wanted.add_metric([id_, room, role, name], to_run)
                    if is_stopped(one):
                        stopped.add_metric([id_, room, role, name], 1)
                    for state in State:
                        labels = [id_, room, role, name, state.value]
                        states.add_metric(labels, one.state is state)
                    if name in said.get(role, {}):  # a zero nobody said would look like a reset
                        restarts.add_metric([id_, room, role, name], one.restarts)
                    picture = self._thumbnails.get(id_, role, name)
                    if picture is not None:
                        came = round(clock_began + picture.at, 2)
                        pictures.add_metric([id_, room, role, name], came)
        yield from (wanted, stopped, states, restarts, pictures)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fleet_{name}", documentation, labels=["station", *labels])


def _counter(name: str, documentation: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, labels=["kind"])
    for kind, count in sorted(counts.items()):
        family.add_metric([kind], count)
    return family


def _said(ledger: Ledger, stations: Iterable[str], at: datetime) -> Iterator[Metric]:
    """What people said, as it holds at `at`: talks, hours, maintenance, rollouts."""
    talk = GaugeMetricFamily(
        "fleet_room_talk_on",
        "Whether a talk is on, as somebody said, or as the schedule or the room's hours say.",
        labels=["room"],
    )
    used = GaugeMetricFamily(
        "fleet_room_in_use", "Whether it is within the room's hours.", labels=["room"]
    )
    watched = GaugeMetricFamily(
        "fleet_room_sound_watched",
        "Whether a monitor is to hear the room; absent where nothing is to be heard.",
        labels=["room"],
    )
    maintenance = GaugeMetricFamily(
        "fleet_maintenance",
        "Whether somebody works on the station or its room, so that nobody is called.",
        labels=["station", "room"],
    )
    names = set(ledger.rooms.rooms)
    serve: dict[str, list[tuple[str | None, Roles]]] = {}
    for station in stations:
        room = ledger[station].facts.room
        said = ledger.rooms.maintenance(station, room, at)
        maintenance.add_metric([station, room or ""], said is not None)
        if room:
            names.add(room)
        if room and said is None:
            entry = ledger[station]
            roles = entry.config.roles if entry.config else {}
            serve.setdefault(room, []).append((entry.facts.seat, roles))
    for room in sorted(names):
        talk.add_metric([room], ledger.rooms.talk_on(room, at))
        used.add_metric([room], ledger.rooms.in_use(room, at))
        if (heard := sound_watched(serve.get(room, ()))) is not None:
            watched.add_metric([room], heard)
    yield from (talk, used, watched, maintenance)
    yield GaugeMetricFamily(
        "fleet_rollout_running", "Whether a rollout is going on.", ledger.running is not None
    )
    targets = GaugeMetricFamily(
        "fleet_rollout_targets",
        "Stations of the last rollout, by what became of them.",
        labels=["outcome"],
    )
    counts = Counter(one.outcome for one in ledger.rollout.targets) if ledger.rollout else None
    for outcome in Outcome:
        targets.add_metric([outcome.value], counts[outcome] if counts else 0)
    yield targets


def _talks(ledger: Ledger, schedule: ScheduleWatch, at: datetime) -> Iterator[Metric]:
    """What the schedule says, and how it stands with it; nothing where there is none."""
    rooms = ledger.rooms
    if schedule.source is None:
        return
    if schedule.trouble is not None or rooms.schedule is not None:
        good = schedule.trouble is None
        about = "Whether the schedule can be used as it is published now."
        yield GaugeMetricFamily("fleet_schedule_good", about, good)
    if schedule.good_at is not None:
        yield GaugeMetricFamily(
            "fleet_schedule_last_good_timestamp_seconds",
            "When the schedule was last found good.",
            schedule.good_at.timestamp(),
        )
    talks = len(rooms.schedule.talks) if rooms.schedule else 0
    yield GaugeMetricFamily("fleet_schedule_talks", "Talks in the schedule in use.", talks)
    on = GaugeMetricFamily(
        "fleet_room_talk_info",
        "The talk that the schedule has in a room now.",
        labels=["room", "title", "guid"],
    )
    following = GaugeMetricFamily(
        "fleet_room_next_talk_timestamp_seconds",
        "When the next talk begins in a room.",
        labels=["room"],
    )
    for room in sorted(rooms.matched.rooms):
        now = rooms.talks(room, at)
        if now is not None and now.on is not None:
            on.add_metric([room, now.on.title, now.on.guid], 1)
        if now is not None and now.next is not None:
            following.add_metric([room], now.next.begin.timestamp())
    yield from (on, following)


def _receipts(receipts: Iterable[Receipt]) -> Metric:
    family = GaugeMetricFamily(
        "fleet_talk_receipt",
        "1 for what is known of the recording of a talk of today that is over.",
        labels=["room", "guid", "title", "verdict", "why"],
    )
    for one in receipts:
        why = one.why[:_TEXT]
        family.add_metric([one.room, one.talk.guid, one.talk.title, str(one.verdict), why], 1)
    return family

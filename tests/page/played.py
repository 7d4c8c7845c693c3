"""A fleet that is played for the page: every kind of trouble, in rooms of all kinds of names.

Judged, made and served by the manager's own code; only what stations say is made up.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import evolve, frozen

from fleet.manager.conference.talks import TalksNow
from fleet.manager.health import Judge
from fleet.manager.stations.state import Readings, RoomUse, StationState
from fleet.manager.stations.thumbnails import Thumbnail
from fleet.manager.web.page.cards import Board, RoomView, board
from fleet.manager.web.page.controls import (
    MixerControl,
    RoomControls,
    SourceControl,
    controls,
)
from fleet.manager.web.page.look import Look
from fleet.model import Family, PresenceState, Problem, Roles, Sample, State, Telemetry
from fleet.operations.recordings import Receipt, Verdict
from fleet.operations.stations import InstanceReport, StationStatus
from fleet.schedule import ScheduledRoom, ScheduledTalk

_ZONE: Final = ZoneInfo("Europe/Brussels")
_WHERE: Final = {"cam": "tripod, back wall", "slides": "under the lectern", "mix": "desk, back row"}
_WANTED: Final[Roles] = {"record": {"main": {}}, "monitor": {"main": {}}}
_TITLES: Final = (
    "Hall 1",
    "Hall 2",
    "Hall 3",
    "Hall 4",
    "Hall 5",
    "Foyer",
    "Workshop A",
    "Workshop B",
    "Auditorium",
    "Library",
    "Attic",
    "Annex",
    "Club",
    "Chapel",
    "Garden tent",
)
_WHY: Final[Mapping[Verdict, str]] = {
    "green": "covered, decodes, heard and copied",
    "yellow": "silent (left) for 41.0 s at {begin:%H}:12:30 CET; it is in record/main of "
    "{room}-cam",
    "red": "312 s are missing (312 s from {begin:%H}:20:05 CET, it crashed); 88% is in record/main "
    "of {room}-cam",
}
_TALKS: Final = (
    "Opening",
    "Ten years of capturing talks, and what we would do otherwise",
    "Sound that one understands in the last row",
    "<b>HTML</b> is not a talk",
    "Lightning talks",
)
_HARD: Final = (
    "Großer Hörsaal der Fakultät für Elektrotechnik und Informationstechnik",
    "القاعة الكبرى للمؤتمرات",
    "אולם ראשי",
    "🎤 Main stage 🎸",
    "<img src=x onerror=alert(1)>",
    "Donaudampfschifffahrtsgesellschaftskapitänskajütenhall",
)


def halls(count: int) -> dict[str, str]:
    """Rooms and their titles, one of which is long."""
    titles = [*_TITLES[:3], _HARD[0], *_TITLES[4:]]
    return {f"room{number + 1}": title for number, title in enumerate(titles[:count])}


@frozen
class Trouble:
    """What is wrong with one box."""

    seat: str = "cam"
    record: tuple[State, str | None, str | None] = (State.RUNNING, None, None)
    monitor: tuple[State, str | None, str | None] = (State.RUNNING, None, None)
    presence: PresenceState = PresenceState.ONLINE
    lufs: float = -23.0
    peaks: Mapping[str, tuple[float, ...]] = {"1": (-9.0, -10.5)}
    dead: str | None = None
    picture: str | None = None
    """Another than the seat's; '' for none."""
    free: float = 400e9
    blank: bool = False
    mixer: str | None = None
    """The reason that its mixer gives."""
    problem: str | None = None


_RUNS: Final = (State.RUNNING, None, None)
_TROUBLES: Final = (
    Trouble("cam", presence=PresenceState.LOST),
    Trouble(
        "slides",
        record=(
            State.FAILED,
            "NoSignal",
            "nothing comes from the capture stick: check the cable to the laptop",
        ),
        picture="",
    ),
    Trouble(
        "mix",
        monitor=(
            State.RUNNING,
            "DigitalSilence",
            "the sound is digital zero: check that the desk sends to the mixer",
        ),
        lufs=-120,
        peaks={"1": (-120.0, -120.0)},
    ),
    Trouble(
        "mix",
        monitor=(State.RUNNING, "SoundHigh", "peaks at -0.1 dBTP: turn it down at the desk"),
        lufs=-9,
        peaks={"1": (-0.1, -0.4)},
    ),
    Trouble(
        "cam",
        monitor=(State.RUNNING, "PictureBlack", "the picture is black: check lens cap and signal"),
        picture="black",
    ),
    Trouble(
        "mix",
        monitor=(State.RUNNING, "SoundLow", "the sound is at -51.0 LUFS, -48 or below: turn it up"),
        lufs=-51,
        peaks={"1": (-38.0, -41.0)},
    ),
    Trouble("mix", blank=True),
    Trouble("mix", mixer="StreamBlank"),
    Trouble(
        "mix",
        monitor=(
            State.RUNNING,
            "ChannelSilent",
            "track 1, right is silent while left is heard: check its cable",
        ),
        peaks={"1": (-8.5, -120.0)},
        dead="right",
    ),
    Trouble("cam", free=4e9),
    Trouble("cam", presence=PresenceState.UNKNOWN),
    Trouble("slides", problem="record/main /segment_seconds: expected 1 to 86400, got 0"),
    Trouble("cam", record=(State.BACKOFF, "DiskFull", "No space left on device"), free=0),
    Trouble(
        "cam", monitor=(State.RUNNING, "PictureFrozen", "the picture has not changed for 30 s")
    ),
)
_TRACKS: Final = {"speaker": (-9.0,), "floor": (-12.0, -13.5), "de": (-10.0,), "fr": (-19.0,)}


_Sample = tuple[dict[str, str], float]


class Play(Look):
    """A played fleet in place of the manager's own knowledge."""

    def __init__(self, count: int, bad: bool, pictures: Mapping[str, bytes]) -> None:
        self._count, self._bad, self._jpegs = count, bad, pictures
        self._shown: dict[str, dict[tuple[str, str], Thumbnail]] = {}
        self._judge = Judge()
        self._noon = datetime.now(_ZONE).replace(hour=11, minute=42, second=7)
        self._began = time.monotonic()

    hurried = False

    def watch(self, acted: Callable[[], None]) -> None:
        """Nobody acts here."""

    def is_watched(self) -> None:
        """There is no mixer to ask."""

    def now(self) -> float:
        """Before noon, running."""
        return self._moment().timestamp()

    def _moment(self) -> datetime:
        return self._noon + timedelta(seconds=time.monotonic() - self._began)

    async def board(self) -> Board:
        """As the manager makes it."""
        now = self._moment()
        rooms: dict[str, RoomView] = {}
        stations: list[StationState] = []
        shown: dict[str, dict[tuple[str, str], Thumbnail]] = {}
        for number in range(self._count):
            trouble = None
            if self._bad and (self._count == 1 or number % 5 != 4):
                trouble = _TROUBLES[(number - number // 5) % len(_TROUBLES)]
                trouble = trouble if self._count > 1 else _TROUBLES[1]
            name, use = f"room{number + 1}", self._use(number, now)
            own = list(self._boxes(name, number, trouble, now))
            judged = [
                evolve(
                    one,
                    status=evolve(one.status, findings=tuple(self._judge.station(one, use, now))),
                )
                for one, _ in own
            ]
            found = tuple(self._judge.room(name, judged, use, now))
            until = now.replace(hour=12, minute=15 * (number % 3)) if use.talk else None
            told = tuple(self._receipts(name, number, now))
            by_hand = self._by_hand(number, controls(judged, {}, {}, {}, now))
            rooms[name] = RoomView(self._title(number), use, found, until, told, by_hand)
            stations += judged
            for one, picture in own:
                if picture:
                    old = 70 if one.status.presence is not PresenceState.ONLINE else 3
                    jpeg = self._jpegs[picture]
                    shown[one.name] = {("monitor", "main"): Thumbnail(jpeg, now.timestamp() - old)}
        self._judge.looked()
        self._shown = shown
        return board("DemoCon 26", rooms, stations, shown, True, now)

    def picture(self, station: str, role: str, instance: str) -> bytes | None:
        """The newest picture."""
        found = self._shown.get(station, {}).get((role, instance))
        return found.jpeg if found else None

    def _by_hand(self, number: int, known: RoomControls) -> RoomControls:
        """What people did there: something in each of some rooms, all of it in some."""
        mix = f"room{number + 1}-mix"
        said = f"{mix} stream/main stopped by ann until Sun 12:30 CET"
        mixers: tuple[MixerControl, ...] = ()
        if number % 3 == 1:
            sources = SourceControl("cam", True), SourceControl("slides", True)
            shown = (mix, "main", number % 2 == 0, "side_by_side", "slides", "cam", "cam", sources)
            mixers = (MixerControl(*shown, "olaf, 11:31 CET"),)
        return evolve(
            known,
            seen_to="vera, until Sun 12:10 CET" if number % 4 == 1 else None,
            mixers=mixers,
            stopped=(f"{said}: the speaker asked for it, and the next one too",) * (number % 3),
        )

    def _use(self, number: int, now: datetime) -> RoomUse:
        talk = number % 6 != 5
        begin = now.replace(hour=11, minute=30) if talk else now.replace(hour=13, minute=0)
        ends = now.replace(hour=12, minute=15 * (number % 3)) if talk else begin
        title = _TALKS[number % len(_TALKS)]
        one = ScheduledTalk(str(number), ScheduledRoom("room"), title, begin, ends, 1, "")
        return RoomUse(True, talk, TalksNow(one) if talk else TalksNow(next=one))

    def _receipts(self, room: str, number: int, now: datetime) -> Iterator[Receipt]:
        verdicts: tuple[Verdict, ...] = ("green", "green")
        if self._bad:
            verdicts = (("red", "yellow"), ("green", "red"), ("green", "green"))[number % 3]
        for hour, verdict in zip((9, 10), verdicts, strict=True):
            begin, title = now.replace(hour=hour, minute=0), _TALKS[(number + hour) % len(_TALKS)]
            end = begin + timedelta(minutes=45)
            one = ScheduledTalk(f"{number}-{hour}", ScheduledRoom(room), title, begin, end, 1, "")
            yield Receipt(one, room, verdict, _WHY[verdict].format(begin=begin, room=room), ())

    def _title(self, number: int) -> str:
        if self._bad and number % 3 == 1:
            return _HARD[number // 3 % len(_HARD)]
        lap = number // len(_TITLES)
        return _TITLES[number % len(_TITLES)] + (f" {'ABC'[lap]}" if lap else "")

    def _boxes(
        self, room: str, number: int, trouble: Trouble | None, now: datetime
    ) -> Iterator[tuple[StationState, str]]:
        seats = ("cam", "mix", "slides") if number % 4 != 3 else ("cam", "mix")
        for seat in seats:
            mine = trouble if trouble and trouble.seat == seat else Trouble(seat)
            if seat == "mix" and number % 5 == 2 and mine.dead is None and mine.lufs == -23:
                mine = evolve(mine, peaks=_TRACKS)
            if seat == "slides" and mine is not trouble:
                mine = evolve(mine, lufs=-120, peaks={"1": (-120.0, -120.0)})
            yield (
                self._station(room, seat, mine, number, now),
                (seat if mine.picture is None else mine.picture),
            )

    def _station(
        self, room: str, seat: str, mine: Trouble, number: int, now: datetime
    ) -> StationState:
        name = f"{room}-{seat}"
        wanted = dict(_WANTED)
        wanted["monitor"] = {"main": {"kind": "slides" if seat == "slides" else "camera"}}
        if seat == "mix":
            wanted["stream"] = {"main": {}}
            if number % 2 == 0 or mine.mixer:
                wanted["mix"] = {"main": {}}
        ago = (now - timedelta(minutes=4)).astimezone(UTC)
        away = mine.presence is not PresenceState.ONLINE
        says: dict[str, tuple[State, str | None, str | None]] = {
            "record": mine.record,
            "monitor": mine.monitor,
            "stream": (State.FAILED, "TargetUnreachable", "connection refused")
            if mine.blank
            else _RUNS,
            "mix": (State.RUNNING, mine.mixer, None),
        }
        roles = {
            role: {
                "main": InstanceReport(
                    State.UNKNOWN if away else says[role][0], ago, 0, *says[role][1:]
                )
            }
            for role in wanted
        }
        problems = (Problem("InvalidConfiguration", "record", "main", None, mine.problem or ""),)
        status = StationStatus(
            f"id-{name}", name, room, mine.presence, 1, 1, True,
            problems if mine.problem else (), roles, presence_since=ago,
        )  # fmt: skip
        wobble = (now.second * 7 + number * 5 + len(seat)) % 5 - 2
        readings = Readings.none() if away else self._readings(mine, wobble, now)
        return StationState(status, seat, _WHERE[seat], wanted, readings)

    def _readings(self, mine: Trouble, wobble: int, now: datetime) -> Readings:
        at = now.timestamp()
        record = {"role": "record", "role_instance": "main"}
        monitor = {"role": "monitor", "role_instance": "main"}
        sure = mine.lufs in (-120, -9)
        lufs = mine.lufs + (0 if sure else wobble)
        names = ("left", "right")
        loudness: list[_Sample] = [({}, lufs)]
        peaks: list[_Sample] = []
        dead: list[_Sample] = []
        for track, levels in mine.peaks.items():
            loudness.append(({"track": track}, lufs - len(track) % 3))
            for channel, peak in zip(names, levels, strict=False):
                own = {"track": track, "channel": channel}
                peaks.append((own, peak if sure or peak <= -100 else peak + wobble))
                dead.append((own, float(mine.dead == channel)))
        silent: list[_Sample] = [({}, float(mine.lufs <= -100))]
        families: list[tuple[str, dict[str, str], Any]] = [
            ("fleet_station_disk_free_bytes", {}, [({}, mine.free)]),
            ("fleet_recording_bitrate_bits_per_second", record, [({}, 8e6)]),
            ("fleet_recording_last_write_timestamp_seconds", record, [({}, at - 1)]),
            ("fleet_monitor_signal", monitor, [({}, 0.0 if mine.picture == "" else 1.0)]),
            ("fleet_monitor_last_update_timestamp_seconds", monitor, [({}, at - 0.5)]),
            ("fleet_monitor_loudness_short_term_lufs", monitor, loudness),
            ("fleet_monitor_digital_silence", monitor, silent),
            ("fleet_monitor_true_peak_dbtp", monitor, peaks),
            ("fleet_monitor_channel_silent", monitor, dead),
        ]
        made = tuple(
            Family(
                name, "gauge", "", tuple(Sample(name, own | at_, value) for at_, value in samples)
            )
            for name, own, samples in families
        )
        return Readings.of(Telemetry("boot", now.astimezone(UTC), made), at)

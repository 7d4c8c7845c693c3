"""What a check looks at, station by station. Pure.

Each look is a function that is given one station, with its own answers, and says of each thing it
looks at what is wrong, or that it is well. A new one is written and put into `LOOKS`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from fleet.manager.findings import BEHIND_SECONDS, CLOCK_SECONDS, DAY_SECONDS, LOW_LUFS, words
from fleet.manager.stations.state import RoomUse, StationState
from fleet.manager.stations.stops import is_stopped
from fleet.media.archive import opened
from fleet.model import PresenceState, State
from fleet.operations.health import HealthLevel
from fleet.operations.stations import StationStatus
from fleet.station import FileLook, ListLook, LookResult

_UNKNOWN: Final = HealthLevel.UNKNOWN
_SHORT: Final = " in time: the box is short of processor"
_SIZE, _RATE = "1280x720", 25
"""Of what an ingest or a mixer offers, unless its settings say otherwise."""


@frozen
class MixerAnswer:
    """What a mixer said of itself; `problem`: why nothing is known."""

    sources: Mapping[str, bool]
    live: bool | None
    problem: str | None = None


@frozen
class CheckedStation:
    """A station with what it answered."""

    state: StationState
    use: RoomUse
    release: str | None
    """Of its agent."""
    look: LookResult | None = None
    silence: str | None = None
    """Why there is no look of its own."""
    clock_error: float = 0.0
    """Seconds by which its clock is off the manager's at least."""
    mixers: Mapping[str, MixerAnswer] = field(factory=dict)
    """By instance."""

    @property
    def online(self) -> bool:
        """Whether it can be asked."""
        return self.state.status.presence is PresenceState.ONLINE


@frozen
class Around:
    """What all looks are given: every station that was examined, and the manager's release."""

    stations: Sequence[CheckedStation]
    release: str
    now: float
    """Unix seconds."""


@frozen
class Seen:
    """What a look says of one thing. `text`: what is wrong, None where it is well."""

    text: str | None = None
    instance: str | None = None
    level: HealthLevel = HealthLevel.LOOK
    note: str | None = None
    """What to tell of a thing that is well."""
    told: bool = False
    """Whether what is wrong has been found by the judge of health, of each instance by itself."""


Look = Callable[[CheckedStation, Around], Iterator[Seen]]


def _online(one: CheckedStation, _: Around) -> Iterator[Seen]:
    status = one.state.status
    level = one.use.in_hours if one.state.captures else HealthLevel.LOOK
    yield Seen() if one.online else Seen(one.state.missing or f"is {status.presence}", level=level)


def _stopped(status: StationStatus) -> Iterator[str]:
    for role, named in status.roles.items():
        for name, one in named.items():
            if is_stopped(one):
                yield f"{role}/{name} {one.text}"


def without_stopped(state: StationState, look: LookResult) -> LookResult:
    """What a station saw, but of what stands still because somebody stopped it."""

    def runs(one: FileLook | ListLook) -> bool:
        said = state.status.roles.get(one.role, {}).get(one.instance)
        return said is None or not is_stopped(said)

    files, lists = filter(runs, look.files), filter(runs, look.lists)
    return evolve(look, files=tuple(files), lists=tuple(lists))


def _in_sync(one: CheckedStation, _: Around) -> Iterator[Seen]:
    if one.online:
        status = one.state.status
        why = None if status.in_sync else status.why or "does not do what is wanted of it"
        wanted = (f"{role}/{name}" for role, names in one.state.wanted.items() for name in names)
        ill = {it for it in wanted if why and f"{it} " in why}
        told = bool(ill) and ill <= {it.instance for it in status.findings}
        yield Seen(
            why,
            told=told,
            note="; ".join(f"{one.state.name} {it}" for it in _stopped(status)) or None,
        )


def _signal(one: CheckedStation, around: Around) -> Iterator[Seen]:
    for name, said in one.state.instances("ingest"):
        here = f"ingest/{name}"
        absent = [
            what
            for what in ("picture", "sound")
            if one.state.readings.value(f"fleet_ingest_{what}_present", "ingest", name) == 0
        ]
        if said.state is not State.RUNNING:
            yield Seen(f"{here} is {said.state}", here)
        elif absent and not one.state.shows_slides("ingest", name):
            yield Seen(f"{here} has no {' and no '.join(absent)}", here)
        else:
            yield Seen()
    for file in one.look.files if one.look else ():
        wanted = _format(one, around, file)
        if wanted is None or file.size is None or _is_of_before(one, file):
            continue
        here, is_size = f"{file.role}/{file.instance}", f"{wanted[0]}@{wanted[1]:g}"
        is_rate = file.rate is None or abs(file.rate - wanted[1]) < max(0.5, wanted[1] / 50)
        if file.size == wanted[0] and is_rate:
            yield Seen()
        else:
            text = f"{here} records {file.size}@{file.rate or 0:g} and not {is_size}"
            yield Seen(text, here)


def _is_of_before(one: CheckedStation, file: FileLook) -> bool:
    """Whether a segment had ended when the instance began to run as it does now."""
    said = one.state.status.roles.get(file.role, {}).get(file.instance)
    begun = opened(file.file or "")
    if said is None or begun is None or not file.whole:
        return False
    return begun.timestamp() + file.seconds < said.since.timestamp()


def _format(one: CheckedStation, around: Around, file: FileLook) -> tuple[str, float] | None:
    """Size and rate of what an instance is to record; None where the file alone does not say."""
    settings: Any = one.state.wanted.get(file.role, {}).get(file.instance, {})
    if file.role == "record":
        source = settings.get("source", {})
        if source.get("type") != "test" and source.get("role") not in ("ingest", "mix"):
            return None
        if source.get("type") != "test":
            settings = _offered(one, around, source)
            if settings is None:
                return None
        else:
            settings = source
    over, _, under = str(settings.get("rate", _RATE)).partition("/")
    try:
        return str(settings.get("size", _SIZE)), int(over) / int(under or 1)
    except (ValueError, ZeroDivisionError):
        return None


def _offered(
    one: CheckedStation, around: Around, source: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The settings of what a reference means."""
    for other in around.stations:
        state = other.state
        meant = (
            state.name == source["station"]
            if source.get("station")
            else (state.seat == source["seat"] and state.status.room == one.state.status.room)
            if source.get("seat")
            else state is one.state
        )
        if meant:
            instances = state.wanted.get(str(source["role"]), {})
            return instances.get(str(source.get("instance") or "main"))
    return None


def _sound(one: CheckedStation, _: Around) -> Iterator[Seen]:
    level = HealthLevel.GO if one.use.in_use else HealthLevel.LOOK
    for name, said in one.state.instances("monitor"):
        here = f"monitor/{name}"
        if said.state is not State.RUNNING or one.state.shows_slides("monitor", name):
            continue  # the judge tells of one that does not run
        silences = one.state.readings.values("fleet_monitor_digital_silence", "monitor", name)
        dead = [
            f"{it.labels['channel']} of track {it.labels.get('track', '')}"
            for it in silences
            if it.value and it.labels.get("channel")
        ]
        yield Seen(f"{here} hears zeros on {', '.join(dead)}", here, level) if dead else Seen()
    for file in one.look.files if one.look else ():
        here = f"{file.role}/{file.instance}"
        if file.file is None or one.state.shows_slides(file.role, file.instance):
            continue
        if file.peaks is None:
            yield Seen(f"{here}: its sound could not be listened to{_SHORT}", here, _UNKNOWN)
            continue
        if not file.peaks:
            yield Seen(f"{here} has no sound", here)
        for number, peak in enumerate(file.peaks, 1):
            of = f"{here}: track {number}" if len(file.peaks) > 1 else here
            if peak is None:
                yield Seen(f"{of} has been silent for a minute", here, level)
            elif peak <= LOW_LUFS:
                yield Seen(f"{of} has heard next to nothing for a minute", here, level)
            else:
                yield Seen()


def _recording(one: CheckedStation, _: Around) -> Iterator[Seen]:
    level = one.use.in_hours
    if one.look is None:
        if one.online and one.state.captures:
            yield Seen(one.silence or "did not look at its recordings", level=level)
        return
    looked = {f"{file.role}/{file.instance}" for file in one.look.files}
    for name, said in one.state.instances("record"):
        here = f"record/{name}"
        if here in looked or said.state is State.COMPLETED:
            continue
        if said.state is State.RUNNING:
            yield Seen(f"{here} was not looked at", here, _UNKNOWN)
        else:
            yield Seen(f"{here} is {said.state}", here, level)
    for file in one.look.files:
        here = f"{file.role}/{file.instance}"
        if file.problem is not None:
            yield Seen(f"{here}: {file.problem}", here, level)
        elif not file.grows:
            yield Seen(f"{here} writes nothing now", here, level)
        elif file.pictures == 0 or (file.pictures is None and not file.seconds):
            late, bad = ("", level) if file.whole else (_SHORT, _UNKNOWN)
            yield Seen(f"{here}: nothing came out of {file.file}{late}", here, bad)
        else:
            yield Seen()


def _stream(one: CheckedStation, _: Around) -> Iterator[Seen]:
    lists = {(it.role, it.instance): it for it in (one.look.lists if one.look else ())}
    for name, said in one.state.instances("stream"):
        here = f"stream/{name}"
        taken = one.state.readings.value("fleet_stream_connected", "stream", name)
        listed = lists.get(("stream", name))
        if said.state is not State.RUNNING:
            yield Seen(f"{here} is {said.state}", here)
        elif taken is None:
            yield Seen(f"{here}: nobody knows whether its server takes it", here, _UNKNOWN)
        elif not taken:
            yield Seen(f"{here}: its server does not take it", here)
        elif listed is not None and listed.problem is not None:
            yield Seen(f"{here}: {listed.problem}", here)
        else:
            yield Seen()


def _mixer(one: CheckedStation, _: Around) -> Iterator[Seen]:
    for name, mixed in one.mixers.items():
        here = f"mix/{name}"
        absent = sorted(source for source, there in mixed.sources.items() if not there)
        if mixed.problem is not None:
            yield Seen(f"{here}: {mixed.problem}", here)
            continue
        for source in absent:
            yield Seen(f"{here}: its source {source} is absent", here)
        if mixed.live is False and one.use.talk:
            yield Seen(f"{here}: a talk is on and the stream is blank", here, HealthLevel.GO)
        elif not absent:
            word = {True: "live", False: "blank"}.get(mixed.live, "unknown")  # type: ignore[arg-type]
            yield Seen(note=f"{one.state.status.room or one.state.name} {word}")


def _copies(one: CheckedStation, around: Around) -> Iterator[Seen]:
    for name, said in one.state.instances("sync"):
        here = f"sync/{name}"
        oldest = "fleet_sync_oldest_unverified_timestamp_seconds"
        waits = one.state.readings.value(oldest, "sync", name)
        since = one.state.readings.moment(oldest, "sync", name)
        if said.state is not State.RUNNING:
            yield Seen(f"{here} is {said.state}", here)
        elif waits is None:
            yield Seen(f"{here}: nobody knows what is copied", here, _UNKNOWN)
        elif said.reason is not None:
            yield Seen(f"{here}: {words(said.reason)}, {said.message}", here)
        elif since is not None and around.now - since > BEHIND_SECONDS:
            yield Seen(f"{here} is {(around.now - since) / 60:.0f} min behind", here)
        else:
            yield Seen()


def _disk(one: CheckedStation, _: Around) -> Iterator[Seen]:
    left = one.state.disk_seconds
    if left is not None:
        hours = f"{left / 3600:.0f} h"
        yield Seen(f"disk full in {hours}") if left < DAY_SECONDS else Seen(note=hours)
    elif one.online and one.state.captures:
        yield Seen("nobody knows how long its disk lasts: nothing is written", level=_UNKNOWN)


def _clock(one: CheckedStation, _: Around) -> Iterator[Seen]:
    if one.look is not None:
        off = one.clock_error
        yield Seen(f"clock {off:.1f} s off the manager's") if off > CLOCK_SECONDS else Seen()


def _release(one: CheckedStation, around: Around) -> Iterator[Seen]:
    if one.release is not None:
        wrong = f"runs {one.release}, the manager {around.release}"
        yield Seen(None if one.release == around.release else wrong)


def _health(_: CheckedStation, __: Around) -> Iterator[Seen]:
    """Whatever else the judge of health finds."""
    yield Seen()


LOOKS: Final[Mapping[str, Look]] = {
    "online": _online,
    "in sync": _in_sync,
    "signal and format": _signal,
    "sound on every track": _sound,
    "recording": _recording,
    "stream": _stream,
    "mixer": _mixer,
    "copies": _copies,
    "disk for the day": _disk,
    "clock": _clock,
    "release": _release,
    "health": _health,
}
"""In the order in which a room is gone through."""
AWAY: Final = "online"
"""The only look at a box that is away."""

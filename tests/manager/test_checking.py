"""What a look at every station found is judged: what is wrong, how bad, and whose box that is."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from fleet.manager.checking import is_mere_note, judged
from fleet.manager.checking.looks import LOOKS, Around, CheckedStation
from fleet.manager.checking.looks import MixerAnswer as Mixer
from fleet.manager.stations.state import RoomUse
from fleet.model import PresenceState, Roles, State
from fleet.operations.check import CheckTrouble
from fleet.operations.health import HealthFinding, HealthLevel
from fleet.operations.stations import InstanceReport
from fleet.station import FileLook, ListLook, LookResult
from tests.manager.test_health import NOW, instance, readings, seen

CLOSED, OPEN, TALK = RoomUse(False, False), RoomUse(True, False), RoomUse(True, True)
SOURCE = {"source": {"type": "test"}}
RECORDS = {"record": {"main": SOURCE}}
STREAMS: Roles = {"stream": {"main": {}}}
FILE = FileLook(
    "record",
    "main",
    "hall1-cam-main-1.ts",
    None,
    grows=True,
    closed=True,
    seconds=180.0,
    whole=True,
    pictures=4500,
    size="1280x720",
    rate=25.0,
    peaks=(-12.0, -20.0),
)
BITS = ("fleet_recording_bitrate_bits_per_second", 8e6, {"role": "record", "role_instance": "main"})


def box(
    *files: FileLook,
    wanted: Mapping[str, Any] = RECORDS,
    use: RoomUse = CLOSED,
    lists: tuple[ListLook, ...] = (),
    free: float = 1e12,
    more: tuple[Any, ...] = (),
    **about: Any,
) -> CheckedStation:
    """A station in a room that is closed, with all well unless told otherwise."""
    measured = readings(("fleet_station_disk_free_bytes", free, {}), BITS, *more)
    runs = {f"{role}/{name}": instance() for role, names in wanted.items() for name in names}
    state = seen(runs, wanted=wanted, measured=measured)
    state = evolve(state, status=evolve(state.status, in_sync=True))
    look = LookResult(datetime.now(UTC), files or (FILE,), lists)
    return evolve(CheckedStation(state, use, "1.0", look), **about)


def check(
    *boxes: CheckedStation,
) -> tuple[list[CheckTrouble], dict[str, tuple[int, int, str | None]]]:
    troubles, looks = judged(Around(boxes, "1.0", NOW), {})
    return list(troubles), {one.name: (one.well, one.of, one.text) for one in looks}


def test_all_well_says_what_was_looked_at() -> None:
    troubles, looks = check(box())
    assert troubles == []
    assert list(looks) == list(LOOKS)
    assert looks["online"] == looks["recording"] == (1, 1, None)
    assert looks["sound on every track"] == (2, 2, None)
    assert looks["disk for the day"] == (1, 1, "278 h at least")
    assert looks["mixer"] == looks["copies"] == (0, 0, None), "nothing was to be looked at"


MIX: Roles = {"mix": {"main": {}}}
SYNC: Roles = {"sync": {"main": {}}}
CONNECTED = "fleet_stream_connected"
MONITORS: Roles = {"monitor": {"main": {}}}
OF_MONITOR = {"role": "monitor", "role_instance": "main"}
ZEROS = "fleet_monitor_digital_silence"
OF_STREAM = {"role": "stream", "role_instance": "main"}
OF_SYNC = {"role": "sync", "role_instance": "main"}
OLDEST = "fleet_sync_oldest_unverified_timestamp_seconds"
BAD_LIST = ListLook("stream", "main", "main.m3u8", "main.m3u8 has not changed for 60 s")


EMPTY = LookResult(datetime.now(UTC), (), ())


def says(one: CheckedStation, role: str, said: InstanceReport) -> CheckedStation:
    """The same, whose one instance of a role says this of itself."""
    roles = {**one.state.status.roles, role: {"main": said}}
    return evolve(one, state=evolve(one.state, status=evolve(one.state.status, roles=roles)))


def found(one: CheckedStation, *findings: HealthFinding) -> CheckedStation:
    """The same, of which the judge of health found this."""
    status = evolve(one.state.status, findings=findings)
    return evolve(one, state=evolve(one.state, status=status))


def taken(value: float) -> tuple[Any, ...]:
    return ((CONNECTED, value, OF_STREAM),)


@pytest.mark.parametrize(
    ("one", "look", "level", "text"),
    [
        (box(evolve(FILE, grows=False)), "recording", "look", "record/main writes nothing now"),
        (box(evolve(FILE, grows=False), use=OPEN), "recording", "go",
         "record/main writes nothing now"),
        (box(evolve(FILE, problem="x.ts: [h264] error")), "recording", "look",
         "record/main: x.ts: [h264] error"),
        (box(evolve(FILE, peaks=None)), "sound on every track", "unknown",
         "record/main: its sound could not be listened to in time: the box is short of processor"),
        (box(evolve(FILE, pictures=0, whole=False)), "recording", "unknown",
         "record/main: nothing came out of hall1-cam-main-1.ts in time: the box is short of "
         "processor"),
        (box(look=None, silence="did not look at its recordings: it does not listen"),
         "recording", "look", "did not look at its recordings: it does not listen"),
        (box(evolve(FILE, peaks=(-12.0, None))), "sound on every track", "look",
         "record/main: track 2 has been silent for a minute"),
        (box(evolve(FILE, peaks=(None,)), use=OPEN), "sound on every track", "go",
         "record/main has been silent for a minute"),
        (box(evolve(FILE, peaks=(-48.0,))), "sound on every track", "look",
         "record/main has heard next to nothing for a minute"),
        (box(wanted=MONITORS, more=((ZEROS, 1, OF_MONITOR | {"track": "1", "channel": "left"}),)),
         "sound on every track", "look", "monitor/main hears zeros on left of track 1"),
        (box(evolve(FILE, peaks=())), "sound on every track", "look", "record/main has no sound"),
        (box(evolve(FILE, size="640x480", rate=30.0)), "signal and format", "look",
         "record/main records 640x480@30 and not 1280x720@25"),
        (box(wanted=STREAMS, more=taken(0)), "stream", "look",
         "stream/main: its server does not take it"),
        (box(wanted=STREAMS), "stream", "unknown",
         "stream/main: nobody knows whether its server takes it"),
        (box(wanted=STREAMS, more=taken(1), lists=(BAD_LIST,)), "stream", "look",
         "stream/main: main.m3u8 has not changed for 60 s"),
        (box(wanted=MIX, mixers={"main": Mixer({"cam": True, "slides": False}, True)}), "mixer",
         "look", "mix/main: its source slides is absent"),
        (box(wanted=MIX, mixers={"main": Mixer({"cam": True}, False)}, use=TALK), "mixer", "go",
         "mix/main: a talk is on and the stream is blank"),
        (box(wanted=MIX, mixers={"main": Mixer({}, None, "it does not listen")}), "mixer", "look",
         "mix/main: it does not listen"),
        (box(wanted=SYNC, more=((OLDEST, NOW - 1200, OF_SYNC),)), "copies", "look",
         "sync/main is 20 min behind"),
        (box(wanted=SYNC), "copies", "unknown", "sync/main: nobody knows what is copied"),
        (says(box(wanted=SYNC, more=((OLDEST, NOW, OF_SYNC),)), "sync",
              instance(reason="TargetMissing")),
         "copies", "look", "sync/main: target missing, a sentence"),
        (says(box(look=EMPTY), "record", instance(State.STOPPED)), "recording", "look",
         "record/main is stopped"),
        (box(look=EMPTY), "recording", "unknown", "record/main was not looked at"),
        (box(free=3.6e9 * 5), "disk for the day", "look", "disk full in 5 h"),
        (box(clock_error=1.25), "clock", "look", "clock 1.2 s off the manager's"),
        (box(release="0.9"), "release", "look", "runs 0.9, the manager 1.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_look_sees_what_is_wrong(
    one: CheckedStation, look: str, level: str, text: str
) -> None:
    troubles, looks = check(one)
    assert [(it.look, it.level.value, it.text) for it in troubles if it.look == look] == [
        (look, level, text)
    ]
    assert looks[look][0] < looks[look][1]
    (trouble,) = (it for it in troubles if it.look == look)
    assert (trouble.room, trouble.station) == ("hall1", "hall1-cam"), "the box to walk to"


def test_what_is_well_is_said_with_it() -> None:
    mixed = {"main": Mixer({"cam": True}, False)}
    _, looks = check(box(wanted=MIX, mixers=mixed), box(wanted=SYNC, more=((OLDEST, 0, OF_SYNC),)))
    assert looks["mixer"] == (1, 1, "hall1 blank")
    assert looks["copies"] == (1, 1, None)


def test_a_segment_of_before_says_nothing_of_the_format_that_is_wanted_now() -> None:
    begun = instance().since
    other = evolve(FILE, size="640x480", seconds=60.0)
    for ago, of in ((61, 0), (59, 1)):
        stamp = begun - timedelta(seconds=ago)
        one = box(evolve(other, file=f"hall1-cam-main-{stamp:%Y%m%dT%H%M%SZ}.ts"))
        assert check(one)[1]["signal and format"] == (0, of, None)


def test_slides_may_be_silent_and_dark() -> None:
    one = box(evolve(FILE, peaks=(None,)))
    slides = evolve(one, state=evolve(one.state, seat="slides"))
    assert check(slides)[1]["sound on every track"] == (0, 0, None)


def test_a_box_that_is_away_is_told_also_while_nobody_is_called_for_it() -> None:
    away = box(look=None)
    status = evolve(away.state.status, presence=PresenceState.LOST)
    lost = evolve(away, state=evolve(away.state, status=status))
    troubles, looks = check(lost, box())
    assert [(one.look, one.level.value, one.text) for one in troubles] == [
        ("online", "look", "is lost")
    ]
    assert len(troubles) == 1, "what it does not do is no news"
    assert looks["online"] == (1, 2, None)
    assert looks["recording"] == (1, 1, None)


def test_what_the_judge_found_is_told_once_and_the_worst_first() -> None:
    finding = HealthFinding(
        "Record", HealthLevel.GO, "hall1", "hall1-cam", "record/main", "tripod", "nothing written",
        "fleet logs hall1-cam record/main",
    )  # fmt: skip
    hot = evolve(finding, kind="Hot", level=HealthLevel.LOOK, text="too hot", instance=None)
    one = box(evolve(FILE, grows=False), clock_error=2.0)
    troubles, looks = check(found(one, hot, finding))
    assert [(it.level.value, it.look, it.text) for it in troubles] == [
        ("go", "recording", "nothing written"),
        ("look", "clock", "clock 2.0 s off the manager's"),
        ("look", "health", "too hot"),
    ]
    assert looks["recording"] == (0, 1, None)


def test_no_look_is_well_in_which_the_judge_found_something() -> None:
    """Also where whoever looks sees nothing wrong himself."""
    dies = HealthFinding(
        "Role", HealthLevel.LOOK, "hall1", "hall1-cam", "exec/main", None, "exec/main: x",
        None,
    )  # fmt: skip
    late = evolve(dies, kind="Copies", instance="sync/main", text="copies behind")
    black = evolve(dies, kind="Picture", instance="monitor/main", text="black picture")
    one = box(wanted={**RECORDS, **SYNC}, more=((OLDEST, 0, OF_SYNC),))
    again = evolve(dies, instance="exec/two")
    _, looks = check(found(one, dies, again, late, black), one)
    assert looks["health"] == looks["copies"] == looks["signal and format"] == (1, 2, None)
    assert looks["recording"] == (2, 2, None)


def test_an_instance_that_fails_is_told_once() -> None:
    finding = HealthFinding(
        "Record", HealthLevel.GO, "hall1", "hall1-cam", "record/main", None, "disk low", None
    )

    def ill(why: str) -> tuple[list[str], tuple[int, int, str | None]]:
        one = found(box(), finding)
        status = evolve(one.state.status, in_sync=False, why=why)
        troubles, looks = check(evolve(one, state=evolve(one.state, status=status)))
        return [it.text for it in troubles], looks["in sync"]

    assert ill("record/main failed (DiskLow: x)") == (["disk low"], (0, 1, None))
    assert ill("runs nothing")[0] == ["disk low", "runs nothing"]


def test_what_is_wrong_with_a_room_is_told() -> None:
    finding = HealthFinding(
        "Unwatched", HealthLevel.UNKNOWN, "hall1", None, None, None, "sound not watched", None
    )
    troubles, _ = judged(Around([box()], "1.0", NOW), {"hall1": (finding,)})
    assert [one.text for one in troubles] == ["sound not watched"]
    assert is_mere_note(troubles[0]), "as for fleet status"
    assert not any(map(is_mere_note, check(box(evolve(FILE, peaks=None)))[0]))


def test_the_format_is_that_of_the_ingest_that_is_recorded() -> None:
    ingest = {"ingest": {"main": {"size": "1920x1080", "rate": "60000/1001"}}}
    cam = box(wanted=ingest, look=None)
    reference = {"role": "ingest", "seat": "cam", "host": "x"}
    recorder = box(
        evolve(FILE, size="1920x1080", rate=59.94),
        wanted={"record": {"main": {"source": reference}}},
    )
    assert check(cam, recorder)[1]["signal and format"] == (2, 2, None)
    troubles, _ = check(cam, evolve(recorder, look=box().look))
    assert [one.text for one in troubles if one.look == "signal and format"] == [
        "record/main records 1280x720@25 and not 1920x1080@59.9401"
    ]

"""What a role gets from its station: secrets, thumbnails, children."""

import math
import os
import resource
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from attrs import evolve

from fleet.agent.engine.reconcile import Key, Unrunnable, Wanted
from fleet.agent.processes import left_behind
from fleet.agent.processes.left_behind import VARIABLE, Mark
from fleet.model import State
from fleet.roles import THUMBNAIL_BYTES, Failed, Host, OwnStation, Secret
from fleet.roles import Command as Asked
from tests.agent.engine import (
    ChildFactory,
    Command,
    FakeClock,
    FakeFactory,
    Station,
    Text,
    marked,
    settle,
)
from tests.processes import until

MAIN = Key("fake", "main")
KEY = Secret("stream-key")


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    station = Station(tmp_path, FakeClock())
    yield station
    await station.supervisor.stop()


@pytest.fixture
async def host(station: Station) -> Host:
    factory = FakeFactory()
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    return factory.made[0].host


def secret(station: Station, mode: int, text: str = "abc\n") -> None:
    station.place.secrets_dir.mkdir(exist_ok=True)
    path = station.place.secrets_dir / KEY.secret
    path.write_text(text)
    path.chmod(mode)


async def test_a_secret_is_read_from_the_stations_directory(station: Station, host: Host) -> None:
    secret(station, 0o600)
    assert host.secret(KEY) == "abc"


async def test_what_a_role_raises_with_a_secret_in_it_is_logged_without(
    station: Station, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    secret(station, 0o600, "bird-in-a-mine")
    key = host.secret(KEY)

    async def work() -> None:
        raise OSError(f"no answer from rtmp://live.example.org/{key}")

    with pytest.raises(OSError, match="no answer"):
        await host.task(work())
    assert "its role failed: OSError: no answer from rtmp://live.example.org/…" in caplog.text
    assert key not in caplog.text
    assert key not in str(station.supervisor.statuses())


async def test_a_missing_secret_says_where_to_put_it(station: Station, host: Host) -> None:
    with pytest.raises(Failed, match=f"put it in {station.place.secrets_dir}/stream-key") as failed:
        host.secret(KEY)
    assert failed.value.reason == "SecretMissing"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_a_secret_others_can_read_is_refused(station: Station, host: Host, mode: int) -> None:
    secret(station, mode)
    with pytest.raises(Failed, match="chmod 600") as failed:
        host.secret(KEY)
    assert failed.value.reason == "SecretMissing"
    assert "abc" not in str(failed.value)


@pytest.mark.parametrize("name", ["../agent.toml", "/etc/passwd", "", "a/b"])
async def test_a_secret_can_be_no_other_file(host: Host, name: str) -> None:
    with pytest.raises(Failed, match="cannot be the name of a secret"):
        host.secret(Secret(name))


async def test_systemd_credentials_serve_where_the_station_has_no_own(
    station: Station, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(Failed, match="put it in"):
        host.secret(KEY)
    (tmp_path / KEY.secret).write_text("from systemd")
    assert host.secret(KEY) == "from systemd"
    secret(station, 0o600, "own")
    assert host.secret(KEY) == "own"


class Clumsy(Command):
    def failure(self, status: int | None) -> Failed:
        raise ZeroDivisionError


async def test_a_role_whose_own_word_about_its_childs_end_fails_is_not_shown_as_running(
    station: Station,
) -> None:
    class Factory(ChildFactory):
        role = Clumsy

    await station.supervisor.apply({MAIN: Factory().wanted("false")})
    await until(lambda: station.state(MAIN) == State.BACKOFF)
    assert station.status(MAIN).reason == "RoleCrashed"


async def left(station: Station, base: Path, wanted: Wanted) -> tuple[Station, int]:
    """The next agent's engine, and the process of a child that this one leaves to it."""
    await station.supervisor.apply({MAIN: wanted})
    await until(lambda: station.state(MAIN) == State.RUNNING)
    (process,) = await until(station.processes)
    await station.supervisor.leave()
    after = Station(base)
    await after.supervisor.take_over()
    return after, process.pid


async def test_what_runs_of_a_role_that_is_gone_for_the_moment_runs_on_until_it_is_back(
    station: Station, tmp_path: Path
) -> None:
    wanted = ChildFactory().wanted("sleep", "1000")
    after, pid = await left(station, tmp_path, wanted)
    gone = Unrunnable("MissingRoleFactory", "its file is not there", wanted.digest)
    await after.supervisor.apply({MAIN: gone})
    await until(lambda: after.state(MAIN) == State.FAILED)
    assert [one.pid for one in after.processes()] == [pid]
    await after.supervisor.apply({MAIN: wanted})
    await until(lambda: after.state(MAIN) == State.RUNNING)
    assert [one.pid for one in after.processes()] == [pid]
    await after.supervisor.stop()
    assert after.processes() == []


async def test_children_are_known_again_where_the_state_directory_was_moved(
    station: Station, tmp_path: Path
) -> None:
    (tmp_path / "disk1").mkdir()
    (tmp_path / "link").symlink_to("disk1")
    wanted = ChildFactory().wanted("sleep", "1000")
    # An id of its own: for a moment its children are those of any agent of that id.
    before = Station(tmp_path / "link", id_="moved")
    await before.supervisor.apply({MAIN: wanted})
    await until(lambda: before.state(MAIN) == State.RUNNING)
    (process,) = await until(lambda: marked(tmp_path / "disk1/state"))
    await before.supervisor.leave()
    (tmp_path / "disk1").rename(tmp_path / "disk2")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("disk2")
    after = Station(tmp_path / "link", id_="moved")
    await after.supervisor.take_over()
    await after.supervisor.apply({MAIN: wanted})
    await until(lambda: after.state(MAIN) == State.RUNNING)
    assert process.is_running()
    assert after.status(MAIN).restarts == 0
    await after.supervisor.stop()
    assert marked(tmp_path / "disk1/state") == []
    assert process.status() == psutil.STATUS_ZOMBIE  # this test is the parent


CONTAINED = (
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs none "$0" && mkdir "$0/state" && exec sleep 1000 >"$0/state/log"',
)


async def test_children_of_an_agent_in_a_container_are_none_of_ours_though_all_has_the_same_names(
    tmp_path: Path,
) -> None:
    state, aside = tmp_path / "box/state", tmp_path / "aside"
    state.mkdir(parents=True)
    mark = Mark(str(state), "record", "main", "main", "d", 15, 5.0, False, "a", station="boxed")
    environment = os.environ | {VARIABLE: mark.encode()}
    log = state / "log"
    with log.open("wb") as out:
        ours, ours_unmarked = (
            subprocess.Popen(["sleep", "1000"], stdout=out, env=env)  # noqa: ASYNC220
            for env in (environment, os.environ)
        )
    contained = [
        subprocess.Popen([*CONTAINED, state.parent], env=env)  # noqa: ASYNC220
        for env in (environment, os.environ)
    ]
    started = (ours, ours_unmarked, *contained)
    try:
        await until(lambda: all(left_behind.argv_of(it.pid)[:1] == ["sleep"] for it in started))
        assert [one.stat.pid for one in left_behind.scan(state, "boxed")] == [ours.pid]
        leader = left_behind.stat(ours.pid)
        assert leader is not None
        assert left_behind.kin(leader, "b", {str(log)}) == [ours_unmarked.pid]
        state.rename(aside)
        assert [one.stat.pid for one in left_behind.scan(aside, "boxed")] == [ours.pid]
    finally:
        for one in started:
            one.kill()
            one.wait()


async def test_a_role_that_never_has_finished_holds_up_no_other_and_is_not_asked_again(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.agent.engine.tidying.TIDY_SECONDS", 2.0)
    over, asked = threading.Event(), []

    class Hangs(FakeFactory):
        def tidy(self, facts: OwnStation) -> None:
            asked.append("hangs")
            over.wait()

    class Tidies(FakeFactory):
        def tidy(self, facts: OwnStation) -> None:
            asked.append("tidies")

    factories = {"hangs": Hangs(), "tidies": Tidies()}
    try:
        for _ in range(2):
            await station.supervisor.tidy(factories)
    finally:
        over.set()
    assert asked == ["hangs", "tidies", "tidies"]


async def test_roles_finish_what_instances_that_are_gone_have_left(station: Station) -> None:
    asked: list[frozenset[str]] = []

    class Tidy(FakeFactory):
        def tidy(self, facts: OwnStation) -> None:
            asked.append(facts.instances)
            raise OSError("the disk is slow")

    factory = Tidy()
    supervisor = station.supervisor
    await supervisor.apply({MAIN: factory.wanted(), Key("fake", "other"): factory.wanted()})
    for _ in range(5):
        await supervisor.tidy({"fake": factory})
    assert asked == [{"main", "other"}] * 3
    await supervisor.apply({MAIN: factory.wanted()})
    await settle()
    await supervisor.tidy({"fake": factory})
    assert asked[3:] == [{"main"}]


@pytest.mark.parametrize("digest", [None, "of other settings"])
async def test_what_runs_of_a_role_that_is_forbidden_or_with_other_settings_ends(
    station: Station, tmp_path: Path, digest: str | None
) -> None:
    after, _ = await left(station, tmp_path, ChildFactory().wanted("sleep", "1000"))
    await after.supervisor.apply({MAIN: Unrunnable("BlockedRole", "no", digest)})
    await until(lambda: after.processes() == [])
    await after.supervisor.stop()


async def test_what_is_shown_as_failed_at_its_start_does_not_run_on_unseen(
    station: Station, tmp_path: Path
) -> None:
    class Low(Command):
        async def start(self) -> None:
            raise Failed("DiskLow", "delete something")

    class Factory(ChildFactory):
        role = Low

    wanted = ChildFactory().wanted("sleep", "1000")
    after, _ = await left(station, tmp_path, wanted)
    await after.supervisor.apply({MAIN: evolve(wanted, factory=Factory())})
    await until(lambda: after.state(MAIN) == State.FAILED)
    await until(lambda: after.processes() == [])
    await after.supervisor.stop()


async def test_what_a_role_notes_is_text_whatever_it_gives(station: Station, host: Host) -> None:
    host.note("Odd", b"bytes")  # type: ignore[arg-type]
    assert station.status(MAIN).message == "b'bytes'"


async def test_what_a_role_logs_reaches_the_logs_and_can_be_asked_for(
    station: Station, host: Host
) -> None:
    secret(station, 0o600)
    host.secret(KEY)
    host.log("on air\nwith the key abc")
    host.log(KeyError("it"))  # type: ignore[arg-type]
    host.log("half a \ud800 pair")
    said = [line.text for line in station.supervisor.last_lines(MAIN, 9)]
    assert said == ["on air", "with the key …", "'it'", "half a ? pair"]
    assert [(line.role, line.instance, line.text) for line in station.lines] == [
        (*MAIN, text) for text in said
    ]
    host.log("x\n" * 10_000)
    station.supervisor.last_lines(MAIN, 9)
    assert len(station.lines) <= 60


async def test_where_nothing_can_be_written_a_role_still_logs(station: Station, host: Host) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as a full disk: no file grows
    try:
        host.log("no space left")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    own = station.state_dir / "logs" / MAIN.role / MAIN.instance / "role.log"
    assert own.read_bytes() == b""
    assert [line.text for line in station.lines] == ["no space left"]


async def test_a_thumbnail_reaches_the_station_with_whose_it_is(
    station: Station, host: Host
) -> None:
    host.thumbnail(b"jpeg")
    assert station.thumbnails == [(MAIN, b"jpeg")]
    with pytest.raises(ValueError, match="at most"):
        host.thumbnail(bytes(THUMBNAIL_BYTES + 1))
    with pytest.raises(TypeError, match="not str"):
        host.thumbnail("jpeg")  # type: ignore[arg-type]


async def test_commands_can_be_offered_and_taken_back_by_hand(station: Station, host: Host) -> None:
    async def split(asked: Text) -> Text:
        return asked

    host.register(Asked("split", Text, Text, split))
    assert station.supervisor.command("fake", None, "split").handler is split
    host.deregister("split")
    host.deregister("split")
    with pytest.raises(Exception, match="no command 'split'"):
        station.supervisor.command("fake", None, "split")
    with pytest.raises(ValueError, match="name of a command"):
        host.register(Asked("no/slash", Text, Text, split))
    with pytest.raises(TypeError, match="str is not an attrs class"):
        host.register(Asked("say", str, Text, split))


async def test_several_children_go_by_name_and_all_end_with_the_instance(
    station: Station, host: Host
) -> None:
    first = await host.spawn(["sleep", "1000"])
    await host.spawn(["sleep", "1000"], name="second")
    with pytest.raises(ValueError, match="'main' is running"):
        await host.spawn(["sleep", "1000"])
    wrong: Any
    for wrong, said in (
        ({"argv": "sleep 5"}, "a list of text, the program first"),
        ({"argv": ["sleep", 5]}, "a list of text, the program first"),
        ({"argv": []}, "no program in the arguments"),
        ({"argv": ["sleep", "\0"]}, "has a NUL in it"),
        ({"env": {"A": 5}}, "names and values that are text"),
        ({"env": {"A=B": "x"}}, "no variable's name a ="),
        ({"stop_signal": 999}, "999 is not a signal"),
        ({"grace": math.nan}, "a number of seconds, not nan"),
        ({"grace": "5"}, "a number of seconds, not '5'"),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            await host.spawn(**{"argv": ["sleep", "1000"], "name": "third", **wrong})
    await first.stop()
    await host.spawn(["sleep", "1000"])
    await until(lambda: len(station.processes()) == 2)
    await station.supervisor.apply({})
    await until(lambda: station.state(MAIN) is None)
    assert station.processes() == []


async def test_a_role_that_was_stopped_starts_nothing_any_more(
    station: Station, host: Host
) -> None:
    await station.supervisor.restart(MAIN)
    await settle()
    assert station.state(MAIN) is State.RUNNING
    with pytest.raises(Failed, match="over"):
        await host.spawn(["sleep", "1000"])
    assert station.processes() == []


async def test_the_metrics_of_what_runs_are_offered_until_it_stops(
    station: Station, host: Host
) -> None:
    assert station.supervisor.registries() == {MAIN: host.registry}
    await station.supervisor.apply({})
    await until(lambda: station.state(MAIN) is None)
    assert station.supervisor.registries() == {}

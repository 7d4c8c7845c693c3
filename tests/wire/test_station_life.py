"""How a station comes, goes and comes back, as everybody on the broker sees it."""

import asyncio
import shutil
import signal
from pathlib import Path

import pytest

from tests.processes import Mosquitto, Programs, until
from tests.stranger import Stranger
from tests.wire.conftest import SETTINGS, STATION
from tests.wire.sides import Boss, config, probe, records, writers


def recordings(programs: Programs) -> list[Path]:
    return sorted((programs.directory / STATION / "recordings").rglob("*.ts"))


async def growing(path: Path, by: int = 5_000) -> None:
    def size() -> int:
        return path.stat().st_size

    before = size()
    await until(lambda: size() > before + by, what=f"more of {path}")


async def test_a_new_station_says_what_it_is_and_online_last(boss: Boss, broker: Mosquitto) -> None:
    first = [one.topic.removeprefix(boss.topic("")) for one in boss.stranger.heard]
    assert first[: first.index("presence") + 1] == ["registration", "ack", "status", "presence"]
    ack = boss.stranger.latest(boss.topic("ack"))
    assert (ack["revision"], ack["result"], ack["error"]) == (0, None, None)
    assert ack["in_force"] == {"revision": 0, "roles": {}}
    status = boss.stranger.latest(boss.topic("status"))
    assert (status["revision"], status["roles"]) == (0, {})
    async with Stranger(broker.port, "fleet/v1/#") as late:
        await late.expect(boss.topic("presence"), lambda p: p["state"] == "online")
        for kind in ("registration", "ack", "status", "presence"):
            message = await late.expect_message(boss.topic(kind))
            assert message.retain, f"{kind} is kept by the broker"
        assert not late.on(boss.topic("config")), "a station sends no config"


async def test_status_comes_every_interval_with_nothing_new_to_say(boss: Boss) -> None:
    await boss.push(1, {})
    mark = boss.stranger.mark()
    for _ in range(3):
        heartbeat = await boss.stranger.expect_message(boss.topic("status"), after=mark)
        mark = boss.stranger.heard.index(heartbeat) + 1
        assert heartbeat.json["revision"] == 1


async def test_a_config_waiting_on_the_broker_is_taken_at_once(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    boss = Boss(stranger, STATION)
    await boss.send(config(4, records("main"), name="hall1-cam", room="hall1"))
    programs.agent(broker, STATION, SETTINGS)
    ack = await stranger.expect(boss.topic("ack"), lambda ack: ack["revision"] == 4)
    assert ack["result"] == "accepted"
    await boss.runs(4, records("main"))
    (file,) = await until(lambda: recordings(programs), what="a recording")
    assert file.name.startswith("hall1-hall1-cam-main-")


async def test_sigterm_finalises_files_says_offline_and_exits_0(
    boss: Boss, programs: Programs
) -> None:
    await boss.push(1, records("main", "second"))
    files = await until(
        lambda: len(recordings(programs)) == 2 and recordings(programs), what="two recordings"
    )
    for file in files:
        await growing(file)
    online = await boss.online()
    mark = boss.stranger.mark()
    (agent,) = programs.started
    agent.terminate()
    assert await agent.ended() == 0
    offline = await boss.stranger.expect(boss.topic("presence"), after=mark)
    assert offline["state"] == "offline"
    assert (offline["boot"], offline["epoch"]) == (online["boot"], online["epoch"])
    assert not writers(programs)
    for file in files:
        assert await probe(file) > 0
    await asyncio.sleep(0)  # let the last messages in
    assert boss.stranger.latest(boss.topic("presence"))["state"] == "offline", "and no will"


async def test_sigkill_is_lost_by_will_and_the_next_start_adopts_what_records(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(1, records("main", "second"))
    before = writers(programs)
    assert len(before) == 2
    files = await until(
        lambda: len(recordings(programs)) == 2 and recordings(programs), what="two recordings"
    )
    online = await boss.online()
    mark = boss.stranger.mark()
    (agent,) = programs.started
    agent.kill()
    lost = await boss.stranger.expect(boss.topic("presence"), after=mark)
    assert lost["state"] == "lost"
    assert (lost["boot"], lost["epoch"]) == (online["boot"], online["epoch"])
    assert writers(programs) == before, "they record on"
    await growing(files[0])

    boss.since = boss.stranger.mark()
    programs.agent(broker, STATION)
    again = await boss.online()
    assert again["boot"] != online["boot"]
    ack = boss.stranger.latest(boss.topic("ack"))
    assert (ack["revision"], ack["result"], ack["boot"]) == (1, "accepted", again["boot"])
    assert ack["in_force"] == {"revision": 1, "roles": records("main", "second")}
    await boss.runs(1, records("main", "second"))
    assert writers(programs) == before, "the same processes, and no others"
    assert recordings(programs) == files
    await growing(files[0])

    await boss.push(2, records("main"))
    assert len(writers(programs)) == 1
    assert set(writers(programs)) < set(before)
    programs.started[-1].terminate()
    assert await programs.started[-1].ended() == 0
    assert not writers(programs), "what was adopted is ended as its own"
    for file in files:
        assert await probe(file) > 0


async def test_sighup_leaves_the_children_at_work_and_sends_neither_goodbye_nor_will(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(1, records("main"))
    before = writers(programs)
    mark = boss.stranger.mark()
    (agent,) = programs.started
    agent.signal(signal.SIGHUP)
    assert await agent.ended() == 0
    boss.since = boss.stranger.mark()
    programs.agent(broker, STATION)
    await boss.online()
    await boss.runs(1, records("main"))
    assert writers(programs) == before
    states = [
        one.json["state"]
        for one in boss.stranger.heard[mark:]
        if one.topic == boss.topic("presence")
    ]
    assert set(states) == {"online"}


async def test_what_changed_while_no_agent_ran_is_replaced_with_never_two_writers(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(1, records("main", "second"))
    before = set(writers(programs))
    (agent,) = programs.started
    agent.kill()
    changed = {"record": {"main": records("main", segment_seconds=30)["record"]["main"]}}
    await boss.send(config(2, changed))
    boss.since = boss.stranger.mark()
    programs.agent(broker, STATION)
    await boss.runs(2, changed)
    assert len(writers(programs)) == 1
    assert not set(writers(programs)) & before


async def test_a_state_directory_put_back_from_a_copy_ends_no_recording_and_doubles_none(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(1, records("main", segment_seconds=30))
    state, copy = programs.directory / STATION / "state", programs.directory / "copy"
    shutil.copytree(state, copy, ignore=shutil.ignore_patterns("*.sock*"))
    later = records("main", "second", segment_seconds=40, stall_seconds=3)
    await boss.push(2, later)
    before = writers(programs)
    (agent,) = programs.started
    agent.kill()
    await agent.ended()
    shutil.rmtree(state)
    copy.rename(state)
    await boss.send(b"")
    boss.since = boss.stranger.mark()
    programs.agent(broker, STATION)
    await boss.online()
    said = await boss.stranger.expect(boss.topic("status"), after=boss.since)
    reasons = {one["reason"] for one in said["roles"]["record"].values()}
    assert (set(said["roles"]["record"]), reasons) == ({"main", "second"}, {"StatePutBack"})
    assert writers(programs) == before
    await boss.push(2, later)
    for file in recordings(programs)[-2:]:
        await growing(file)
    assert writers(programs) == before


async def test_a_rejection_is_not_forgotten_with_the_agent(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(1, {})
    await boss.ask(config(2, {"stream": {}}))
    (agent,) = programs.started
    agent.kill()
    boss.since = boss.stranger.mark()
    programs.agent(broker, STATION)
    await boss.online()
    ack = await boss.stranger.expect(boss.topic("ack"), after=boss.since)
    assert ack["in_force"] == {"revision": 1, "roles": {}}
    assert (ack["revision"], ack["result"]) in {(1, "accepted"), (2, "rejected")}
    ack = await boss.stranger.expect(
        boss.topic("ack"), lambda ack: ack["revision"] == 2, after=boss.since
    )
    assert ack["error"]["type"] == "BlockedRole", "the broker's config is looked at anew"


async def test_a_station_records_with_no_broker_from_its_saved_config(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(6, records("main"))
    (agent,) = programs.started
    agent.terminate()
    assert await agent.ended() == 0
    assert not writers(programs)
    broker.stop()
    mark = boss.since = boss.stranger.mark()
    programs.agent(broker, STATION)
    (writer,) = await until(lambda: writers(programs), what="a recorder")
    broker.start()
    await boss.online()
    ack = await boss.stranger.expect(boss.topic("ack"), after=mark)
    assert (ack["revision"], ack["result"]) == (6, "accepted")
    await boss.runs(6, records("main"))
    assert set(writers(programs)) == {writer}


async def test_a_broker_that_lost_everything_is_told_everything_again(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(2, records("main"))
    before = writers(programs)
    online = await boss.online()
    broker.stop()
    boss.since = boss.stranger.mark()
    broker.start()
    again = await boss.online()
    assert again["boot"] == online["boot"]
    assert again["epoch"] > online["epoch"]
    async with Stranger(broker.port, "fleet/v1/#") as late:
        await late.expect(boss.topic("presence"), lambda p: p["state"] == "online")
        ack = await late.expect(boss.topic("ack"))
        assert (ack["revision"], ack["result"]) == (2, "accepted")
        assert (await late.expect(boss.topic("registration")))["boot"] == online["boot"]
        assert (await late.expect(boss.topic("status")))["revision"] == 2
    await boss.push(3, records("main"))
    assert writers(programs) == before


async def test_two_agents_on_one_state_directory_never_write_twice(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    await boss.push(1, records("main"))
    before = writers(programs)
    second = programs.agent(broker, STATION)
    assert await second.ended() not in (0, None), "the second refuses to run"
    assert writers(programs) == before
    await boss.push(2, records("main"))


@pytest.mark.parametrize("kind", ["registration", "ack", "status", "presence"])
async def test_what_somebody_cleared_is_said_again_at_once(
    boss: Boss, broker: Mosquitto, kind: str
) -> None:
    said = boss.stranger.latest(boss.topic(kind))
    mark = boss.stranger.mark()
    await boss.stranger.publish(boss.topic(kind), b"", retain=True)
    again = await boss.stranger.expect(boss.topic(kind), lambda one: one, after=mark)
    assert again["boot"] == said["boot"]
    async with Stranger(broker.port, boss.topic(kind)) as late:
        assert (await late.expect_message(boss.topic(kind))).retain, "the broker keeps it again"


@pytest.mark.parametrize("state", ["lost", "offline"])
async def test_a_late_will_over_online_is_answered_by_online(boss: Boss, state: str) -> None:
    online = boss.stranger.latest(boss.topic("presence"))
    late = online | {"state": state, "epoch": 0}
    mark = boss.stranger.mark()
    await boss.stranger.publish(boss.topic("presence"), late, retain=True)
    again = await boss.stranger.expect(
        boss.topic("presence"), lambda one: one["state"] == "online", after=mark
    )
    assert (again["boot"], again["epoch"]) == (online["boot"], online["epoch"])


async def test_two_boxes_on_one_id_do_not_shout_at_each_other(boss: Boss) -> None:
    other = boss.stranger.latest(boss.topic("presence")) | {"boot": "another"}
    mark = boss.stranger.mark()
    await boss.stranger.publish(boss.topic("presence"), other, retain=True)
    await boss.stranger.expect(boss.topic("status"), after=mark)  # a heartbeat later
    said = [one for one in boss.stranger.heard[mark:] if one.topic == boss.topic("presence")]
    assert [one.json["boot"] for one in said] == ["another"]

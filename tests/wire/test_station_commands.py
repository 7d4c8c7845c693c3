"""What a station does with commands: once, for whom it may, until its deadline."""

import os
import secrets
import signal

from tests.processes import Programs, until
from tests.wire.sides import Boss, Json, records, writers


async def test_info_is_there_on_every_station(boss: Boss) -> None:
    _, reply = await boss.command("station", "info")
    assert reply["error"] is None
    assert reply["result"]["hostname"]


async def test_what_cannot_be_done_is_refused_with_its_type(boss: Boss) -> None:
    await boss.push(1, records("main"))

    async def refused(role: str, command: str, **more: object) -> str:
        _, reply = await boss.command(role, command, **more)
        assert reply["result"] is None
        assert set(reply["error"]) == {"type", "message", "problems"}
        assert reply["error"]["message"]
        kind: str = reply["error"]["type"]
        return kind

    assert await refused("station", "explode") == "UnknownCommand"
    assert await refused("record", "explode") == "UnknownCommand"
    assert await refused("stream", "explode") == "UnknownCommand"
    assert await refused("station", "info", arguments={"nosuch": 5}) == "InvalidArguments"
    for raw in (
        b"?",
        b"[]",
        b"",
        b'{"instance": null}',
        b'{"instance": 5, "arguments": {}}',
        b'{"instance": null, "arguments": []}',
        b'{"instance": null, "arguments": {}, "arguments": {}}',
        b'{"instance": null, "arguments": {"x": NaN}}',
    ):
        assert await refused("station", "info", raw=raw) == "InvalidArguments", raw


async def test_an_unknown_argument_is_named_by_its_json_pointer(boss: Boss) -> None:
    _, reply = await boss.command("station", "info", {"nosuch": 5})
    (problem,) = reply["error"]["problems"]
    assert set(problem) == {"type", "role", "instance", "path", "message"}
    assert (problem["type"], problem["path"]) == ("InvalidArguments", "/nosuch")


async def test_a_command_is_ignored_if_it_is_retained_or_cannot_be_answered(boss: Boss) -> None:
    topic = boss.topic("command/me/station/info")
    payload: Json = {"instance": None, "arguments": {}}
    mark = boss.stranger.mark()
    await boss.stranger.publish(topic, payload)
    await boss.stranger.publish(topic, payload, correlation=b"kept", retain=True)
    await boss.stranger.publish(topic, b"", retain=True)
    await boss.command("station", "info", correlation=b"live")
    replies = [m for m in boss.stranger.heard[mark:] if m.topic == boss.topic("reply/me")]
    assert [m.correlation for m in replies] == [b"live"]
    assert not replies[0].retain
    assert replies[0].qos == 1


async def test_a_repeat_runs_nothing_twice_and_gets_the_same_reply(
    boss: Boss, programs: Programs
) -> None:
    await boss.push(1, records("main"))
    (before,) = writers(programs)
    correlation = secrets.token_bytes(8)
    arguments = {"role": "record", "instance": "main"}
    mark = boss.stranger.mark()

    async def ask(times: int) -> None:
        for _ in range(times):
            await boss.stranger.publish(
                boss.topic("command/me/station/restart"),
                {"instance": None, "arguments": arguments},
                correlation=correlation,
            )

    await ask(3)  # what comes before the reply is answered by it
    first = await boss.reply(correlation, mark)
    assert first.json["error"] is None
    await ask(2)
    replies = boss.topic("reply/me")
    await until(lambda: len(boss.stranger.on(replies)) >= 3, what="three replies")
    assert {one.payload for one in boss.stranger.on(replies)} == {first.payload}
    status = await boss.stranger.expect(
        boss.topic("status"),
        lambda s: s["roles"]["record"]["main"]["state"] == "running",
        after=boss.stranger.mark(),
    )
    assert status["revision"] == 1
    (called,) = status["called"]
    assert (called["by"], set(called)) == ("me", {"at", "by", "what"})
    assert called["what"] == 'station restart {"role":"record","instance":"main"}'
    (after,) = writers(programs)
    assert after != before

    _, reply = await boss.command("station", "info", correlation=correlation)
    assert reply == first.json, "the pair of caller and correlation data is what counts"


async def test_restart_of_what_does_not_run_is_no_such_instance(boss: Boss) -> None:
    arguments = {"role": "record", "instance": "main"}
    _, reply = await boss.command("station", "restart", arguments)
    assert reply["error"]["type"] == "NoSuchInstance"


async def test_logs_are_the_last_lines_of_an_instance(boss: Boss) -> None:
    await boss.push(1, records("main"))
    arguments = {"role": "record", "instance": "main", "lines": 5}
    _, reply = await boss.command("station", "logs", arguments)
    assert reply["error"] is None
    (of,) = reply["result"]["instances"]
    assert (of["role"], of["instance"]) == ("record", "main")
    assert len(of["lines"]) <= 5


async def test_what_was_recorded_is_told_and_can_be_asked_for(
    boss: Boss, programs: Programs
) -> None:
    await boss.push(1, records("main"))
    (writer,) = writers(programs)
    os.kill(writer, signal.SIGKILL)
    told = await boss.stranger.expect(boss.topic("segment"))
    assert (told["role"], told["instance"], told["ended"]) == ("record", "main", "crash")
    _, reply = await boss.command("station", "segments", {"after": None})
    first = reply["result"]["segments"][0]
    assert set(first) == set(told)
    for same in ("index", "number", "file", "checksum", "streams", "bytes", "ended"):
        assert first[same] == told[same], same
    after = {"index": first["index"], "number": len(reply["result"]["segments"])}
    _, reply = await boss.command("station", "segments", {"after": after})
    assert reply["result"]["index"] == first["index"]
    assert reply["result"]["more"] is False

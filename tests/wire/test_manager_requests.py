"""What of the manager's private conversation with `fleet` is still part of the contract."""

from tests.wire.conftest import Desk

REQUEST = "fleet/v1/manager/request/me"
REPLY = "fleet/v1/manager/reply/me"


async def test_every_refusal_has_a_type_and_the_questions_correlation_data(desk: Desk) -> None:
    for number, (operation, payload, kind) in enumerate(
        (
            ("explode", {}, "UnknownCommand"),
            ("apply", b"?", "InvalidArguments"),
            ("apply", b"[]", "InvalidArguments"),
            ("apply", b'{"text": "", "text": "", "name": "x"}', "InvalidArguments"),
            ("apply", {"text": 5, "name": "x"}, "InvalidArguments"),
            ("apply", {"text": "[", "name": "x"}, None),
            ("apply", {"text": "[stations.a]", "name": "x"}, None),
        )
    ):
        correlation = f"question {number}".encode()
        mark = desk.stranger.mark()
        await desk.stranger.publish(f"{REQUEST}/{operation}", payload, correlation=correlation)
        reply = await desk.stranger.expect_message(REPLY, after=mark)
        assert reply.correlation == correlation
        assert not reply.retain
        assert set(reply.json) == {"result", "error"}
        assert reply.json["result"] is None
        error = reply.json["error"]
        assert set(error) == {"type", "message", "problems"}
        assert error["message"]
        assert kind in (error["type"], None), (operation, payload, error)
    assert (await desk.ask("status"))["stations"] == []


async def test_a_request_that_is_retained_or_cannot_be_answered_is_counted_and_ignored(
    desk: Desk,
) -> None:
    mark = desk.stranger.mark()
    await desk.stranger.publish(f"{REQUEST}/status", {})
    await desk.stranger.publish(f"{REQUEST}/status", {}, correlation=b"kept", retain=True)
    await desk.stranger.publish(f"{REQUEST}/status", b"", retain=True)
    await desk.ask("status")
    replies = [one for one in desk.stranger.heard[mark:] if one.topic == REPLY]
    assert len(replies) == 1
    assert replies[0].correlation != b"kept"
    await desk.shows(3, "fleet_mqtt_undecodable_total", kind="request")

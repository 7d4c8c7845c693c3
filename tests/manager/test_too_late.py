"""Whoever was told that nobody answered can rely on it: what was asked is not done later."""

import asyncio
import secrets
import signal
import sqlite3
from typing import Any

from tests.manager.boxes import Boxes, reject, rollout_ends
from tests.manager.station import ask, conference
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger

REPLY = "fleet/v1/manager/reply/tester"


def file(seconds: int = 180, *names: tuple[str, str]) -> dict[str, Any]:
    return {"text": conference(*(names or [("one", "a")]), seconds=seconds), "name": "demo.toml"}


async def late(stranger: Stranger) -> bytes:
    """Ask for an apply that has a second; its correlation data."""
    correlation = secrets.token_bytes(8)
    await stranger.publish(
        "fleet/v1/manager/request/tester/apply",
        file(),
        correlation=correlation,
        response_topic=REPLY,
        expiry=1,
    )
    return correlation


async def refused(stranger: Stranger, correlation: bytes) -> None:
    reply = await stranger.expect_message(REPLY, lambda said: said["error"] is not None)
    assert reply.correlation == correlation
    assert reply.json["error"]["type"] == "DeadlineExceeded"
    assert "nothing was changed" in reply.json["error"]["message"]
    found = (await ask(stranger, "history"))["result"]
    assert found["events"] == [], "nothing was rolled out"


async def test_a_manager_that_was_held_does_not_do_what_expired_meanwhile(
    stranger: Stranger, broker: Mosquitto, programs: Programs
) -> None:
    manager = programs.manager(broker)
    await ask(stranger, "status")
    manager.signal(signal.SIGSTOP)
    try:
        correlation = await late(stranger)
        await asyncio.sleep(1.5)  # its second passes
    finally:
        manager.signal(signal.SIGCONT)
    await refused(stranger, correlation)


async def test_a_store_that_is_freed_too_late_keeps_nothing_of_it(
    stranger: Stranger, broker: Mosquitto, programs: Programs
) -> None:
    manager = programs.manager(broker)
    await ask(stranger, "status")
    store = programs.directory / "manager" / "manager.sqlite"
    other = sqlite3.connect(store, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        correlation = await late(stranger)
        await asyncio.sleep(1.5)  # its second passes
        other.execute("ROLLBACK")
    finally:
        other.close()
    await refused(stranger, correlation)
    assert manager.process.poll() is None


async def test_everything_goes_back_to_before_the_last_change_and_a_rejection_is_named(
    stranger: Stranger, broker: Mosquitto, programs: Programs, boxes: Boxes
) -> None:
    programs.manager(broker)
    await boxes.add("a", behaviour=reject)
    for seconds in (180, 60, 60):
        reply = await ask(stranger, "apply", **file(seconds))
        assert reply["error"] is None, reply
        await rollout_ends(stranger)
    look = (await ask(stranger, "rollback", station=None, dry_run=True))["result"]
    details = [one["detail"] for one in look["plan"]["changes"]]
    assert details == ["segment_seconds 60 -> 180"], "the last rollout changed nothing"
    assert look["plan"]["warnings"] == ["one rejected this as revision 1"]
    back = (await ask(stranger, "rollback", station=None))["result"]
    assert back["revisions"] == {"a": 3}

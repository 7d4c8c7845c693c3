"""The test parts themselves keep what other tests rely on."""

import asyncio

from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger


async def test_hears_what_another_publishes_and_is_told_the_reason_code(
    broker: Mosquitto, stranger: Stranger
) -> None:
    async with Stranger(broker.port) as other:
        assert await other.publish("fleet/v1/x", {"n": 1}, retain=True, correlation=b"c") == 0
        assert await other.publish("elsewhere", {}) == 16
    message = await stranger.expect_message("fleet/v1/x", lambda v: v["n"] == 1)
    assert (message.correlation, message.retain) == (b"c", False)


async def test_will_fires_when_it_vanishes_and_not_when_it_leaves(
    broker: Mosquitto, stranger: Stranger
) -> None:
    async with Stranger(broker.port, will=("fleet/v1/left", {})):
        pass
    gone = Stranger(broker.port, will=("fleet/v1/gone", {"lost": True}))
    await gone.__aenter__()
    await gone.vanish()
    await stranger.expect("fleet/v1/gone", lambda v: v["lost"])
    assert not stranger.on("fleet/v1/left")


async def test_survives_a_broker_that_loses_everything(
    broker: Mosquitto, stranger: Stranger
) -> None:
    await stranger.publish("fleet/v1/x", 1, retain=True)
    broker.stop()
    broker.start()
    async with asyncio.timeout(60):
        while await stranger.publish("fleet/v1/y", 2):
            pass
    await stranger.expect("fleet/v1/y")
    async with Stranger(broker.port, "fleet/v1/x", "fleet/v1/z") as late:
        await late.publish("fleet/v1/z", 3)
        await late.expect("fleet/v1/z")
        assert not late.on("fleet/v1/x")


async def test_programs_are_ended_with_their_logs_kept(programs: Programs) -> None:
    program = programs.start("python", "-c", "import time; print('up', flush=True); time.sleep(99)")
    await program.says("up")
    programs.end()
    assert await program.ended() == -15
    assert "up" in program.log()
    assert not programs.leftovers()

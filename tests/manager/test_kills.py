"""A manager killed again and again while it rolls out never forgets, repeats or goes back."""

import asyncio
import random

import pytest

from tests.manager.boxes import Boxes, rollout_ends, status_of
from tests.manager.conftest import Place
from tests.manager.station import ask, conference
from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger

SEED = 20260201
NAMES = [(f"st{number}", f"st{number}") for number in range(8)]


async def online_again(stranger: Stranger, mark: int) -> None:
    await stranger.expect("fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark)


def restart(manager: Program, programs: Programs, broker: Mosquitto, place: Place) -> Program:
    manager.kill()
    return programs.manager(broker, *place.arguments)


@pytest.mark.long
async def test_killed_at_random_it_comes_back_consistent_and_converges(
    broker: Mosquitto,
    stranger: Stranger,
    programs: Programs,
    boxes: Boxes,
    place: Place,
    long: bool,
) -> None:
    chance = random.Random(SEED)
    manager = programs.manager(broker, *place.arguments)
    await boxes.add(*(id_ for _, id_ in NAMES))
    for number in range(10 if long else 3):
        await ask(stranger, "status")
        await ask(stranger, "rollout", stop=True)  # whatever the last round left
        text, batch = conference(*NAMES, seconds=100 + number), chance.choice([None, 1, 3])
        request = {"text": text, "name": "f", "batch": batch}
        stranger.publish("fleet/v1/manager/request/tester/apply", request, correlation=b"x")
        await asyncio.sleep(chance.random() * 0.4)
        mark = stranger.mark()
        manager = restart(manager, programs, broker, place)
        await online_again(stranger, mark)
    await ask(stranger, "rollout", stop=True)
    final = conference(*NAMES, seconds=99)
    assert (await ask(stranger, "apply", text=final, name="f", batch=3))["error"] is None
    mark = stranger.mark()
    manager = restart(manager, programs, broker, place)
    await online_again(stranger, mark)
    assert (await rollout_ends(stranger))["phase"] == "done"

    sent: dict[tuple[str, int], bytes] = {}
    for id_ in boxes.stations:
        order = []
        for message in stranger.on(f"fleet/v1/station/{id_}/config"):
            revision = message.json["revision"]
            assert sent.setdefault((id_, revision), message.payload) == message.payload
            order.append(revision)
        assert order == sorted(order), f"{id_} was sent an older revision after a newer one"
    kept = place.query("select station, revision, config from revision")
    stored = {(station, revision): config for station, revision, config in kept}
    for key, payload in sent.items():
        assert stored[key] == payload.decode(), "what was sent had been committed"
    shown = await status_of(stranger)
    assert all(one["in_sync"] for one in shown.values())
    assert {box.roles["record"]["main"]["segment_seconds"] for box in boxes.stations.values()} == {
        99
    }
    if place.url is None:
        assert place.query("pragma integrity_check") == [("ok",)]

    mark = stranger.mark()
    restart(manager, programs, broker, place)
    await online_again(stranger, mark)
    assert all(one["in_sync"] for one in (await status_of(stranger)).values())
    assert not [m for m in stranger.heard[mark:] if m.topic.endswith("/config")]

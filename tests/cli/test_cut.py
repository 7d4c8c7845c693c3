"""`fleet cut`, `blank` and `live`: a room is named, its mixer is found and told."""

import asyncio
import json
from typing import Any

from tests.cli.conftest import Fleet, Play
from tests.manager.station import apply
from tests.stranger import Stranger

SHOWN = {
    "composite": "fullscreen",
    "a": "cam",
    "b": "slides",
    "audio": "cam",
    "live": False,
    "sources": {"cam": True, "slides": False},
}
FACTORY: Any = {"instances": 0, "settings": {}, "commands": {}}
ROOMS = """
[rooms.hall1]
[rooms.hall2]
[rooms.hall3]
[stations.hall2-cam]
id = "cam2"
room = "hall2"
roles.record.main = {source = {type = "test"}}
"""


def mixer(name: str, room: str) -> str:
    return f"""
        [stations.{name}]
        id = "{name}"
        room = "{room}"
        roles.ingest.main = {{picture = {{type = "test"}}, sound = {{type = "test"}}}}
        roles.mix.main = {{sources = {{cam = {{role = "ingest"}}}}, audio = "cam"}}
    """


async def asked(stranger: Stranger, station: str, command: str, reply: Any) -> Any:
    """What a station's mixer is asked next, and answered so."""
    mark = stranger.mark()
    async with asyncio.timeout(60):
        while True:
            for one in stranger.heard[mark:]:
                topic = one.topic.split("/")
                if topic[2:5] == ["station", station, "command"] and topic[-1] == command:
                    where = f"fleet/v1/station/{station}/reply/{topic[5]}"
                    await stranger.publish(where, reply, correlation=one.correlation)
                    return one.json
            await asyncio.sleep(0.01)


async def test_a_room_is_cut_blanked_and_shown_by_its_name(
    fleet: Fleet, play: Play, stranger: Stranger
) -> None:
    for id_ in ("hall1-mix", "hall3-left", "hall3-right", "cam2"):
        await play(id_, factories=dict.fromkeys(("ingest", "mix", "record"), FACTORY))
    text = ROOMS + mixer("hall1-mix", "hall1")
    await apply(stranger, text + mixer("hall3-left", "hall3") + mixer("hall3-right", "hall3"))

    done = {"result": SHOWN, "error": None}
    for words, command, arguments in (
        (["cut", "hall1", "--composite", "fullscreen", "--a", "cam"], "cut",
         {"composite": "fullscreen", "a": "cam", "b": None}),
        (["cut", "hall1"], "get", {}),
        (["blank", "hall1"], "blank", {}),
        (["live", "hall1-mix"], "live", {}),
    ):  # fmt: skip
        heard = asyncio.create_task(asked(stranger, "hall1-mix", command, done))
        said = await fleet(*words)
        assert (said.code, said.out) == (0, ""), said.err
        assert said.err.strip() == (
            f"{words[1]}: blank; fullscreen of cam, sound of cam; nothing comes from slides"
        )
        assert await heard == {"instance": "main", "arguments": arguments}

    refusal = {"type": "InvalidArguments", "message": "no source 'cma'", "problems": []}
    heard = asyncio.create_task(
        asked(stranger, "hall1-mix", "cut", {"result": None, "error": refusal})
    )
    said = await fleet("cut", "hall1", "--a", "cma")
    assert (said.code, "no source 'cma'" in said.err) == (1, True)
    await heard
    heard = asyncio.create_task(asked(stranger, "hall1-mix", "blank", done))
    said = await fleet("blank", "hall1", "--json")
    assert json.loads(said.out) == SHOWN
    await heard

    said = await fleet("cut", "hall2", "--a", "cam")
    assert said.code == 2
    assert "hall2 has no mixer" in said.err
    assert "a room with one: hall1, hall3" in said.err
    said = await fleet("blank", "hall3")
    assert said.code == 2
    assert "hall3 has 2 mixers" in said.err
    assert "call hall3-left mix get --instance main" in said.err
    said = await fleet("live", "hall11")
    assert said.code == 2
    assert "there is no room 'hall11'; did you mean hall1?" in said.err
    said = await fleet("cut", "hall1", "--composite", "pip")
    assert said.code == 2
    assert "picture_in_picture" in said.err

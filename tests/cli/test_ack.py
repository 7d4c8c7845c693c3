"""`fleet ack` and `fleet notify`, as somebody types them."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.cli.conftest import Fleet, Play


async def test_who_sees_to_a_room_is_shown_to_all_until_they_do_no_more(
    fleet: Fleet, play: Play, file: Callable[..., Path]
) -> None:
    cam = await play("cam1")
    assert (await fleet("apply", str(file(("cam", "cam1"))), "--yes")).code == 0
    await cam.presence("lost")

    nowhere = await fleet("ack", "hall")
    assert nowhere.code == 2
    assert "did you mean 'hall1'?" in nowhere.err
    for length in ("0m", "-5m", "soon"):
        assert (await fleet("ack", "hall1", "--for", length)).code == 2

    seen = await fleet("ack", "hall1")
    assert seen.code == 0
    assert "you see to hall1 until " in seen.err
    long = json.loads((await fleet("ack", "hall1", "--for", "2h", "--json")).out)
    left = datetime.fromisoformat(long["until"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)
    assert re.search(
        r"hall1  anonymous sees to it until [\d:]{8} UTC\n", (await fleet("status")).err
    )
    assert "anonymous" in (await fleet("history")).out
    assert "sees to hall1 until " in (await fleet("history")).out

    off = await fleet("ack", "hall1", "--off")
    assert "what is wrong there calls again" in off.err
    assert "sees to it" not in (await fleet("status")).err
    assert "sees to hall1 no more" in (await fleet("history")).out


async def test_where_nobody_can_be_called_notify_says_what_is_to_be_set(
    fleet: Fleet, play: Play
) -> None:
    none = await fleet("notify", "is anybody there?")
    assert none.code == 2
    assert "put notify = " in none.err
    assert "restart it" in none.err

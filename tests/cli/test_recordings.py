"""What stations tell of their recordings reaches the manager once, whatever was away meanwhile."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cli.conftest import Fleet
from tests.manager.station import PretendStation, apply, ask, conference
from tests.processes import Mosquitto, Programs, until
from tests.schedule.publish import MINUTE, event, published
from tests.stranger import Stranger, wire_time


def segment(number: int, begin: datetime, end: datetime, **more: Any) -> dict[str, Any]:
    return {
        "index": "index-1",
        "number": number,
        "file": f"record/main-{number}.ts",
        "room": "hall1",
        "role": "record",
        "instance": "main",
        "begin": wire_time(begin),
        "end": wire_time(end),
        "bytes": 1000,
        "streams": [
            {"kind": "video", "codec": "h264", "name": None, "language": None, "frames": 9}
        ],
        "frames": 9,
        "checksum": "xxh3-128:00",
        "gap": None,
        "ended": "full",
        "check": {"at": wire_time(end)},
    } | more


class Teller(PretendStation):
    """A station that answers `segments` from its index, two at a time."""

    def __init__(self, stranger: Stranger) -> None:
        super().__init__(stranger, "cam1")
        self.kept: list[dict[str, Any]] = []
        self.asked: list[Any] = []

    async def answer(self) -> None:
        seen = 0
        while True:
            for message in self.stranger.heard[seen:]:
                seen += 1
                if not message.topic.endswith("/station/segments"):
                    continue
                after = message.json["arguments"]["after"]
                self.asked.append(after)
                known = after["number"] if after and after["index"] == "index-1" else 0
                later = [one for one in self.kept if one["number"] > known]
                caller = message.topic.split("/")[-3]
                result = {"index": "index-1", "segments": later[:2], "more": len(later) > 2}
                await self.stranger.publish(
                    self.topic(f"reply/{caller}"), {"result": result, "error": None}
                )
            await asyncio.sleep(0.01)


async def files(stranger: Stranger) -> list[str]:
    """Of the first talk, once the schedule is known."""
    found = (await ask(stranger, "recordings"))["result"]["receipts"][:1]
    return [file for one in found for it in one["coverage"] for file in it["files"]]


async def comes(holds: Callable[[], Awaitable[bool]]) -> None:
    """Until it is so; nothing tells of what the manager writes down."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_nothing_is_lost_by_a_manager_that_was_away_and_nothing_counted_twice(
    broker: Mosquitto, stranger: Stranger, programs: Programs, fleet: Fleet, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    begin = now - timedelta(hours=1)
    place = tmp_path / "schedule.json"
    place.write_bytes(
        published(
            {"hall1": [event(1, begin, title="Opening"), event(2, begin, do_not_record=True)]}
        )
    )
    manager = programs.manager(broker)
    text = conference(("hall1-cam", "cam1")).replace(
        "[rooms.hall1]", f'[schedule]\nfile = "{place}"\n[rooms.hall1]'
    )
    said = await fleet("receipt", "NCWSAJ")
    assert said.err == "fleet: no talk is known there: fleet schedule says where they come from\n"
    said = await fleet("recordings", "--missing")
    assert (said.code, said.err) == (
        0,
        "no talk that is to be recorded is over yet: fleet schedule shows them\n",
    )
    await apply(stranger, text)
    teller = Teller(stranger)
    answering = asyncio.create_task(teller.answer())
    try:
        await teller.come_online(60)
        teller.kept = [
            segment(n, begin + 10 * (n - 2) * MINUTE, begin + 10 * (n - 1) * MINUTE)
            for n in range(1, 6)
        ]
        for one in (teller.kept[0], teller.kept[2], teller.kept[2]):
            await teller.say("segment", one, retain=False)
        wanted = [f"record/main-{n}.ts" for n in (2, 3, 4)]

        async def all_there() -> bool:
            return await files(stranger) == wanted

        await comes(all_there)
        said = await fleet("recordings", "hall1")
        assert said.code == 0
        assert "Opening" in said.out
        assert "nothing copies it off the box" in said.out
        assert "Talk 2 (not to be recorded)" in said.out
        assert (await fleet("recordings", "--missing")).code == 0

        async def in_status() -> bool:
            return "talks of today that are over: 1 yellow" in (await fleet("status")).err

        await comes(in_status)

        manager.kill()
        teller.kept.append(segment(6, begin + 40 * MINUTE, begin + 50 * MINUTE))
        await teller.say("segment", teller.kept[-1], retain=False)
        teller.asked.clear()
        manager = programs.manager(broker)
        await until(lambda: teller.asked == [{"index": "index-1", "number": 5}])
        await manager.says("connected;")
        await comes(all_there)

        silent = [
            {
                "begin": wire_time(begin + MINUTE),
                "end": wire_time(begin + 3 * MINUTE),
                "what": "left",
            }
        ]
        check = {"at": wire_time(now), "silences": silent}
        await teller.say("segment", teller.kept[1] | {"check": check}, retain=False)

        async def is_silent() -> bool:
            return "silent (left) for 120.0 s" in (await fleet("receipt", "guid-1")).out

        await comes(is_silent)
        said = await fleet("receipt", "guid-1")
        assert said.code == 0
        assert said.lines[2].startswith("yellow: silent (left)")
        found = json.loads((await fleet("receipt", "guid-1", "--json")).out)
        assert found["coverage"][0]["share"] == 1.0

        clock = (begin + 2 * MINUTE).strftime("%H:%M:%S")
        said = await fleet("mark", "hall1", "start", "--at", clock, "--note", "late")
        assert said.err.startswith("start in hall1 at ")
        assert f"start at {clock} by anonymous (late)" in (await fleet("receipt", "guid-1")).out
        assert (await fleet("mark", "hall1", "start", "--at", "noonish")).code == 2
        assert (await fleet("receipt", "guid-7")).code == 2

        said = await fleet("cutlist", "1")
        found = json.loads(said.out)["lists"][0]
        assert (said.code, found["missing"], found["is_covered"]) == (0, 0.0, True)
        assert [(one["file"], one["in_point"]) for one in found["pieces"][0]["files"]] == [
            ("hall1/record/main-2.ts", 120.0),
            ("hall1/record/main-3.ts", 0.0),
            ("hall1/record/main-4.ts", 0.0),
        ]
        said = await fleet("cutlist", "--format", "ffconcat")
        assert said.lines[:2] == ["ffconcat version 1.0", "# Opening"]
        assert "file 'hall1/record/main-3.ts'" in said.lines
        assert "does not tell where its files begin" in said.err
        said = await fleet("cutlist", "--format", "edl", "--directory", tmp_path)
        written = tmp_path / f"hall1-{begin:%Y%m%dT%H%M}Z-1.edl"
        assert written.read_text().splitlines()[3].split() == [
            *("001", "AX", "AA/V", "C"),
            *("00:02:00:00", "00:10:00:00", "00:00:00:00", "00:08:00:00"),
        ]
        clock = (begin + 55 * MINUTE).strftime("%H:%M:%S")
        await fleet("mark", "hall1", "end", "--at", clock)
        said = await fleet("cutlist", "guid-1")
        assert said.code == 3
        assert "300 s are not in record/main of hall1-cam" in said.err
        assert (await fleet("cutlist", "guid-2")).code == 2
        assert (await fleet("cutlist", "--directory", tmp_path)).code == 2
    finally:
        answering.cancel()

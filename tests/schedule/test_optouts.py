"""A stream is blanked for a talk that must not be streamed, and shown again afterwards."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.manager.station import PretendStation, apply, ask
from tests.processes import Mosquitto, Programs, until
from tests.schedule.publish import HOUR, event, published
from tests.schedule.server import publishing
from tests.stranger import Stranger

FILE = """
[schedule]
url = "{url}"
blank_optouts = true
before = 0
after = 0
[rooms.hall1]
title = "Hall 1"
[stations.hall1-mix]
id = "mix1"
room = "hall1"
[stations.hall1-mix.roles.ingest.main]
picture = {{type = "test"}}
sound = {{type = "test"}}
[stations.hall1-mix.roles.mix.main]
sources.cam = {{role = "ingest"}}
audio = "cam"
"""


class PretendMixer(PretendStation):
    """A station whose mixer says live or blank, as it was told last."""

    def __init__(self, stranger: Stranger) -> None:
        super().__init__(stranger, "mix1")
        self.told: list[str] = []

    async def show(self, live: bool) -> None:
        one: dict[str, Any] = {} if live else {"reason": "StreamBlank", "message": "blank"}
        await self.status("running", **one)

    async def obey_commands(self) -> None:
        seen = 0
        while True:
            for message in self.stranger.heard[seen:]:
                seen += 1
                if "/command/" not in message.topic or "/station/segments" in message.topic:
                    continue
                caller, role, command = message.topic.split("/")[-3:]
                assert (role, message.json["instance"]) == ("mix", "main")
                self.told.append(command)
                await self.stranger.publish(
                    self.topic(f"reply/{caller}"),
                    {"result": {}, "error": None},
                    correlation=message.correlation,
                )
                await self.show(command == "live")
            await asyncio.sleep(0.01)


def talks(private: bool, now: datetime) -> bytes:
    first = event(1, now - HOUR, duration="3:00", do_not_stream=private)
    return published({"Hall 1": [first, event(2, now + 9 * HOUR)]})


async def of_room(stranger: Stranger) -> Any:
    (found,) = (await ask(stranger, "status"))["result"]["talks"]
    return found


async def test_it_is_blanked_once_and_shown_again_by_whichever_manager_is_there_then(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    now = datetime.now(UTC)
    async with publishing(talks(True, now)) as publisher:
        text = FILE.format(url=publisher.url)
        manager = programs.manager(broker)
        await manager.says("connected;")
        await apply(stranger, text)
        mixer = PretendMixer(stranger)
        mixer.revision, mixer.roles = 1, {"mix": {"main": {}}, "ingest": {"main": {}}}
        obeying = asyncio.create_task(mixer.obey_commands())
        try:
            await mixer.come_online()
            await until(lambda: mixer.told == ["blank"])
            await manager.says("hall1: blank, for a talk")
            found = await of_room(stranger)
            assert found["blanked"]
            manager.kill()
            publisher.content = talks(False, now)
            manager = programs.manager(broker)
            await manager.says("the schedule has changed")
            await manager.says("hall1: the talk that must not be streamed is over")
            assert mixer.told == ["blank", "live"]
            assert not (await of_room(stranger))["blanked"]
        finally:
            obeying.cancel()

"""Notifications that arrive, at a real HTTP receiver by way of Apprise."""

import asyncio
import gzip
import html
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fleet.guard import Guard
from fleet.manager.notifications.carrier import Carrier, Recipient
from fleet.manager.notifications.concerns import AlertGroup, Alerts
from fleet.manager.notifications.deciding import Notification, NotificationKind
from fleet.manager.notifications.keeper import Notifications
from fleet.manager.web.alerts import AlertReceiver
from fleet.settings import BadSettings
from fleet.wire import decode
from tests.manager.station import PretendStation, apply, ask, conference
from tests.processes import Mosquitto, Programs, free_port, until
from tests.stranger import Stranger

TOKEN = "of this test"  # noqa: S105
NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)


class Receiver:
    """What apprise's json:// sends to; `well` False: it takes nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.tried = asyncio.Event()
        self.well = True

    @property
    def url(self) -> str:
        return f"json://me:hunter2@127.0.0.1:{self.port}/calls"

    async def take(self, request: web.Request) -> web.Response:
        self.tried.set()
        if not self.well:
            return web.Response(status=503)
        await self.got.put(await request.json())
        return web.Response()

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.got.get(), 60)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/calls", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", found.port).start()
    yield found
    await runner.cleanup()


def settings(tmp_path: Path, *lines: str) -> str:
    file = tmp_path / "manager.toml"
    file.write_text("\n".join(lines))
    return str(file)


def alert(rule: str, status: str = "firing", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": rule, **labels},
        "annotations": {"description": f"Go to cam in hall1: {rule}."},
        "startsAt": "2026-02-01T09:00:00.123456789Z",
    }


@pytest.mark.long
async def test_a_lost_box_calls_people_until_somebody_sees_to_it(
    broker: Mosquitto,
    stranger: Stranger,
    programs: Programs,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    receiver.well = False
    about = "fleet.manager.notifications"
    programs.instead = {f"{about}.deciding.LASTS": 1, f"{about}.keeper._LOOK": 0.5}
    file = settings(tmp_path, f'notify = ["{receiver.url}"]', 'http_name = ["av.example.org"]')
    manager = programs.manager(broker, "--settings", file)
    await manager.says("connected;")
    cam = PretendStation(stranger, "cam1")
    await cam.come_online(interval=60)
    await apply(stranger, conference(("cam", "cam1")))
    await cam.obey(await cam.config())

    said = (await ask(stranger, "notify", text="is anybody there?"))["result"]["addresses"]
    assert said == [f"json://me:****@127.0.0.1:{receiver.port}/calls"]
    await asyncio.wait_for(receiver.tried.wait(), 60)
    await manager.says("takes no notification; it is tried again")
    receiver.well = True
    first = await receiver.next()
    assert (first["title"], first["message"]) == ("tester says", "is anybody there?")

    await cam.presence("lost")
    notification = await receiver.next()
    assert (notification["title"], notification["type"]) == ("hall1 needs somebody", "failure")
    told, ack = notification["message"].splitlines()
    assert told.startswith("cam: lost since ")
    assert "fleet status cam" in told
    button = "the button at https://av.example.org/"  # of a proxy: here it listens on loopback
    assert ack == f"I take it: fleet ack hall1, or {button}"

    seen = await ask(stranger, "ack", room="hall1")
    assert seen["error"] is None
    taken = await receiver.next()
    assert (taken["title"], taken["type"]) == ("tester sees to hall1", "info")
    (shown,) = (await ask(stranger, "status"))["result"]["acknowledged"]
    told_later = json.dumps(await ask(stranger, "history"))
    assert "sees to hall1 until" in told_later
    assert (shown["room"], shown["by"]) == ("hall1", "tester")
    assert "hunter2" not in manager.log()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
async def test_an_address_that_takes_nothing_for_a_minute_is_a_finding_until_it_does(
    receiver: Receiver,
) -> None:
    carrier = Carrier([receiver.url])
    notifications = Notifications(None, None, carrier)  # type: ignore[arg-type] # looks at no room
    (address,) = carrier.addresses
    receiver.well = False
    counts: Counter[str] = Counter()
    keeping = asyncio.create_task(address.keep(counts))
    notifications.say("ann", "is anybody there?")
    await until(lambda: counts["failed"] >= 1)
    assert list(notifications.findings()) == [], "it may come in a moment"
    assert address.failing_since is not None
    address.failing_since -= timedelta(minutes=2)
    (finding,) = notifications.findings()
    assert finding.kind == "NotNotified"
    assert "hunter2" not in str(finding)
    assert f"127.0.0.1:{receiver.port}" in finding.text
    receiver.well = True
    assert (await receiver.next())["message"] == "is anybody there?"
    await until(lambda: counts["sent"] == 1)
    assert list(notifications.findings()) == []
    keeping.cancel()
    carrier.close()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
async def test_what_a_station_says_is_nothing_but_text_where_people_read_it(
    receiver: Receiver,
) -> None:
    carrier, guard = Carrier([f"{receiver.url}?format=html"]), Guard()
    carrier.begin(guard)
    text = 'cam: <a href="https://evil.example">sign in</a> @everyone &lt;!channel&gt; <!channel>'
    carrier.carry(Notification("hall1", NotificationKind.NEW, "hall1 needs @here", text))
    said = await receiver.next()
    assert not any(one in html.unescape(said["message"]) for one in ("<a", "@everyone", "<!"))
    assert "@here" not in said["title"]
    await guard.close()
    carrier.close()


async def test_alertmanager_calls_through_the_manager_and_its_own_findings_rest(
    broker: Mosquitto, programs: Programs, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    file = settings(
        tmp_path, f'notify = ["{receiver.url}"]', f'alerts_token_file = "{tmp_path}/token"'
    )
    port = free_port()
    manager = programs.manager(broker, "--settings", file, http=port)
    await manager.says("connected;")
    url = f"http://127.0.0.1:{port}/alerts"
    fire = {"alerts": [alert("Watchdog"), alert("StationLost", room="hall1", name="cam")]}
    async with aiohttp.ClientSession() as session:

        async def post(body: Any, token: str = TOKEN, **more: str) -> int:
            headers = {"Authorization": f"Bearer {token}", **more}
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.post(url, data=data, headers=headers) as answer:
                return answer.status

        assert await post(fire, "another") == 401
        assert await post(b"[") == await post({"alerts": 5}) == 400
        with pytest.warns(ResourceWarning):  # by who sends so much
            assert await post(b" " * (2**20 + 1)) == 413
        packed = gzip.compress(json.dumps(fire).encode())
        encoded = {"Content-Encoding": "gzip"}
        assert await post(packed, **encoded) == 400, "who unpacks may have to do so for ten seconds"
        assert await post(fire) == 200
        notification = await receiver.next()
        assert notification["title"] == "hall1 needs somebody"
        assert notification["message"].splitlines()[0] == "Go to cam in hall1: StationLost."
        gone = {"alerts": [alert("StationLost", "resolved", room="hall1", name="cam")]}
        assert await post(gone) == 200
        assert (await receiver.next())["title"] == "hall1 is well again"


@pytest.mark.parametrize("by", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_without_a_token_alerts_are_heard_from_this_machine_and_through_no_proxy(
    by: str,
) -> None:
    heard: list[AlertGroup] = []
    app = web.Application()
    AlertReceiver(heard.append, None).add_to(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := free_port())
    await site.start()
    url, fire = f"http://127.0.0.1:{port}/alerts", {"alerts": [alert("StationLost", room="hall1")]}
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json=fire, headers={by: "203.0.113.9"}) as refused:
            assert refused.status == 401
            assert "alerts_token_file" in await refused.text()
        assert heard == []
        async with session.post(url, json=fire) as taken:
            assert taken.status == 200
        assert len(heard) == 1
    await runner.cleanup()


def said(*alerts: Any) -> AlertGroup:
    found: AlertGroup = decode(json.dumps({"alerts": alerts}).encode(), AlertGroup)
    return found


def test_alerts_of_an_alertmanager_that_fell_silent_are_forgotten() -> None:
    alerts = Alerts()
    assert alerts.concerns(NOW) is None
    fire = [alert("StationLost", room="hall1"), alert("BrokerUnreachable"), alert("Watchdog")]
    alerts.hear(said(*fire), NOW)
    found = alerts.concerns(NOW + timedelta(minutes=5))
    assert found is not None
    assert {room: [one.text for one in them] for room, them in found.items()} == {
        "hall1": ["Go to cam in hall1: StationLost."],
        "": ["Go to cam in hall1: BrokerUnreachable."],
    }
    assert alerts.concerns(NOW + timedelta(minutes=6)) is None
    alerts.hear(said(alert("Watchdog")), NOW)
    assert alerts.concerns(NOW) == {}


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
@pytest.mark.parametrize("url", ["", "hall1", "ntfy", "nosuch://secret@host", "://x"])
async def test_an_address_that_is_none_is_refused_and_its_secret_not_said(url: str) -> None:
    with pytest.raises(BadSettings, match="is of no kind that Apprise knows") as refused:
        Recipient(url)
    assert "secret" not in str(refused.value)

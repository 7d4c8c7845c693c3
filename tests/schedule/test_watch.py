"""The manager's schedule over time: what is good is gone by, what is not changes nothing."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.manager.conference.rooms import rooms_of
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.store import ManagerStore
from fleet.manager.store.ledger import Ledger
from tests.manager.conftest import Place
from tests.manager.station import apply, ask, conference
from tests.manager.test_said import metrics
from tests.processes import Mosquitto, Programs
from tests.schedule.publish import HOUR, NOON, event, moved, published
from tests.schedule.server import Publisher, publishing
from tests.stranger import Stranger

GOOD = {"Hall 1": [event(1), event(2, NOON + HOUR)]}


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with publishing(published(GOOD)) as one:
        yield one


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    yield opened
    await opened.close()


def watching(ledger: Ledger, place: str, directory: Path) -> ScheduleWatch:
    kind = "url" if "://" in place else "file"
    ledger.learn(
        rooms_of(f'[schedule]\n{kind} = "{place}"\n[rooms.hall1]\nschedule = ["Hall 1"]\n')
    )
    return ScheduleWatch(ledger, directory)


async def test_whatever_is_published_next_the_last_good_one_holds(
    ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    watch = watching(ledger, publisher.url, tmp_path)
    await watch.look()
    good = ledger.rooms.schedule
    assert good is not None
    other = {"Hall 1": [event(8), event(9)]}
    for content, told in (
        (published(GOOD)[:-20], "not JSON"),
        (b"<html>", "web page"),
        (published({"Hall 1": [event(1, duration="135.0:00"), event(2)]}), "135.0:00"),
        (published({"Hall 1": [event(1), event(2, guid="guid-1")]}), "guid-1"),
        (published({"Cinema": [event(1)]}), 'none of its rooms ("Cinema")'),
        (published(other, acronym="othercon", title="OtherCon"), 'schedule of "OtherCon"'),
        (published({"Hall 1": []}), "no talks"),
    ):
        publisher.content = content
        await watch.look()
        assert told in str(watch.trouble)
        assert ledger.rooms.schedule is good
        assert ledger.rooms.talk_on("hall1", NOON)
        finding = next(watch.findings())
        assert (finding.kind, finding.since) == ("Schedule", watch.since)
        assert told in str(finding.detail)
    publisher.content = published(GOOD)
    await watch.look()
    assert list(watch.findings()) == []


async def test_another_conference_is_gone_by_once_the_file_says_so(
    ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    watch = watching(ledger, publisher.url, tmp_path)
    await watch.look()
    publisher.content = published({"Hall 1": [event(8)]}, acronym="othercon", title="OtherCon")
    await watch.look()
    assert "apply the conference file without [schedule], then with it" in str(watch.trouble)
    ledger.learn(rooms_of("[rooms.hall1]\n"))
    watching(ledger, publisher.url, tmp_path)
    await watch.look()
    assert watch.trouble is None
    assert ledger.rooms.schedule is not None
    assert ledger.rooms.schedule.title == "OtherCon"


async def test_each_change_is_in_the_history_once(
    ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    watch = watching(ledger, publisher.url, tmp_path)
    await watch.look()
    await watch.look()
    publisher.content = published({"Hall 1": [event(1, NOON + 2 * HOUR), event(3)]}, extra=1)
    await watch.look()
    publisher.content = published({"Hall 1": [event(1, NOON + 2 * HOUR), event(3)]}, extra=2)
    await watch.look()
    past = [one for one in await ledger.history.past(None, 10) if one.kind == "schedule"]
    assert len(past) == 2
    assert past[0].text == 'version 1 of "DemoCon", 2 talks'
    for word in ("moved", "added", "cancelled"):
        assert f"{word}: " in str(past[1].text)


async def test_a_store_that_is_away_changes_nothing_and_is_said(
    ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    watch = watching(ledger, publisher.url, tmp_path)
    await watch.look()
    good = ledger.rooms.schedule
    (tmp_path / "schedule.json").write_bytes(published({"Hall 1": [event(4)]}))
    watching(ledger, "schedule.json", tmp_path)
    with Place(tmp_path, None).locked():
        await watch.look()
        assert "lock" in str(watch.trouble)
        assert ledger.rooms.schedule == good
    await watch.look()
    assert watch.trouble is None
    assert ledger.rooms.schedule != good


async def test_the_manager_reads_it_at_an_apply_and_knows_it_after_a_restart(
    broker: Mosquitto, stranger: Stranger, programs: Programs, publisher: Publisher
) -> None:
    publisher.content = moved(datetime.now(UTC))
    manager = programs.manager(broker)
    text = conference(("hall1-cam", "cam1")).replace(
        "[rooms.hall1]",
        f'[schedule]\nurl = "{publisher.url}"\n[rooms.hall1]\nschedule = ["Dark Olive Green Room"]',
    )
    await apply(stranger, text)
    await manager.says("the schedule has changed: version v1.0")
    title = "Innovative bandwidth-monitored groupware"
    shown = await metrics(manager)
    sample = rf'fleet_room_talk_info{{guid="32ca.*",room="hall1",title="{title}"}} 1'
    assert re.search(sample, shown)
    assert 'fleet_room_talk_on{room="hall1"} 1.0' in shown
    assert "fleet_schedule_good 1.0" in shown
    manager.kill()
    publisher.status = 500
    manager = programs.manager(broker)
    await manager.says("is not used: the server answers 500")
    await manager.says("(?s)connected; .*connected; ")
    shown = await metrics(manager)
    assert f'title="{title}"' in shown
    assert "fleet_schedule_good 0.0" in shown
    found = (await ask(stranger, "status"))["result"]
    assert [(one["room"], one["on"]["title"]) for one in found["talks"]] == [("hall1", title)]
    assert [one["kind"] for one in found["findings"]] == ["Schedule"]
    found = (await ask(stranger, "schedule", room="hall1"))["result"]
    assert len(found["schedule"]["talks"]) == 27
    assert "500" in found["trouble"]

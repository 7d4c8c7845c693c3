"""Getting a schedule from a real server, and from a file."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet.schedule import BadSchedule
from fleet.schedule import fetching as fetching_module
from fleet.schedule.fetching import Publication
from fleet.schedule.reading import MOST_BYTES
from tests.processes import free_port
from tests.schedule.server import Publisher, publishing


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with publishing(b"a schedule") as one:
        yield one


async def trouble(publication: Publication) -> str:
    with pytest.raises(BadSchedule) as bad:
        await publication.get()
    return str(bad.value)


async def test_what_is_as_it_was_is_not_sent_again(publisher: Publisher) -> None:
    first = await Publication(publisher.url).get()
    assert first is not None
    known, content = first
    assert content == b"a schedule"
    assert await known.get() is None
    publisher.content = b"another"
    second = await known.get()
    assert second is not None
    assert second[1] == b"another"
    assert publisher.asked == [200, 304, 200]


async def test_what_a_server_does_wrong_is_said(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Publication(publisher.url)
    publisher.status = 304  # of nothing that it was asked to compare with
    assert "answers 304" in await trouble(at)
    publisher.status = 404
    assert "404 Not Found" in await trouble(at)
    publisher.status, publisher.cut = 200, 3
    assert "broke off" in await trouble(at)
    publisher.cut, publisher.content = None, b" " * (MOST_BYTES + 1)
    assert f"more than {MOST_BYTES} bytes" in await trouble(at)
    publisher.location = publisher.url
    assert "more than 5 times" in await trouble(at)
    publisher.location = "file:///etc/passwd"
    assert "cannot be reached" in await trouble(at)
    nobody = f"http://127.0.0.1:{free_port()}/s"
    assert "Connect call failed" in await trouble(Publication(nobody))
    monkeypatch.setattr(fetching_module, "TIMEOUT", 0.1)
    publisher.location, publisher.hang = None, True
    assert "did not come within" in await trouble(at)


async def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    at = Publication.at("schedule.xml", tmp_path)
    assert "No such file" in await trouble(at)
    (tmp_path / "schedule.xml").write_bytes(b"one")
    first = await at.get()
    assert first is not None
    assert first[1] == b"one"
    assert await first[0].get() is None
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "new").replace(tmp_path / "schedule.xml")
    second = await first[0].get()
    assert second is not None
    assert second[1] == b"two"


async def test_a_file_that_is_none_keeps_nobody_waiting(tmp_path: Path) -> None:
    assert "a directory" in await trouble(Publication.at(".", tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a file" in await trouble(Publication.at("pipe", tmp_path))
    assert "not a file" in await trouble(Publication.at("/dev/zero", tmp_path))


def test_a_place_is_shown_without_what_is_secret() -> None:
    place = Publication("https://ann:secret@example.org:8443/s.json?token=secret")
    assert place.shown == "https://example.org:8443/s.json?…"
    assert Publication.at("s.json", Path("/var/lib/fleet")).shown == "/var/lib/fleet/s.json"

"""What all code of a process shares is put back, at whichever step a role changes it."""

import asyncio
import locale
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from fleet.guard import contained
from fleet.shared import Shared, unchanged

OTHER = "C" if "UTF-8" in locale.setlocale(locale.LC_ALL) else "C.UTF-8"


def change_all(directory: Path) -> None:
    os.chdir(directory)
    os.umask(0o070)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    locale.setlocale(locale.LC_ALL, OTHER)
    os.environ["FLEET_NEW"] = "secret"
    del os.environ["FLEET_OLD"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_OLD", "1")
    monkeypatch.setenv("FLEET_NEW", "")
    monkeypatch.delenv("FLEET_NEW")


def test_all_that_is_changed_is_put_back_and_said_whatever_is_raised(tmp_path: Path) -> None:
    before, said = Shared.now(), list[str]()
    with suppress(ValueError), unchanged(said.append):
        change_all(tmp_path)
        assert Shared.now() != before
        raise ValueError
    assert Shared.now() == before
    assert said == [
        "the working directory, the umask, what SIGTERM does, what SIGHUP does, what SIGPIPE does, "
        "which signals are held back, the locale, the environment (FLEET_NEW FLEET_OLD)"
    ]
    with unchanged(said.append):
        pass
    assert len(said) == 1


async def test_nobody_who_works_between_two_steps_sees_what_was_changed(tmp_path: Path) -> None:
    before, said = Shared.now(), list[str]()
    going_on, goes_on, seen = asyncio.Event(), asyncio.Event(), list[bool]()

    async def role() -> None:
        change_all(tmp_path)
        await going_on.wait()
        seen.append(Shared.now() == before)
        os.umask(0o070)
        goes_on.set()
        try:
            await asyncio.sleep(3600)
        finally:
            os.chdir(tmp_path)

    task = asyncio.create_task(contained(role(), said.append))
    await asyncio.sleep(0)
    assert Shared.now() == before
    going_on.set()
    await goes_on.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Shared.now() == before
    assert seen == [True]
    assert said[1:] == ["the umask", "the working directory"]


async def test_what_is_awaited_step_by_step_gives_its_result_and_its_errors() -> None:
    async def add() -> int:
        await asyncio.sleep(0)
        return 3

    assert await contained(add(), print) == 3
    assert await contained(asyncio.to_thread(int, "4"), print) == 4
    with pytest.raises(ValueError, match="base 10"):
        await contained(asyncio.to_thread(int, "x"), print)


def test_a_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    before = Path.cwd()
    os.chdir(gone)
    gone.rmdir()
    try:
        assert Shared.now().directory is None
        assert Shared.now().restore() == ""
    finally:
        os.chdir(before)

"""What a station is told past the manager: bounded, kept over restarts, without what is secret."""

import asyncio
from pathlib import Path
from typing import Any

from fleet.agent.called import CallKeeper
from fleet.agent.config.store import StateDirectory
from fleet.model import MAX_CALLS, CommandRequest, DirectCalls


def asked(instance: str | None = None, **arguments: Any) -> CommandRequest:
    return CommandRequest(instance, arguments)


async def test_what_changes_something_is_told_by_whom_and_outlives_the_agent(
    tmp_path: Path,
) -> None:
    store = StateDirectory(tmp_path)
    told: list[DirectCalls] = []
    keeper = CallKeeper(store, lambda: told.append(keeper.calls))
    keeper.begin()
    saving = asyncio.create_task(keeper.run())
    keeper.note("ann", "station", "info", asked())
    keeper.note("manager-00c0ffee-3", "station", "restart", asked(role="record", instance="main"))
    assert not keeper.calls, "it reads, or the manager writes it down itself"
    keeper.note("ann", "station", "secret", asked(sealed="c2VhbGVk"))
    for number in range(MAX_CALLS):
        keeper.note("ben", "banner", "show", asked("left", text=f"{number} \u202e" + "x" * 500))
    assert len(told) == MAX_CALLS + 1
    assert [(one.by, one.what) for one in told[0]] == [("ann", "station secret")]
    assert len(keeper.calls) == MAX_CALLS
    first = keeper.calls[0].what
    assert first.startswith('banner/left show {"text":"0 ?xxx')
    assert len(first) == 200
    await asyncio.sleep(0)  # it is being saved, and whoever ends the agent waits for that
    await keeper.save()
    assert store.calls() == keeper.calls
    saving.cancel()
    again = CallKeeper(store, lambda: None)
    again.begin()
    assert again.calls == keeper.calls
    store.close()

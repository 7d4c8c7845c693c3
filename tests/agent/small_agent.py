"""An agent in small, for tests that kill one: the engine alone, told by a file what is wanted.

Arguments: its base directory; `adopt` or `refuse`. SIGHUP lets the children run on, SIGTERM
stops them. The file `wanted.json` holds instance -> [argv, patience]; a new one is applied on
SIGUSR1. `statuses.json` holds what it says of itself, with its own process id.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from fleet.agent.engine.reconcile import Key
from fleet.notify import start_logging
from tests.agent.engine import ChildFactory, Station


async def run(base: Path, adopt: bool) -> None:
    station = Station(base, adopt=adopt)
    supervisor, factory = station.supervisor, ChildFactory()
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def write() -> None:
        statuses = {
            instance: [status.state, status.restarts, status.since.timestamp()]
            for named in supervisor.statuses().values()
            for instance, status in named.items()
        }
        text = json.dumps({"pid": os.getpid(), "statuses": statuses})
        (base / "statuses.new").write_text(text)
        (base / "statuses.new").replace(base / "statuses.json")

    async def apply() -> None:
        wanted = json.loads((base / "wanted.json").read_text())
        await supervisor.apply(
            {
                Key("child", name): factory.wanted(*argv, patience=patience, grace=0.3)
                for name, (argv, patience) in wanted.items()
            }
        )

    station.changed = write
    loop = asyncio.get_running_loop()
    for number in (signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set_result, number)
    loop.add_signal_handler(signal.SIGUSR1, lambda: asyncio.ensure_future(apply()))
    await supervisor.take_over()
    await apply()
    await (supervisor.leave if await ended == signal.SIGHUP else supervisor.stop)()


def main() -> None:
    """As its own program; `tests.warm` can start it too."""
    start_logging()
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2] == "adopt"))


if __name__ == "__main__":
    main()

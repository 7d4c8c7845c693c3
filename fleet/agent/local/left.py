"""What an agent that has died left running on this box, for `fleet-agent stop`."""

import asyncio

from fleet.agent.config.store import StateDirectory, StateInUse, kept_id
from fleet.agent.processes.adoption import Adoption, Place
from fleet.agent.settings import AgentSettings


def end_left(settings: AgentSettings) -> list[str]:
    """End it gently; the instances it was of. None where an agent begins just now.

    Raises:
        BadState: it cannot be looked at.
    """
    if not settings.state.is_dir():
        return []
    try:
        store = StateDirectory(settings.state)
    except StateInUse:
        return []
    try:
        station = settings.station or kept_id(settings.state) or ""
        state = settings.state.resolve()
        place = Place(station, state, settings.recordings_dir, settings.secrets)
        return list(map(str, asyncio.run(Adoption(place).end_left())))
    finally:
        store.close()

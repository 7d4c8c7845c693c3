"""Whether what an earlier manager had under way is to be gone on with. Pure.

A store that was put back from a copy knows of rollouts and replacements that were ended long ago;
going on with them would undo what was wanted since.
"""

from datetime import datetime, timedelta
from typing import Final

from fleet.manager.store import LastUse

STALE: Final = timedelta(minutes=10)
"""A rollout that nobody led on for so long is not gone on with: people have helped themselves."""


def too_old(last_use: LastUse, now: datetime) -> str | None:
    """Why a rollout of then is over, None where it may go on."""
    if last_use.alive is None or now - last_use.alive < STALE:
        return None
    minutes = (now - last_use.alive).total_seconds() / 60
    away = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
    return f"no manager led it on for {away}"

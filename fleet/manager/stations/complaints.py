"""Says what could not be read, without letting one broken sender fill the log."""

import logging
import time
from typing import Final

log = logging.getLogger(__name__)

_A_SECOND: Final = 5


class Complaints:
    """At most a few lines a second; the rest is counted and told with the next line."""

    def __init__(self) -> None:
        self._since = 0.0
        self._said = 0
        self._unsaid = 0

    def say(self, topic: str, reason: str) -> None:
        """What came on `topic` changed nothing, for `reason`."""
        now = time.monotonic()
        if now - self._since >= 1:
            self._since, self._said = now, 0
        if self._said >= _A_SECOND:
            self._unsaid += 1
            return
        self._said += 1
        more = f" ({self._unsaid} more were not logged)" if self._unsaid else ""
        self._unsaid = 0
        log.warning("ignored a message on %s: %s%s", topic, reason, more)

"""Whether a source that came to its end is looked for a moment longer. Pure.

A sender that closes its connection after each file, or is begun anew, is there again at once; what
it sends until it is read is lost. Times are seconds of one clock that runs on.
"""

from fleet.host import Failed

_LASTED_SECONDS, _PACE = 2.0, 1.5
"""What lasted so long, and gave no more seconds a second, is sent as it happens."""
_BACK_SECONDS = 1.0


class Again:
    """What is known of a source's last end."""

    def __init__(self) -> None:
        self._attempted = 0.0
        self._ended: tuple[Failed, float] | None = None

    def attempt(self, now: float) -> None:
        """It is begun now."""
        self._attempted = now

    def judge(self, failure: Failed, now: float, played: float) -> None:
        """Return where it may be there again, though this attempt has failed.

        `played`: so many seconds it gave; a file of the web that is there at once has an end.

        Raises:
            Failed: it is not to be looked for.
        """
        took = now - self._attempted
        lasted = took > _LASTED_SECONDS and played < _PACE * took
        if failure.reason == "SourceEnded" and lasted:
            self._ended = failure, now
        elif self._ended is None or not failure.reason.endswith("Unreachable"):
            raise failure
        elif now > self._ended[1] + _BACK_SECONDS:
            raise self._ended[0]

    def back(self) -> bool:
        """Whether it had ended, and is known to be there again from now on."""
        ended, self._ended = self._ended, None
        return ended is not None

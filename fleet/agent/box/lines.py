"""Lines of instances on their way to the log topic: batched, and counted when dropped.

What an instance may say in a second is limited where its output is read (`output`); this keeps
what a broker that is away for long would pile up, and payloads short enough.
"""

from collections.abc import Iterator
from typing import Final

from fleet.model import MAX_PAYLOAD, Log, LogLine
from fleet.wire import encode

MOST_WAITING: Final = 2000
_ENVELOPE: Final = 100


class Outbox:
    """Keeps lines until they are taken."""

    def __init__(self) -> None:
        self._waiting: list[LogLine] = []
        self._dropped = 0

    def add(self, line: LogLine) -> None:
        """Keep `line`, or count it as dropped where too many wait."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(line)
        else:
            self._dropped += 1

    def drop(self, lines: int) -> None:
        """Count lines that somebody else left out."""
        self._dropped += lines

    def take(self) -> Iterator[bytes]:
        """Payloads with all that waits."""
        lines, dropped = self._waiting, self._dropped
        self._waiting, self._dropped = [], 0
        while lines or dropped:
            count, size = 0, _ENVELOPE
            while count < len(lines):
                size += len(encode(lines[count])) + 1
                if size > MAX_PAYLOAD:
                    break
                count += 1
            yield encode(Log(tuple(lines[:count]), dropped))
            lines, dropped = lines[count:], 0

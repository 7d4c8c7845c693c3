"""Lines of instances on their way to the log topic: batched, limited, and counted when dropped."""

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from fleet.model import MAX_PAYLOAD, Log, LogLine
from fleet.wire import encode

LINES_PER_SECOND: Final = 50
"""What one instance may send."""
_MOST_WAITING: Final = 2000
_LONGEST: Final = 4000
"""Characters of a line that are sent."""


class Outbox:
    """Keeps lines until they are taken; pure but for what it keeps. `now`: seconds, monotonic."""

    def __init__(self) -> None:
        self._waiting: list[LogLine] = []
        self._dropped = 0
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def add(self, line: LogLine, now: float) -> bool:
        """Keep `line`, or count it as dropped: an instance has its share of every second."""
        key = line.role, line.instance
        begin, count = self._windows.get(key, (now, 0))
        if now - begin >= 1:
            begin, count = now, 0
        if count >= LINES_PER_SECOND or len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
            return False
        self._windows[key] = begin, count + 1
        self._waiting.append(evolve(line, text=line.text[:_LONGEST]))
        return True

    def drop(self, lines: int) -> None:
        """Count lines that somebody else left out."""
        self._dropped += lines

    def take(self) -> Iterator[bytes]:
        """Payloads with all that waits, none too long."""
        lines, dropped = self._waiting, self._dropped
        self._waiting, self._dropped = [], 0
        while lines or dropped:
            count, size = 0, 100
            while count < len(lines):
                size += len(encode(lines[count])) + 1
                if size > MAX_PAYLOAD:
                    break
                count += 1
            yield encode(Log(tuple(lines[:count]), dropped))
            lines, dropped = lines[count:], 0

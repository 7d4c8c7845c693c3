"""What of a station's secrets is shown to nobody: each that was read here, however it is written.

>>> hidden = Hidden()
>>> hidden.hide("pa ss/wd")
>>> hidden.without("rtmp://host/pa%20ss%2fwd refused pa ss/wd, cGEgc3Mvd2Q=")
'rtmp://host/… refused …, …Q='
"""

import json
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "…"
_SHORTEST: Final = 3
"""Characters of a form that is looked for: less would be found everywhere."""
_SHORTEST_BASE64: Final = 8
_MOST: Final = 4000
"""Forms that are looked for; those that were read longest ago go first."""


class Hidden:
    """Of one station, for all that it says."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}  # in the order in which they were read
        self._forms: tuple[str, ...] = ()

    def hide(self, secret: str) -> None:
        """From now on show no line of it, nor as an address, JSON or base64 would have it."""
        lines = {line.strip(): None for line in secret.splitlines()}
        if lines.keys() <= self._lines.keys():
            return
        self._lines = {one: None for one in self._lines if one not in lines} | lines
        forms = {form: None for line in reversed(self._lines) for form in _forms(line)}
        self._forms = tuple(sorted(list(forms)[:_MOST], key=len, reverse=True))

    def without(self, said: str) -> str:
        """What was said, with `…` for each secret in it."""
        for form in self._forms:
            if form in said:
                said = said.replace(form, HIDDEN)
        return said

    def nowhere_in(self, value: Any) -> Any:
        """A JSON value, of which no text has one; names of members stay."""
        if isinstance(value, str):
            return self.without(value)
        if isinstance(value, dict):
            return {key: self.nowhere_in(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.nowhere_in(one) for one in value]
        return value


class HidingFilter(logging.Filter):
    """Keeps it out of what a handler logs, tracebacks included."""

    def __init__(self, hidden: Hidden) -> None:
        super().__init__()
        self._hidden = hidden
        self._form = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record goes on, without what is hidden."""
        said = record.getMessage()
        if (shown := self._hidden.without(said)) != said:
            record.msg, record.args = shown, None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._form.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._hidden.without(record.exc_text)
        return True


def _forms(line: str) -> Iterator[str]:
    for one in (line, quote(line, safe=""), quote(line), quote_plus(line)):
        for form in (one, _lower(one) if "%" in one else one):
            if len(form) >= _SHORTEST:
                yield form
    for form in (json.dumps(line)[1:-1], json.dumps(line, ensure_ascii=False)[1:-1]):
        if len(form) >= _SHORTEST:
            yield form
    data = line.encode(errors="replace")
    for before in range(3):  # as it stands behind `user:`, whatever its length
        first, last = (before * 8 + 5) // 6, (before + len(data)) * 8 // 6
        if last - first >= _SHORTEST_BASE64:
            for encoded in (b64encode, urlsafe_b64encode):
                yield encoded(bytes(before) + data)[first:last].decode()


def _lower(quoted: str) -> str:
    """With small letters for what is percent-encoded."""
    first, *rest = quoted.split("%")
    return "%".join((first, *(one[:2].lower() + one[2:] for one in rest)))

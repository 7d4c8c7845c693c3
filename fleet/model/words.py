"""Names and numbers, as people write and read them."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

_STATION = re.compile(r"[a-z0-9-]{1,64}")
_ADDRESS = re.compile(
    r"[0-9a-f]{2}([:. -]?)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}"
)
"""A network card's, as people write them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NAME_RULE: Final = "1 to 64 letters, digits, '_' or '-', the first a letter or digit"
_SIX_DAYS: Final = timedelta(days=6)
"""So far a weekday says which day is meant."""
_LONG: Final = (("days", 86_400), ("hours", 3600), ("minutes", 60))
STATION_RULE: Final = "1 to 64 of a-z, 0-9 and '-'"


def is_station_id(text: str) -> bool:
    """Whether `text` can be a station's id."""
    return _STATION.fullmatch(text) is not None


def meant_station_id(text: str) -> str | None:
    """The id that `text`, which is none, stands for; None where there is no telling.

    >>> meant_station_id("B8:27:EB:00:00:A1")
    'b827eb0000a1'
    >>> meant_station_id("Hall1_cam.local")
    'hall1-cam-local'
    """
    text = text.strip().lower()
    if _ADDRESS.fullmatch(text):
        return re.sub(r"[^0-9a-f]", "", text)
    meant = re.sub(r"[^a-z0-9]+", "-", text).strip("-")
    return meant if is_station_id(meant) else None


def no_station_id(text: str) -> str:
    """Why `text` cannot be a station's id, and which one is meant."""
    meant = meant_station_id(text)
    hint = f" (did you mean {meant!r}?)" if meant else ""
    return f"cannot be a station's id: expected {STATION_RULE}{hint}"


def is_name(text: str) -> bool:
    """Whether `text` can name a role, an instance, a command or a caller."""
    return _NAME.fullmatch(text) is not None


def counted(number: int, what: str, several: str | None = None) -> str:
    """`1 station`, `2 stations`; `several`: the plural where it is not made with an s."""
    return f"{number} {what if number == 1 else several or f'{what}s'}"


def clock(at: datetime, now: datetime) -> str:
    """A moment as people say it, in the time zone of `now`.

    >>> from datetime import UTC
    >>> now = datetime(1970, 1, 2, 9, tzinfo=UTC)
    >>> clock(now.replace(hour=8), now)
    '08:00 UTC'
    >>> clock(now.replace(day=1), now)
    'Thu 09:00 UTC'
    """
    local = at.astimezone(now.tzinfo)
    return f"{local:%H:%M %Z}" if local.date() == now.date() else day_and_clock(at, now)


def day_and_clock(at: datetime, now: datetime) -> str:
    """The same, for who may read it on another day.

    >>> from datetime import UTC
    >>> now = datetime(1970, 1, 2, 9, tzinfo=UTC)
    >>> day_and_clock(now.replace(hour=8), now)
    'Fri 08:00 UTC'
    >>> day_and_clock(now.replace(day=8), now)
    '1970-01-08 09:00 UTC'
    """
    form = "%a %H:%M %Z" if abs(at - now) < _SIX_DAYS else "%Y-%m-%d %H:%M %Z"
    return f"{at.astimezone(now.tzinfo):{form}}"


def call_in_words(role: str, instance: str | None, command: str, given: Mapping[str, Any]) -> str:
    """A command as history shows it.

    >>> call_in_words("banner", "left", "show", {"text": "Back at 14:00"})
    'banner/left show {"text":"Back at 14:00"}'
    """
    which = f"{role}/{instance}" if instance else role
    text = json.dumps(dict(given), ensure_ascii=False, separators=(",", ":")) if given else ""
    return " ".join(filter(None, (which, command, printable(text))))


@lru_cache(maxsize=2**14)
def natural(text: str) -> tuple[tuple[int, str], ...]:
    """How people order names, as a key to sort by.

    >>> sorted(["room10", "room3", "Foyer", "attic"], key=natural)
    ['attic', 'Foyer', 'room3', 'room10']
    """
    parts = re.split(r"(\d+)", text)
    ordered = [
        (int(part), "") if number % 2 else (-1, part.casefold())
        for number, part in enumerate(parts)
    ]
    return (*ordered, (-1, text))


def printable(text: str, besides: str = "") -> str:
    """`text` with `?` for each character that a terminal or log would obey instead of showing it.

    Such are escape, C1 and bidi controls, and a newline that begins a line of its own; those in
    `besides` stay. The one way out for what strangers wrote.

    >>> printable("a\\x1b[2Jb\\nc\\u202ed"), printable("a\\nb", besides="\\n") == "a\\nb"
    ('a?[2Jb?c?d', True)
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in besides else "?" for one in text)


def clip(text: str, longest: int) -> str:
    """`text`, with `…` in place of what is longer than so many characters.

    >>> clip("a disk", 6), clip("a disk", 5)
    ('a disk', 'a di…')
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"


def ahead_or_behind(seconds: float) -> str:
    """How far a clock is off, as it stands before whose it is compared with.

    >>> ahead_or_behind(1.5), ahead_or_behind(-60), ahead_or_behind(-3600)
    ('1.5 s ahead of', '60.0 s behind', '60 minutes behind')
    >>> ahead_or_behind(15_000), ahead_or_behind(86_400 * 3652)
    ('4 hours ahead of', '3652 days ahead of')
    """
    far = abs(seconds)
    unit, length = next((one for one in _LONG if far >= 2 * one[1]), ("", 1))
    how_far = f"{far / length:.0f} {unit}" if unit else f"{far:.1f} s"
    return f"{how_far} {'ahead of' if seconds > 0 else 'behind'}"


def in_address(host: str) -> str:
    """A host as addresses have it.

    >>> in_address("av.example.org"), in_address("::1")
    ('av.example.org', '[::1]')
    """
    return f"[{host}]" if ":" in host else host


def plain(error: BaseException) -> str:
    """What went wrong, without the system's number of it: `No such file or directory`."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

"""The one table of words and colours: the same word in the same colour on every board.

The codes of states and presences are those of the recording rules in `prometheus/`, best first.
Grey always means that nobody knows.
"""

from collections.abc import Sequence
from typing import Final

from attrs import frozen
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

GREEN: Final = "#56a64b"
YELLOW: Final = "#e0b400"
ORANGE: Final = "#ff780a"
RED: Final = "#e02f44"
BLUE: Final = "#3274d9"
LIGHT_BLUE: Final = "#8ab8ff"
PURPLE: Final = "#a352cc"
GREY: Final = "#8e8e8e"


@frozen
class Word:
    """What a number is called, and its colour."""

    code: int
    text: str
    color: str


STATES: Final = (
    Word(1, "running", GREEN),
    Word(2, "completed", BLUE),
    Word(3, "starting", LIGHT_BLUE),
    Word(4, "stopping", LIGHT_BLUE),
    Word(5, "stopped", PURPLE),
    Word(6, "backoff", ORANGE),
    Word(7, "failed", RED),
    Word(8, "unknown", GREY),
)
PRESENCE: Final = (
    Word(1, "online", GREEN),
    Word(5, "offline", PURPLE),
    Word(7, "lost", RED),
    Word(8, "unknown", GREY),
)
TROUBLE: Final = (
    Word(0, "fine", GREEN),
    Word(1, "unknown", GREY),
    Word(2, "look", YELLOW),
    Word(3, "go there", RED),
)


def yes_no(yes: str, no: str, *, good: bool | None = True) -> tuple[Word, Word]:
    """Words for 1 and 0; `good`: which of them is green, None where it does not matter."""
    colors = {True: (GREEN, RED), False: (RED, GREEN), None: (BLUE, GREY)}[good]
    return Word(1, yes, colors[0]), Word(0, no, colors[1])


def mappings(words: Sequence[Word], nothing: str = "unknown") -> list[ValueMapping]:
    """As Grafana has it; no value is grey, and called `nothing`."""
    table = {
        str(word.code): ValueMappingResult(text=word.text, color=word.color, index=index)
        for index, word in enumerate(words)
    }
    absent = SpecialValueMap(
        options=DashboardSpecialValueMapOptions(
            match=SpecialValueMatch.NULL_AND_NAN,
            result=ValueMappingResult(text=nothing, color=GREY, index=len(words)),
        )
    )
    return [ValueMap(options=table), absent] if words else [absent]


def steps(base: str, *above: tuple[float, str]) -> list[Threshold]:
    """Colours by value: `base`, and others from a value on."""
    return [Threshold(color=base), *(Threshold(value=value, color=color) for value, color in above)]


LOUDNESS: Final = steps(RED, (-30, GREEN), (-14, YELLOW))
"""LUFS: too quiet below -30, too loud above -14."""

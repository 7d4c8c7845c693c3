"""JSON values become classes without coercion, and every mistake names its place."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from attrs import asdict, field, frozen

from fleet.strict import Meta, Mistakes, escape, make_converter, structure


class State(StrEnum):
    GOOD = "good"
    UNKNOWN = "unknown"


class Colour(StrEnum):
    RED = "red"


@frozen
class Circle:
    type: Literal["circle"]
    radius: float


@frozen
class Square:
    type: Literal["square"]
    side: float


def is_even(value: int) -> None:
    if value % 2:
        raise ValueError(f"expected an even number, got {value}")


@frozen
class One:
    flag: bool = True
    count: int = 0
    ratio: float = 0.0
    text: str = ""
    words: tuple[str, ...] = ()
    numbers: list[int] = field(factory=list)
    table: Mapping[str, int] = field(factory=dict)
    maybe: int | None = None
    at: datetime | None = None
    mode: Literal["a", 1] = "a"
    colour: Colour = Colour.RED
    state: State = State.GOOD
    shape: Circle | Square | None = None
    small: Annotated[int, Meta(ge=1, le=3)] = 1
    pair: Annotated[tuple[int, ...], Meta(min_length=2, max_length=2)] = (1, 2)
    even: Annotated[int, is_even] = 0


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ({"flag": False}, One(flag=False)),
        ({"count": 10**30}, One(count=10**30)),
        ({"ratio": 5}, One(ratio=5.0)),
        ({"ratio": 2.5}, One(ratio=2.5)),
        ({"words": []}, One(words=())),
        ({"words": ["a", "b"]}, One(words=("a", "b"))),
        ({"maybe": None}, One(maybe=None)),
        ({"mode": 1}, One(mode=1)),
        (
            {"at": "2026-02-01T09:30:00.123Z"},
            One(at=datetime(2026, 2, 1, 9, 30, 0, 123_000, tzinfo=UTC)),
        ),
        ({"shape": {"type": "circle", "radius": 1}}, One(shape=Circle("circle", 1.0))),
        ({"small": 3}, One(small=3)),
        ({"even": 4}, One(even=4)),
    ],
    ids=str,
)
def test_takes_what_is_meant(value: dict[str, Any], meant: One) -> None:
    got = structure(value, One)
    assert got == meant
    assert {name: type(one) for name, one in asdict(got, recurse=False).items()} == {
        name: type(one) for name, one in asdict(meant, recurse=False).items()
    }


def test_time_is_utc() -> None:
    got = structure({"at": "2026-02-01T09:30:00Z"}, One)
    assert got.at == datetime(2026, 2, 1, 9, 30, tzinfo=UTC)


def test_what_a_newer_peer_says_is_unknown_and_what_a_person_mistypes_is_not() -> None:
    peer = make_converter(forbid_extra_keys=False)
    assert structure({"state": "newer"}, One, peer).state is State.UNKNOWN
    with pytest.raises(Mistakes, match="one of 'good', 'unknown'"):
        structure({"state": "newer"}, One)


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ({"flag": "false"}, "/flag", "true or false"),
        ({"flag": 1}, "/flag", "got 1"),
        ({"count": 2.9}, "/count", "whole number"),
        ({"count": 2.0}, "/count", "whole number"),
        ({"count": True}, "/count", "true (a boolean)"),
        ({"count": "5"}, "/count", '"5" (a string)'),
        ({"ratio": "1.5"}, "/ratio", "a number"),
        ({"ratio": True}, "/ratio", "a number"),
        ({"ratio": 10**400}, "/ratio", "a number"),
        ({"ratio": float("nan")}, "/ratio", "a number"),
        ({"text": 5}, "/text", "a string"),
        ({"text": None}, "/text", "nothing (null)"),
        ({"words": "abc"}, "/words", "a list"),
        ({"words": {"a": 1}}, "/words", "a table with 1 keys"),
        ({"words": ["a", 5]}, "/words/1", "a string"),
        ({"numbers": [1, "2"]}, "/numbers/1", "whole number"),
        ({"table": []}, "/table", "a table"),
        ({"table": {"a/b": "x"}}, "/table/a~1b", "whole number"),
        ({"maybe": "5"}, "/maybe", "whole number"),
        ({"at": "2026-02-01 09:30:00Z"}, "/at", "a time in UTC"),
        ({"at": "2026-02-01T09:30:00+01:00"}, "/at", "a time in UTC"),
        ({"at": "2026-02-30T09:30:00Z"}, "/at", "a time in UTC"),
        ({"mode": True}, "/mode", "one of 'a', 1"),
        ({"mode": "b"}, "/mode", "one of 'a', 1"),
        ({"colour": "blue"}, "/colour", "one of 'red'"),
        ({"colour": 5}, "/colour", "one of 'red'"),
        ({"shape": {"type": "circel"}}, "/shape", "did you mean 'circle'?"),
        ({"shape": {"type": 5}}, "/shape", "circle, square"),
        ({"shape": {"radius": 1}}, "/shape", "got none"),
        ({"shape": []}, "/shape", "a table with a type"),
        ({"shape": {"type": "circle", "side": 1}}, "/shape/radius", "is missing"),
        ({"small": 0}, "/small", "1 to 3"),
        ({"small": 4}, "/small", "got 4"),
        ({"pair": [1]}, "/pair", "2 to 2 items"),
        ({"even": 3}, "/even", "an even number, got 3"),
        ({"colur": "red"}, "/colur", "did you mean 'colour'?"),
        ([], "", "expected a table, got a list of 0"),
        ("x", "", "expected a table"),
    ],
    ids=str,
)
def test_refuses_what_is_not_with_its_place(value: Any, pointer: str, words: str) -> None:
    with pytest.raises(Mistakes) as caught:
        structure(value, One)
    first = caught.value.mistakes[0]
    assert first.pointer == pointer
    assert words in first.message


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(Mistakes) as caught:
        structure({"flag": 1, "words": [1, "a", 2], "nope": 0}, One)
    assert [m.pointer for m in caught.value.mistakes] == ["/flag", "/words/0", "/words/2", "/nope"]


def test_long_values_are_shown_short() -> None:
    with pytest.raises(Mistakes) as caught:
        structure({"count": "x" * 5000}, One)
    assert len(str(caught.value)) < 200


def test_pointer_is_escaped() -> None:
    assert escape("a/b~c") == "a~1b~0c"

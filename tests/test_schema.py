"""What a role's schema says is what `strict.structure` takes."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from typing import Annotated, Any, Literal

import pytest
from attrs import NOTHING, Factory, field, frozen, make_class
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fleet.roles import Meta, Secret
from fleet.schema import BadDeclaration, json_schema
from fleet.schema.checking import TooCostly, unfit, validator
from fleet.strict import Mistakes, structure, unstructure


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@frozen
class Pattern:
    type: Literal["test"] = "test"
    size: Annotated[str, Meta(pattern="^[0-9]+x[0-9]+$", description="width x height")] = "2x1"


@frozen
class Url:
    type: Literal["url"]
    url: Annotated[str, Meta(min_length=1)]


@frozen
class Reference:
    role: str
    instance: str = "main"


@frozen
class Inner:
    a: int
    b: bool = True


@frozen
class Everything:
    source: Pattern | Url | Reference
    seconds: Annotated[int, Meta(ge=1, le=9, extra_json_schema={"unit": "s"})] = 3
    ratio: Annotated[float, Meta(gt=0, lt=1)] | None = None
    loud: bool = False
    colour: Colour = Colour.RED
    mode: Literal["fast", "slow"] = "fast"
    words: Annotated[tuple[str, ...], Meta(max_length=2)] = ()
    more: Sequence[Inner] = Factory(list)
    names: Mapping[str, int] = Factory(dict)
    inner: Inner = field(factory=lambda: Inner(4))
    key: Secret | None = None
    other: Pattern | Url | None = None
    anything: Any = None


SCHEMA = json_schema(Everything)
VALIDATOR = Draft202012Validator(dict(SCHEMA))


def agree(value: Any) -> bool:
    """Whether both take it; that they agree is asserted."""
    try:
        structure(value, Everything)
        taken = True
    except Mistakes:
        taken = False
    errors = [error.message for error in VALIDATOR.iter_errors(value)]
    assert taken == (not errors), (value, errors)
    return taken


def test_schema_is_one() -> None:
    Draft202012Validator.check_schema(dict(SCHEMA))


def test_says_descriptions_units_ranges_and_defaults() -> None:
    properties = SCHEMA["properties"]
    assert properties["seconds"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "unit": "s",
        "default": 3,
    }
    size = properties["source"]["oneOf"][0]["properties"]["size"]
    assert (size["description"], size["default"]) == ("width x height", "2x1")
    assert properties["inner"]["default"] == {"a": 4, "b": True}
    assert properties["words"]["default"] == []
    assert properties["colour"]["default"] == "red"
    assert SCHEMA["required"] == ["source"]
    assert SCHEMA["additionalProperties"] is False


TEST = {"type": "test"}


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ({"source": TEST}, True),
        ({"source": {"role": "ingest"}}, True),
        ({"source": {"role": "ingest", "type": "test"}}, False),
        ({"source": {"type": "url", "url": "x"}}, True),
        ({"source": {"type": "url", "url": ""}}, False),
        ({"source": {"type": "url"}}, False),
        ({"source": {"size": "2x2"}}, False),
        ({"source": {"type": "test", "size": "big"}}, False),
        ({}, False),
        ({"source": TEST, "seconds": True}, False),
        ({"source": TEST, "seconds": "3"}, False),
        ({"source": TEST, "seconds": 0}, False),
        ({"source": TEST, "seconds": 9}, True),
        ({"source": TEST, "ratio": None}, True),
        ({"source": TEST, "ratio": 1}, False),
        ({"source": TEST, "ratio": 0.5}, True),
        ({"source": TEST, "loud": 1}, False),
        ({"source": TEST, "colour": "green"}, False),
        ({"source": TEST, "mode": "slow"}, True),
        ({"source": TEST, "words": ["a", "b", "c"]}, False),
        ({"source": TEST, "words": "ab"}, False),
        ({"source": TEST, "more": [{"a": 1}, {"a": 2, "c": 3}]}, False),
        ({"source": TEST, "names": {"x": 1}}, True),
        ({"source": TEST, "names": {"x": "1"}}, False),
        ({"source": TEST, "key": {"secret": "stream-key"}}, True),
        ({"source": TEST, "key": "plain"}, False),
        ({"source": TEST, "other": None}, True),
        ({"source": TEST, "colr": "red"}, False),
        ([], False),
        (None, False),
    ],
    ids=str,
)
def test_schema_and_structure_agree(value: Any, taken: bool) -> None:
    assert agree(value) is taken


_leaf = (
    st.none() | st.booleans() | st.integers(-2, 12) | st.sampled_from(["test", "url", "red", ""])
)
_value = st.recursive(
    _leaf | st.floats(0.1, 2).filter(lambda x: not x.is_integer()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "url", "a", "b"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.sampled_from([TEST, {"type": "url", "url": "x"}, {"role": "mix"}]) | _value,
    st.dictionaries(st.sampled_from([*SCHEMA["properties"], "unknown"]), _value, max_size=3),
)
def test_schema_and_structure_agree_on_whatever_comes(source: Any, more: Any) -> None:
    agree({"source": source, **more})


class Speed(IntEnum):
    SLOW = 1
    FAST = 2


class Known(Enum):
    GOOD = "good"
    UNKNOWN = "unknown"


@frozen
class Port:
    type: Literal["tcp", "udp"]
    port: int


@frozen
class Path:
    type: Literal["file"]
    path: str


AWKWARD: list[tuple[Any, Any]] = [
    (Speed, (1, 2, 3, "FAST", True, 1.0)),
    (Known, ("good", "unknown", "newer", 1)),
    (int | str, (5, "x", 5.0, True, None, [])),
    (int | str | None, (5, "x", None, 5.0)),
    (float | str, (5.5, "x", False)),
    (bool | int, (True, 3, "x", 3.0)),
    (Literal["auto"] | int, ("auto", 5, "other", True)),
    (Inner | str, ({"a": 1, "b": True}, "x", {"a": "x"}, 5)),
    (list[int] | list[str], ([1], ["x"], [1, "x"], "x")),
    (Port | Path, ({"type": "udp", "port": 1}, {"type": "tcp", "path": "x"})),
    (date, ("2026-02-01", "2026-02-30x", "1.2.2026", 5)),
    (datetime, ("2026-02-01T09:30:00Z", "09:30", "2026-02-01T09:30:00+01:00")),
    (bytes, ("AAH/", "AAH", "AAE=", "AA==", "!")),
    (Annotated[int, Meta(gt=0)], (0, 1, -1)),
    (Annotated[int, Meta(gt=0)] | None, (0, 1, None)),
    (Annotated[int | None, Meta(gt=0)], (0, 1, None)),
    (Annotated[float, Meta(lt=1)], (1, 0.9)),
    (Annotated[float, Meta(multiple_of=0.1)], (0.3, 0.25, 1)),
    (Annotated[dict[str, int], Meta(max_length=1)], (TEST, {"a": 1, "b": 2})),
    (Annotated[list[int] | None, Meta(max_length=1)], (None, [], [1, 2])),
    (Annotated[list[int] | str, Meta(min_length=1)], ([], [1], "", "x")),
    (Annotated[str, Meta(pattern="^a$")], ("a", "a\n", "ab")),
    (Annotated[str, Meta(pattern="a|bc")], ("a", "bc", "xa", "bcd", "bc\n")),
]


@pytest.mark.parametrize(
    ("type_", "value"), [(one, value) for one, values in AWKWARD for value in values], ids=str
)
def test_schema_and_structure_agree_on_whatever_an_author_may_write(type_: Any, value: Any) -> None:
    cls = declaring(type_)
    schema = json_schema(cls)
    Draft202012Validator.check_schema(dict(schema))
    if not unfit(validator(schema), {"x": value}):
        assert unstructure(structure({"x": value}, cls), cls) == {"x": value}
    else:
        with pytest.raises(Mistakes):
            structure({"x": value}, cls)


def declaring(type_: Any, default: Any = NOTHING) -> type:
    return make_class("Odd", {"x": field(type=type_, default=default)}, frozen=True)


def test_a_setting_is_called_by_its_alias() -> None:
    @frozen
    class Aliased:
        kind: str = field(alias="sort", default="a")
        _depth: int = 1

    assert set(json_schema(Aliased)["properties"]) == {"sort", "depth"}
    taken = structure({"sort": "b", "depth": 2}, Aliased)
    assert taken.kind == "b"
    assert unstructure(taken, Aliased) == {"sort": "b", "depth": 2}
    with pytest.raises(Mistakes, match="/sort: expected a string"):
        structure({"sort": 5}, Aliased)
    with pytest.raises(Mistakes, match=r"/kind: is not known here .*sort, depth"):
        structure({"kind": "b"}, Aliased)


def test_bytes_and_times_come_and_go_as_text() -> None:
    @frozen
    class Shot:
        at: datetime
        data: bytes

    given = {"at": "2026-02-01T09:30:00Z", "data": "AAH/"}
    shot = structure(given, Shot)
    assert shot == Shot(datetime(2026, 2, 1, 9, 30, tzinfo=UTC), b"\0\1\xff")
    assert unstructure(shot, Shot) == given


def test_what_is_told_must_be_what_its_class_says() -> None:
    with pytest.raises(Mistakes, match="/a: expected a whole number"):
        unstructure(Inner("x"), Inner)  # type: ignore[arg-type]
    with pytest.raises(Mistakes, match="expected one of Inner, got nothing"):
        unstructure(None, Inner)


class Prices(Enum):
    LOW = Decimal("1.5")


class Bits(IntFlag):
    A = 1
    B = 2


@pytest.mark.parametrize(
    ("type_", "instead"),
    [
        (complex, "two floats"),
        (set[int], r"tuple\[str, ...\]"),
        (tuple[int, str], "attrs class"),
        (timedelta, "number of seconds"),
        (Decimal, "a float or a str"),
        (Bits, r"tuple\[E, ...\] of an Enum"),
        (Prices, "text, or whole numbers"),
        (list, "what is in it"),
        (dict[int, str], r"dict\[str"),
        (object, "take bool, int, float"),
        (Port | Path | str, "nothing else but None"),
        (Literal[b"x"], "take an Enum"),
        (Annotated[str, Meta(ge=1)], "function in the annotation"),
        (Annotated[int, Meta(max_length=1)], "function in the annotation"),
        (Annotated[bytes, Meta(max_length=1)], "function in the annotation"),
        (Annotated[float, Meta(extra_json_schema={"top": math.inf})], "not JSON compliant"),
        (Annotated[int, Meta(extra_json_schema={"minimum": 1})], "nothing would check"),
    ],
    ids=str,
)
def test_type_that_no_setting_can_have_is_refused_with_another(type_: Any, instead: str) -> None:
    with pytest.raises(BadDeclaration, match=instead) as caught:
        json_schema(declaring(type_))
    assert (caught.value.of.__name__, caught.value.field) == ("Odd", "x")


@pytest.mark.parametrize(
    ("type_", "default"),
    [(float, math.inf), (float, math.nan), (int, None), (int, 2.5), (str, b"x"), (Any, {1, 2})],
    ids=str,
)
def test_default_that_is_no_value_of_its_type_is_refused(type_: Any, default: Any) -> None:
    with pytest.raises(BadDeclaration, match=r"Odd\.x: "):
        json_schema(declaring(type_, default))


def _doubling(levels: int) -> dict[str, Any]:
    """Each level asks twice for the one below: 2**levels looks in all."""
    defs: dict[str, Any] = {"a0": {"type": "string"}}
    for n in range(1, levels + 1):
        defs[f"a{n}"] = {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2}
    return {"$defs": defs, "$ref": f"#/$defs/a{levels}"}


@pytest.mark.parametrize(
    "schema",
    [
        _doubling(40),
        {"$ref": "#"},
        {"patternProperties": {"(a+)+$": {}}},
        {"properties": {"x": {"patternProperties": {"(a+)+$": {}}, "additionalProperties": False}}},
    ],
    ids=["doubling", "circle", "names", "names-below"],
)
def test_a_schema_that_means_harm_is_given_up(schema: dict[str, Any]) -> None:
    with pytest.raises((TooCostly, RecursionError)):
        unfit(validator(schema), {"x": {"a" * 40 + "b": 1}})


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("^(a+)+$", False),
        ("^(a|a?)+$", False),
        ("^((((a{99}){99}){99}){99})$", True),  # not tried: the station is to say
        ("(?!b)c", True),
        ("^a+b$", True),
    ],
)
def test_no_pattern_takes_longer_than_its_text(pattern: str, fits: bool) -> None:
    wrong = unfit(validator({"type": "string", "pattern": pattern}), "a" * 40 + "b")
    assert (not wrong) is fits


def test_a_large_honest_schema_is_no_trouble() -> None:
    @frozen
    class Many:
        rows: tuple[Inner, ...]

    value = {"rows": [{"a": 1}] * 2000}
    assert unfit(validator(json_schema(Many)), value) == []

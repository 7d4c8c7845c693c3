"""What a role's schema says is what `strict.structure` takes."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from attrs import Factory, field, frozen
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fleet.roles import Meta, Secret
from fleet.schema import json_schema
from fleet.strict import Mistakes, structure


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


@pytest.mark.parametrize("type_", [bytes, complex, set[int], tuple[int, str]])
def test_type_that_no_setting_can_have_is_refused(type_: Any) -> None:
    cls = frozen(type("Odd", (), {"__annotations__": {"x": type_}, "__module__": __name__}))
    with pytest.raises(TypeError, match="not a type a setting can have"):
        json_schema(cls)

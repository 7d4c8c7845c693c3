"""What travels comes back the same; what is no strict JSON is refused."""

import contextlib
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import model, wire
from fleet.strict import Mistakes
from fleet.wire import Undecodable, decode, encode, format_time, loads

_text = st.text(st.characters(codec="utf-8"), max_size=10)
_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,5}", fullmatch=True)
_boots = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=64)
_times = st.integers(0, 2**41).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
_revisions = st.integers(1, model.MAX_REVISION)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_settings = st.dictionaries(_text, _json, max_size=3)
_roles = st.dictionaries(_names, st.dictionaries(_names, _settings, max_size=2), max_size=2)
_maybe = st.none() | _text
_counts = st.integers(0, 2**40)


def _tuples(of: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Any]":
    return st.lists(of, max_size=3).map(tuple)


_problems = st.builds(model.Problem, _text, _maybe, _maybe, _maybe, _text)
_errors = st.builds(model.Error, _text, _text, _tuples(_problems))
_commands = st.builds(model.CommandSchema, _settings, _settings)
_factories = st.builds(
    model.Factory, _counts, _settings, st.dictionaries(_names, _commands, max_size=2)
)
_states = st.builds(
    model.InstanceStatus, st.sampled_from(model.State), _times, _counts, _maybe, _maybe
)
_samples = st.builds(
    model.Sample,
    _names,
    st.dictionaries(_names, _text, max_size=2),
    st.floats(allow_nan=False),
)
_families = st.builds(model.Family, _names, st.just("gauge"), _text, _tuples(_samples))
_lines = st.builds(model.LogLine, _times, _names, _names, st.sampled_from(["stdout"]), _text)
_in_force = st.builds(model.InForce, st.integers(0, 9), _roles, st.none() | st.just("k.s"))
_everything = st.one_of(
    st.builds(
        model.Registration,
        *(_boots, _text, _text, _maybe, _tuples(_text), _tuples(_names)),
        *(st.dictionaries(_names, _factories, max_size=2), st.dictionaries(_text, _text)),
        _tuples(st.builds(model.Device, _text, _text, _text)),
    ),
    st.builds(
        model.Presence,
        *(st.sampled_from(model.PresenceState), _boots, _counts, _times),
        st.floats(0.001, 1e6),
    ),
    st.builds(
        model.Status,
        *(_boots, _times, st.integers(0, 9)),
        st.dictionaries(_names, st.dictionaries(_names, _states, max_size=2), max_size=2),
    ),
    st.builds(model.Config, _revisions, st.none() | _times, _maybe, _roles, _maybe, _maybe),
    st.builds(
        model.Ack,
        *(st.none() | st.just(0) | _revisions, _boots, _times),
        *(st.none() | st.sampled_from(model.Result), st.none() | _errors, _in_force),
    ),
    st.builds(model.Telemetry, _boots, _times, _tuples(_families)),
    st.builds(model.Log, _tuples(_lines), _counts),
    st.builds(model.CommandRequest, st.none() | _names, _settings),
    st.builds(model.Reply, _json, st.none() | _errors),
)


@given(_everything, st.data())
def test_what_travels_comes_back_the_same_with_newer_fields_too_and_none_missing(
    value: Any, data: st.DataObject
) -> None:
    payload = encode(value)
    assert decode(payload, type(value)) == value
    plain = json.loads(payload, parse_constant=lambda name: pytest.fail(name))
    newer = plain | {"a_newer_field": {"x": [1]}}
    assert decode(json.dumps(newer).encode(), type(value)) == value
    # What came later has a default: an earlier release leaves it out.
    optional = {one.name for one in attrs.fields(type(value)) if one.default is not attrs.NOTHING}
    key = data.draw(st.sampled_from(sorted(plain.keys() - optional)))
    del plain[key]
    with pytest.raises(Undecodable, match=f"/{key}: is missing"):
        decode(json.dumps(plain).encode(), type(value))


@given(st.binary(max_size=100), st.sampled_from([model.Ack, model.Status, model.Telemetry]))
def test_any_bytes_are_decoded_or_refused(payload: bytes, cls: type) -> None:
    with contextlib.suppress(Undecodable):
        assert isinstance(decode(payload, cls), cls)


def test_special_values_travel_as_words() -> None:
    values = [math.nan, math.inf, -math.inf, 1.5]
    samples = tuple(model.Sample("x", {}, value) for value in values)
    family = model.Family("x", "gauge", "", samples)
    payload = encode(model.Telemetry("b", datetime.now(UTC), (family,)))
    plain = [sample[2] for sample in json.loads(payload)["families"][0]["samples"]]
    assert plain == ["NaN", "+Inf", "-Inf", 1.5]
    back = [sample.value for sample in decode(payload, model.Telemetry).families[0].samples]
    assert math.isnan(back[0])
    assert back[1:] == values[1:]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "Infinity"),
        (b"1e999", "out of range"),
        (b'{"a": 1, "a": 1}', "'a' is given twice"),
        (b'{"x": {"b": 1, "c": 2, "b": 3}}', "'b' is given twice"),
        (b"[" * 20000, "nested"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b'"\\ud800"', "surrogate"),
        (b"1" * 5000, "not JSON"),
        (b'"' + b"x" * model.MAX_PAYLOAD + b'"', "at most 262144"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_strict_json_is_refused(payload: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        loads(payload)


def test_what_is_just_allowed_is_taken() -> None:
    nested = b"[" * 64 + b"]" * 64
    assert json.dumps(loads(nested)).encode() == nested
    assert loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"
    assert loads(b'"' + b"x" * (model.MAX_PAYLOAD - 2) + b'"') == "x" * (model.MAX_PAYLOAD - 2)


def test_name_and_room_are_left_out_where_there_are_none() -> None:
    config = model.Config(1, None, None, {})
    assert json.loads(encode(config)) == {"revision": 1, "at": None, "by": None, "roles": {}}


def test_time_is_written_in_utc_with_milliseconds() -> None:
    at = datetime(2026, 2, 1, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(at) == "2026-02-01T09:30:00.000Z"


@pytest.mark.parametrize("interval", [0, -1, "10", None, True])
def test_interval_is_a_positive_number(interval: Any) -> None:
    plain = {"state": "online", "boot": "b", "epoch": 1, "at": "2026-02-01T09:30:00Z"}
    with pytest.raises(Mistakes):
        wire.from_json(plain | {"interval": interval}, model.Presence)


@pytest.mark.parametrize("boot", ["", "x" * 65, 5, None])
def test_boot_is_a_short_text(boot: Any) -> None:
    plain = {"state": "online", "epoch": 1, "at": "2026-02-01T09:30:00Z", "interval": 1}
    with pytest.raises(Mistakes):
        wire.from_json(plain | {"boot": boot}, model.Presence)


def test_a_refusal_with_more_problems_than_may_travel_is_read_all_the_same() -> None:
    one = model.Problem("InvalidConfiguration", None, None, "stations.cam", "it is wrong")
    many = (one,) * (model.MAX_PROBLEMS + 1)
    error = decode(encode(model.InvalidConfiguration("much is wrong", many).error), model.Error)
    assert (error.message, error.problems) == ("much is wrong", many[1:])

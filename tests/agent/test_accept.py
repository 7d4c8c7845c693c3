"""What the station answers to a config, and what it keeps: pure, so tables and Hypothesis."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.config.accept import Memory, current_ack, decide
from fleet.agent.config.catalogue import Catalogue
from fleet.agent.config.declared import describe
from fleet.agent.config.validate import examine
from fleet.agent.engine.reconcile import Key, Unrunnable, Wanted
from fleet.model import MAX_INSTANCES, MAX_PAYLOAD, MAX_REVISION, Ack, Problem, Result
from fleet.roles import Meta, Role, RoleFactory
from fleet.roles.stream import StreamFactory
from fleet.wire import decode, encode, to_json

AT = datetime(2026, 2, 1, tzinfo=UTC)


@frozen
class Pattern:
    type: Literal["test"]
    size: str = "x"


@frozen
class Url:
    type: Literal["url"]
    url: str


@frozen
class Settings:
    source: Pattern | Url
    seconds: Annotated[int, Meta(ge=1, le=9)] = 3
    ratio: float = 1.0
    loud: bool = False
    words: tuple[str, ...] = ()


@frozen
class Picky:
    text: str = field(default="")

    @text.validator
    def _check(self, _: object, value: str) -> None:
        if value == "crash":
            raise RuntimeError("the author made a mistake")
        if value == "wrong":
            raise ValueError("not this one")


class Record(RoleFactory[Settings]):
    role = Role
    settings = Settings


class Mix(RoleFactory[Picky]):
    role = Role
    settings = Picky
    instances = 2


FACTORIES: Mapping[str, RoleFactory[Any]] = {"record": Record(), "mix": Mix()}
CATALOGUE = Catalogue(
    FACTORIES,
    {name: describe(factory) for name, factory in FACTORIES.items()},
    {"mystic": "ImportError: no module named 'crystal'"},
    frozenset({"stream", "ghost"}),
)
SOURCE = {"source": {"type": "test"}}


def config(revision: Any, roles: Any, **more: Any) -> bytes:
    value = {"revision": revision, "at": None, "by": None, "roles": roles} | more
    return json.dumps(value, ensure_ascii=False).encode()


def answer(payload: bytes, memory: Memory | None = None) -> tuple[Ack, Memory]:
    decision = decide(memory or Memory(), payload, CATALOGUE, "boot", AT)
    assert decision is not None
    return decision.ack, decision.memory


def problems(roles: Any) -> list[tuple[str, str | None, str | None, str | None]]:
    ack, _ = answer(config(1, roles))
    assert ack.error is not None
    return [(p.type, p.role, p.instance, p.path) for p in ack.error.problems]


def accepted(revision: int, roles: Any = None) -> Memory:
    ack, memory = answer(config(revision, roles or {}))
    assert ack.result is Result.ACCEPTED
    return memory


INVALID = "InvalidConfiguration"


def test_a_secret_that_may_not_go_where_it_is_sent_is_a_problem_at_its_path() -> None:
    catalogue = Catalogue({"stream": StreamFactory()}, {}, {})
    target = {"type": "rtmp", "url": "rtmps://evil.example.net/app", "key": {"secret": "key"}}
    settings = {"source": {"type": "test"}, "target": target}
    payload = config(1, {"stream": {"main": settings}})
    allow = {"key": ("live.example.org", "*.example.com")}
    decision = decide(Memory(), payload, catalogue, "boot", AT, allow)
    assert decision is not None
    assert decision.ack.error is not None
    (problem,) = decision.ack.error.problems
    assert (problem.type, problem.path) == (INVALID, "/target/key")
    assert "may go to live.example.org and *.example.com alone" in problem.message
    assert "not to evil.example.net" in problem.message
    for bound in ({"key": ("EVIL.example.net",)}, {"key": ()}, {"other": ("live.example.org",)}):
        taken = decide(Memory(), payload, catalogue, "boot", AT, bound)
        assert taken is not None
        assert taken.ack.result is Result.ACCEPTED


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({"stream": {"a": {}, "b": 5}}, [("BlockedRole", "stream", None, None)]),
        ({"ghost": {}}, [("BlockedRole", "ghost", None, None)]),
        ({"Record": {"main": SOURCE}}, [("MissingRoleFactory", "Record", None, None)]),
        ({"mystic": {"a": {}}}, [("MissingRoleFactory", "mystic", None, None)]),
        ({"record": 5}, [(INVALID, "record", None, None)]),
        ({"record": {"main": 5}}, [(INVALID, "record", "main", None)]),
        ({"record": {"bad name": SOURCE}}, [(INVALID, "record", "bad name", None)]),
        ({"record": {"main": {}}}, [(INVALID, "record", "main", "/source")]),
        (
            {"record": {"main": {"source": {"type": "tset"}}}},
            [(INVALID, "record", "main", "/source")],
        ),
        (
            {"record": {"main": {"source": {"type": "url", "size": 5}}}},
            [
                (INVALID, "record", "main", "/source/url"),
                (INVALID, "record", "main", "/source/size"),
            ],
        ),
        (
            {"record": {"main": {**SOURCE, "seconds": 10, "loud": 1, "words": ["a", 5]}}},
            [
                (INVALID, "record", "main", "/seconds"),
                (INVALID, "record", "main", "/loud"),
                (INVALID, "record", "main", "/words/1"),
            ],
        ),
        ({"mix": {"a": {}, "b": {}, "c": {}}}, [(INVALID, "mix", None, None)]),
        ({"mix": {"a": {"text": "wrong"}}}, [(INVALID, "mix", "a", None)]),
        ({"mix": {"a": {"text": "crash"}}}, [(INVALID, "mix", "a", None)]),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_each_problem_has_its_type_and_place(roles: Any, expected: Any) -> None:
    assert problems(roles) == expected


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"Record": {}}, ["'Record'", "did you mean 'record'", "case-sensitive"]),
        ({"recrod": {}}, ["did you mean 'record'"]),
        ({"mystic": {}}, ["no module named 'crystal'"]),
        ({"crystal-ball": {}}, ["'crystal-ball'", "mystic cannot be used: ImportError: no module"]),
        ({"stream": {}}, ["'stream'", "blocked"]),
        ({"record": {"m": {**SOURCE, "seconds": 10}}}, ["1 to 9", "got 10"]),
        ({"record": {"m": {**SOURCE, "seconds": "5"}}}, ["whole number", '"5" (a string)']),
        ({"record": {"m": {**SOURCE, "second": 5}}}, ["did you mean 'seconds'"]),
        ({"mix": {"a": {}, "b": {}, "c": {}}}, ["3 instances", "at most 2"]),
    ],
    ids=str,
)
def test_each_message_says_what_was_got_and_what_was_expected(roles: Any, words: Any) -> None:
    ack, _ = answer(config(1, roles))
    assert ack.error is not None
    (problem,) = ack.error.problems
    assert all(word in problem.message for word in words), problem.message


def test_all_problems_come_in_one_ack_and_the_gravest_names_it() -> None:
    bad: Any = {"record": {"m": {}}, "nix": {"x": {}}, "stream": {"x": {}}}
    ack, memory = answer(config(5, bad))
    assert ack.error is not None
    assert ack.error.type == "BlockedRole"
    assert [p.type for p in ack.error.problems] == [INVALID, "MissingRoleFactory", "BlockedRole"]
    assert memory.in_force is None
    del bad["stream"]
    ack, _ = answer(config(5, bad))
    assert ack.error is not None
    assert ack.error.type == "MissingRoleFactory"


@pytest.mark.parametrize(
    "payload",
    [
        b"nonsense",
        b"[]",
        b"5",
        b"null",
        b"{}",
        b'{"revision": null}',
        b'{"revision": true}',
        b'{"revision": "7"}',
        b'{"revision": 7.0}',
        b'{"revision": 0}',
        b'{"revision": -1}',
        b'{"revision": %d}' % (MAX_REVISION + 1),
        b'{"revision": 7, "revision": 7, "at": null, "by": null, "roles": {}}',
        b'{"revision": 7, "at": null, "by": null, "roles": {"record": {"m": NaN}}}',
        b'{"revision": 7, "at": null, "by": null, "roles": {}, "x": 1e999}',
        b"[" * 30_000,
        b'{"revision": 7, "x": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"revision": 7, "x": "\xff"}',
        b'{"revision": 7, "at": null, "by": null, "roles": {}}' + b" " * MAX_PAYLOAD,
    ],
    ids=lambda payload: payload[:40].decode(errors="replace"),
)
def test_no_readable_revision_is_rejected_under_none(payload: bytes) -> None:
    before = accepted(4)
    ack, memory = answer(payload, before)
    assert (ack.revision, ack.result, ack.in_force.revision) == (None, Result.REJECTED, 4)
    assert ack.error is not None
    (problem,) = ack.error.problems
    assert (problem.role, problem.instance, problem.path) == (None, None, None)
    assert memory == before
    ack, _ = answer(config(4, {}), before)
    assert (ack.revision, ack.result) == (4, Result.ACCEPTED)


@pytest.mark.parametrize(
    "more",
    [
        {"at": "yesterday"},
        {"at": 5},
        {"by": 5},
        {"roles": []},
        {"roles": None},
        {"name": 5},
        {"room": []},
        {"signature": 5},
        {"signature": "x" * 101},
    ],
    ids=str,
)
def test_wrong_envelope_is_rejected_under_its_number(more: Any) -> None:
    ack, _ = answer(config(6, **({"roles": {}} | more)))
    assert (ack.revision, ack.result) == (6, Result.REJECTED)
    assert ack.error is not None
    (problem,) = ack.error.problems
    assert (problem.type, problem.role, problem.instance, problem.path) == (INVALID, *[None] * 3)
    assert f"/{next(iter(more))}" in problem.message


def test_the_signature_of_what_is_in_force_is_given_back() -> None:
    ack, memory = answer(config(6, {}, signature="k.s"))
    assert ack.in_force.signature == "k.s"
    ack, _ = answer(config(7, {"record": 5}, signature="k.t"), memory)
    assert (ack.revision, ack.in_force.signature) == (7, "k.s")


@pytest.mark.parametrize("key", ["at", "by", "roles"])
def test_missing_field_is_rejected(key: str) -> None:
    value = json.loads(config(6, {}))
    del value[key]
    ack, _ = answer(json.dumps(value).encode())
    assert (ack.revision, ack.result) == (6, Result.REJECTED)


def test_fields_of_a_newer_peer_are_ignored() -> None:
    ack, _ = answer(config(6, {}, colour="blue"))
    assert ack.result is Result.ACCEPTED


def test_empty_payload_is_nothing() -> None:
    assert decide(Memory(), b"", CATALOGUE, "boot", AT) is None


def test_revision_not_above_the_one_in_force_is_never_applied() -> None:
    before = accepted(4, {"record": {"m": SOURCE}})
    for payload in (
        config(4, {}),
        config(3, {"record": {"x": SOURCE}}),
        config(2, {"nix": {}}),
        config(1, None),
    ):
        decision = decide(before, payload, CATALOGUE, "boot", AT)
        assert decision is not None
        assert (decision.ack.revision, decision.ack.result) == (4, Result.ACCEPTED)
        assert decision.memory == before
        assert decision.wanted is None


def test_old_revision_is_answered_with_the_last_decision() -> None:
    before = accepted(4)
    rejected, refused = answer(config(9, {"nix": {}}), before)
    ack, _ = answer(config(4, {}), refused)
    assert ack == rejected
    ack, memory = answer(config(6, {"record": {"m": SOURCE}}), refused)
    assert (ack.revision, ack.result) == (6, Result.ACCEPTED)
    assert memory.rejection is None
    ack, _ = answer(config(6, {}), memory)
    assert (ack.revision, ack.result) == (6, Result.ACCEPTED)


def test_rejected_revision_is_validated_again() -> None:
    _, memory = answer(config(9, {"nix": {}}))
    ack, _ = answer(config(9, {}), memory)
    assert (ack.revision, ack.result) == (9, Result.ACCEPTED)


def test_nothing_was_ever_received() -> None:
    ack = current_ack(Memory(), "boot", AT)
    assert (ack.revision, ack.result, ack.error, ack.in_force.revision) == (0, None, None, 0)


def test_ack_never_outgrows_a_payload_and_says_what_it_leaves_out() -> None:
    names = [f"{n:063d}" for n in range(3000)]
    ack, memory = answer(config(1, {"record": {name: {} for name in names}}))
    payload = encode(ack)
    assert len(payload) <= MAX_PAYLOAD
    assert ack.error is not None
    assert len(ack.error.problems) > 100
    assert "more problems left out" in ack.error.problems[-1].message
    assert len(encode(current_ack(memory, "boot", AT))) <= MAX_PAYLOAD


def test_config_too_long_to_be_reported_back_is_rejected() -> None:
    long = {"record": {"m": {"source": {"type": "test", "size": "x" * (MAX_PAYLOAD - 200)}}}}
    payload = config(1, long)
    assert len(payload) <= MAX_PAYLOAD
    ack, memory = answer(payload)
    assert ack.result is Result.REJECTED
    assert memory.in_force is None


def test_rejection_fits_beside_the_longest_config_in_force() -> None:
    size = MAX_PAYLOAD - 4500
    memory = accepted(1, {"record": {"m": {"source": {"type": "test", "size": "é" * (size // 2)}}}})
    ack, _ = answer(config(2, {"record": {f"i{n}": {} for n in range(500)}}), memory)
    assert len(encode(ack)) <= MAX_PAYLOAD
    ack, _ = answer(b"x", memory)
    assert len(encode(ack)) <= MAX_PAYLOAD


def test_station_has_a_limit_of_instances() -> None:
    many = {"record": {f"i{n}": SOURCE for n in range(MAX_INSTANCES + 1)}}
    ack, _ = answer(config(1, many))
    assert ack.error is not None
    assert "at most 1000" in ack.error.message


def test_at_boot_the_valid_instances_run_and_the_others_say_why() -> None:
    saved = {
        "record": {"good": SOURCE, "bad": {}},
        "stream": {"out": {}},
        "gone": {"x": {}},
        "mix": {"a": {}, "b": {"text": "wrong"}, "c": {}, "d": {}},
    }
    found = examine(saved, CATALOGUE).instances
    reasons = {
        str(key): one.reason if isinstance(one, Unrunnable) else None for key, one in found.items()
    }
    assert reasons == {
        "record/good": None,
        "record/bad": INVALID,
        "stream/out": "BlockedRole",
        "gone/x": "MissingRoleFactory",
        "mix/a": None,
        "mix/b": INVALID,
        "mix/c": None,
        "mix/d": INVALID,
    }


def test_digest_names_settings_whatever_their_order() -> None:
    one = examine({"record": {"m": {"source": {"type": "test"}, "seconds": 5}}}, CATALOGUE)
    two = examine({"record": {"m": {"seconds": 5, "source": {"type": "test"}}}}, CATALOGUE)
    other = examine({"record": {"m": {"seconds": 6, "source": {"type": "test"}}}}, CATALOGUE)

    def digest(examined: Any) -> str:
        found = examined.instances[Key("record", "m")]
        assert isinstance(found, Wanted)
        return found.digest

    assert digest(one) == digest(two) != digest(other)


_keys = st.sampled_from(
    ["record", "mix", "stream", "mystic", "m", "source", "type", "seconds", "text", "", "a b"]
) | st.text(max_size=5)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"revision": st.integers(0, 9) | _json, "at": st.none() | _json, "by": _json},
        optional={"roles": st.dictionaries(_keys, _json, max_size=3), "name": _json},
    ),
    st.integers(0, 5),
)
def test_whatever_comes_is_answered_and_nothing_half_applied(value: Any, in_force: int) -> None:
    before = accepted(in_force) if in_force else Memory()
    decision = decide(before, json.dumps(value).encode(), CATALOGUE, "boot", AT)
    assert decision is not None
    ack = decision.ack
    assert len(encode(ack)) <= MAX_PAYLOAD
    assert decode(encode(ack), Ack).revision == ack.revision
    if ack.result is Result.ACCEPTED and decision.wanted is not None:
        assert ack.revision == value["revision"] > in_force
        assert all(isinstance(one, Wanted) for one in decision.wanted.values())
        assert decision.memory.revision == ack.in_force.revision == ack.revision
    else:
        assert decision.memory.in_force == before.in_force
        assert ack.in_force.revision == in_force


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(payload: bytes) -> None:
    decision = decide(Memory(), payload, CATALOGUE, "boot", AT)
    assert (decision is None) == (payload == b"")


def test_memory_survives_the_way_to_the_disk_and_back() -> None:
    _, memory = answer(config(9, {"nix": {}}), accepted(3, {"record": {"m": SOURCE}}))
    assert decode(encode(memory), Memory) == memory
    assert to_json(memory)["rejection"]["revision"] == 9
    assert isinstance(memory.rejection and memory.rejection.error.problems[0], Problem)

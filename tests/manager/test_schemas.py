"""What the manager says of settings is what the station will say of them."""

from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.config.catalogue import Catalogue
from fleet.agent.config.validate import examine
from fleet.manager.conference import known
from fleet.manager.conference.masking import HIDDEN, without_secrets
from fleet.manager.conference.schemas import problems
from fleet.model import MAX_INSTANCES, Factory, KeptSecret, Problem, Registration, Roles
from fleet.roles import Secret
from fleet.schema import json_schema
from fleet.wire import decode, dumps, encode
from tests.manager.station import registration


@frozen
class _Slow:
    type: str = "slow"


@frozen
class _Settings:
    url: str
    password: Secret
    speed: int = 1


def says(instances: int = 0, **schemas: Any) -> Registration:
    """A registration with these roles, as it arrives."""
    factories = {role: Factory(instances, schema, {}) for role, schema in schemas.items()}
    said = registration("A") | {"blocked_roles": ["shelved"], "factories": {}}
    empty = decode(dumps(said), Registration)
    return decode(encode(Registration(**{**_fields(empty), "factories": factories})), Registration)


def _fields(said: Registration) -> dict[str, Any]:
    return {name: getattr(said, name) for name in Registration.__annotations__}


SCHEMAS: dict[str, Any] = {role: known.schema(role) for role in known.factories()}


def own() -> Registration:
    """A station of this release."""
    return says(**SCHEMAS)


TEST = {"type": "test"}
RTMP = {"type": "rtmp", "url": "rtmp://live.example.org/app"}
MISTAKES: list[tuple[str, dict[str, Any], str | None, str]] = [
    ("record", {"source": TEST, "segment_seconds": 180.0}, "/segment_seconds",
     "expected a whole number, got 180.0"),
    ("record", {"source": TEST, "video_codec": "copy"}, None, "nothing to copy"),
    ("record", {"source": {"type": "device"}}, "/source", "neither picture nor sound"),
    ("record", {"source": TEST, "directory": "/srv"}, "/directory", "below the station's"),
    ("record", {"source": TEST, "directory": "../x"}, "/directory", "below the station's"),
    ("record", {"source": {"type": "url", "url": "rtsp://ann@cam/1"}}, "/source/url",
     "without user name and password"),
    ("record", {"source": {"type": "tset"}}, "/source", "did you mean 'test'?"),
    ("record", {"source": {"rol": "ingest"}}, "/source/rol", "did you mean 'role'?"),
    ("record", {"source": TEST, "segment_second": 5}, "/segment_second",
     "did you mean 'segment_seconds'?"),
    ("ingest", {"picture": {"type": "v4l"}}, "/picture", "did you mean 'v4l2'?"),
    ("ingest", {"picture": {"type": "none"}}, None, "neither picture nor sound"),
    ("ingest", {"picture": TEST, "local_copy": {"directory": "/x"}}, "/local_copy/directory",
     "below the station's"),
    ("stream", {"source": TEST, "target": {"type": "rtpm", "url": "x"}}, "/target",
     "did you mean 'rtmp'?"),
    ("stream", {"source": TEST, "target": RTMP, "audio_codec": "copy"}, None, "nothing to copy"),
    ("stream", {"source": TEST, "target": {"type": "srt", "url": "srt://x:1?passphrase=a"}},
     "/target/url", "without passphrase"),
    ("monitor", {"source": TEST, "kind": "slide"}, "/kind", "did you mean 'slides'?"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "settings", "path", "part"), MISTAKES)
@pytest.mark.parametrize("said", [own(), says(record={}, ingest={}, stream={}, monitor={}), None])
def test_a_role_that_is_known_here_is_judged_by_its_own_code(
    said: Registration | None, role: str, settings: dict[str, Any], path: str | None, part: str
) -> None:
    (first, *_) = found = list(problems({role: {"main": settings}}, said))
    assert (first.role, first.instance) == (role, "main")
    assert any(one.path == path and part in one.message for one in found)


def told(found: Any) -> list[tuple[str | None, str | None, str]]:
    return [(one.instance, one.path, one.message) for one in found]


def station(roles: Roles) -> tuple[Problem, ...]:
    """What an agent of this release says."""
    return examine(roles, Catalogue(known.factories(), {}, {})).problems


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 200_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["auto", "copy", "h264", "/srv", "..", "recordings", "640x360", ""]),
    st.just(TEST), st.just({"type": "url", "url": "http://x/y"}), st.just({"host": "x"}),
    st.just({"type": "file", "path": "a.mkv", "loop": 1}), st.just([]),
)  # fmt: skip


@given(st.data())
def test_whatever_stands_in_them_manager_and_station_say_the_same(data: st.DataObject) -> None:
    role = data.draw(st.sampled_from(sorted(known.factories())))
    names = sorted(json_schema(known.factories()[role].settings)["properties"])
    names += ["nonsense"]
    settings = data.draw(st.dictionaries(st.sampled_from(names), ODD))
    if role != "record":
        settings.setdefault("source", TEST)
    roles = {role: {"main": settings}}
    assert told(problems(roles, own())) == told(station(roles))


def test_what_a_role_of_its_own_takes_is_told_by_the_stations_schema() -> None:
    said = says(1, stream=json_schema(_Settings))
    found = list(
        problems(
            {
                "stream": {
                    "main": {"url": "x", "password": "y", "sped": 1},
                    "two": {"url": 5},
                    "whole": {"url": "x", "password": {"secret": "y"}, "speed": 180.0},
                },
                "shelved": {"main": {}},
                "Stream": {"main": {}},
            },
            said,
        )
    )
    where = [(one.type, one.role, one.instance, one.path) for one in found]
    assert ("InvalidConfiguration", "stream", None, None) in where
    assert ("InvalidConfiguration", "stream", "main", "/password") in where
    assert ("InvalidConfiguration", "stream", "two", "/url") in where
    assert ("InvalidConfiguration", "stream", "whole", "/speed") in where
    assert ("BlockedRole", "shelved", None, None) in where
    assert ("MissingRoleFactory", "Stream", None, None) in where
    messages = {one.message for one in found}
    assert "has no role 'Stream' (did you mean 'stream'?)" in messages
    assert "there is no setting 'sped' (did you mean 'speed'?)" in messages


def test_of_alternatives_the_one_that_is_named_is_judged() -> None:
    arm = {
        "properties": {"type": {"const": "tripod"}, "height": {"type": "integer"}},
        "required": ["type", "height"],
        "additionalProperties": False,
    }
    other = {"properties": {"type": {"const": "gallery"}}, "required": ["type"]}
    plain = {
        "properties": {"host": {"type": "string"}}, "required": ["host"],
        "additionalProperties": False,
    }  # fmt: skip
    schema = {"properties": {"place": {"oneOf": [arm, other, plain]}}}
    said = says(hoist=schema)

    def found(place: Any) -> list[tuple[str | None, str]]:
        return [(p.path, p.message) for p in problems({"hoist": {"m": {"place": place}}}, said)]

    assert found({"type": "tripod", "height": 2}) == []
    assert found({"host": "x"}) == []
    assert found({"type": "tripod", "height": 2.0}) == [
        ("/place/height", "expected a value of type integer, got 2.0")
    ]
    assert found({"type": "tripdo"}) == [
        ("/place", 'expected a type out of tripod, gallery (did you mean \'tripod\'?), got '
                   '"tripdo" (a string)')
    ]  # fmt: skip
    assert found({"hots": "x"}) == [
        ("/place", "host is missing"),
        ("/place", "there is no setting 'hots' (did you mean 'host'?)"),
    ]


def test_of_a_station_that_was_never_heard_only_what_is_known_here_is_judged() -> None:
    roles: Roles = {"record": {"main": {"source": TEST}}, "hoist": {"main": {"any": 1}}}
    assert list(problems(roles, None)) == []
    assert len(list(problems({"record": {"main": {}}}, None))) == 1


def test_a_secret_that_may_not_go_where_it_is_sent_is_told_before_the_station_is() -> None:
    target = RTMP | {"key": {"secret": "stream-key"}}
    roles = {"stream": {"main": {"source": TEST, "target": target}}}
    kept = KeptSecret("stream-key", None, ("*.example.net",))
    (problem,) = problems(roles, evolve(own(), secrets=(kept,)))
    assert (problem.instance, problem.path) == ("main", "/target/key")
    assert "may go to *.example.net alone, not to live.example.org" in problem.message
    for allow in ((), ("live.example.org",)):
        assert not list(problems(roles, evolve(own(), secrets=(evolve(kept, allow=allow),))))


def test_what_can_be_no_secret_is_told_before_the_station_is_and_not_repeated() -> None:
    for name, told in (("stream key", 1), ("", 1), ("a" * 65, 1), ("stream-key", 0)):
        target = RTMP | {"key": {"secret": name}}
        found = list(problems({"stream": {"main": {"source": TEST, "target": target}}}, None))
        assert [one.path for one in found] == ["/target/key/secret"] * told
        assert not any("got" in one.message or "stream key" in one.message for one in found)


def test_a_key_in_the_address_of_a_stream_belongs_beside_it() -> None:
    target = RTMP | {"url": "rtmp://live.example.org/app/hall1?key=hunter2"}
    (one,) = problems({"stream": {"main": {"source": TEST, "target": target}}}, None)
    assert "end it with the application, and set key = {secret" in one.message


def test_more_instances_than_a_station_can_have_are_a_problem() -> None:
    roles: Roles = {"hoist": {f"n{i}": {} for i in range(MAX_INSTANCES + 1)}}
    assert [one.message for one in problems(roles, says(hoist={}))] == [
        "runs at most 1000 instances, 1001 are wanted"
    ]


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/x"}])
def test_a_schema_that_is_none_says_so_and_fetches_nothing(schema: Any) -> None:
    (one,) = problems({"hoist": {"main": {}}}, says(hoist=schema))
    assert "cannot be compared" in one.message


def test_a_secret_is_shown_by_its_name_alone() -> None:
    said = says(stream=json_schema(_Settings))
    roles: Roles = {
        "stream": {
            "good": {"url": "srt://x", "password": {"secret": "key"}},
            "bad": {"url": "rtmp://ann:hunter2@x/y?token=abc&a=1&sig=b", "password": "hunter2"},
        }
    }
    shown = without_secrets(roles, said)
    assert shown["stream"]["good"] == roles["stream"]["good"]
    assert shown["stream"]["bad"] == {
        "url": "rtmp://***@x/y?token=***&a=1&sig=***",
        "password": HIDDEN,
    }
    unsure = without_secrets(roles, None)
    assert "hunter2" not in str(unsure)
    assert unsure["stream"]["good"] == roles["stream"]["good"]


@pytest.mark.parametrize(
    "key",
    ["password", "api_key", "Stream-Key", "rtmp_token", "key", "secret", "passphrase", "pasword"],
)
@pytest.mark.parametrize("schema", [{}, {"properties": 5, "anyOf": 7}, None])
def test_a_setting_that_is_called_as_a_secret_is_one_whatever_the_role_says(
    key: str, schema: Any
) -> None:
    typed = {"properties": {key: {"type": "string"}}} if schema is None else schema
    for value in ("hunter2", 4711, ["hunter2"]):
        shown = without_secrets({"hoist": {"m": {key: value, "n": 1}}}, says(hoist=typed))
        assert shown["hoist"]["m"]["n"] == 1
        assert "hunter2" not in str(shown)
        assert "4711" not in str(shown)


@pytest.mark.parametrize(
    ("role", "settings"),
    [
        ("stream", {"source": TEST, "target": {**RTMP, "key": "hunter2-hunter2"}}),
        ("stream", {"source": TEST, "target": {**RTMP, "url": "ftp://x/?token=hunter2-hunter2"}}),
        ("stream", {"source": TEST, "target": {**RTMP, "url": "rtmp://x/a/b?key=hunter2-hunter2"}}),
        ("stream", {"source": TEST, "target": {**RTMP, "key": {"secret": "hunter2 hunter2"}}}),
        ("record", {"source": {"type": "url", "url": "rtmp://x/a/b?key=hunter2-hunter2"}}),
        ("record", {"source": {"type": "url", "url": "ftp://ann:hunter2-hunter2@x/"}}),
        ("hoist", {"password": "hunter2-hunter2"}),
        ("hoist", {"url": "x://ann:hunter2-hunter2@y"}),
    ],
)
def test_no_message_about_a_secret_shows_it(role: str, settings: dict[str, Any]) -> None:
    schema = {"properties": {"password": {"type": "object"}, "url": {"enum": ["http://x"]}}}
    said = says(hoist=schema, **SCHEMAS)
    found = list(problems({role: {"main": settings}}, said))
    assert found
    assert "hunter2" not in str(found)
    if role != "hoist":
        assert "hunter2" not in str(station({role: {"main": {**settings, "source": TEST}}}))

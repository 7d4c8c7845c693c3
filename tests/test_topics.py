"""Topics are built and taken apart one way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.topics import Address, Topics

_stations = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)
_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
_LEVELS = {
    **dict.fromkeys(
        ["registration", "presence", "status", "config", "ack", "telemetry", "log", "segment"], 0
    ),
    "thumbnail": 2,
    "command": 3,
    "reply": 1,
}


@given(_stations, st.sampled_from(sorted(_LEVELS)), st.lists(_names, min_size=3, max_size=3))
def test_what_is_built_is_parsed_back(station: str, kind: str, names: list[str]) -> None:
    rest = tuple(names[: _LEVELS[kind]])
    topics = Topics("a/prefix")
    assert topics.parse(topics.station(station, kind, *rest)) == Address(station, kind, rest)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "fleet",
        "fleet/v2/station/b1/ack",
        "other/v1/station/b1/ack",
        "fleet/v1/station/b1",
        "fleet/v1/station/b1/nothing",
        "fleet/v1/station/b1/ack/more",
        "fleet/v1/station/B1/ack",
        "fleet/v1/station//ack",
        "fleet/v1/station/" + "x" * 65 + "/ack",
        "fleet/v1/station/b1/command/ann/record",
        "fleet/v1/station/b1/command/ann/record/split/more",
        "fleet/v1/station/b1/command/ann/-x/split",
        "fleet/v1/station/b1/command/a b/record/split",
        "fleet/v1/station/b1/reply/",
        "fleet/v1/manager",
        "fleet/v1/manager/nothing",
        "fleet/v1/manager/request/ann",
    ],
)
def test_what_is_not_ours_is_none(topic: str) -> None:
    assert Topics().parse(topic) is None


def test_managers_topics_have_no_station() -> None:
    topics = Topics()
    assert topics.parse(topics.manager("presence")) == Address(None, "presence")
    request = topics.manager("request", "ann", "plan")
    assert topics.parse(request) == Address(None, "request", ("ann", "plan"))


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_none(text: str) -> None:
    for topic in (text, f"fleet/v1/station/{text}", f"fleet/v1/station/b1/{text}"):
        found = Topics().parse(topic)
        if found is not None:
            assert found.station is not None
            assert Topics().station(found.station, found.kind, *found.rest) == topic

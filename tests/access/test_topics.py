"""What an account may: the same as `mosquitto/*.acl` say of its user."""

import re

import pytest

from fleet.manager.access import topics as access
from fleet.manager.access.topics import AccessTopics
from fleet.manager.people.rights import Rights
from fleet.topics import Topics
from tests.processes import ROOT

TOPICS = Topics()


def of_file(name: str, user: str) -> AccessTopics:
    lines = (ROOT / "mosquitto" / name).read_text().splitlines()
    found: dict[str, set[str]] = {"read": set(), "write": set()}
    for line in lines:
        if match := re.fullmatch(r"pattern (read|write|readwrite) (\S+)", line):
            for kind in ("read", "write"):
                if kind in match[1]:
                    found[kind].add(match[2].replace("%u", user))
    return AccessTopics(tuple(sorted(found["write"])), tuple(sorted(found["read"])))


def in_order(found: AccessTopics) -> AccessTopics:
    return AccessTopics(tuple(sorted(found.write)), tuple(sorted(found.read)))


def test_a_station_may_what_the_file_says() -> None:
    assert in_order(access.of_station(TOPICS, "b1")) == of_file("stations.acl", "b1")


@pytest.mark.parametrize("rights", ["operator", "admin"])
def test_an_operator_may_what_the_file_says(rights: str) -> None:
    found = access.of_person(TOPICS, "ann", Rights.parse(rights))
    assert in_order(found) == of_file("operators.acl", "ann")


@pytest.mark.parametrize("rights", ["viewer", "room:hall1"])
def test_others_command_no_station(rights: str) -> None:
    found = access.of_person(TOPICS, "ann", Rights.parse(rights))
    assert not any("/command/" in topic for topic in found.write)
    assert set(found.write) == {"fleet/v1/manager/request/ann/+", "fleet/v1/manager/reply/ann"}
    assert not any(topic.endswith("#") for topic in (*found.read, *found.write))


def test_a_token_may_only_ask() -> None:
    found = access.of_token(TOPICS, "t1")
    assert found.write == ("fleet/v1/join/t1/request/+",)
    assert set(found.read) == {"fleet/v1/join/t1/reply/+", "fleet/v1/manager/presence"}

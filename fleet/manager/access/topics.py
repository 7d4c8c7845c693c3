"""What each account of the broker may write and hear. Pure; `mosquitto/*.acl` say the same."""

from collections.abc import Iterable
from typing import Any, Final

from attrs import frozen

from fleet.manager.people.rights import Reach, Rights
from fleet.topics import Topics

_SAID: Final = ("registration", "presence", "status", "ack")
"""What a station says and hears, so that it says it again where somebody overwrote it."""
_TOLD: Final = ("telemetry", "log", "segment")
_CONTROL: Final = "$CONTROL/dynamic-security/#"

AccessRule = dict[str, Any]
"""One line of a role, as Mosquitto's dynamic security takes it."""


@frozen
class AccessTopics:
    """Filters of what somebody may write, and hear."""

    write: tuple[str, ...]
    read: tuple[str, ...]

    @property
    def rules(self) -> list[AccessRule]:
        """As Mosquitto's dynamic security takes them."""
        kinds = (
            ("publishClientSend", self.write),
            ("publishClientReceive", self.read),
            ("subscribePattern", self.read),
        )
        return [
            {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
            for kind, several in kinds
            for topic in several
        ]


def of_manager(topics: Topics) -> AccessTopics:
    """Everything of ours, and the accounts."""
    all_of_it = (f"{topics.root}/#", _CONTROL)
    return AccessTopics(all_of_it, all_of_it)


def of_station(topics: Topics, station: str) -> AccessTopics:
    """Its own words, and what is said to it."""

    def own(kinds: Iterable[str]) -> tuple[str, ...]:
        return tuple(topics.station(station, kind) for kind in kinds)

    pictures, replies = topics.thumbnail(station, "+", "+"), topics.reply(station, "+")
    commands = topics.command(station, "+", "+", "+")
    return AccessTopics(
        (*own((*_SAID, *_TOLD)), pictures, replies), (*own((*_SAID, "config", "stops")), commands)
    )


def of_person(topics: Topics, name: str, rights: Rights) -> AccessTopics:
    """To ask the manager and hear stations; to command them too, for who may act anywhere."""
    reply = topics.manager("reply", name)
    write = [topics.manager("request", name, "+"), reply]
    read = [topics.manager("presence"), reply, "$SYS/broker/version"]
    read += [topics.station("+", kind) for kind in (*_SAID, *_TOLD) if kind != "ack"]
    read.append(topics.thumbnail("+", "+", "+"))
    if rights.most >= Reach.ANYWHERE:
        write.append(topics.command("+", name, "+", "+"))
        read.append(topics.reply("+", name))
    return AccessTopics(tuple(write), tuple(read))


def of_token(topics: Topics, token: str) -> AccessTopics:
    """To ask to be let in, and hear the answer, and when a manager begins who is to be asked."""
    heard = topics.join(token, "reply", "+"), topics.manager("presence")
    return AccessTopics((topics.join(token, "request", "+"),), heard)

"""Judges broker, manager and leftovers for `fleet doctor`; stations the manager judges. Pure."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Final

from attrs import frozen

from fleet.cli.examine import BURST, BrokerFacts, RetainedStation
from fleet.model import MAX_PAYLOAD, MAX_REQUEST, PresenceState, ahead_or_behind
from fleet.mqtt import Broker
from fleet.operations.doctor import DoctorFinding, DoctorResult
from fleet.topics import KEPT, KEPT_OF_MANAGER, Topics

CLOCK: Final = 1.0
"""Seconds a clock may differ: what a message takes on its way counts too."""
HELD_BACK: Final = 0.008
"""Seconds that a second message in a row may take longer than the way there and back."""
_CONFIG: Final = "mosquitto/mosquitto.conf shows it all"


@frozen
class Examination:
    """All that was looked at.

    `facts`: the manager's, None where there was none to ask. `now`: by our clock, when it told
    them.
    """

    version: str
    broker: Broker
    topics: Topics
    facts: DoctorResult | None
    examined: BrokerFacts
    boots: frozenset[str]
    """Of the managers that answered or said they were online."""
    now: datetime


def findings(seen: Examination) -> tuple[DoctorFinding, ...]:
    """Everything to fix: the broker, the manager, then station after station."""
    found = [*_broker(seen), *_manager(seen)]
    found += seen.facts.fixes if seen.facts else _retained(seen.examined.stations)
    return (*found, *_leftovers(seen))


def _broker(seen: Examination) -> Iterator[DoctorFinding]:
    facts, subject = seen.examined, "broker"
    if not seen.broker.tls and not _is_here(seen.broker.host):
        yield DoctorFinding(
            "ClearText",
            subject,
            f"what goes to {seen.broker} and back, passwords too, can be read on the network",
            "give it a certificate, then say mqtts:// everywhere; docs/tls.md has each step",
        )
    if facts.anonymous:
        yield DoctorFinding(
            "OpenBroker",
            subject,
            "anyone who reaches it is let in without a user",
            f"set allow_anonymous false and make users with mosquitto_passwd; {_CONFIG}",
        )
    if facts.open:
        yield DoctorFinding(
            "OpenTopics",
            subject,
            "anyone who is let in may tell every station what to do",
            f"set acl_file to mosquitto/operators.acl and stations.acl; {_CONFIG}",
        )
    if facts.kept is not None and facts.kept < BURST:
        yield DoctorFinding(
            "QueueLimit",
            subject,
            f"of {BURST} messages for a busy reader it kept {facts.kept} and silently dropped the "
            "others",
            f"set max_queued_messages 0 and restart it; {_CONFIG}",
        )
    if facts.refused is not None:
        yield DoctorFinding(
            "PacketLimit",
            subject,
            f"a message of {facts.refused // 1024} KiB is too large for it; configs take up to "
            f"{MAX_PAYLOAD // 1024} KiB, what the manager tells people {MAX_REQUEST // 1024} KiB",
            f"remove message_size_limit, set max_packet_size 17825792 and restart it; {_CONFIG}",
        )
    there_and_back, delivery = facts.round_trip, facts.delivery
    if there_and_back and delivery and delivery - there_and_back > HELD_BACK:
        yield DoctorFinding(
            "HeldBack",
            subject,
            f"a message right after another takes at least {1000 * delivery:.1f} ms, though "
            f"one alone is there and back in {1000 * there_and_back:.2f} ms",
            f"set set_tcp_nodelay true and restart it; {_CONFIG}",
        )
    version = re.search(r"(\d+)\.\d+\.\d+", facts.version or "")
    if version and "mosquitto" in (facts.version or "") and int(version[1]) < 2:
        yield DoctorFinding(
            "OldBroker",
            subject,
            f"it is {facts.version}; from 2.0 on Mosquitto tells what it refuses",
            "install Mosquitto 2.0 or later: Debian 12 has it",
        )


def _manager(seen: Examination) -> Iterator[DoctorFinding]:
    if len(seen.boots) > 1:
        yield DoctorFinding(
            "SecondManager",
            "manager",
            f"{len(seen.boots)} managers were here at once (boots {', '.join(sorted(seen.boots))})",
            "stop all but one; on each machine: systemctl disable --now fleet-manager",
        )
    if seen.facts is None:
        yield DoctorFinding(
            "NoManager",
            "manager",
            "none answers, so that of the stations only what they last said is known; what they "
            "do goes on",
            "where it should run: systemctl start fleet-manager; journalctl -u fleet-manager says "
            "why it does not",
        )
        return
    if seen.facts.version != seen.version:
        yield DoctorFinding(
            "ManagerVersion",
            "manager",
            f"it is version {seen.facts.version}, this command {seen.version}",
            "install the same release for both",
        )
    offset = (seen.facts.at - seen.now).total_seconds()
    if abs(offset) > CLOCK:
        yield DoctorFinding(
            "ClockOffset",
            "manager",
            f"its clock is {ahead_or_behind(offset)} this machine's",
            "on both: apt install chrony, then chronyc makestep",
        )


def _retained(stations: Sequence[RetainedStation]) -> Iterator[DoctorFinding]:
    """What stations said themselves; a manager would know names, rooms and since when."""
    for one in stations:
        subject = f"{one.id} ({one.hostname})" if one.hostname else one.id
        if one.presence is PresenceState.LOST:
            fix = "look at its power and its network"
            yield DoctorFinding("Lost", subject, "its connection broke and did not return", fix)
        elif one.presence is PresenceState.OFFLINE:
            fix = "where it should run: systemctl start fleet-agent"
            yield DoctorFinding("Offline", subject, "its fleet-agent was stopped", fix)
        elif one.ill:
            text, fix = "; ".join(one.ill), f"why: fleet logs {one.id}"
            yield DoctorFinding("NotRunning", subject, text, fix)


def _is_here(host: str) -> bool:
    """Whether it is this machine, so that what is said to it stays there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _leftovers(seen: Examination) -> Iterator[DoctorFinding]:
    known = None if seen.facts is None else {one.id for one in seen.facts.stations}
    left: dict[str, list[str]] = defaultdict(list)
    for topic in seen.examined.retained:
        address = seen.topics.parse(topic)
        if address is None:
            left[topic].append(topic)
        elif address.station is None:
            if address.kind not in KEPT_OF_MANAGER:
                left["manager"].append(topic)
        elif known is not None and address.station not in known:
            left[address.station].append(topic)
        elif address.kind not in KEPT:
            left[topic].append(topic)
    for subject, topics in sorted(left.items()):
        whose = f"of {subject}, which the manager does not know" if subject not in topics else ""
        what = f"the broker keeps {len(topics)} topic{'s' if len(topics) > 1 else ''}"
        yield DoctorFinding(
            "Leftover",
            subject,
            f"{what} {whose or 'that nothing reads or that must not be kept'}",
            _clear(topics, seen.broker),
        )


def _clear(topics: Iterable[str], broker: Broker) -> str:
    as_manager = " -u manager -P PASSWORD" if broker.username else ""
    where = f"-h {broker.host} -p {broker.port}{as_manager}"
    return "apt install mosquitto-clients, then clear them: " + "; ".join(
        f"mosquitto_pub {where} -r -n -t {shlex.quote(topic)}" for topic in topics
    )

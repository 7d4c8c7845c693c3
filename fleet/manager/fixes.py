"""What needs fixing at a station though it may run well: clock, version, address, id. Pure.

`fleet doctor` shows it; what is wrong at the moment is told by `health`.
"""

import ipaddress
import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from fleet.manager.findings import ENDS_SECONDS
from fleet.manager.stations.inventory import MOST_STRANGERS
from fleet.model import PresenceState, ahead_or_behind, counted
from fleet.operations.doctor import DoctorFinding, StationFacts
from fleet.operations.health import HealthFinding

DOCTOR_CLOCK_SECONDS: Final = 1.0
"""What a clock may differ from the manager's: what a message takes on its way counts too."""
ABSENT: Final = timedelta(days=2)


def crowd(turned_away: int) -> Iterator[DoctorFinding]:
    """What to do about stations without number; `turned_away`: messages of those too many."""
    if turned_away:
        yield DoctorFinding(
            "TooManyStrangers",
            "the broker",
            f"more than {MOST_STRANGERS} stations of which nothing is wanted speak there: "
            f"{counted(turned_away, 'message')} of others left out since the manager began",
            "give the broker users and an ACL, as mosquitto/mosquitto.conf has it, then restart "
            "the broker and fleet-manager",
        )


def open_page(address: str | None) -> Iterator[DoctorFinding]:
    """What to do about a page that whoever reaches `address` sees; None where nobody does."""
    if address is not None:
        yield DoctorFinding(
            "OpenPage",
            "the page",
            f"whoever reaches {address} sees everything, for nobody is in the list of people",
            "fleet user add NAME --rights admin: then it asks who they are",
        )


def whole(findings: Iterable[HealthFinding]) -> Iterator[DoctorFinding]:
    """What to do about what is wrong with no station."""
    for one in findings:
        yield DoctorFinding(one.kind, "the fleet", f"{one.text} ({one.detail})", one.command or "")


def ending(one: StationFacts, ends: datetime | None, at: datetime) -> Iterator[DoctorFinding]:
    """What to do about a credential that was not renewed in time; `ends`: None without one."""
    if ends is not None and (ends - at).total_seconds() < ENDS_SECONDS:
        yield DoctorFinding(
            "CredentialEnds",
            one.name,
            f"what it comes in with ends {ends:%Y-%m-%d}, and could not be renewed by itself",
            f"have it online, then: fleet rotate {shlex.quote(one.name)}; or let it join again: "
            "fleet token prints the line",
        )


def fixes(
    one: StationFacts,
    version: str,
    at: datetime,
    resolved: Mapping[str, tuple[str, ...]],
    *,
    together: bool = False,
) -> Iterator[DoctorFinding]:
    """What needs fixing at a station; `version`: the manager's, `at`: now.

    `resolved`: the addresses behind each name of the conference file, none where it cannot be
    resolved; `together`: all stations are on one machine, and reach each other by loopback.
    """
    if one.conflict:
        yield DoctorFinding(
            "DuplicateId",
            one.name,
            f"two boxes, {' and '.join(one.hostnames)}, use the id {one.id}",
            "on the box that is the copy: rm /etc/fleet/agent.toml /etc/fleet/agent.password "
            "/var/lib/fleet-agent/station*; then: scripts/install station --broker URL, which "
            "names it after its network card; joined by a token: systemctl stop fleet-agent, "
            "fleet-agent reset, then what fleet token prints; installed otherwise: set "
            "FLEET_STATION there",
        )
    if one.left_out:
        yield DoctorFinding(
            "SaysTooMuch",
            one.name,
            f"it said more than one station may: {counted(one.left_out, 'message')} left out since "
            "the manager began",
            "look what runs there: whoever has its password can do this; if that is not its agent, "
            "give it another password",
        )
    if one.not_kept:
        yield DoctorFinding(
            "StopNotKept",
            one.name,
            f"somebody stopped {' and '.join(one.not_kept)}, and it cannot keep that stopped: it "
            "is of an earlier release, or the broker does not let it hear of it",
            "install the manager's release on the box and restart fleet-agent; where the broker "
            "has an ACL, put mosquitto/stations.acl in its place and reload it",
        )
    is_online = one.presence is PresenceState.ONLINE
    if is_online and one.clock_offset is not None and abs(one.clock_offset) > DOCTOR_CLOCK_SECONDS:
        yield DoctorFinding(
            "ClockOffset",
            one.name,
            f"its clock is {ahead_or_behind(one.clock_offset)} the manager's",
            "on the box: apt install chrony, then chronyc makestep",
        )
    if one.agent not in (None, version):
        yield DoctorFinding(
            "AgentVersion",
            one.name,
            f"its agent is version {one.agent}, the manager {version}",
            "install the manager's release on the box, then systemctl restart fleet-agent: "
            "what it records goes on",
        )
    if not is_online and one.said_at is not None:
        silent = at - one.said_at
        if silent > ABSENT:
            yield DoctorFinding(
                "StationAbsent",
                one.name,
                f"it has not been heard from for {counted(silent.days, 'day')}",
                f"switch it on, or forget it: fleet retire {shlex.quote(one.name)}",
            )
    if not (together and one.address and _is_loopback(one.address)):
        yield from _address(one, resolved)


def is_ip(text: str) -> bool:
    """Whether `text` is an address and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return is_ip(address) and ipaddress.ip_address(address).is_loopback


def _address(one: StationFacts, resolved: Mapping[str, tuple[str, ...]]) -> Iterator[DoctorFinding]:
    if one.address is None or not one.addresses or one.conflict:
        yield from _name(one, resolved)
        return
    if one.address.split(".")[0] in one.hostnames and not is_ip(one.address):
        return
    meant = (one.address,) if is_ip(one.address) else resolved.get(one.address, ())
    if set(map(_plain, meant)) & set(map(_plain, one.addresses)):
        return
    has = ", ".join(one.addresses)
    what = f"the conference file gives it the address {one.address}"
    if not meant:
        what += ", which cannot be resolved here"
    elif not is_ip(one.address):
        what += f" ({', '.join(meant)})"
    yield DoctorFinding(
        "WrongAddress",
        one.name,
        f"{what}; it has {has} itself",
        f'put address = "{one.addresses[0]}" in [stations.{one.name}] of the conference file, '
        "then: fleet apply FILE",
    )


def _name(one: StationFacts, resolved: Mapping[str, tuple[str, ...]]) -> Iterator[DoctorFinding]:
    """The name by which others have to find a box that is there."""
    if one.reached_as is None or one.presence is not PresenceState.ONLINE or one.conflict:
        return
    found = resolved.get(one.reached_as, ())
    if set(map(_plain, found)) & set(map(_plain, one.addresses)):
        return
    what = (
        f"stands for {', '.join(found)}" if found else "cannot be resolved where the manager runs"
    )
    yield DoctorFinding(
        "NameUnresolved",
        one.name,
        f"other stations find it by the name {one.reached_as}, which {what}; it has "
        f"{', '.join(one.addresses) or 'no address'}",
        f'put address = "{one.addresses[0] if one.addresses else "ADDRESS"}" in '
        f"[stations.{one.name}] of the conference file, then: fleet apply FILE",
    )


def _plain(address: str) -> str:
    return address.split("%")[0].split("/")[0].lower()

"""What `fleet-agent` shows to people: lines of text, aligned, that a pipe can carry too."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fleet.agent.local.socket import LocalStatus
from fleet.explained import explained, table
from fleet.model import State

if TYPE_CHECKING:
    from fleet.agent.config.catalogue import Catalogue  # all roles with it

_WELL = (State.STARTING, State.RUNNING, State.COMPLETED)


def healthy(status: LocalStatus) -> bool:
    """Whether nobody needs to look at this station."""
    states = [one.state for named in status.roles.values() for one in named.values()]
    return status.connected and status.rejected is None and all(s in _WELL for s in states)


def status(status: LocalStatus) -> Iterator[str]:
    """The station, then its instances, those that need somebody first."""
    link = "connected to" if status.connected else "NOT connected to"
    yield f"station {status.station}, fleet-agent {status.agent}, {link} {status.broker}"
    if status.trouble:
        yield f"not connected: {status.trouble}"
    yield f"revision {status.revision} is in force"
    if status.rejected is not None:
        yield f"a later one was rejected: {status.rejected.type}: {status.rejected.message}"
    rows = [
        (
            f"{role}/{name}",
            one.state.value,
            f"{one.since.astimezone():%H:%M:%S %Z}",
            str(one.restarts),
            one.why,
        )
        for role, named in status.roles.items()
        for name, one in named.items()
    ]
    rows.sort(key=lambda row: (row[1] in [state.value for state in _WELL], row))
    if rows:
        yield ""
        yield from table([("INSTANCE", "STATE", "SINCE", "RESTARTS", "REASON"), *rows])


def roles(catalogue: "Catalogue") -> Iterator[str]:
    """Each role with its limit, settings and commands; then what is broken or blocked."""
    for name, factory in catalogue.described.items():
        blocked = ", blocked by this station's settings" if name in catalogue.blocked else ""
        yield from explained(name, factory, blocked)
        yield ""
    for name, reason in catalogue.broken.items():
        yield f"{name} is broken: {reason}"
    for name in sorted(catalogue.blocked - catalogue.described.keys()):
        yield f"{name} is blocked by this station's settings"

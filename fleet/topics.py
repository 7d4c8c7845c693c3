"""Builds and parses every topic of the wire, version 1.

>>> Topics().ack("b827eb0000a1")
'fleet/v1/station/b827eb0000a1/ack'
>>> Topics().parse("fleet/v1/station/b827eb0000a1/command/ann/record/split")
Address(station='b827eb0000a1', kind='command', rest=('ann', 'record', 'split'))
"""

from typing import Final

from attrs import frozen

from fleet.model import is_name, is_station_id

KEPT: Final = ("config", "stops", "ack", "status", "registration", "presence")
"""What the broker keeps of a station."""
KEPT_OF_MANAGER: Final = ("presence", "store")
_STATION_KINDS = {
    "registration": 0,
    "presence": 0,
    "status": 0,
    "config": 0,
    "stops": 0,
    "ack": 0,
    "telemetry": 0,
    "log": 0,
    "segment": 0,
    "thumbnail": 2,
    "command": 3,
    "reply": 1,
}
_MANAGER_KINDS = {"presence": 0, "store": 0, "request": 2, "reply": 1}
_JOIN_KINDS = ("request", "reply")


@frozen
class Address:
    """A topic taken apart; `station` is None for the manager's topics.

    `rest` holds the levels after the kind: role and instance of a thumbnail; caller, role and
    command of a command; caller of a reply; caller and operation of a manager's request; token and
    box of who asks to join (`join-request`, `join-reply`).
    """

    station: str | None
    kind: str
    rest: tuple[str, ...] = ()


@frozen
class Topics:
    """The topics under one prefix."""

    prefix: str = "fleet"

    @property
    def root(self) -> str:
        """What every topic starts with."""
        return f"{self.prefix}/v1"

    def station(self, station: str, kind: str, *rest: str) -> str:
        """A topic of one station; `+` and `#` make it a filter."""
        return "/".join((self.root, "station", station, kind, *rest))

    def manager(self, kind: str, *rest: str) -> str:
        """A topic of the manager; `+` and `#` make it a filter."""
        return "/".join((self.root, "manager", kind, *rest))

    def join(self, token: str, kind: str, box: str) -> str:
        """A topic of a box that asks to be let in: its `request`, or the `reply`."""
        return "/".join((self.root, "join", token, kind, box))

    def registration(self, station: str) -> str:
        """What a station is and can do."""
        return self.station(station, "registration")

    def presence(self, station: str) -> str:
        """Whether a station can be reached."""
        return self.station(station, "presence")

    def status(self, station: str) -> str:
        """What a station runs."""
        return self.station(station, "status")

    def config(self, station: str) -> str:
        """What is wanted of a station."""
        return self.station(station, "config")

    def stops(self, station: str) -> str:
        """What is stopped by hand on a station."""
        return self.station(station, "stops")

    def ack(self, station: str) -> str:
        """A station's answer to a revision."""
        return self.station(station, "ack")

    def telemetry(self, station: str) -> str:
        """A station's figures."""
        return self.station(station, "telemetry")

    def log(self, station: str) -> str:
        """Lines of a station's instances."""
        return self.station(station, "log")

    def segment(self, station: str) -> str:
        """A closed segment of a station's recordings."""
        return self.station(station, "segment")

    def thumbnail(self, station: str, role: str, instance: str) -> str:
        """A picture of what an instance sees."""
        return self.station(station, "thumbnail", role, instance)

    def command(self, station: str, caller: str, role: str, command: str) -> str:
        """A caller's command to a role of a station."""
        return self.station(station, "command", caller, role, command)

    def reply(self, station: str, caller: str) -> str:
        """A station's replies to one caller."""
        return self.station(station, "reply", caller)

    def parse(self, topic: str) -> Address | None:
        """The parts of `topic`, or None if it is not one of ours or a name in it is not valid."""
        root = f"{self.root}/"
        if not topic.startswith(root):
            return None
        match topic[len(root) :].split("/"):
            case ["station", station, kind, *rest]:
                levels = _STATION_KINDS.get(kind)
                if not is_station_id(station):
                    return None
            case ["manager", kind, *rest]:
                station, levels = "", _MANAGER_KINDS.get(kind)
            case ["join", token, kind, box] if kind in _JOIN_KINDS:
                station, kind, rest, levels = "", f"join-{kind}", [token, box], 2
            case _:
                return None
        if levels != len(rest) or not all(map(is_name, rest)):
            return None
        return Address(station or None, kind, tuple(rest))

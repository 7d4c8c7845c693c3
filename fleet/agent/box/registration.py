"""What a station says it is and can do, and how that is made to fit into one message.

Roles come from anybody, with schemas of any length; a station that cannot tell of them is still
to be seen. So the longest schemas make room: without one, a setting is only checked here.
"""

from typing import Final

from attrs import evolve

from fleet.agent.box import machine
from fleet.agent.config.catalogue import Catalogue
from fleet.model import (
    MAX_PAYLOAD,
    Boot,
    CommandSchema,
    Device,
    Factory,
    JsonSchema,
    KeptSecret,
    Registration,
)
from fleet.version import __version__
from fleet.wire import encode

_ANYTHING: Final[JsonSchema] = {}


def registration(
    boot: Boot,
    known: Catalogue,
    devices: tuple[Device, ...],
    public_key: str,
    secrets: tuple[KeptSecret, ...] = (),
) -> Registration:
    """All that is known now."""
    return Registration(
        boot,
        __version__,
        machine.hostname(),
        machine.mac(),
        machine.addresses(),
        tuple(sorted(known.blocked)),
        known.described,
        known.broken,
        devices,
        public_key,
        secrets,
    )


def payload(said: Registration) -> tuple[bytes, list[str]]:
    """As it travels, and the roles whose schemas had to be left out: the longest, no more."""
    factories = dict(said.factories)
    longest = sorted(factories, key=lambda role: len(encode(factories[role])))
    without: list[str] = []
    while len(encoded := encode(evolve(said, factories=factories))) > MAX_PAYLOAD and longest:
        role = longest.pop()
        factories[role] = _bare(factories[role])
        without.append(role)
    return encoded, without


def _bare(factory: Factory) -> Factory:
    nothing = CommandSchema(_ANYTHING, _ANYTHING)
    return evolve(factory, settings=_ANYTHING, commands=dict.fromkeys(factory.commands, nothing))

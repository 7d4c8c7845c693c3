"""Which secrets some settings send where, and whether they may go there. Pure.

A secret that is bound to hosts is refused twice: where a config that sends it elsewhere is planned
or comes to the station, and on the station when it is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from fleet.host import Secret
from fleet.strict import escape

_MOST_SHOWN: Final = 5
"""Hosts in one message."""
_LONGEST: Final = 253
"""Characters of a host, as its station says it."""


class SendsSecrets(ABC):
    """Settings whose secrets go to one host."""

    @property
    @abstractmethod
    def secrets_to(self) -> str | None:
        """Its name or address; None where an address has none."""


def misled(settings: Any, bound: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Path and message of each secret that settings send where it may not go.

    `settings`: an attrs object, as its class made it; `bound`: secret -> the hosts to which it may
    go, all where there are none.
    """
    for path, name, host in _sent(settings, ""):
        allow = bound.get(name, ())
        if allow and not may_go(host, allow):
            yield path, refusal(name, host, allow)


def refusal(name: str, host: str | None, allow: Sequence[str]) -> str:
    """Why a secret is not sent there, and what to do."""
    where = f"not to {host}" if host else "and this role does not say where it sends it"
    return (
        f"the secret {name!r} may go to {_listed(allow)} alone, {where}: correct the target, "
        f"or bind it anew (fleet secret set {name} --allow HOST, or {name}.toml beside it)"
    )


def _listed(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _MOST_SHOWN} more" if len(hosts) > _MOST_SHOWN else ""
    return " and ".join(one[:_LONGEST] for one in hosts[:_MOST_SHOWN]) + more


def may_go(host: str | None, allow: Sequence[str]) -> bool:
    """Whether a host is one of those; `*.` stands for every name below one.

    >>> allow = ["*.example.org", "10.0.0.5"]
    >>> [may_go(host, allow) for host in ("a.Example.org.", "10.0.0.5", "example.org", None)]
    [True, True, False, False]
    """
    if host is None:
        return False
    host = host.casefold().rstrip(".")
    ones = (one.casefold().rstrip(".") for one in allow)
    return any(host.endswith(one[1:]) if one.startswith("*.") else host == one for one in ones)


def _sent(value: Any, path: str) -> Iterator[tuple[str, str, str | None]]:
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            one, inner = getattr(value, field.name), f"{path}/{escape(field.name)}"
            if isinstance(one, Secret):
                if isinstance(value, SendsSecrets):
                    yield inner, one.secret, value.secrets_to
            else:
                yield from _sent(one, inner)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _sent(one, f"{path}/{escape(str(key))}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _sent(one, f"{path}/{number}")

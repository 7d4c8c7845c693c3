"""By what a config is known for one that this store has kept, also by a copy of it. Pure.

A store that was put back knows nothing of what it wanted later, and a config that somebody else
sent while no manager was there looks like one of those. The key is in the store, so it is in each
copy of it.
"""

import hmac
import json
from enum import Enum, auto
from hashlib import sha256
from typing import Final, Self

from attrs import frozen

from fleet.model import Roles

_NAME: Final = 8
"""Characters that name a key."""
_LENGTH: Final = 32
"""Characters of a signature proper: half of SHA-256, as HMAC allows."""


class Signer(Enum):
    """Who has issued a config, as far as its signature says."""

    US = auto()
    """This store, or a later state of it."""
    ANOTHER_STORE = auto()
    NOBODY = auto()
    """It is not signed, or was changed since."""


@frozen
class Signing:
    """Signs for one store with its `key`; `name` tells the key from those of other stores."""

    key: bytes
    name: str

    @classmethod
    def by(cls, key: str) -> Self:
        """With the key as the store has it."""
        return cls(key.encode(), sha256(f"name of {key}".encode()).hexdigest()[:_NAME])

    def sign(self, station: str, revision: int, roles: Roles) -> str:
        """What goes along with this config: the key's name, a point, the signature proper."""
        signed = json.dumps([station, revision, roles], sort_keys=True).encode()
        digest = hmac.new(self.key, signed, sha256).hexdigest()
        return f"{self.name}.{digest[:_LENGTH]}"

    def signer(self, station: str, revision: int, roles: Roles, signature: str | None) -> Signer:
        """Who has issued it."""
        name, point, _ = (signature or "").partition(".")
        if not point:
            return Signer.NOBODY
        if name != self.name:
            return Signer.ANOTHER_STORE
        own = self.sign(station, revision, roles)
        right = hmac.compare_digest(own.encode(), (signature or "").encode())
        return Signer.US if right else Signer.NOBODY

"""What is said to one box alone: sealed to the key that only this box has.

Neither a broker nor who listens there can read it. Sealed boxes of libsodium (X25519,
XSalsa20-Poly1305), by PyNaCl; keys and what is sealed travel as base64 in the URL's alphabet.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from fleet import kept

KEY_BYTES: Final = 32
MAX_SEALED: Final = 65_536
"""Characters of what was sealed that anybody reads."""


class CannotUnseal(ValueError):
    """It is not sealed to this key, or was changed on its way."""


class BadKey(ValueError):
    """No public key of a box."""


class BoxKey:
    """A box's own key."""

    def __init__(self, private: bytes) -> None:
        """Raises: ValueError: there are not KEY_BYTES of it."""
        if len(private) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, this has {len(private)}")
        self._private = PrivateKey(private)

    @classmethod
    def kept(cls, path: Path) -> "BoxKey":
        """The one in the file `path`, which is made where there is none; damaged, it is set aside.

        Raises:
            OSError: it can be neither read nor written.
        """
        try:
            found = kept.read(path, cls, KEY_BYTES)
        except ValueError as error:
            kept.set_aside(path, error)
            found = None
        if found is None:
            private = bytes(PrivateKey.generate())
            kept.replace(path, private, mode=0o600)
            found = cls(private)
        return found

    @classmethod
    def new(cls) -> "BoxKey":
        """One that nobody had before."""
        return cls(bytes(PrivateKey.generate()))

    @property
    def public(self) -> str:
        """What others seal with: 44 characters."""
        return urlsafe_b64encode(bytes(self._private.public_key)).decode()

    def unseal(self, sealed: str) -> bytes:
        """What `seal` was given.

        Raises:
            CannotUnseal: it was not sealed for this box, or not as it came.
        """
        try:
            if len(sealed) > MAX_SEALED:
                raise CannotUnseal(
                    f"it has {len(sealed)} characters, at most {MAX_SEALED} are read"
                )
            return SealedBox(self._private).decrypt(_bytes(sealed))
        except (CryptoError, binascii.Error, UnicodeEncodeError):
            raise CannotUnseal(
                "it is not sealed to this box's key: the box has a new one since"
            ) from None


def seal(public: str, secret: bytes) -> str:
    """`secret`, so that only the box with this public key can read it.

    Raises:
        BadKey: it is none.
    """
    try:
        key = PublicKey(_bytes(public))
    except (CryptoError, TypeError, ValueError):
        raise BadKey(f"{public[:60]!r} is no key of a box") from None
    return urlsafe_b64encode(SealedBox(key).encrypt(secret)).decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii"))

"""How a box that nobody knows is let in: its token, what it asks, and what it is given.

A token proves both sides to each other. It holds the fingerprint of the fleet's authority: what
the broker shows must be signed by that, before anything of ours is said to it. And it holds a
credential of the broker's that may only ask.
"""

import hashlib
import hmac
import secrets
import socket
import ssl
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Final, Self

from attrs import field, frozen

from fleet.model import Error, ShortText
from fleet.strict import Meta

AUTHORITY_OID: Final = "1.3.6.1.4.1.32473.8883.1"
"""Of the extension of the broker's certificate that has the authority's own in it (DER).

Below the number that everybody may use (RFC 5612): programs in Go read no certificate with an arc
as large as a UUID is.
"""
ID: Final = "[0-9a-f]{10}"
"""What a token is called; it is no secret."""
_VERSION: Final = b"\x01"
_ID_BYTES: Final = 5
_SECRET_BYTES: Final = 16
_FINGERPRINT_BYTES: Final = 32
_CHECK_BYTES: Final = 3
MAX_ASKED: Final = 8192
"""Bytes of what a box asks, and of what it is told."""
ASK_AGAIN: Final = 10.0
"""Seconds after which a box that waits asks again: a manager may have begun anew."""


class BadToken(ValueError):
    """No token; the text says what to do."""


class NotTheFleet(Exception):
    """What answers there is not the fleet of the token; nothing was said to it."""


@frozen
class JoinToken:
    """What `fleet token` prints as one word. `id`: its name; `fingerprint`: SHA-256 of the
    authority's certificate (DER).
    """

    id: str
    secret: str = field(repr=False)
    fingerprint: bytes = field(repr=False)

    @classmethod
    def new(cls, fingerprint: bytes) -> Self:
        """One that nobody had before."""
        return cls(secrets.token_hex(_ID_BYTES), _text(secrets.token_bytes(16)), fingerprint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the word.

        Raises:
            BadToken: it is none, or a part of it is missing.
        """
        length = 1 + _ID_BYTES + _SECRET_BYTES + _FINGERPRINT_BYTES
        try:
            packed = urlsafe_b64decode(text.strip().encode("ascii"))
        except ValueError:
            packed = b""
        whole, check = packed[:-_CHECK_BYTES], packed[-_CHECK_BYTES:]
        if len(whole) != length or whole[:1] != _VERSION or _check(whole) != check:
            raise BadToken(
                "the token is not whole, or mistyped: copy the line again that fleet token printed"
            )
        name, rest = whole[1 : 1 + _ID_BYTES], whole[1 + _ID_BYTES :]
        return cls(name.hex(), _text(rest[:_SECRET_BYTES]), rest[_SECRET_BYTES:])

    def __str__(self) -> str:
        name, secret = bytes.fromhex(self.id), urlsafe_b64decode(self.secret + "==")
        whole = _VERSION + name + secret + self.fingerprint
        return urlsafe_b64encode(whole + _check(whole)).decode()


@frozen
class JoinRequest:
    """What a box says of itself that asks to be let in."""

    station: Annotated[str, Meta(pattern="^[a-z0-9-]{1,64}$")]
    hostname: ShortText
    mac: ShortText | None
    addresses: Annotated[tuple[ShortText, ...], Meta(max_length=64)]
    agent: ShortText
    public_key: Annotated[str, Meta(max_length=100)]
    proof: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """What the `challenge` said: that it has the key."""


@frozen
class JoinAnswer:
    """What it is told: what it has to prove its key by (sealed to it), the code it is approved by,
    its credential (sealed), or why it has none.
    """

    challenge: str | None = None
    code: ShortText | None = None
    sealed: str | None = None
    error: Error | None = None


@frozen
class StationCredential:
    """What a station comes in with. `ends`: after that the broker does not know it any more."""

    station: Annotated[str, Meta(pattern="^[a-z0-9-]{1,64}$")]
    username: Annotated[str, Meta(max_length=100)]
    password: Annotated[str, Meta(min_length=16, max_length=200)] = field(repr=False)
    ends: datetime


def token_user(token: str) -> str:
    """The account of a token; no person's name has a colon."""
    return f"join:{token}"


def station_user(station: str) -> str:
    """The account of a station that joined; no person's name has a colon."""
    return f"station:{station}"


def fingerprint(certificate: bytes) -> bytes:
    """Of a certificate (DER): what a token holds of the authority's."""
    return hashlib.sha256(certificate).digest()


def shown_authority(host: str, port: int, seconds: float = 10.0) -> bytes | None:
    """The authority's certificate (DER) as the broker there shows it; nothing of it is proven yet.

    None where its certificate has none in it. Nothing but TLS is spoken, and nothing told.

    Raises:
        OSError: nothing there speaks TLS.
    """
    from cryptography import x509  # who is in needs it not

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), seconds) as sock,
        context.wrap_socket(sock, server_hostname=host) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
    try:
        certificate = x509.load_der_x509_certificate(shown or b"")
        oid = x509.ObjectIdentifier(AUTHORITY_OID)
        found = certificate.extensions.get_extension_for_oid(oid).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    return found.value if isinstance(found, x509.UnrecognizedExtension) else None


def authority(host: str, port: int, token: JoinToken) -> str:
    """The certificate (PEM) of the token's authority, by which the broker there is then checked.

    Raises:
        NotTheFleet: another authority's broker, or none, is there.
        OSError: nothing there speaks TLS.
    """
    shown = shown_authority(host, port)
    if shown is None:
        raise NotTheFleet(
            f"what answers at {host}:{port} shows no authority of a fleet: is the address right? "
            "The broker's certificate has to be the one that fleet-manager init made"
        )
    if not hmac.compare_digest(fingerprint(shown), token.fingerprint):
        raise NotTheFleet(
            f"what answers at {host}:{port} is not the fleet of this token, and was told nothing: "
            "its authority is another one. Is the token of this fleet, and does nobody stand "
            "between this box and the server?"
        )
    return ssl.DER_cert_to_PEM_cert(shown)


def _check(whole: bytes) -> bytes:
    return hashlib.sha256(whole).digest()[:_CHECK_BYTES]


def _text(secret: bytes) -> str:
    return urlsafe_b64encode(secret).decode().rstrip("=")

"""The fleet's own authority, and the certificate that its broker and its page show.

The authority's key stays where it was made. The broker's certificate is renewed from it long
before it ends, under the same names.
"""

import ipaddress
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import field, frozen

from fleet.joining import AUTHORITY_OID

AUTHORITY_LASTS: Final = timedelta(days=3650)
CERTIFICATE_LASTS: Final = timedelta(days=365)
RENEWED_BEFORE: Final = timedelta(days=30)
"""A certificate that ends within that time is made anew."""
_SLOW_CLOCKS: Final = timedelta(days=1)
"""A certificate begins that long before it is made: clocks of boxes may be behind."""
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.(?!-)[A-Za-z0-9-]{1,63})*")


class BadHost(ValueError):
    """No name or address that a certificate can be made for."""


@frozen
class KeyPair:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str = field(repr=False)


def checked_host(text: str) -> str:
    """A host name or an IP address, as it is.

    Raises:
        BadHost: it is neither.
    """
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        if len(text) > 253 or not _NAME.fullmatch(text):
            raise BadHost(
                f"{text!r} is no host name and no IP address; expected what boxes reach this "
                "server by, such as av.example.org or 10.0.0.2"
            ) from None
        return text.lower()


def new_authority(at: datetime | None = None) -> KeyPair:
    """One that signs nothing but certificates of this fleet, for ten years."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(f"fleet authority {uuid.uuid4().hex[:8]}")
    made = (
        _begun(name, name, key.public_key(), at or datetime.now(UTC), AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )
    return _pair(made, key, key)


def new_certificate(ca: KeyPair, hosts: Sequence[str], at: datetime | None = None) -> KeyPair:
    """A server's, for all these names and addresses, with the authority's own in it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    signer, above = _key(ca.key), x509.load_pem_x509_certificate(ca.certificate.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    whole = x509.UnrecognizedExtension(
        x509.ObjectIdentifier(AUTHORITY_OID), above.public_bytes(Encoding.DER)
    )
    made = (
        _begun(
            _named("fleet"),
            above.subject,
            key.public_key(),
            at or datetime.now(UTC),
            CERTIFICATE_LASTS,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(list(map(_general, hosts))), critical=False)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(whole, critical=False)
    )
    return _pair(made, key, signer)


def ends(certificate: str | bytes) -> datetime:
    """When a certificate (PEM) is over.

    Raises:
        ValueError: it is none.
    """
    from cryptography import x509

    pem = certificate.encode() if isinstance(certificate, str) else certificate
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def begins(certificate: str) -> datetime:
    """From when on a certificate (PEM) is believed.

    Raises:
        ValueError: it is none.
    """
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_before_utc


def hosts_of(certificate: str) -> list[str]:
    """The names and addresses it is for.

    Raises:
        ValueError: it is no certificate, or for none.
    """
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate.encode()).extensions
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("it is for no name") from None
    return [
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    ]


def check_signed(certificate: str, ca: KeyPair) -> None:
    """Raises: ValueError: a certificate is not the authority's."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    above = x509.load_pem_x509_certificate(ca.certificate.encode())
    try:
        x509.load_pem_x509_certificate(certificate.encode()).verify_directly_issued_by(above)
    except (InvalidSignature, TypeError, ValueError) as error:
        raise ValueError(
            f"the broker's certificate is not signed by this fleet's {error}"
        ) from None


def _general(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _named(text: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begun(subject: Any, issuer: Any, public: Any, at: datetime, lasts: timedelta) -> Any:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _SLOW_CLOCKS)
        .not_valid_after(at + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key(pem: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem.encode(), None)


def _pair(made: Any, key: Any, signer: Any) -> KeyPair:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signed = made.sign(signer, hashes.SHA256())
    return KeyPair(signed.public_bytes(Encoding.PEM).decode(), private.decode())

"""Whom to trust to be a fleet's broker, before a password is said to it."""

import hmac
import re
import socket
import ssl
import sys
from typing import Final

import typer

from fleet.cli.terminal import stop
from fleet.joining import fingerprint as fingerprint_of
from fleet.joining import shown_authority
from fleet.mqtt import BadBroker, Broker

_SECONDS: Final = 10.0
_HEX: Final = re.compile("[0-9a-f]{64}")


def trusted(broker: Broker, fingerprint: str | None) -> str | None:
    """The authority (PEM) that is trusted for this broker; None where the system trusts it.

    `fingerprint`: of the fleet's own authority; without it a person is asked, if there is one.
    """
    if fingerprint is None and (why := _refused(broker)) is None:
        return None
    wanted = _plain(fingerprint) if fingerprint is not None else None
    try:
        shown = shown_authority(broker.host, broker.port, _SECONDS)
    except OSError as error:
        stop(f"no broker could be reached at {broker}: {broker.why(error)}")
    if shown is None:
        stop(
            f"{broker} shows no authority of its own; give --ca-file with the one that signed its "
            "certificate" + (f" ({why})" if fingerprint is None else "")
        )
    said = fingerprint_of(shown).hex()
    if wanted is None:
        _ask(broker, said)
    elif not hmac.compare_digest(said, wanted):
        stop(
            f"{broker} is of another authority ({said}), so nothing was sent there; is the "
            "address right, is the fingerprint of this fleet, and does nobody stand in between?"
        )
    return ssl.DER_cert_to_PEM_cert(shown)


def _refused(broker: Broker) -> str | None:
    """Why the system does not trust what answers there; None where it does."""
    context = broker.tls_context()
    if context is None:
        return None
    try:
        with (
            socket.create_connection((broker.host, broker.port), _SECONDS) as sock,
            context.wrap_socket(sock, server_hostname=broker.host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return broker.why(error)
    except OSError as error:
        stop(f"no broker could be reached at {broker}: {broker.why(error)}")


def _plain(fingerprint: str) -> str:
    text = re.sub(r"[\s:]", "", fingerprint).lower().removeprefix("sha256")
    if not _HEX.fullmatch(text):
        raise BadBroker(f"{fingerprint!r} is no fingerprint: expected 64 hexadecimal digits")
    return text


def _ask(broker: Broker, said: str) -> None:
    if not sys.stdin.isatty():
        stop(
            f"this computer does not know the authority of {broker}: give --fingerprint, as fleet "
            f"user add printed it (the broker shows {said}; compare that with what you were given)"
        )
    question = (
        f"{broker} is of an authority that this computer does not know, with the fingerprint\n"
        f"  {said}\nIs that what fleet user add printed?"
    )
    if not typer.confirm(question, err=True):
        stop("nothing was sent there")

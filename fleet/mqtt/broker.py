"""Where the broker is, whom we trust to be it, and in words why it cannot be had. No MQTT here."""

import os
import re
import socket
import ssl
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import urlsplit

from attrs import field, frozen

from fleet.model import in_address

_CA_FILE: Final = "SSL_CERT_FILE"
_OTHER_NAME: Final = (62, 64)
"""OpenSSL's codes of a certificate made for another host name or address."""
_NOT_NOW: Final = (9, 10)
"""OpenSSL's codes of a certificate that is not valid yet, or no longer."""
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")
_LONGEST_NAME: Final = 253
_CODES: Final = re.compile(r"\[(?:Errno|code|SSL)[^\]]*\]\s*|\s*\(_ssl\.c:\d+\)")


class BadBroker(ValueError):
    """A broker's address or CA file that cannot be used; the text says why."""


class Disconnected(ConnectionError):
    """The connection to the broker was lost or never came about."""


class NotLetIn(Disconnected):
    """The broker is there and does not take us: our user, our password, or anybody just now."""


class Refused(Exception):
    """The broker refused a publish or a subscription (its ACL, a quota, a size)."""

    def __init__(self, topic: str, reason: str, advice: str = "") -> None:
        super().__init__(f"the broker refused {topic}: {reason}{advice}")
        self.topic = topic
        self.reason = reason


@frozen
class Broker:
    """Where the broker is and who we are to it."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    """Of the CAs that are trusted besides the system's, instead of `SSL_CERT_FILE`."""
    trusts_only_ca_file: bool = False
    """Whether the system's are not: the fleet's own authority signs, and nobody else."""
    ca: str | None = None
    """What such a file would hold (PEM), where there is none."""
    ca_name: str | None = None
    """What people know `ca` by."""

    @classmethod
    def parse(
        cls,
        url: str,
        username: str | None = None,
        password: str | None = None,
        ca_file: str | None = None,
        *,
        trusts_only_ca_file: bool = False,
    ) -> Self:
        """From `mqtt://HOST[:PORT]` (1883) or `mqtts://HOST[:PORT]` (TLS, 8883).

        Raises:
            BadBroker: another scheme, no host, a user or a path in it; with TLS, a CA file that
                cannot be used.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadBroker(f"{url!r} is not the address of a broker: {error}") from None
        if port == 0:
            raise BadBroker(f"{url!r} is not the address of a broker: no port is 0")
        tls = parts.scheme == "mqtts"
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise BadBroker(f"{url!r} is not the address of a broker: expected mqtt://HOST:PORT")
        if not _is_host(parts.hostname):
            raise BadBroker(
                f"{url!r} is not the address of a broker: {parts.hostname!r} is no host name; "
                f"expected one such as broker.example.org, or an IP address"
            )
        if "@" in parts.netloc:
            raise BadBroker(
                "a broker's address holds no user: give FLEET_USERNAME and FLEET_PASSWORD_FILE"
            )
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise BadBroker(f"{url!r} has more than a host and a port")
        port = port or (8883 if tls else 1883)
        found = cls(parts.hostname, port, tls, username, password, ca_file, trusts_only_ca_file)
        found.tls_context()
        return found

    def __str__(self) -> str:
        return f"mqtt{'s' if self.tls else ''}://{in_address(self.host)}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """What checks the broker's certificate; None without TLS.

        Raises:
            BadBroker: the CA file is not there, or holds no certificate.
        """
        if not self.tls:
            return None
        context = ssl.create_default_context()
        if self.trusts_only_ca_file:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it checks, and trusts nobody yet
        if self.ca:
            try:
                context.load_verify_locations(cadata=self.ca)
            except (ssl.SSLError, ValueError):
                raise BadBroker(f"the CA in use ({self.ca_name}) is no certificate") from None
        elif file := self.ca_file or os.environ.get(_CA_FILE):
            source = "ca_file" if self.ca_file else _CA_FILE
            try:
                context.load_verify_locations(file)  # the default ones are not missed
            except ssl.SSLError:
                raise BadBroker(
                    f"the CA file {file} ({source}) holds no certificate: expected PEM"
                ) from None
            except OSError as error:
                raise BadBroker(
                    f"the CA file {file} ({source}) cannot be read: {error.strerror}"
                ) from None
        return context

    def why(self, error: BaseException) -> str:
        """Why connecting ended with `error`, and what to do about it."""
        match error:
            case ssl.SSLCertVerificationError():
                why = _not_trusted(error, self.ca_file or self.ca, self.ca_name)
            case ssl.SSLError():
                said = (error.reason or "no TLS").replace("_", " ").lower()
                why = f"no TLS connection could be made ({said}); does it speak TLS on this port?"
            case ConnectionRefusedError():
                why = "nothing listens there (connection refused); is it running, and on this port?"
            case socket.gaierror():
                why = f"the name {self.host} cannot be resolved"
            case ConnectionResetError() if self.tls:
                why = "it closed the connection at once; does it speak TLS on this port?"
            case ConnectionResetError():
                why = "it closed the connection at once; does it want TLS on this port (mqtts://)?"
            case TimeoutError():
                why = "no answer came in time; is the address right, is a firewall in between?"
            case OSError() if error.strerror:
                why = error.strerror[0].lower() + error.strerror[1:]
            case _:
                why = _CODES.sub("", str(error)) or type(error).__name__
        return why


def _is_host(text: str) -> bool:
    """Whether a resolver takes it for a name, or the system for an address."""
    if ":" in text:
        try:
            return ip_address(text).version == 6
        except ValueError:
            return False
    try:
        name = text.encode("idna").decode()
    except UnicodeError:  # empty labels, and those over 63 letters
        return False
    return len(name) <= _LONGEST_NAME and _HOST.fullmatch(name) is not None


def _not_trusted(error: ssl.SSLCertVerificationError, given: str | None, name: str | None) -> str:
    said = f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
    if error.verify_code in _OTHER_NAME:
        advice = "name the broker as its certificate does"
    elif error.verify_code in _NOT_NOW:
        advice = "renew it, or set the clock of this machine"
    elif given:
        advice = "what is in use is to be the CA that signed it"
    else:
        advice = f"set {_CA_FILE} to the file of the CA that signed it"
    if name:
        return f"{said}; {advice} (CA in use: {name})"
    another = "another goes there" if given else f"{_CA_FILE} sets another"
    return f"{said}; {advice} (CA file in use: {ca_file(given)}; {another})"


def ca_file(given: str | None = None) -> str:
    """The file, or directory, of the CAs that are trusted; `given`: by our settings."""
    paths = ssl.get_default_verify_paths()
    return given or os.environ.get(_CA_FILE) or paths.cafile or paths.capath or "none"

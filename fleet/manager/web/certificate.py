"""The certificate of the page, read again when it was renewed."""

import logging
import ssl
import time
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_LOOK: Final = 10.0
"""Seconds between two looks at the files."""


class BadCertificate(Exception):
    """Certificate or key cannot be used; the text says why."""


class PageCertificate:
    """A certificate (PEM, with those it is signed by) and its key, both files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises: BadCertificate: they cannot be used."""
        self._certificate = certificate
        self._key = key
        self._read_at = self._times()
        self._looked = time.monotonic()
        self._context = self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """For the next connection; the old one where the new files cannot be used."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            times = self._times()
            if times != self._read_at:
                self._read_at = times
                try:
                    self._context = self._load()
                    log.info("the page's certificate was read again: %s", self._certificate)
                except BadCertificate as error:
                    log.error("%s; the one that was read before is used on", error)
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self._certificate, self._key)
        except ssl.SSLError as error:
            why = (error.reason or "no PEM").replace("_", " ").lower()
            raise BadCertificate(
                f"{self._certificate} and {self._key} are no certificate and its key ({why}): "
                "expected PEM"
            ) from None
        except OSError as error:
            raise BadCertificate(
                f"{self._certificate} or {self._key} cannot be read: {error.strerror}"
            ) from None
        return context

    def _times(self) -> tuple[int, ...]:
        try:
            return tuple(one.stat().st_mtime_ns for one in (self._certificate, self._key))
        except OSError:
            return ()

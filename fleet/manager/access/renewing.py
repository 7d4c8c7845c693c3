"""Renews what the broker and the page show, from the authority that `init` made."""

import logging
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fleet import kept
from fleet.manager.access.authority import (
    RENEWED_BEFORE,
    KeyPair,
    begins,
    check_signed,
    ends,
    hosts_of,
    new_certificate,
)
from fleet.manager.access.init import (
    BROKER,
    CA,
    CA_KEY,
    CERTIFICATE,
    KEY,
    PAGE,
    PID,
    CannotInit,
    owner,
)
from fleet.manager.settings import MANAGER_FILE
from fleet.model import plain

log = logging.getLogger(__name__)


def renew(directory: Path, hosts: Sequence[str] = (), *, now: bool = False) -> datetime | None:
    """Make a new certificate of the broker's if it ends soon, is not for all `hosts`, or `now`.

    One that has not begun yet was made by a clock that was ahead, and nobody believes it.

    The broker is told to show it. Returns when the new one ends; None where the old one stays.

    Raises:
        CannotInit: it cannot be made; the old one stays.
    """
    try:
        ca = KeyPair((directory / CA).read_text(), (directory / CA_KEY).read_text())
        old = (directory / CERTIFICATE).read_text()
        check_signed(old, ca)  # the broker may write there, and shall not choose for whom
        known = hosts_of(old)
        wanted = list(dict.fromkeys([*known, *hosts]))
        at = datetime.now(UTC)
        soon = ends(old) - at < RENEWED_BEFORE
        if not (soon or begins(old) > at or now or len(wanted) > len(known)):
            return None
        made = new_certificate(ca, wanted)
        # The broker reads both at once, when it is told to.
        for name, text in ((KEY, made.key), (CERTIFICATE, made.certificate)):
            kept.replace(directory / name, text.encode(), mode=0o600, owner=owner(BROKER))
        page = new_certificate(ca, wanted)
        found = (directory / MANAGER_FILE).stat()
        # The manager's, whoever has it renewed.
        manager = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
        for name, text in zip(PAGE, (page.certificate, page.key), strict=True):
            kept.replace(directory / name, text.encode(), mode=0o600, owner=manager)
    except (OSError, ValueError) as error:
        raise CannotInit(f"no new certificate can be made in {directory}: {plain(error)}") from None
    _have_broker_read(directory)
    return ends(made.certificate)


def can_renew(directory: Path) -> bool:
    """Whether this process may."""
    needed = (directory / CA_KEY, os.R_OK), (directory / BROKER, os.W_OK | os.X_OK)
    return all(os.access(path, mode) for path, mode in needed)


def _have_broker_read(directory: Path) -> None:
    """Have a broker that runs read its certificate again; what it does goes on."""
    try:
        number = int((directory / PID).read_text())
        if Path(f"/proc/{number}/comm").read_text().strip() == BROKER:
            os.kill(number, signal.SIGHUP)
    except (OSError, ValueError):
        log.info("no broker of %s runs here: it reads its certificate when it starts", directory)

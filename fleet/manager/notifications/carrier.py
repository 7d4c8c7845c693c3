"""Carries notifications to people, by Apprise: to ntfy, Matrix, mail, and a hundred others.

Each address has a task and a thread of its own, so that one that hangs holds up no other. What
cannot be delivered is tried again; a newer notification of a room takes the place of an older one.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from fleet.guard import Guard
from fleet.manager.notifications.deciding import Notification, NotificationKind
from fleet.mqtt import backoff
from fleet.settings import BadSettings

if TYPE_CHECKING:
    from apprise import Apprise

log = logging.getLogger(__name__)

SECONDS: Final = 30.0
"""That one try may take."""
_MOST_AT_ONCE: Final = 100
"""Notifications that wait for one address, at most one of each room."""
_GAP: Final = 1.0
"""Seconds between two notifications: most services take no more."""
_NOTHING: Final = "\u200b"
"""A space of no width."""
_MEANS_MORE: Final = re.compile(r"@(?=\w)|<(?=\S)")
_WORDS: Final = {
    NotificationKind.NEW: "failure",
    NotificationKind.STILL: "warning",
    NotificationKind.OVER: "success",
    NotificationKind.TAKEN: "info",
}
"""What they are to Apprise."""


def calm(text: str) -> str:
    """Text that is nothing but text: of `@everyone`, `<!channel>` and `<https://a|b>`, which a
    station may say, services and Apprise make calls of everybody and links under another name.

    >>> calm("@all <!here> @ 5 < 6").replace(_NOTHING, "_")
    '@_all <_!here> @ 5 < 6'
    """
    return _MEANS_MORE.sub(rf"\g<0>{_NOTHING}", text)


class Recipient:
    """One place where people are reached. `name`: its URL without what is secret in it."""

    def __init__(self, url: str) -> None:
        """Raises: BadSettings: Apprise knows no such address."""
        import apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would say the whole URL
        scheme = url.partition("://")[0]
        self._apprise: Apprise = apprise.Apprise(asset=apprise.AppriseAsset(app_id="fleet"))
        if "://" not in url or not self._apprise.add(url):
            raise BadSettings(
                f"notify: an address that begins with {scheme[:20]!r} is of no kind that Apprise "
                "knows, or a part of it is missing; what each looks like: https://appriseit.com/services/"
            )
        private = next(iter(self._apprise)).url(privacy=True)  # type: ignore[no-untyped-call]
        self.name = str(private).partition("?")[0]
        self.failing_since: datetime | None = None
        self._text = apprise.NotifyFormat.TEXT
        self._thread = ThreadPoolExecutor(1, "notification")
        self._waiting: dict[str, Notification] = {}
        self._came = asyncio.Event()

    def put(self, notification: Notification) -> None:
        """Have it delivered."""
        self._waiting.pop(notification.room, None)
        if len(self._waiting) >= _MOST_AT_ONCE:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting[notification.room] = notification
        self._came.set()

    async def keep(self, counts: "Counter[str]") -> None:
        """Deliver for ever."""
        failures = 0
        while True:
            await self._came.wait()
            room, notification = next(iter(self._waiting.items()))
            if await self._deliver(notification):
                counts["sent"] += 1
                failures, self.failing_since = 0, None
                if self._waiting.get(room) is notification:
                    del self._waiting[room]
                if not self._waiting:
                    self._came.clear()
                await asyncio.sleep(_GAP)
            else:
                counts["failed"] += 1
                if self.failing_since is None:
                    self.failing_since = datetime.now().astimezone()
                    log.error("%s takes no notification; it is tried again", self.name)
                await asyncio.sleep(_GAP + backoff(failures))
                failures += 1

    async def _deliver(self, notification: Notification) -> bool:
        send = asyncio.get_running_loop().run_in_executor(
            self._thread,
            lambda: self._apprise.notify(
                body=calm(notification.text),
                title=calm(notification.title),
                notify_type=_WORDS[notification.kind],
                body_format=self._text,  # else a mail would have a station's words as HTML
            ),
        )
        try:
            async with asyncio.timeout(SECONDS):
                return bool(await send)
        except TimeoutError:
            return False

    def close(self) -> None:
        """Wait for nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Carrier:
    """All addresses of the setting `notify`."""

    def __init__(self, urls: Sequence[str]) -> None:
        """Raises: BadSettings: one is none."""
        self.addresses = tuple(map(Recipient, urls))
        self.counts: Counter[str] = Counter(sent=0, failed=0)

    def begin(self, guard: Guard) -> None:
        """Deliver from now on."""
        for one in self.addresses:
            guard.keep(f"notifications to {one.name}", partial(one.keep, self.counts))

    def carry(self, notification: Notification) -> None:
        """Have it delivered everywhere."""
        for one in self.addresses:
            one.put(notification)

    def close(self) -> None:
        """Wait for nothing any more."""
        for one in self.addresses:
            one.close()

"""Gets a schedule from where it is published: a web address or a file."""

import asyncio
import os
import stat
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from attrs import evolve, frozen

from fleet.model import plain
from fleet.schedule import BadSchedule
from fleet.schedule.reading import MOST_BYTES
from fleet.version import __version__

TIMEOUT: Final = 10.0
"""Seconds for all of it."""
_REDIRECTS: Final = 5
_PIECE: Final = 64 * 1024


@frozen
class Publication:
    """Where a schedule is published, and what is known of the copy read last."""

    place: str
    """A web address, or the path of a file."""
    etag: str | None = None
    modified: str | None = None
    """As the server said it; of a file, its time and size."""

    @classmethod
    def at(cls, place: str, directory: Path) -> Self:
        """Of `place`; a path that is not absolute begins at `directory`."""
        return cls(place if "://" in place else str(directory / place))

    @property
    def shown(self) -> str:
        """The place as it may be read by everybody: without a password or a query."""
        if "://" not in self.place:
            return self.place
        parts = urlsplit(self.place)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"

    async def get(self) -> tuple["Publication", bytes] | None:
        """What is published, and what is known of it now; None where it is as it was.

        Raises:
            BadSchedule: it cannot be had; what is wrong, without the place.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                if "://" in self.place:
                    return await self._from_web()
                return await asyncio.to_thread(self._from_file)
        except TimeoutError:
            raise BadSchedule([f"it did not come within {TIMEOUT:.0f} s"]) from None

    async def _from_web(self) -> tuple["Publication", bytes] | None:
        headers = {"User-Agent": f"fleet/{__version__}", "Accept-Encoding": "identity"}
        if self.etag:
            headers["If-None-Match"] = self.etag
        if self.modified:
            headers["If-Modified-Since"] = self.modified
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.get(self.place, max_redirects=_REDIRECTS) as answer,
            ):
                if answer.status == 304 and (self.etag or self.modified):
                    return None
                if answer.status != 200:
                    raise BadSchedule([f"the server answers {answer.status} {answer.reason or ''}"])
                content = bytearray()
                async for piece in answer.content.iter_chunked(_PIECE):
                    content += piece
                    if len(content) > MOST_BYTES:
                        raise BadSchedule([f"it has more than {MOST_BYTES} bytes"])
                known = (answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
        except aiohttp.ClientPayloadError:
            raise BadSchedule(["it broke off before its end"]) from None
        except aiohttp.TooManyRedirects:
            raise BadSchedule([f"the server sent on more than {_REDIRECTS} times"]) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BadSchedule([f"it cannot be reached: {error or type(error).__name__}"]) from None
        return evolve(self, etag=known[0], modified=known[1]), bytes(content)

    def _from_file(self) -> tuple["Publication", bytes] | None:
        try:
            # A pipe would keep us waiting until somebody writes to it.
            with os.fdopen(os.open(self.place, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise BadSchedule(["it is not a file"])
                modified = f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"
                if modified == self.modified:
                    return None
                return evolve(self, modified=modified), file.read(MOST_BYTES + 1)
        except OSError as error:
            raise BadSchedule([f"it cannot be read: {plain(error)}"]) from None

"""An HLS source that came to its end is not recorded again from its list.

Its list stays where it is, and whoever connects anew gets the last segments once more. What the
list said at the end is kept, so that it is read again only when it goes on.
"""

import asyncio
import contextlib
import hashlib
import http.client
import re
import urllib.request
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from fleet import kept
from fleet.media.sources import Source, UrlSource

_SECONDS, _BYTES = 3.0, 1024 * 1024
_DIGEST = 64


class EndedList:
    """What the list of an HLS source said when it ended; `file` keeps it over restarts."""

    def __init__(self, source: Source, file: Path) -> None:
        listed = isinstance(source, UrlSource) and urlsplit(source.url).path.endswith(".m3u8")
        self._url = source.url if listed and isinstance(source, UrlSource) else None
        self.listed = listed
        """Whether it is a list at all."""
        self._file = file

    async def keep(self) -> None:
        """The source ended properly."""
        said = await self._said()
        if said is not None:
            with contextlib.suppress(OSError):  # it is then recorded once more
                kept.replace(self._file, said.encode(), sync=False)

    async def still(self) -> bool:
        """Whether the list says what it said when the source ended."""
        try:
            known = kept.read(self._file, bytes.decode, _DIGEST)
        except (OSError, ValueError):
            return False
        if known is None or await self._said() == known:
            return known is not None
        self._file.unlink(missing_ok=True)
        return False

    async def _said(self) -> str | None:
        """A digest of a list that has an end; None where there is none."""
        if self._url is None or not self._url.startswith(("http://", "https://")):
            return None
        try:
            text = await asyncio.to_thread(_fetched, self._url)
            variant = re.search(rb"#EXT-X-STREAM-INF.*\n([^#\s].*)", text)
            if variant:
                url = urljoin(self._url, variant[1].decode(errors="replace").strip())
                text = await asyncio.to_thread(_fetched, url)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        ended = b"#EXT-X-ENDLIST" in text
        return hashlib.sha256(self._url.encode() + text).hexdigest() if ended else None


def _fetched(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"expected http or https, got {url!r}")
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 (checked above)
        data: bytes = answer.read(_BYTES)
    return data

"""What opens an address that asks who is there: user and password, or a passphrase.

None of it stands on a command line or in an environment. ffmpeg reads the address with it from its
standard input, as a list of one entry; the capture program is told with its pipelines.
"""

import re
from typing import Annotated, Final, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

from msgspec import Meta

from fleet.host import Failed, Host, Secret

_WITH_USER: Final = ("rtsp", "rtsps", "http", "https")
_MOST: Final = 120
"""Characters of user and password that ffmpeg takes, as an address has them."""
SECRETS: Final = (
    r"(?:[\w.-]*[_-])?(?:user(?:name)?|pass(?:word|wd|phrase)?|pwd?|secret|token|credentials?"
    r"|auth(?:orization)?|sig(?:nature)?|(?:api|access|private|secret|stream)?key)"
)
"""What names something in an address's query that others are not to read: a pattern."""
_SECRET: Final = re.compile(SECRETS, re.IGNORECASE)
_INSTEAD: Final = {
    **dict.fromkeys(_WITH_USER, 'set user, and password = {secret = "…"} beside it'),
    "srt": 'set passphrase = {secret = "…"} beside it',
}
_NOWHERE: Final = "have what sends let in this station by its address instead"
"""What is advised where an address can have no login beside it."""

User = Annotated[str, Meta(min_length=1, max_length=64, description="who we are there")]
Password = Annotated[Secret, Meta(description="of that user")]
Passphrase = Annotated[Secret, Meta(description="of SRT, 10 to 64 characters")]


class HasLogin(Protocol):
    """An address and what opens it."""

    @property
    def url(self) -> str:
        """Where it is."""

    @property
    def user(self) -> str | None:
        """Who we are there."""

    @property
    def password(self) -> Secret | None:
        """Of that user."""

    @property
    def passphrase(self) -> Secret | None:
        """Of SRT."""

    @property
    def secrets_to(self) -> str | None:
        """The host to which these go."""


def no_secret(url: str, instead: str | None = None) -> None:
    """Check that an address's query names nothing that others are not to read.

    `instead`: where it belongs, if that is not told by the address.

    Raises:
        ValueError: it does; the message says where it belongs.
    """
    parts = urlsplit(url)
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SECRET.fullmatch(name):
            raise ValueError(
                f"expected an address without {name}, which all could read: "
                f"{instead or _INSTEAD.get(parts.scheme, _NOWHERE)}"
            )


def check(one: HasLogin) -> None:
    """Check that what opens an address fits it.

    Raises:
        ValueError: it does not.
    """
    scheme = urlsplit(one.url).scheme
    if (one.user is None) != (one.password is None):
        raise ValueError("has user or password alone: expected both, or none")
    if one.user is not None and scheme not in _WITH_USER:
        raise ValueError(f"has a user, which {scheme} does not know: {', '.join(_WITH_USER)} do")
    if one.passphrase is not None and scheme != "srt":
        raise ValueError(f"has a passphrase, which {scheme} does not know: srt does")


def login(one: HasLogin, host: Host) -> dict[str, str]:
    """`user` and `password`, or `passphrase`, with their values; empty where nobody asks.

    Raises:
        Failed: `SecretMissing`, or `SecretUnsuitable`, it cannot be one.
    """
    found = {}
    if one.user is not None and one.password is not None:
        found = {"user": one.user, "password": host.secret(one.password, one.secrets_to)}
        if len(_userinfo(found)) > _MOST:
            raise Failed("SecretUnsuitable", f"user and password of {one.url} are too long")
    if one.passphrase is not None:
        found["passphrase"] = host.secret(one.passphrase, one.secrets_to)
        if not 10 <= len(found["passphrase"]) <= 64:
            raise Failed(
                "SecretUnsuitable",
                f"the passphrase has {len(found['passphrase'])} characters: SRT takes 10 to 64; "
                "set another on both sides",
            )
    if any("\n" in value or not value for value in found.values()):
        raise Failed("SecretMissing", f"a secret of {one.url} is empty or has several lines")
    return found


def _userinfo(found: dict[str, str]) -> str:
    return f"{quote(found['user'], safe='')}:{quote(found['password'], safe='')}"


def listed(one: HasLogin, options: dict[str, str], host: Host) -> bytes:
    """The list of one entry that ffmpeg reads the address from; `options` are of its protocol.

    Raises:
        Failed: as `login`.
    """
    found, url = login(one, host), one.url
    if "user" in found:
        parts = urlsplit(url)
        url = parts._replace(netloc=f"{_userinfo(found)}@{parts.netloc}").geturl()
    if "passphrase" in found:
        options = {**options, "passphrase": found["passphrase"]}
    lines = [
        f"file {_quoted(url)}",
        *(f"option {key} {_quoted(it)}" for key, it in options.items()),
    ]
    return "\n".join(["ffconcat version 1.0", *lines, ""]).encode()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"


LISTED: Final = ("-f", "concat", "-safe", "0", "-i", "pipe:0")
"""How ffmpeg reads such a list."""

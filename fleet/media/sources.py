"""Where a role gets picture and sound from: the sources that record, stream and monitor share.

A source is read by ffmpeg. What another role offers is written as a reference; it reaches the
station with host and port filled in, and the host's address is looked up at each connect, so a
box may change its address and the order in which things start does not matter.
"""

import re
import sys
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from attrs import frozen
from msgspec import Meta

from fleet import programs
from fleet.bound import SendsSecrets
from fleet.host import Host
from fleet.media import login
from fleet.media.devices import QUEUE, AlsaInput, ScreenInput, V4l2Input
from fleet.media.formats import Rate, Size
from fleet.media.reach import OFFERED, undiverted, within
from fleet.model import in_address

_DISCREET = (sys.executable, "-IS", str(Path(programs.__file__).with_name("discreet.py")))
TIMEOUT = 3_000_000
"""Microseconds an input may be silent before it counts as gone."""
PORT = 9710
"""Where an ingest offers what it captures, unless the conference file says otherwise."""
_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "srt", "tcp", "udp", "rtp")
_BY_PORT = ("srt", "tcp", "udp", "rtp")
"""Those of which no port is the usual one."""
ANALYSIS = ("-analyzeduration", "5000000")
"""Microseconds a track is waited for that was announced; FLV has 90 s, if nothing is said."""
TRACK_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"
MOST_TRACKS = 8
"""Tracks of sound that are metered, and can be told apart; any more are not."""
EVERY_STREAM = ("-map", "0:V:0?", "-map", "0:a?")
"""One picture, but no cover of what is only to be heard, and all sound."""


def address(url: str, schemes: tuple[str, ...] = _SCHEMES, secrets_go: str | None = None) -> None:
    """Check that `url` is an address without a user's name and password.

    A multicast group may stand as in `udp://@239.1.1.1:5004`: there is nobody before the `@`.
    `secrets_go`: what is advised where one has a secret, if not what fits a source.

    Raises:
        ValueError: it is not; the text says what was expected.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"expected an address such as rtsp://camera/main: {error}") from None
    user, at, place = parts.netloc.rpartition("@")
    if at and not user and parts.scheme not in ("udp", "rtp"):
        raise ValueError("expected an address without the @, before which nobody stands")
    if user:
        raise ValueError(
            "expected an address without user name and password: they would stand in the config, "
            "in the list of processes and in logs for all to read"
        )
    if parts.scheme not in schemes or not place or re.search(r"[\s\0]", url):
        raise ValueError(
            f"expected an address such as {schemes[0]}://example/main ({', '.join(schemes)}), "
            f"got {url.partition('?')[0]!r}"
        )
    try:
        port = parts.port
    except ValueError:  # which shows what stands there, and that may be of a password
        raise ValueError("expected an address with a port from 1 to 65535") from None
    if port is None and parts.scheme in _BY_PORT:
        raise ValueError(
            f"expected an address with a port such as {parts.scheme}://example:5004, got none"
        )
    login.no_secret(url, secrets_go)


def file(path: str) -> None:
    """Check that `path` can be that of a file.

    Raises:
        ValueError: it cannot.
    """
    if not path or "\0" in path:
        raise ValueError(f"expected the path of a file, got {path!r}")


def below(directory: str) -> None:
    """Check that `directory` stays below the one it is relative to.

    Raises:
        ValueError: it does not.
    """
    path = PurePosixPath(directory)
    if path.is_absolute() or ".." in path.parts or "\0" in directory:
        raise ValueError(
            'expected a directory below the station\'s recordings, relative and without "..", '
            f"got {directory!r}"
        )


def own_address(listen: str) -> None:
    """Check that `listen` is an address of a machine.

    Raises:
        ValueError: it is not.
    """
    try:
        ip_address(listen)
    except ValueError:
        raise ValueError(
            f'expected an address of the station such as "0.0.0.0", got "{listen}"'
        ) from None


Listen = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]+$"), own_address]


@frozen
class SyntheticSource:
    """A moving picture with a running clock and frame counter, and a tone."""

    type: Literal["test"]
    size: Size = "1280x720"
    rate: Rate = 25
    raw = True
    own_clock = True

    def inputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg reads it."""
        picture = f"testsrc2=size={self.size}:rate={self.rate}"
        sound = "sine=frequency=440:sample_rate=48000:beep_factor=4"
        return [  # no long queues here: of raw pictures they would take 700 MB
            *("-re", "-f", "lavfi", "-i", picture),
            *("-re", "-f", "lavfi", "-i", sound),
            *("-map", "0:v", "-map", "1:a"),
        ]

    def __str__(self) -> str:
        return "the test picture"


@frozen
class DeviceSource:
    """A camera or screen, a sound card or both, which nothing else on the station may use."""

    type: Literal["device"]
    picture: V4l2Input | ScreenInput | None = None
    sound: AlsaInput | None = None
    raw = True
    own_clock = True

    def __attrs_post_init__(self) -> None:
        if self.picture is None and self.sound is None:
            raise ValueError("has neither picture nor sound: expected at least one")

    def inputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg reads it: the clocks of both are one, so their times are not to be moved."""
        if self.picture is None or self.sound is None:
            one = self.picture or self.sound
            return one.inputs() if one else []
        return [
            *(*self.picture.inputs(), "-isync", "0", *self.sound.inputs()),
            *("-map", "0:v", "-map", "1:a"),
        ]

    def __str__(self) -> str:
        return " and ".join(str(one) for one in (self.picture, self.sound) if one)


@frozen
class UrlSource(SendsSecrets):
    """What another machine sends."""

    type: Literal["url"]
    url: Annotated[
        str, Meta(description=f"{', '.join(_SCHEMES)}; no user and password in it"), address
    ]
    user: login.User | None = None
    password: login.Password | None = None
    passphrase: login.Passphrase | None = None
    raw = False
    own_clock = False

    def __attrs_post_init__(self) -> None:
        login.check(self)

    @property
    def _options(self) -> dict[str, str]:
        if self.url.startswith("rtsp"):
            # By UDP only where a camera gives it no other way: what is lost there is lost.
            return {"rtsp_flags": "prefer_tcp", "timeout": str(TIMEOUT)}
        return {"rw_timeout": str(TIMEOUT)}

    @property
    def secrets_to(self) -> str | None:
        """Where they go."""
        return urlsplit(self.url).hostname

    @property
    def has_login(self) -> bool:
        """Whether it is opened with something that nobody is to read."""
        return self.user is not None or self.passphrase is not None

    def inputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg reads it: with a login from its standard input, where `private` is."""
        if self.has_login:
            return [*ANALYSIS, *QUEUE, *within(self.url, listed=True), *login.LISTED]
        options = (part for key, it in self._options.items() for part in (f"-{key}", it))
        return [*options, *ANALYSIS, *QUEUE, *within(self.url), "-i", self.url]

    def private(self, host: Host) -> bytes | None:
        """What ffmpeg's standard input is.

        Raises:
            Failed: a secret is missing, or cannot be one.
        """
        if not self.has_login:
            return None
        analysis = {"analyzeduration": ANALYSIS[1]}
        return login.listed(self, {**self._options, **analysis}, host)

    def __str__(self) -> str:
        return self.url


@frozen
class FileSource:
    """A file on the station, read as fast as it would be played."""

    type: Literal["file"]
    path: Annotated[str, Meta(description="below the station's recordings or its media_dirs"), file]
    loop: Annotated[bool, Meta(description="begin again at its end")] = True
    raw = False
    own_clock = False

    def inputs(self, host: Host) -> list[str]:
        """How ffmpeg reads it."""
        return [*(["-stream_loop", "-1"] if self.loop else []), "-re", *self.unpaced(host)]

    def unpaced(self, host: Host) -> list[str]:
        """The same, once and as fast as it can be read."""
        url = f"file:{host.readable(self.path)}"
        return [*QUEUE, *within("file:"), "-i", url]

    def __str__(self) -> str:
        return self.path


def reading(url: str) -> list[str]:
    """How ffmpeg reads what another role offers, without a long look at what it is first."""
    patience = ("-rw_timeout", str(TIMEOUT), "-analyzeduration", "2000000")
    return [*patience, *QUEUE, *OFFERED, "-i", url]


@frozen
class Reference:
    """What another role offers on a port: `{role = "ingest", seat = "cam"}`.

    A conference file names the role; host and port are filled in from that file.
    """

    host: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=253,
            pattern=r"^[\w.:%-]+$",
            description="of the station that offers it; a conference file names its role instead",
        ),
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="where it is offered (TCP)")] = PORT
    role: str | None = None
    instance: str | None = None
    station: str | None = None
    seat: str | None = None
    output: str | None = None
    tracks: Annotated[
        tuple[Annotated[str, Meta(pattern=TRACK_NAME)], ...],
        Meta(
            max_length=MOST_TRACKS,
            description="the names of its tracks of sound, filled in likewise",
        ),
    ] = ()
    raw = False
    own_clock = True

    @property
    def url(self) -> str:
        """Where it is offered."""
        return f"tcp://{in_address(self.host)}:{self.port}"

    def inputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg reads it."""
        return reading(self.url)

    def __str__(self) -> str:
        named = f"{self.role}/{self.instance or 'main'} at " if self.role else ""
        return f"{named}{self.host}:{self.port}"


def guarded(source: "Source") -> list[str]:
    """What runs an ffmpeg that reads a source whose login it would tell to whoever that names."""
    login_goes = isinstance(source, UrlSource) and source.has_login
    return undiverted(str(source)) if login_goes else []


def discreetly(source: "Source") -> list[str]:
    """What runs an ffmpeg that reads a source with a login, which it would say."""
    return [*_DISCREET] if isinstance(source, UrlSource) and source.has_login else []


def private(source: "Source", host: Host) -> bytes | None:
    """What ffmpeg, which reads a source, gets on its standard input.

    Raises:
        Failed: a secret is missing, or cannot be one.
    """
    return source.private(host) if isinstance(source, UrlSource) else None


Source = SyntheticSource | DeviceSource | UrlSource | FileSource | Reference
"""`raw`: not encoded yet, so there is nothing to copy. `own_clock`: its times are those of a
station, which neither jump nor begin again while it is connected."""


def one_track(source: Source, track: str | None) -> list[str]:
    """How ffmpeg takes one track of sound: that of this name or number, else the first.

    Raises:
        ValueError: the source has none of that name; the message says which it has.
    """
    names = source.tracks if isinstance(source, Reference) else ()
    number = 0
    if track in names:
        number = names.index(track)
    elif track is not None and track.isdecimal() and 0 < int(track) <= (len(names) or MOST_TRACKS):
        number = int(track) - 1
    elif track is not None:
        there = ", ".join(names) or "numbers, the first is 1"
        raise ValueError(f'has track = "{track}", and its source has none of that name: {there}')
    return ["-map", "0:V:0?", "-map", "0:a:0?" if number == 0 else f"0:a:{number}"]

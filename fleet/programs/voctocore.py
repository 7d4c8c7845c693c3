"""All that fleet knows of voctocore, the mixer of voctomix 1.3; another mixer gets a file like it.

Imported, it says how voctocore is begun, fed and tapped, and speaks to it. Run, as
`python3 voctocore.py SPECIFICATION`, it is voctocore itself: Debian's code, but kept to addresses
of ours, for by itself it listens everywhere, and begun with the scene that is wanted, for by
itself it begins blank, with the first source in picture and sound.

What voctogui attaches to is found at `control_listen`; sources come in by loopback alone, since
whoever connects to one of their ports takes the place of who was there. Everything is at the
ports that voctogui expects: a second voctocore on one machine needs an address of its own.
"""

import asyncio
import contextlib
import importlib
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

HOME = Path("/usr/share/voctomix/voctocore")
PYTHON = "/usr/bin/python3"
"""The one that has GStreamer's bindings; ours may be in a virtual environment."""
TOOLS = {"voctocore": "voctomix-core", PYTHON: "python3-gi"}
"""What has to be there -> its Debian package."""
NAME_RULE = "1 to 32 of a-z, 0-9, '_' or '-', the first a letter; some are the mixer's own"
SOURCES = 64
"""The most sources; the ports of what comes after theirs begin a thousand further on."""
PORT_TAKEN, NOT_OURS = "Address already in use", "Cannot assign requested address"
"""What it says where it cannot listen."""

_NAME = re.compile(r"(?!background$|stream-blanker)[a-z][a-z0-9_-]{0,31}")
_CONTROL, _CLOCK, _SOURCE, _MIRROR = 9999, 9998, 10000, 13000
_OTHERS = (16000, 17000, 18000)
"""Where a background and what is shown while it is blank would come in."""
_TAPS = {"program": 11000, "blankable": 15000}
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 (compared with)
COMPOSITES = {
    "fullscreen": "fullscreen",
    "side_by_side": "side_by_side_equal",
    "picture_in_picture": "picture_in_picture",
}
"""What a composite is called here, and there."""
_BLANK = "pause"
_INI = """
[mix]
videocaps = {picture}
audiocaps = {sound}
sources = {sources}
[stream-blanker]
sources = {blank}
[side-by-side-equal]
gutter = 0
{of_sources}
"""
_LINE = 1 << 20
"""Bytes of a line from voctocore at most; its whole configuration is one."""
_ANSWER_SECONDS = 3.0


class Scene(NamedTuple):
    """What the mixer shows; None: what has no name here, as voctogui can set it.

    Of one that is asked for, None stays as it is.
    """

    composite: str | None
    a: str | None
    b: str | None
    audio: str | None
    live: bool | None


class MixerError(Exception):
    """The mixer did not do what it was told; the text says why."""


class Core(NamedTuple):
    """Where one voctocore is, and what it is made of.

    `picture`, `sound`: the raw ones that it works with, as GStreamer writes them.
    """

    sources: Sequence[str]
    picture: str
    sound: str
    control_listen: str

    @property
    def inside(self) -> str:
        """The loopback address at which sources come in and outputs are tapped."""
        return self.control_listen if _is_loopback(self.control_listen) else "127.0.0.1"

    def argv(self, scene: Scene) -> list[str]:
        """The command line that begins it with a scene."""
        ini = _INI.format(
            picture=self.picture,
            sound=self.sound,
            sources=",".join(self.sources),
            blank=_BLANK,
            of_sources="".join(f"[source.{name}]\ndeinterlace = no\n" for name in self.sources),
        )
        shown = {self.inside, self.control_listen}
        specification = {
            "ini": ini,
            "sources": [self.inside],
            "others": [self.control_listen] if shown & _EVERYWHERE else sorted(shown),
            "clock": self.control_listen,
            "scene": scene._asdict(),
        }
        return [PYTHON, "-IWignore", str(Path(__file__)), json.dumps(specification)]

    def feed(self, source: str) -> tuple[str, int]:
        """Where a source is fed, raw in Matroska."""
        return self.inside, _SOURCE + list(self.sources).index(source)

    def tap(self, output: str) -> tuple[str, int]:
        """Where `program` or `blankable` is read, raw in Matroska."""
        return self.inside, _TAPS[output]


def is_name(text: str) -> bool:
    """Whether a source may be called so."""
    return _NAME.fullmatch(text) is not None


def ports(sources: int) -> list[int]:
    """All that it listens at, with so many sources."""
    of_each = [base + number for base in (_SOURCE, _MIRROR) for number in range(sources)]
    return [_CLOCK, _CONTROL, *_TAPS.values(), *_OTHERS, *of_each]


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback


class Control:
    """A connection to voctocore, which tells everybody of all that anybody does."""

    def __init__(self, core: Core, changed: Callable[[Scene], None]) -> None:
        self._core = core
        self._changed = changed
        self._writer: asyncio.StreamWriter | None = None
        self._parts: dict[str, Any] = {}
        self._errors: asyncio.Queue[str] = asyncio.Queue()
        self._echo = f"{os.getpid()}-{id(self)}"
        self._asked = 0
        self.answered = 0
        """How many of the questions whether it lives it has answered."""
        self._heard = asyncio.Event()

    @property
    def scene(self) -> Scene | None:
        """What it shows; None until it has said all of it."""
        try:
            return Scene(**self._parts)
        except TypeError:
            return None

    async def run(self) -> None:
        """Connect, and listen until the connection ends.

        Raises:
            OSError: it does not listen.
        """
        address = (self._core.inside, _CONTROL)
        reader, self._writer = await asyncio.open_connection(*address, limit=_LINE)
        try:
            for question in ("get_composite_mode_and_video_status", "get_audio"):
                self._say(question)
            self._say("get_stream_status")
            while line := await reader.readline():
                self._hear(line.decode(errors="replace").split())
        except ValueError as error:  # a line without an end
            raise OSError(str(error)) from error
        finally:
            writer, self._writer = self._writer, None
            writer.close()

    def ask(self) -> None:
        """Ask whether it lives."""
        self._asked += 1
        self._say(f"message {self._echo} {self._asked}")

    async def show(self, wanted: Scene) -> Scene:
        """Cut to a scene, of which None stays as it is; what it shows then.

        Raises:
            MixerError: it does not say that it does.
        """
        if (now := self.scene) is None:
            raise MixerError("voctocore has not said what it shows")
        while not self._errors.empty():
            self._errors.get_nowait()
        composite = COMPOSITES[wanted.composite] if wanted.composite else "*"
        if (wanted.a, wanted.b, wanted.composite) != (None, None, None):
            self._say(f"set_videos_and_composite {wanted.a or '*'} {wanted.b or '*'} {composite}")
        if wanted.audio is not None:
            self._say(f"set_audio {wanted.audio}")
        if wanted.live not in (None, now.live):
            self._say("set_stream_live" if wanted.live else f"set_stream_blank {_BLANK}")
        self.ask()  # it answers in turn: once this comes back, all of that is done
        until = self._asked
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while self.answered < until:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise MixerError(f"voctocore did not answer in {_ANSWER_SECONDS:g} s") from None
        if not self._errors.empty():
            raise MixerError(f"voctocore refused: {self._errors.get_nowait()}")
        return self.scene or now

    def _say(self, line: str) -> None:
        if self._writer is None:
            raise MixerError("voctocore is not connected")
        self._writer.write(f"{line}\n".encode())

    def _hear(self, words: list[str]) -> None:
        before = self.scene
        match words:
            case ["composite_mode_and_video_status", mode, a, b]:
                names = {theirs: ours for ours, theirs in COMPOSITES.items()}
                self._parts |= {"composite": names.get(mode), "a": a, "b": b}
            case ["audio_status", *rest]:
                self._parts["audio"] = _loudest(" ".join(rest))
            case ["stream_status", status, *_]:
                self._parts["live"] = status == "live"
            case ["video_status", a, b]:
                self._parts |= {"a": a, "b": b}
            case ["message", self._echo, number]:
                self.answered = int(number) if number.isdecimal() else self.answered
            case ["error", *rest]:
                self._errors.put_nowait(" ".join(rest))
        self._heard.set()
        scene = self.scene
        if scene is not None and scene != before:
            self._changed(scene)


def _loudest(volumes: str) -> str | None:
    """The source that is heard.

    >>> _loudest('{"cam": 0.0, "slides": 1.0}'), _loudest('{"cam": 0.0}')
    ('slides', None)
    """
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        heard = {name: volume for name, volume in json.loads(volumes).items() if volume > 0}
        return max(heard, key=lambda name: heard[name], default=None)
    return None


# What follows runs as a program of its own, on the system's Python, beside voctocore's code.


def _listen_on(addresses: list[str]) -> Callable[[Any, int], None]:
    """What stands in for a constructor of voctocore's that listens at a port of every address."""

    def begin(self: Any, port: int) -> None:
        glib = importlib.import_module("gi.repository.GLib")
        self.currentConnection, self.currentConnections = None, {}
        self.boundSockets = []
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            both = address == "::" and socket.has_dualstack_ipv6()
            listening = socket.create_server((address, port), family=family, dualstack_ipv6=both)
            glib.io_add_watch(listening, glib.IO_IN, self.on_connect)
            self.boundSockets.append(listening)
        self.boundSocket = self.boundSockets[0]

    return begin


def _run(specification: dict[str, Any]) -> None:
    sys.path.insert(0, str(HOME))
    gi = importlib.import_module("gi")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstNet", "1.0")
    gst: Any = importlib.import_module("gi.repository.Gst")
    net = importlib.import_module("gi.repository.GstNet")
    gst.init([])

    clock: Any = ModuleType("lib.clock")
    clock.Clock = gst.SystemClock.obtain()
    clock.NetTimeProvider = net.NetTimeProvider.new(clock.Clock, specification["clock"], _CLOCK)
    sys.modules["lib.clock"] = clock

    config: Any = importlib.import_module("lib.config")
    config.Config = config.VocConfigParser()
    config.Config.read(HOME / "default-config.ini")
    config.Config.read_string(specification["ini"])

    one: Any = importlib.import_module("lib.tcpsingleconnection")
    one.TCPSingleConnection.__init__ = _listen_on(specification["sources"])
    many: Any = importlib.import_module("lib.tcpmulticonnection")
    many.TCPMultiConnection.__init__ = _listen_on(specification["others"])

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Where a picture is late, as at the begin, GStreamer's own background is a chequerboard. Set
    # after the first picture it would be too late.
    parse, black = gst.parse_launch, "compositor background=black "
    gst.parse_launch = lambda text: parse(text.replace("compositor ", black))
    core = importlib.import_module("voctocore").Voctocore()
    _begin_with(core.pipeline, Scene(**specification["scene"]), config.Config)
    for part in (core.pipeline.vmix, core.pipeline.amix, core.pipeline.streamblanker):
        _pass_on_at_once(part.mixingPipeline.iterate_sinks(), gst.IteratorResult.OK)
    core.run()


def _pass_on_at_once(sinks: Any, some: Any) -> None:
    """What was mixed is paced already: to wait for its time would cost a cut 50 ms."""
    while (found := sinks.next())[0] == some:
        found[1].set_property("sync", False)


def _begin_with(pipeline: Any, scene: Scene, config: Any) -> None:
    """Show a scene before anybody sees another."""
    names = config.getlist("mix", "sources")
    modes = importlib.import_module("lib.videomix").CompositeModes
    mix = pipeline.vmix
    mix.sourceA, mix.sourceB = names.index(scene.a), names.index(scene.b)
    mix.setCompositeMode(modes[COMPOSITES[scene.composite or "fullscreen"]], False)
    pipeline.amix.setAudioSource(names.index(scene.audio))
    pipeline.streamblanker.setBlankSource(None if scene.live else 0)


def main() -> int:
    """The exit status."""
    try:
        _run(json.loads(sys.argv[1]))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

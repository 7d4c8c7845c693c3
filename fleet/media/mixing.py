"""A mixer kept alive beside whoever feeds and reads it, and what it showed kept over its deaths."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from attrs import define, field

from fleet import kept
from fleet.host import Child, Failed, Host
from fleet.media.progress import Report
from fleet.programs import voctocore
from fleet.programs.voctocore import Control, Core, MixerError, Scene
from fleet.strict import Mistakes, structure

_DEATHS, _WITHIN_SECONDS = 3, 60.0
"""So many deaths of the mixer in that time are more than an accident."""
_AGAIN_SECONDS = 0.05
_RETRY_SECONDS = 1.0
"""At least from one begin of a program beside the mixer to the next."""
_SILENT_SECONDS = 4.0
"""A program that has reported nothing new for so long does nothing."""
_LONGEST = 4096
"""Bytes of what is kept of a scene."""


class KeptScene:
    """What was shown last, on disk, and what the settings then asked for."""

    def __init__(self, path: Path, wanted: Scene, sources: Collection[str]) -> None:
        self._path = path
        self.wanted = wanted
        """What the settings ask for."""
        self._sources = sources
        self._written = b""
        self._saving = asyncio.Lock()

    def read(self) -> Scene:
        """What was shown last, except for what the settings say anew."""
        wanted = self.wanted
        try:
            shown, asked = kept.read(self._path, _parse, _LONGEST) or (wanted, wanted)
        except (OSError, ValueError) as error:
            kept.set_aside(self._path, error)
            shown, asked = wanted, wanted
        return self._possible(renewed(shown, asked, wanted))

    def anew(self, wanted: Scene) -> Scene:
        """What the settings ask for otherwise than before; None for all else."""
        return renewed(Scene(None, None, None, None, None), self.wanted, wanted)

    async def save(self, shown: Scene) -> None:
        """Have it safe on the disk.

        Raises:
            OSError: it is not.
        """
        async with self._saving:
            both = {"shown": shown._asdict(), "asked": self.wanted._asdict()}
            payload = json.dumps(both).encode()
            if payload != self._written:
                await asyncio.to_thread(kept.replace, self._path, payload)
                self._written = payload

    def _possible(self, scene: Scene) -> Scene:
        """With what is unknown, or a source of former settings, as it is wanted now."""
        wanted, there = self.wanted, self._sources
        a, b = (
            name if name in there else other
            for name, other in ((scene.a, wanted.a), (scene.b, wanted.b))
        )
        if a == b:
            b = next((name for name in (wanted.a, wanted.b, *there) if name != a), a)
        return Scene(
            scene.composite if scene.composite in voctocore.COMPOSITES else wanted.composite,
            a,
            b,
            scene.audio if scene.audio in there else wanted.audio,
            wanted.live if scene.live is None else scene.live,
        )


def renewed(shown: Scene, asked: Scene, wanted: Scene) -> Scene:
    """`shown`, but what is `wanted` otherwise than it was `asked` for is so anew.

    >>> asked = Scene("fullscreen", "a", "b", audio="a", live=True)
    >>> shown = asked._replace(audio="b")
    >>> renewed(shown, asked, asked._replace(live=False))
    Scene(composite='fullscreen', a='a', b='b', audio='b', live=False)
    """
    parts = zip(shown, asked, wanted, strict=True)
    return Scene._make(now if now != before else last for last, before, now in parts)


def _parse(payload: bytes) -> tuple[Scene, Scene]:
    try:
        both = structure(json.loads(payload), dict[str, dict[str, str | bool | None]])
        return Scene(**both["shown"]), Scene(**both["asked"])  # type: ignore[arg-type]
    except (Mistakes, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"is no scene: {error}") from None


class Mixer:
    """One voctocore, begun again as it was whenever it ends.

    `seen`: called whenever it shows something else than before.
    """

    def __init__(self, host: Host, core: Core, scene: Scene, seen: Callable[[], None]) -> None:
        self.scene = scene
        """What it shows, or will once it is back."""
        self.up = asyncio.Event()
        """Set while it runs and has said what it shows."""
        self.restarts = 0
        self.child: Child | None = None
        self._host = host
        self._core = core
        self._seen = seen
        self._control: Control | None = None
        self._answers = 0
        self._deaths: deque[float] = deque(maxlen=_DEATHS)

    async def run(self) -> None:
        """Keep it going.

        Raises:
            Failed: it cannot run.
        """
        while True:
            child = await self._host.spawn(self._core.argv(self.scene), name="mixer", grace=1.0)
            self.child = child
            ended = asyncio.create_task(child.wait())
            try:
                while not ended.done():
                    await self._listen(ended)
            finally:
                ended.cancel()
            self._died(child)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen(self, ended: "asyncio.Task[int | None]") -> None:
        control = Control(self._core, self._hear)
        self._control, self._answers = control, 0
        listening = asyncio.create_task(control.run())
        try:
            await asyncio.wait({ended, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.up.clear()
            self._control = None
            listening.cancel()
            await asyncio.wait({listening})
            if not listening.cancelled():
                listening.exception()
        await asyncio.sleep(_AGAIN_SECONDS)

    def _hear(self, scene: Scene) -> None:
        self.scene = scene
        self.up.set()
        self._seen()

    def _died(self, child: Child) -> None:
        words = child.last_words(20)
        where = self._core.control_listen
        if voctocore.PORT_TAKEN in words:
            raise Failed(
                "PortInUse",
                f"another program has the mixer's ports at {where}: end it, or give this mixer "
                "another control_listen",
            )
        if voctocore.NOT_OURS in words:
            raise Failed("NotPermitted", f"{where} is not an address of this station")
        now = time.monotonic()
        self.restarts += 1
        self._deaths.append(now)
        self._host.log(f"the mixer ended, it is begun again as it was: {child.last_words(3)}")
        if len(self._deaths) == _DEATHS and now - self._deaths[0] < _WITHIN_SECONDS:
            raise Failed("MixerEnded", f"the mixer ended {_DEATHS} times within a minute: {words}")

    @property
    def shaken(self) -> bool:
        """Whether it died within the last minute."""
        return bool(self._deaths) and time.monotonic() - self._deaths[-1] < _WITHIN_SECONDS

    def alive(self) -> bool:
        """Whether it has answered since the last time; it is asked again."""
        control = self._control
        if control is None:
            return False
        answered, self._answers = control.answered > self._answers, control.answered
        with contextlib.suppress(MixerError):
            control.ask()
        return answered

    async def show(self, wanted: Scene) -> None:
        """Cut to a scene, of which None stays as it is.

        Raises:
            MixerError: it cannot now, or does not say that it does.
        """
        if self._control is None or not self.up.is_set():
            raise MixerError("the mixer is being begun again: try once more")
        await self._control.show(wanted)


@define
class Beside:
    """A program beside the mixer, and what it last reported."""

    name: str
    child: Child | None = None
    report: Report | None = None
    frames: int = 0
    at: float = field(factory=time.monotonic)
    """When it last did more than before."""

    async def keep(
        self,
        host: Host,
        argv: Callable[[], list[str]],
        refused: Callable[[str], Failed | None] = lambda _: None,
    ) -> None:
        """Have it run, and begin it again whenever it ends.

        `refused`: why it can never run, by its last output.

        Raises:
            Failed: it cannot run.
        """
        while True:
            self.child = await host.spawn(argv(), name=self.name, grace=2.0, report=True)
            self.report = Report(self.child.output)
            began = self.at = time.monotonic()
            self.frames = 0
            await self.child.wait()
            self.report = None
            if failure := refused(self.child.last_words(20)):
                raise failure
            await asyncio.sleep(max(0.0, began + _RETRY_SECONDS - time.monotonic()))

    def look(self) -> bool:
        """Whether it has done something since the last look."""
        if self.report is None:
            return False
        self.report.read()
        grown = self.report.frames > self.frames
        if grown:
            self.frames, self.at = self.report.frames, time.monotonic()
        return grown

    def said(self, what: str) -> str:
        """One of the values that it reports."""
        return (self.report.values if self.report else {}).get(what, "")

    @property
    def present(self) -> bool:
        """Whether picture or sound comes by way of it."""
        lively = time.monotonic() - self.at < _SILENT_SECONDS
        return lively and "present" in (self.said("picture"), self.said("sound"))

"""Mixes what ingests offer into what a room records and streams.

The mixer is a program of its own, voctocore. Beside it one program per source reads, decodes and
feeds it, and one per output encodes what it shows and serves it as an ingest does. Each of them is
begun again alone: a source that goes leaves the mixer as it is, and where the mixer itself dies,
readers of the outputs see black until it is back as it was.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import Annotated, Any, get_args

from attrs import frozen
from prometheus_client import Counter, Gauge

from fleet.media.encoders import Chosen, choose
from fleet.media.formats import fraction
from fleet.media.mixer_settings import Composite, MixSettings, no_source
from fleet.media.mixing import Beside, KeptScene, Mixer
from fleet.media.pipelines import (
    CAPTURE,
    PCM,
    STEREO,
    offered,
    output,
    raw,
    raw_output,
    refused,
    tapped,
)
from fleet.media.progress import whole
from fleet.model import plain
from fleet.programs import voctocore
from fleet.programs.voctocore import Core, MixerError, Scene
from fleet.roles import (
    CommandFailed,
    Failed,
    Host,
    InvalidArguments,
    Meta,
    Offer,
    Role,
    RoleFactory,
    command,
    register_factory,
)


@frozen
class CutTo:
    """What to cut to; what is not given stays as it is."""

    composite: Composite | None = None
    a: Annotated[str | None, Meta(description="the source shown first")] = None
    b: Annotated[str | None, Meta(description="the source shown second")] = None


@frozen
class Heard:
    """Which source is heard."""

    source: str


@frozen
class Nothing:
    """No arguments."""


@frozen
class Mixed:
    """What the mixer shows; null: something that only voctogui can set."""

    composite: Composite | None
    a: str | None
    b: str | None
    audio: str | None
    live: bool
    sources: Annotated[dict[str, bool], Meta(description="whether each is present")]


class Mix(Role[MixSettings]):
    """One mixer with its sources and outputs."""

    taken_live = frozenset({"composite", "a", "b", "audio", "live", "sources/*"})
    stall_seconds = 8.0
    stall_advice = "check whether this station has processor time left"
    start_seconds = 15.0
    """How long mixer and outputs may take to begin."""

    def __init__(self, host: Host, settings: MixSettings) -> None:
        super().__init__(host, settings)
        rate = fraction(settings.rate)
        self._caps, self._rate = raw(settings.size), f"{rate[0]}/{rate[1]}"
        self._picture = f"{self._caps},framerate={self._rate}"
        names = tuple(settings.sources)
        self._core = Core(names, self._picture, PCM, settings.control_listen)
        self._kept = KeptScene(host.state / "scene", settings.scene(), names)
        self._mixer = Mixer(host, self._core, self._kept.read(), self._seen)
        self._sources = {name: Beside(f"source-{name}") for name in names}
        self._outputs = {name: Beside(f"output-{name}") for name in settings.ports()}
        self.tasks: list[asyncio.Task[None]] = []
        self._idle = {"mixer", *self._outputs}
        """What has to show that it goes on before that counts as progress."""

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"fleet_mix_{name}", documentation, labels, registry=host.registry)

        self._present = gauge("source_present", "1 while it sends, else 0.", "source")
        self._heard = gauge("audio_source", "1 for the source that is heard, else 0.", "source")
        self._composite = gauge("composite", "1 for the one that is shown, else 0.", "composite")
        self._live = gauge("live", "1 while the blankable output shows the program, 0 while blank.")
        self._restarts = Counter(
            "fleet_mix_mixer_restarts_total",
            "How often the mixer was begun again beside outputs that went on.",
            registry=host.registry,
        )
        self._restarted = 0
        self._chosen = Chosen()

    async def start(self) -> None:
        """Returns once the mixer answers and each output leaves; sources come when they come.

        Outputs begin at once, black: whoever reads them begins as soon.
        """
        deadline = time.monotonic() + self.start_seconds
        self._keep(self._mixer.run(), "mixer")
        self._chosen = await choose(self.host, self.settings.encoder, "gstreamer", "h264")
        for name, one in self._outputs.items():
            port, listen = self.settings.ports()[name], self.settings.listen
            refusal = partial(refused, port=port, listen=listen)
            self._keep(one.keep(self.host, partial(self._encoder, name), refusal), one.name)
        await self._until(self._mixer.up.is_set, deadline, "the mixer does not answer")
        for name, one in self._sources.items():
            self._keep(one.keep(self.host, partial(self._feeder, name)), one.name)
        await self._until(self._all_leave, deadline, "nothing leaves the mixer")
        self.host.progress()

    def _keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(self.host.task(work, name))

    async def _until(self, done: Callable[[], bool], deadline: float, otherwise: str) -> None:
        while not done():
            for task in self.tasks:
                if task.done():
                    task.result()  # raises why
            if time.monotonic() > deadline:
                raise Failed("Stalled", f"{otherwise} {self.start_seconds:g} s after its start")
            await asyncio.sleep(0.05)

    def _all_leave(self) -> bool:
        for one in self._outputs.values():
            one.look()
        return all(whole(one.said("total_size")) for one in self._outputs.values())

    def _encoder(self, name: str) -> list[str]:
        """The program that encodes and serves an output."""
        settings = self.settings
        leaves = output(
            self._picture,
            sound=STEREO,
            video=("h264", settings.video_bitrate),
            audio=("aac", settings.audio_bitrate),
            listen=settings.listen,
            port=settings.ports()[name],
            chosen=self._chosen,
        )
        return self._capture(leaves, tapped(*self._core.tap(name), self._caps, self._rate))

    def _feeder(self, name: str) -> list[str]:
        """The program that reads and decodes a source."""
        source = self.settings.sources[name]
        return self._capture(
            raw_output(self._picture),
            offered(source.host, source.port, self._caps, self._rate),
            fed=self._core.feed(name),
        )

    def _capture(
        self, leaves: str, source: Mapping[str, Any], **connect: tuple[str, int]
    ) -> list[str]:
        rate = list(fraction(self.settings.rate))
        pipelines = {"output": leaves, "rate": rate, "connect": connect, "sources": [source]}
        return [*CAPTURE, json.dumps(pipelines)]

    def tick(self) -> None:
        """See what comes and what leaves, and whether the mixer still answers."""
        if self._mixer.alive():
            self._idle.discard("mixer")
        for name, one in self._outputs.items():
            if one.look():
                self._idle.discard(name)
        if not self._idle:
            self._idle = {"mixer", *self._outputs}
            self.host.progress()
        for name, one in self._sources.items():
            one.look()
            self._present.labels(name).set(one.present)
        self._show(self._mixer.scene)
        self._restarts.inc(self._mixer.restarts - self._restarted)
        self._restarted = self._mixer.restarts
        said = (self._blank(), self._absent(), self._shaken(), self._chosen.fallback)
        notes = [one for one in said if one]
        self.host.note(notes[0][0] if notes else None, "; ".join(text for _, text in notes) or None)

    def _show(self, scene: Scene) -> None:
        self._live.set(bool(scene.live))
        for name in self._sources:
            self._heard.labels(name).set(name == scene.audio)
        for composite in get_args(Composite):
            self._composite.labels(composite).set(composite == scene.composite)

    def _blank(self) -> tuple[str, str] | None:
        if "blankable" not in self.settings.outputs or self._mixer.scene.live:
            return None
        room = self.host.room or "ROOM"
        return "StreamBlank", f"black and silence leave: fleet live {room} shows the program"

    def _absent(self) -> tuple[str, str] | None:
        absent = {
            name: one.said("picture_error") or "nothing comes"
            for name, one in self._sources.items()
            if not one.present
        }
        if not absent:
            return None
        said = "; ".join(
            f"{name} ({self.settings.sources[name]}): {why}" for name, why in absent.items()
        )
        return (
            "SourceMissing",
            f"black and silent in the mix, {said}; check that what it reads runs and the network "
            "to it: it comes back by itself",
        )

    def _shaken(self) -> tuple[str, str] | None:
        if not self._mixer.shaken:
            return None
        return "MixerRestarted", "the mixer ended and was begun again as it was"

    def _seen(self) -> None:
        """Somebody cut, here or with voctogui."""
        self.host.task(self._save(), "keep the scene")

    async def _save(self) -> None:
        try:
            await self._kept.save(self._mixer.scene)
        except OSError as error:
            self.host.log(f"what is shown cannot be kept over a restart: {plain(error)}")

    async def update(self, settings: MixSettings) -> bool:
        """What is shown is cut to; a source that moved is read where it is now."""
        if not self.takes_live(settings):
            return False
        try:
            await self._mixer.show(self._kept.anew(settings.scene()))
        except MixerError:
            return False
        before, self.settings = self.settings, settings
        self._kept.wanted = settings.scene()
        await self._save()
        for name, one in self._sources.items():
            moved = settings.sources[name].url != before.sources[name].url
            if moved and one.child is not None:
                await one.child.stop()  # it is begun again at once
        return True

    async def stop(self) -> None:
        """The outputs first: nobody is to see the mixer go."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for some in (self._outputs.values(), self._sources.values(), [self._mixer]):
            await asyncio.gather(*(one.child.stop() for one in some if one.child is not None))

    @command
    async def cut(self, arguments: CutTo) -> Mixed:
        """Show sources otherwise: what is not given stays as it is."""
        for name in (arguments.a, arguments.b):
            if name is not None:
                self._known(name)
        if arguments.a is not None and arguments.a == arguments.b:
            raise InvalidArguments(f"a and b are both {arguments.a!r}: expected two sources")
        if len(self._sources) == 1 and arguments.composite not in (None, "fullscreen"):
            raise InvalidArguments(f"{arguments.composite} shows two sources, and there is one")
        return await self._cut(Scene(arguments.composite, arguments.a, arguments.b, None, None))

    @command
    async def audio(self, arguments: Heard) -> Mixed:
        """Have another source heard."""
        self._known(arguments.source)
        return await self._cut(Scene(None, None, None, arguments.source, None))

    @command
    async def live(self, arguments: Nothing) -> Mixed:  # noqa: ARG002 (there are none)
        """Show the program on the blankable output."""
        return await self._cut(Scene(None, None, None, None, live=True))

    @command
    async def blank(self, arguments: Nothing) -> Mixed:  # noqa: ARG002 (there are none)
        """Show nothing on the blankable output."""
        return await self._cut(Scene(None, None, None, None, live=False))

    @command
    async def get(self, arguments: Nothing) -> Mixed:  # noqa: ARG002 (there are none)
        """Tell what is shown."""
        return self._mixed()

    async def _cut(self, scene: Scene) -> Mixed:
        try:
            await self._mixer.show(scene)
        except MixerError as error:
            raise CommandFailed(str(error)) from None
        await self._save()
        return self._mixed()

    def _mixed(self) -> Mixed:
        present = {name: one.present for name, one in self._sources.items()}
        composite, a, b, audio, live = self._mixer.scene
        return Mixed(composite, a, b, audio, bool(live), present)  # type: ignore[arg-type]

    def _known(self, name: str) -> None:
        if name not in self._sources:
            raise InvalidArguments(no_source(name, self._sources))


class MixFactory(RoleFactory[MixSettings]):
    """One: the mixer's ports are those that voctogui expects."""

    role = Mix
    settings = MixSettings
    instances = 1
    tools: Mapping[str, str] = {**voctocore.TOOLS, "gst-launch-1.0": "gstreamer1.0-tools"}

    def offers(self, settings: MixSettings) -> Mapping[str, Offer]:
        """The outputs, each with picture and sound."""
        return {
            name: Offer(port, settings.listen, by_name=name == "blankable")
            for name, port in settings.ports().items()
        }

    def own_ports(self, settings: MixSettings) -> Collection[int]:
        """Those of voctocore."""
        return voctocore.ports(len(settings.sources))


register_factory("mix", MixFactory())

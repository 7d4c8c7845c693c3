"""What a mixer is given: its sources, what is shown at the start, and what it offers."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, get_args

from attrs import frozen
from msgspec import Meta

from fleet.media.encoders import Encoder
from fleet.media.formats import AudioBitrate, Rate, Size, VideoBitrate
from fleet.media.sources import Listen, Reference
from fleet.programs import voctocore
from fleet.programs.voctocore import Scene
from fleet.strict import Mistake, Mistakes, close_match, escape

PORT = 9720
Composite = Literal["fullscreen", "side_by_side", "picture_in_picture"]
Output = Literal["program", "blankable"]


@frozen
class MixSettings:
    """What is mixed, what is shown at the start, and what leaves the station."""

    sources: Annotated[
        dict[str, Reference],
        Meta(min_length=1, max_length=voctocore.SOURCES, description="by the mixer's names"),
    ]
    audio: Annotated[str, Meta(description="the source that is heard")]
    composite: Annotated[Composite, Meta(description="how sources are shown at the start")] = (
        "fullscreen"
    )
    a: Annotated[str | None, Meta(description="the source shown first; else the first")] = None
    b: Annotated[str | None, Meta(description="the source shown second; else another one")] = None
    live: Annotated[bool, Meta(description="false: the blankable output begins blank")] = True
    size: Annotated[Size, Meta(description="of all that is mixed; sources are scaled")] = "1280x720"
    rate: Annotated[Rate, Meta(description="of all that is mixed, frames a second")] = 25
    encoder: Encoder = "auto"
    video_bitrate: VideoBitrate = 3_000_000
    audio_bitrate: AudioBitrate = 128_000
    port: Annotated[
        int, Meta(ge=1024, le=65534, description="of the program; blankable at the one after it")
    ] = PORT
    outputs: Annotated[
        tuple[Output, ...], Meta(min_length=1, max_length=2, description="what is offered")
    ] = ("program", "blankable")
    listen: Annotated[Listen, Meta(description="where others connect to the outputs")] = "0.0.0.0"  # noqa: S104 (readers are other boxes; the port carries what the room sees)
    control_listen: Annotated[
        Listen, Meta(description="where voctogui connects; whoever can may cut")
    ] = "127.0.0.1"

    def __attrs_post_init__(self) -> None:
        wrong = list(self._mistakes())
        if wrong:
            raise Mistakes(wrong)

    def _mistakes(self) -> Iterator[Mistake]:
        for name in self.sources:
            if not voctocore.is_name(name):
                yield Mistake(
                    f"/sources/{escape(name)}", f"cannot name a source: {voctocore.NAME_RULE}"
                )
        for key in ("audio", "a", "b"):
            name = getattr(self, key)
            if name is not None and name not in self.sources:
                yield Mistake(f"/{key}", no_source(name, self.sources))
        several = self.composite != "fullscreen"
        if several and len(self.sources) == 1:
            yield Mistake("/composite", f"{self.composite} shows two sources, and there is one")
        elif self.a is not None and self.a == self.b:
            yield Mistake("/b", f"is {self.b!r} as a is: expected another source, or none")
        if len(set(self.outputs)) < len(self.outputs):
            yield Mistake("/outputs", "names an output twice: each is offered once")

    def scene(self) -> Scene:
        """What is shown at the start."""
        a = self.a or next((name for name in self.sources if name != self.b), self.audio)
        b = self.b or next((name for name in self.sources if name != a), a)
        return Scene(self.composite, a, b, self.audio, self.live)

    def ports(self) -> dict[str, int]:
        """Output -> port; the first is the one that is meant where none is named."""
        return {
            name: self.port + offset
            for offset, name in enumerate(get_args(Output))
            if name in self.outputs
        }


def no_source(name: str, sources: Mapping[str, object]) -> str:
    """What to say of a name that no source has."""
    hint = close_match(name, list(sources)) or f" (there are: {', '.join(sources)})"
    return f"there is no source {name!r}{hint}"

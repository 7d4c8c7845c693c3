"""Tracks of sound: each is a sound input, or some channels of one, with a name and a language."""

from typing import Annotated, Any

import attrs
from attrs import frozen
from msgspec import Meta

from fleet.media.devices import AlsaInput
from fleet.media.inputs import DecklinkInput, FileInput, Input, NoInput, Sound, TestInput, UrlInput
from fleet.media.sources import TRACK_NAME

MOST = 4
"""Tracks that an ingest offers."""


@frozen(kw_only=True, slots=False)
class Named:
    """What makes a track of an input."""

    name: Annotated[
        str,
        Meta(
            pattern=TRACK_NAME,
            title='a name such as "speaker" (letters, digits, - and _)',
            description="by which readers take it, and messages name it",
        ),
    ]
    language: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z]{2,3}$",
                title='a language such as "en"',
                description="ISO 639, such as en or de",
            ),
        ]
        | None
    ) = None
    channels: (
        Annotated[
            tuple[Annotated[int, Meta(ge=1, le=64)], ...],
            Meta(min_length=1, max_length=2, description="of the input, the first is 1; else all"),
        ]
        | None
    ) = None


@frozen(kw_only=True)
class AlsaTrack(Named, AlsaInput):
    """A track of a sound card."""


@frozen(kw_only=True)
class DecklinkTrack(Named, DecklinkInput):
    """A track of the sound that is embedded in a card's signal."""


@frozen(kw_only=True)
class UrlTrack(Named, UrlInput):
    """A track of what another machine sends."""


@frozen(kw_only=True)
class FileTrack(Named, FileInput):
    """A track of a file."""


@frozen(kw_only=True)
class TestTrack(Named, TestInput):
    """A tone."""


NamedTrack = AlsaTrack | DecklinkTrack | UrlTrack | FileTrack | TestTrack
Tracks = Annotated[
    tuple[NamedTrack, ...],
    Meta(min_length=1, max_length=MOST, description="tracks of their own, the first is the main"),
]
_INPUTS: dict[type[Any], type[Any]] = {
    AlsaTrack: AlsaInput,
    DecklinkTrack: DecklinkInput,
    UrlTrack: UrlInput,
    FileTrack: FileInput,
    TestTrack: TestInput,
}


@frozen
class SoundTrack:
    """One track that leaves an ingest."""

    input: Input
    name: str | None = None
    language: str | None = None
    channels: tuple[int, ...] | None = None
    """Of the input, from 1; None: all of it, as stereo."""

    @property
    def width(self) -> int:
        """How many channels it has."""
        return len(self.channels or (1, 2))

    def __str__(self) -> str:
        of = f" of track {self.name}" if self.name else ""
        return f"sound{of} from {self.input}"


def tracks_of(sound: Sound | tuple[NamedTrack, ...]) -> tuple[SoundTrack, ...]:
    """What settings say of sound, as tracks; none where there is to be no sound."""
    if isinstance(sound, NoInput):
        return ()
    if not isinstance(sound, tuple):
        return (SoundTrack(sound),)
    return tuple(
        SoundTrack(_input(one), one.name, one.language, one.channels or None) for one in sound
    )


def _input(track: NamedTrack) -> Input:
    """What is to be opened for it: once for all tracks of it."""
    cls = _INPUTS[type(track)]
    opened: Input = cls(**{one.name: getattr(track, one.name) for one in attrs.fields(cls)})
    return opened

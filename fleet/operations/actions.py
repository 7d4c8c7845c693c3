"""What people do by hand to what runs: stop, start, restart, ask, cut."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from attrs import frozen
from msgspec import Meta

from fleet.model import ShortText, State
from fleet.operations.stations import Seconds

ActionName = Annotated[str, Meta(min_length=1, max_length=64)]
Composite = Literal["fullscreen", "side_by_side", "picture_in_picture"]


@frozen
class StopArguments:
    """Operation `stop`, of an instance or of all of a role that are wanted there.

    `seconds`: how long it holds, None until it is started again. `sure`: a recording may end.
    """

    station: ActionName
    role: ActionName
    instance: ActionName | None = None
    seconds: Seconds | None = None
    why: ShortText | None = None
    sure: bool = False


@frozen
class StartArguments:
    """Operation `start`: end every stop of an instance, or of a role."""

    station: ActionName
    role: ActionName
    instance: ActionName | None = None


@frozen
class RestartByHand:
    """Operation `restart`, of an instance or of all of a role that run there."""

    station: ActionName
    role: ActionName
    instance: ActionName | None = None


@frozen
class ActedInstance:
    """What became of an instance, as its station says it. `done`: whether it is as was asked."""

    role: str
    instance: str
    state: State
    message: str | None
    done: bool


@frozen
class ActionResult:
    """What was done, on which station (name).

    `question`: what somebody has to be sure of first; then nothing was done. `waits`: why it is
    not done yet; it is as soon as that is over. `timezone`: the conference's.
    """

    station: str
    instances: tuple[ActedInstance, ...]
    until: datetime | None = None
    question: str | None = None
    waits: str | None = None
    timezone: str = "UTC"


@frozen
class CallArguments:
    """Operation `call`: have the manager ask a station, in the name of whoever asks it."""

    station: ActionName
    role: ActionName
    command: ActionName
    arguments: Mapping[str, Any]
    instance: ActionName | None = None
    seconds: Annotated[float, Meta(gt=0, le=300)] = 25.0


@frozen
class CallResult:
    """What the station (name) answered."""

    station: str
    result: Any


@frozen
class RoomMixer:
    """Operations `live`, `blank` and `mixer`: which room, or the station that mixes there."""

    room: ActionName


@frozen
class CutArguments:
    """Operation `cut`: what is not given stays as it is."""

    room: ActionName
    composite: Composite | None = None
    a: ActionName | None = None
    b: ActionName | None = None


@frozen
class AudioArguments:
    """Operation `audio`: which source is heard."""

    room: ActionName
    source: ActionName


@frozen
class MixerShown:
    """What a mixer shows, by its own word; None: something that only voctogui can set."""

    composite: ShortText | None
    a: ShortText | None
    b: ShortText | None
    audio: ShortText | None
    live: bool
    sources: Annotated[Mapping[ShortText, bool], Meta(max_length=64)]
    """Whether each is present."""

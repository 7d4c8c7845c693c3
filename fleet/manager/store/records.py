"""What goes into the store and comes out of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import Factory, frozen

from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Rollout

TimeSpan = tuple[datetime, datetime]
"""From its begin until before its end."""


class BadStore(Exception):
    """The store cannot be used; the text says why and what to do."""


class StoreAway(BadStore):
    """It cannot be used for now: locked, full, gone, or it does not answer; try again.

    `unsure`: what was to be written may be there all the same.
    """

    def __init__(self, message: str, *, unsure: bool = False) -> None:
        super().__init__(message)
        self.unsure = unsure


@frozen
class AppliedFile:
    """A conference file that was applied."""

    at: datetime
    by: str
    name: str
    message: str | None
    text: str


@frozen
class PublishedSchedule:
    """A schedule that was good: where it was published, what the server or the file system said
    of that copy, when it was read, and its bytes.
    """

    place: str
    etag: str | None
    modified: str | None
    at: datetime
    content: bytes


@frozen
class Issue:
    """A new revision of a station's config. `payload` is what travels."""

    station: str
    revision: int
    at: datetime
    by: str
    message: str | None
    payload: bytes


@frozen
class Known:
    """What the store knows of one station."""

    facts: Facts
    retired: bool
    highest: int
    """Its highest revision, 0 if it has none."""
    payload: bytes | None
    """The config wanted, as it travels."""
    answered: bool
    """Whether it has ever acked a revision of this store."""
    replaced_by: str | None = None
    """The box that takes its name over once it has accepted."""
    heard: bool = False
    """Whether the history knows that it was ever heard."""
    signs: bool = False
    """Whether it has ever given back the signature of a config."""


@frozen
class Writing:
    """What changes together: all of it is written, or nothing.

    `replaced`: station -> the box that takes its name over, None for no more. `targets`: the
    stations of `rollout` whose targets have changed, None where the rollout is new.
    """

    issues: Sequence[Issue] = ()
    facts: Mapping[str, Facts] = Factory(dict)
    conference: AppliedFile | None = None
    rollout: Rollout | None = None
    targets: frozenset[str] | None = None
    replaced: Mapping[str, str | None] = Factory(dict)


@frozen
class LastUse:
    """When the store was in use before. `newer`: this manager wrote a newer state of it since."""

    alive: datetime | None
    newer: bool


@frozen
class KeptPerson:
    """One of the people. `rights`: as they are written; `password`: what is kept of it, None for
    who has none; `at`, `by`: when and by whom this was last changed.
    """

    name: str
    rights: str
    password: str | None
    at: datetime
    by: str


@frozen
class KeptSignIn:
    """Somebody who is signed in on the page. `token`: a digest of what the browser has."""

    token: str
    name: str
    until: datetime


CALLED: Final = "called"
"""The kind of deed that a station was told past the manager, by its own word."""


@frozen
class Deed:
    """Something that a person did. `kind`: a word; `text`: what, in a few; `station`: to which
    box, None where it was none.
    """

    at: datetime
    kind: str
    by: str
    text: str
    station: str | None = None


@frozen
class PeopleChange:
    """What changes together: `put` in place of those of the same names, `gone` no more, and
    `signed_out` everywhere.
    """

    put: Sequence[KeptPerson]
    gone: Sequence[str]
    signed_out: Sequence[str]
    deeds: Sequence[Deed]


@frozen
class KeptToken:
    """A token to join with. `uses`: how many boxes it lets in, None for any number; `used`: how
    many it did; `approve`: whether somebody has to say yes to each.
    """

    id: str
    until: datetime
    uses: int | None
    used: int
    room: str | None
    approve: bool
    at: datetime
    by: str


@frozen
class KeptCredential:
    """Until when a station is let in. `public_key`: its box's; `token`: it joined with."""

    station: str
    public_key: str
    at: datetime
    ends: datetime
    token: str | None


@frozen
class AccessChange:
    """What changes together of tokens and credentials, in place of those of the same names."""

    tokens: Sequence[KeptToken] = ()
    gone_tokens: Sequence[str] = ()
    credentials: Sequence[KeptCredential] = ()
    gone_credentials: Sequence[str] = ()
    deeds: Sequence[Deed] = ()


@frozen
class Past:
    """One thing that happened. `kind`: `revision`, `retired`, an ack's or presence's word; of all
    stations `apply`, `rollback`, `retired`, `schedule`, `user`, `access`.
    """

    at: datetime
    kind: str
    revision: int | None
    by: str | None
    text: str | None
    payload: bytes | None = None
    """The config of a revision."""
    station: str | None = None
    """Which station it was, where what happened to all of them is told."""

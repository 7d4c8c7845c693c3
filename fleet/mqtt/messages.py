"""What a connection carries: messages, what asks for them, and a last one for the broker."""

from attrs import define, frozen, setters


@frozen
class Will:
    """What the broker publishes for us, retained, when the connection dies."""

    topic: str
    payload: bytes


@define(on_setattr=setters.frozen)  # frozen too, and made in half the time
class Message:
    """What came in. `retain`: it was kept by the broker, or (commands) sent to be kept.

    `expiry`: seconds it had left to live, None if it does not expire.
    """

    topic: str
    payload: bytes
    retain: bool
    correlation: bytes | None = None
    expiry: int | None = None
    user: tuple[tuple[str, str], ...] = ()


@frozen
class Filter:
    """A subscription. `as_published` keeps the retain flag the sender gave.

    `live`: nothing that the broker kept; `foreign`: nothing that this client says itself. `bare`:
    from strangers, whose messages come without any properties; goes with none of the others.
    """

    topic: str
    qos: int = 1
    as_published: bool = False
    live: bool = False
    foreign: bool = False
    bare: bool = False

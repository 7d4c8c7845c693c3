"""Why a broker refuses, ends or does not give a connection, in words. Pure."""

from typing import Final

from paho.mqtt.reasoncodes import ReasonCode

from fleet.mqtt.broker import Broker, Disconnected, NotLetIn, Refused

_BAD_PASSWORD: Final = (134, 135)
"""Reason codes: bad user name or password, not authorized."""
_NOT_AUTHORIZED: Final = 135
_JOINED: Final = "station:"
"""What the user of a box that joined begins with: nobody chose its password."""
_BROKEN: Final = 128
_NO_PING: Final = 141


def refusal(broker: Broker, topic: str, code: ReasonCode, access: str, *, bare: bool) -> Refused:
    """Why nothing can be done at `topic`; `access`: read or write, as an ACL calls it."""
    if code.value != _NOT_AUTHORIZED and not bare:  # MQTT 3.1.1 has but one refusal
        return Refused(topic, str(code))
    name = broker.username
    whom = f"the user {name!r}" if name else "clients without a user"
    needs = f"; its ACL needs, for {whom}: topic {access} {topic}"
    return Refused(topic, "Not authorized", needs)


def not_had(broker: Broker, error: BaseException, code: ReasonCode | None) -> Disconnected:
    """Why there is no connection; `code`: with which the broker refused it, if it did."""
    if code is None:
        why = broker.why(error)
        return Disconnected(why if why.startswith(str(broker)) else f"{broker}: {why}")
    if code.value in _BAD_PASSWORD:
        name = broker.username
        whom = f"the user {name!r}" if name else "anybody without a user"
        do = (
            "was this box cut off, or its account lost? fleet token prints the line to join by"
            if name and name.startswith(_JOINED)
            else "are the user name and the password right (FLEET_USERNAME, FLEET_PASSWORD_FILE)?"
        )
        return NotLetIn(f"{broker}: the broker does not let in {whom} ({code}); {do}")
    return NotLetIn(f"{broker}: the broker refused the connection: {code}")


def ended(code: ReasonCode, keepalive: int, *, by_broker: bool) -> str:
    """Why a connection ended that was probed after `keepalive` seconds."""
    if by_broker:
        return f"the broker ended the connection: {code}"
    if code.value == _BROKEN:
        return "the connection broke"
    if code.value == _NO_PING:
        return f"the broker fell silent for {keepalive} s"
    return "the connection was closed" if not code.is_failure else f"the connection broke: {code}"

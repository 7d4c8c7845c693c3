"""A station registers whatever its roles look like."""

from attrs import evolve

from fleet.agent.box.registration import payload
from fleet.model import MAX_PAYLOAD, CommandSchema, Factory, Registration
from fleet.wire import decode

SMALL = Factory(0, {"type": "object"}, {"split": CommandSchema({"type": "object"}, {})})
LONG = evolve(SMALL, settings={"description": "x" * MAX_PAYLOAD})
HALF = evolve(SMALL, settings={"description": "x" * (MAX_PAYLOAD // 3)})


def registration(**factories: Factory) -> Registration:
    return Registration("b", "0.1", "host", None, (), (), factories, {}, ())


def test_what_fits_is_left_as_it_is() -> None:
    said = registration(a=SMALL, b=HALF)
    encoded, without = payload(said)
    assert decode(encoded, Registration) == said
    assert without == []


def test_the_longest_schemas_make_room_and_the_role_stays_with_its_commands() -> None:
    encoded, without = payload(registration(a=HALF, b=LONG, c=SMALL, d=LONG, e=HALF))
    assert len(encoded) <= MAX_PAYLOAD
    assert set(without) == {"b", "d"}
    heard = decode(encoded, Registration).factories
    assert heard["b"] == Factory(0, {}, {"split": CommandSchema({}, {})})
    assert (heard["a"], heard["c"], heard["e"]) == (HALF, SMALL, HALF)

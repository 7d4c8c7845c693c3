"""Which talks there are, as people ask for them."""

from attrs import evolve

from fleet.manager.operations.desk import Desk
from fleet.operations.schedule import ScheduleArguments, ScheduleResult


async def schedule(desk: Desk, caller: str, asked: ScheduleArguments) -> ScheduleResult:  # noqa: ARG001
    """The schedule in use, of one room or of all."""
    rooms, watch = desk.ledger.rooms, desk.report.schedule
    found, names = rooms.schedule, rooms.names
    if asked.room is not None:
        room = desk.find_room(asked.room)
        theirs = rooms.matched.rooms.get(room, ())
        names = {room: names.get(room, ())}
        if found is not None:
            talks = tuple(one for one in found.talks if one.room in theirs)
            found = evolve(found, rooms=theirs, talks=talks)
    return ScheduleResult(
        watch.place, watch.good_at, watch.trouble, watch.since, found, names, desk.timezone
    )

"""What a conference file could say and does not, so that trouble would go unnoticed. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from fleet.manager.conference.wanted import Wanted
from fleet.wire import dumps


def unwatched(chosen: Iterable[Wanted], file: Iterable[Wanted]) -> Iterator[str]:
    """The recordings of the `chosen` stations whose source no monitor in the `file` reads."""
    watched = {
        dumps(settings.get("source"))
        for one in file
        for settings in one.roles.get("monitor", {}).values()
    }
    for one in chosen:
        for instance, settings in one.roles.get("record", {}).items():
            source = settings.get("source")
            if _type(source) != "test" and dumps(source) not in watched:
                yield (
                    f"{one.facts.name or one.id} record/{instance}: nobody watches what it "
                    "records, so silence or a black picture goes unnoticed: "
                    + (
                        "let an ingest open the device, which only one can, and a monitor read "
                        "that too"
                        if _type(source) == "device"
                        else "add a monitor with the same source"
                    )
                )


def _type(source: Any) -> Any:
    return source.get("type") if isinstance(source, dict) else "test"

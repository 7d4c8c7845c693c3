"""Numbers and makes new revisions: what the store keeps, and the configs that travel. Pure."""

from datetime import datetime

from attrs import define, field

from fleet.manager.conference.wanted import Facts
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import Issue
from fleet.manager.store.ledger import Ledger
from fleet.manager.store.signing import Signing
from fleet.model import MAX_REVISION, Ack, Config, Roles
from fleet.wire import as_it_travels, encode


def station_number(ack: Ack | None) -> int:
    """The highest revision a station is known to know."""
    return max(ack.revision or 0, ack.in_force.revision) if ack else 0


def next_revision(highest: int, ack: Ack | None) -> int | None:
    """The number of a new revision; None where none is left."""
    number = 1 + max(highest, station_number(ack))
    return number if number <= MAX_REVISION else None


def issue(
    station: str,
    revision: int,
    roles: Roles,
    facts: Facts,
    *,
    at: datetime,
    by: str,
    message: str | None,
    signing: Signing | None = None,
) -> tuple[Issue, Config]:
    """A new revision of a station's config; name and room travel, as far as they are known."""
    at = as_it_travels(at)
    signature = signing.sign(station, revision, roles) if signing else None
    config = Config(revision, at, by, roles, facts.name, facts.room, signature)
    return Issue(station, revision, at, by, message, encode(config)), config


@define
class Draft:
    """New revisions and what goes with them: all of it is written, or nothing.

    `by` and `message` are those of its revisions.
    """

    _ledger: Ledger
    _inventory: Inventory
    at: datetime
    by: str
    message: str | None
    issues: list[tuple[Issue, Config]] = field(factory=list)
    facts: dict[str, Facts] = field(factory=dict)
    replaced: dict[str, str | None] = field(factory=dict)
    """Station -> the box that takes its name over, None for no more."""
    _without: list[str] = field(factory=list)

    @property
    def stations(self) -> list[str]:
        """Whose config changes, and who claims the highest number there is: the broker is to keep
        what is wanted of them, and no config of that number.
        """
        return [one.station for one, _ in self.issues] + self._without

    def add(
        self, station: str, roles: Roles, facts: Facts, message: str | None = None
    ) -> int | None:
        """Add a new revision; its number, None where there is none left."""
        heard = self._inventory.get(station)
        number = next_revision(self._ledger[station].highest, heard.ack if heard else None)
        if number is None:
            self._without.append(station)
        else:
            why = message or self.message
            made = issue(
                station,
                number,
                roles,
                facts,
                at=self.at,
                by=self.by,
                message=why,
                signing=self._ledger.signing,
            )
            self.issues.append(made)
            self.facts[station] = facts
        return number

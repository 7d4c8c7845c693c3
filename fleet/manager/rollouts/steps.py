"""What one step of a roll-out writes: new revisions and what goes with them. Pure."""

from datetime import datetime

from attrs import define, field

from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.convergence import next_revision
from fleet.manager.rollouts.revisions import issue
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import Issue
from fleet.manager.store.ledger import Ledger
from fleet.model import Config, Roles


@define
class Step:
    """All of it is written, or nothing; `by` and `message` are those of its revisions."""

    _ledger: Ledger
    _inventory: Inventory
    at: datetime
    by: str
    message: str | None
    issues: list[tuple[Issue, Config]] = field(factory=list)
    facts: dict[str, Facts] = field(factory=dict)
    replaced: dict[str, str | None] = field(factory=dict)
    """Station -> the box that takes its name over, None for no more."""

    @property
    def stations(self) -> list[str]:
        """Whose config changes."""
        return [one.station for one, _ in self.issues]

    def add(
        self, station: str, roles: Roles, facts: Facts, message: str | None = None
    ) -> int | None:
        """Add a new revision; its number, None where there is none left."""
        heard = self._inventory.get(station)
        number = next_revision(self._ledger[station].highest, heard.ack if heard else None)
        if number is not None:
            why = message or self.message
            made = issue(station, number, roles, facts, at=self.at, by=self.by, message=why)
            self.issues.append(made)
            self.facts[station] = facts
        return number

"""Makes a new revision: what the store keeps, and the config that travels. Pure."""

from datetime import datetime

from fleet.manager.conference.wanted import Facts
from fleet.manager.store import Issue
from fleet.model import Config, Roles
from fleet.wire import encode


def issue(
    station: str,
    revision: int,
    roles: Roles,
    facts: Facts,
    *,
    at: datetime,
    by: str,
    message: str | None,
) -> tuple[Issue, Config]:
    """A new revision of a station's config; name and room travel, as far as they are known."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # as it travels
    config = Config(revision, at, by, roles, facts.name, facts.room)
    return Issue(station, revision, at, by, message, encode(config)), config

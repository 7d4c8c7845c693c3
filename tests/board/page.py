"""What docs/metrics.md says, for tests to hold against what is really shown."""

import re
from typing import Final

from attrs import frozen

from tests.processes import ROOT

_ROW: Final = re.compile(r"^\| `([a-z0-9_:]+)` \|(.*)\|$", re.MULTILINE)
ROLE_LABELS: Final = ("station", "room", "role", "role_instance")


@frozen
class Metric:
    """A row. `name` as exposed; `labels` without those that Prometheus adds."""

    name: str
    type: str
    labels: frozenset[str]
    section: str

    @property
    def family(self) -> str:
        return self.name.removesuffix("_total") if self.type == "counter" else self.name


def metrics() -> dict[str, Metric]:
    """Every metric of the page but Prometheus' own, by name."""
    found: dict[str, Metric] = {}
    for section, text in _sections():
        if section == "Made by Prometheus":
            continue
        for name, rest in _ROW.findall(text):
            type_, labels, *_ = (cell.strip() for cell in rest.split("|"))
            named = re.findall(r"`(\w+)`", labels)
            if section == "The roles":
                named += ROLE_LABELS
            assert name not in found, f"{name} is listed twice"
            found[name] = Metric(name, type_, frozenset(named), section)
    return found


def recorded() -> set[str]:
    """What recording rules make, as the page lists it."""
    (text,) = [text for section, text in _sections() if section == "Made by Prometheus"]
    return {name for name, _ in _ROW.findall(text)}


def _sections() -> list[tuple[str, str]]:
    page = (ROOT / "docs/metrics.md").read_text()
    return [
        (head.strip(), text)
        for head, _, text in (part.partition("\n") for part in page.split("\n## ")[1:])
    ]

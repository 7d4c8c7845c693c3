"""The runbook explains each reason that a station gives, and none that no station gives."""

import ast
import re

from tests.processes import ROOT

PAGE = (ROOT / "docs/runbook.md").read_text()
PLACES = ("media", "roles", "agent/engine", "agent/processes")
NEVER_SHOWN = {"Stopped"}
"""What a role is told that starts something after its end."""
OF_CONFIGS = {"BlockedRole", "MissingRoleFactory", "InvalidConfiguration"}


def given() -> set[str]:
    """Every word in the code that is a reason: no class has its name, and a text is it alone."""
    trees = {path: ast.parse(path.read_text()) for path in (ROOT / "fleet").rglob("*.py")}
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    classes = {node.name for _, node in nodes if isinstance(node, ast.ClassDef)}
    places = tuple(ROOT / "fleet" / place for place in PLACES)
    words = {
        node.value
        for path, node in nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and path.name != "__init__.py"  # which answers words of other designs
        and any(place in path.parents for place in places)
        and re.fullmatch(r"(?:[A-Z][a-z]+)+", node.value)
        and len(node.value) > len("Meta")
    }
    return words - classes - NEVER_SHOWN - {"ImportError"}


def test_each_reason_is_explained() -> None:
    told = PAGE.partition("\n## Reasons\n")[2]
    rows = re.findall(r"^\| (`.*?) \| (.+?) \| (.+?) \|$", told, re.MULTILINE)
    named = [name for cell, _, _ in rows for name in re.findall(r"`(\w+)`", cell)]
    assert len(named) > 40
    assert sorted(named) == sorted(given() | OF_CONFIGS)

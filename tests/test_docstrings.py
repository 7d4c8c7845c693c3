"""What a docstring shows as typed into Python is what comes out."""

import doctest
from importlib import import_module

import pytest

from tests.processes import ROOT

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "fleet").rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_it_is_so(name: str) -> None:
    wrong, tried = doctest.testmod(import_module(name))
    assert tried > 0
    assert wrong == 0, "what was expected and what came is in the output"

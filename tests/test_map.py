"""What tells a newcomer the way must be so."""

import re
import tomllib
from importlib.util import find_spec

import fleet
from tests.processes import ROOT

DESIGN = (ROOT / "docs/design.md").read_text()


def test_every_room_on_the_map_is_there() -> None:
    rooms = set(re.findall(r"`(\w+(?:\.\w+)*)`", str(fleet.__doc__))) - {"fleet"}
    assert len(rooms) > 20
    assert [room for room in rooms if find_spec(f"fleet.{room}") is None] == []


def test_the_design_names_files_that_are_there_and_the_imports_that_are_held() -> None:
    files = re.findall(r"`((?:agent|manager|cli)/[\w./]+)`", DESIGN)
    assert len(files) > 10
    assert [file for file in files if not (ROOT / "fleet" / file).exists()] == []
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [layer.replace("fleet.", "") for layer in contract["contracts"][0]["layers"]]
    assert f"`{' → '.join(layers[:-1])}`" in DESIGN

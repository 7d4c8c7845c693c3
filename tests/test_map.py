"""What tells a newcomer the way must be so."""

import ast
import re
import tomllib
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.util import find_spec

import grimp
import pytest

import fleet
from tests.processes import ROOT

DESIGN = (ROOT / "docs/design.md").read_text()
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
FILES = sorted((ROOT / "fleet").rglob("*.py"))
NAME = r"`(\w+(?:\.\w+)*)`"

BELOW = {
    "fleet.manager.rollouts.model",
    "fleet.agent.engine.reconcile",
    "fleet.agent.engine.clock",
}
"""Pure modules on which a package stands that their own package stands on."""


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("fleet")


def way() -> list[list[str]]:
    """The modules of each numbered step in the docstring of `fleet`, as it says them."""
    steps = re.findall(
        r"^(\d+)\. (.*?)(?=^\d+\. |\n\n|\Z)", str(fleet.__doc__), re.MULTILINE | re.DOTALL
    )
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    return [[f"fleet.{name}" for name in re.findall(NAME, text)] for _, text in steps]


def program(module: str) -> str:
    return module.split(".")[1]


def test_every_module_on_the_map_is_there() -> None:
    named = set(re.findall(NAME, str(fleet.__doc__))) - {"fleet"}
    assert len(named) > 20
    assert [name for name in named if find_spec(f"fleet.{name}") is None] == []


def test_each_step_of_the_way_is_taken_by_the_steps_before_it() -> None:
    steps = way()
    assert len(steps) > 10
    walked: list[str] = []
    for before, step in zip([[], *steps], steps, strict=False):
        here, *others = step
        if program(here) != program((before or step)[0]) and program(here) != "roles":
            # What goes from one program to another goes over MQTT, and both have a hand in that.
            for end in (before[0], here):
                around = {end, *graph().find_modules_that_directly_import(end)}
                hands = [one for one in around if graph().chain_exists(one, "fleet.mqtt")]
                assert hands, f"{end} is not where MQTT is"
        elif before and here not in walked:
            known = [one for one in walked if graph().chain_exists(one, here)]
            asked = [one for one in before if graph().chain_exists(here, one)]
            assert known or asked, f"no step before {here} knows of it"
        for other in others:
            near = [one for one in (*walked, here) if graph().chain_exists(one, other)]
            near += [one for one in (here, *walked) if graph().chain_exists(other, one)]
            assert near or program(other) == "roles", f"{other} has nothing to do with {here}"
        walked += step


def test_the_table_in_the_design_goes_the_same_way() -> None:
    order = [module for step in way() for module in step]
    rows = re.findall(r"^\| \d+ \| (.*?) \|", DESIGN, re.MULTILINE)
    assert len(rows) > 5
    last = -1
    for row in rows:
        paths = re.findall(r"`([\w/]+?)(?:\.py|/)?`", row)
        modules = [f"fleet.{path.replace('/', '.')}" for path in paths]
        places = [place for module in modules for place, one in enumerate(order) if one == module]
        later = [place for place in places if place >= last]
        assert later or not places, f"{row} comes before what comes before it"
        last = min(later, default=last)


def test_the_design_names_files_that_are_there_and_the_imports_that_are_held() -> None:
    files = re.findall(r"`((?:agent|manager|cli|media|roles|programs)/[\w./]+)`", DESIGN)
    assert len(files) > 10
    assert [file for file in files if not (ROOT / "fleet" / file).exists()] == []
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [layer.replace("fleet.", "") for layer in contract["contracts"][0]["layers"]]
    assert f"`{' → '.join(layers[:-1])}`" in DESIGN
    held = {name for layer in layers for name in layer.split(" | ")}
    outside = {"programs"}  # nothing of ours but their neighbours is imported by them
    for name in outside:
        own = {f"fleet.{name}", *graph().find_descendants(f"fleet.{name}")}
        assert not own.union(*map(graph().find_modules_directly_imported_by, own)) - own
    there = {path.stem for path in (ROOT / "fleet").iterdir() if path.name != "__pycache__"}
    assert there - {"__init__", "py"} == held | outside


def packages_of(program: str) -> dict[str, set[str]]:
    """Package -> those of the same program that it stands on."""

    def package(module: str) -> str:
        return module if module in BELOW else ".".join(module.split(".")[:3])

    found: dict[str, set[str]] = defaultdict(set)
    for module in graph().modules:
        if module.startswith(f"{program}."):
            for other in graph().find_modules_directly_imported_by(module):
                if other.startswith(f"{program}.") and package(other) != package(module):
                    found[package(module)].add(package(other))
    return found


@pytest.mark.parametrize("program", ["fleet.agent", "fleet.manager", "fleet.cli", "fleet.media"])
def test_no_package_stands_on_one_that_stands_on_it(program: str) -> None:
    try:
        TopologicalSorter(packages_of(program)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_imports_go_in_a_circle() -> None:
    known = {
        module: graph().find_modules_directly_imported_by(module) for module in graph().modules
    }
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@cache
def public_types() -> dict[str, list[str]]:
    """Name of each class that has no underscore -> the files it is in."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    return places


def test_a_type_name_stands_for_one_thing() -> None:
    assert len(public_types()) > 200
    twice = {name: files for name, files in public_types().items() if len(files) > 1}
    assert twice == {}


def test_what_a_page_says_of_the_code_is_there() -> None:
    for page in PAGES:
        text = page.read_text()
        for name in re.findall(r"`(fleet(?:\.\w+)+)`", text):
            module, _, attribute = name.rpartition(".")
            there = find_spec(name) or hasattr(import_module(module), attribute)
            assert there, f"{page.name} names {name}"
        for path in re.findall(
            r"(?<![\w/])((?:fleet|tests|bench|scripts)/[\w./]*\.(?:py|sh|toml))\b", text
        ):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_what_a_package_says_of_its_modules_is_there() -> None:
    modules = graph().modules
    for package in (f"fleet.{module}" for module in _packages()):
        spoken = re.findall(NAME, import_module(package).__doc__ or "")
        around = [package.rsplit(".", up)[0] for up in range(package.count(".") + 1)]
        inside = [*around, *graph().find_descendants(package)]
        known = public_types().keys() | {*dir(import_module(package)), "fleet", "roles_dir", "path"}
        for name in spoken:
            there = (
                name in known | modules
                or any(f"{place}.{name}" in modules for place in around)
                or any(module.endswith(f".{name}") for module in inside)
            )
            assert there, f"{package} names {name}"


def _packages() -> list[str]:
    places = [path.parent.relative_to(ROOT / "fleet") for path in FILES if path.stem == "__init__"]
    return [".".join(place.parts) for place in places if place.parts]

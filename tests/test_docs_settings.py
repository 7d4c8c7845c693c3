"""The page of settings names every one there is."""

import json
import re

import attrs
import pytest
import typer.main

from fleet.agent.given import ALLOW_ROOT, FLAGS
from fleet.agent.settings import AgentSettings
from fleet.cli.app import app as fleet
from fleet.manager.cli import app as manager
from fleet.manager.settings import ManagerSettings
from tests.processes import ROOT

PAGE = (ROOT / "docs/settings.md").read_text()


def rows(first: str, heading: str = "") -> list[list[str]]:
    """The cells of each table row below that heading whose first cell is a `first`."""
    part = re.search(rf"^## {heading}.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert part is not None
    text = part[0] if heading else PAGE
    lines = re.findall(rf"^\| `({first})` \|(.*)\|$", text, re.MULTILINE)
    return [[name, *map(str.strip, rest.split("|"))] for name, rest in lines]


@pytest.mark.parametrize(
    ("heading", "settings"),
    [("What a station decides", AgentSettings), ("What a manager goes by", ManagerSettings)],
)
def test_every_key_of_a_file_is_there_with_its_default(
    heading: str, settings: type[attrs.AttrsInstance]
) -> None:
    assert {row[0]: row[1] for row in rows("[a-z_]+", heading)} == {
        one.name: "" if one.default is None else f"`{json.dumps(one.default)}`"
        for one in attrs.fields(settings)
    }


def test_every_variable_is_there_for_each_program_that_reads_it() -> None:
    told = {row[0] for row in rows(r"FLEET_\w+") if row[1]}
    own = {"FLEET_USERNAME", "FLEET_PASSWORD_FILE"}  # no flag stands for them
    assert told == {flag.variable for flag in FLAGS} | own | {ALLOW_ROOT}
    for number, app in enumerate((manager, fleet), start=2):
        told = {row[0] for row in rows(r"FLEET_\w+") if row[number]}
        read = set(own)
        command = typer.main.get_command(app)
        for one in (command, *getattr(command, "commands", {}).values()):
            for option in one.params:
                names = option.envvar or ()
                read |= {names} if isinstance(names, str) else {*names}
        assert told == {name for name in read if name.startswith("FLEET_")}

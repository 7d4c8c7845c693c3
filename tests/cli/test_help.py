"""What the programs say of themselves."""

import pkgutil
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
from typer.testing import CliRunner

from fleet.agent.cli import parser as agent
from fleet.cli import commands
from fleet.cli.app import app as fleet
from fleet.cli.commands import COMMANDS, GROUPS
from fleet.manager.cli import app as manager
from fleet.version import __version__

OF = {
    "fleet": ("", *COMMANDS),
    "fleet-manager": ("", "run", "init", "renew", "recover"),
    "fleet-agent": ("", "run", "join", "check", "roles", "status", "restart", "stop", "reset"),
}
HEAVY = {"paho", "aiomqtt", "rich", "attrs", "cattrs", "asyncio", "msgspec", "tomllib"}


def said(program: str, *words: str) -> str:
    if program == "fleet-agent":
        with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit, match="0"):
            agent().parse_args(words)
        return out.getvalue()
    found = CliRunner().invoke({"fleet": fleet, "fleet-manager": manager}[program], words)
    assert (found.exit_code, found.stderr) == (0, "")
    return found.stdout


def test_every_command_has_a_file_and_every_file_is_a_command() -> None:
    assert {one.name for one in pkgutil.iter_modules(commands.__path__)} == set(COMMANDS)


@pytest.mark.parametrize("program", OF)
def test_every_command_has_the_same_help_and_version(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in OF[program]:
        words = [program, *filter(None, [command])]
        text = said(*words, "-h")
        assert text == said(*words, "--help")
        assert text.lower().startswith("usage: ")
        assert "-h, --help" in text
        assert "--version" in text
        assert max(map(len, text.splitlines())) <= 80
        assert said(*words, "--version") == f"{program} {__version__}\n"


def test_the_first_screen_groups_what_one_can_do_a_line_each() -> None:
    text = said("fleet", "--help")
    for heading, named in GROUPS.items():
        block = text.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in block.splitlines()] == list(named)
        for line, about in zip(block.splitlines(), named.values(), strict=True):
            assert line.endswith(f"  {about}")


def test_help_waits_for_no_import() -> None:
    """On two cores `fleet --help` is there after 0.05 s, with all imports after 0.2 s."""
    code = """if True:
        import sys
        sys.argv[0] = "fleet"
        from fleet.cli import main
        try:
            main()
        except SystemExit:
            print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
    """
    found = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert "Stations:" in found.stdout
    assert "typer" in found.stderr
    assert [name for name in HEAVY if f"'{name}'" in found.stderr] == []


def test_a_word_that_is_none_of_a_choice_is_told_in_our_words() -> None:
    found = CliRunner().invoke(fleet, ["mark", "hall1", "begin"])
    assert found.stderr.splitlines()[-1] == (
        "Error: Invalid value for 'start|end|cut': 'begin' is not one of 'start', 'end', 'cut'."
    )


def test_help_shows_neither_types_nor_formulas() -> None:
    for name in COMMANDS:
        text = said("fleet", name, "--help")
        odd = r"<(?:str|int|float|list)|[<>]=|\{[^|}]*\}|\]\.\.\.\]"
        assert re.findall(odd, text) == [], text
        assert not re.search(r"^  \S+ +\[required\]$", text, re.MULTILINE), "what is it?"

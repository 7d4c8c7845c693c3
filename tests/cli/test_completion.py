"""Names of rooms and stations in real shells, on a real terminal, at the Tab key."""

import os
import pty
import select
import signal
import time
from pathlib import Path

import pytest

from fleet.cli.completion import argument_words
from tests.cli.conftest import FLEET, Fleet, Play
from tests.manager.station import apply, conference
from tests.stranger import Stranger

SHELLS = {
    "bash": ["bash", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
FIRST = {"bash": "", "zsh": "autoload -Uz compinit; compinit -u -D; ", "fish": ""}


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, argv: list[str], env: dict[str, str], directory: Path) -> None:
        self.seen = ""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(directory)
            os.execvpe(argv[0], argv, env)  # noqa: S606 (a shell is what is started)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, text: str, seconds: float = 20) -> None:
        """Read until `text` has appeared."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not appear: {self.seen!r}"
            if select.select([self._terminal], [], [], left)[0]:
                self.seen += os.read(self._terminal, 65536).decode(errors="replace")

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self._pid, 0)


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_tab_key_knows_rooms_and_stations(
    fleet: Fleet, play: Play, stranger: Stranger, tmp_path: Path, shell: str
) -> None:
    await play("cam1")
    await apply(stranger, conference(("hall1-balcony", "cam1")))
    script = await fleet(env={"_FLEET_COMPLETE": f"source_{shell}"})
    file = tmp_path / f"completion.{shell}"
    file.write_text(script.out)
    path = f"{FLEET.parent}:{os.environ['PATH']}"
    terminal = Terminal(
        SHELLS[shell], fleet.environment({"PATH": path, "XDG_RUNTIME_DIR": str(tmp_path)}), tmp_path
    )
    try:
        # The mark is put together by the shell, so that its echo is not taken for it.
        terminal.type(f"{FIRST[shell]}. {file}; echo re''ady\n")
        terminal.until("ready")
        for command in ("status", "watch"):
            terminal.seen = ""
            terminal.type(f"fleet {command} hall1-b\t")
            terminal.until("alcony")
            terminal.type("\x15")
    finally:
        terminal.end()


@pytest.mark.parametrize(
    ("given", "incomplete", "offered"),
    [
        (set(), "", ["text=", "loud=", "colour="]),
        ({"text"}, "", ["loud=", "colour="]),
        (set(), "colour=", ["colour=red", "colour=green"]),
        (set(), "loud=t", ["loud=true", "loud=false"]),
        (set(), "text=a", []),
        (set(), "nothing=", []),
    ],
)
def test_arguments_and_their_choices_are_offered(
    given: set[str], incomplete: str, offered: list[str]
) -> None:
    known = {
        "text": {"type": "string"},
        "loud": {"type": "boolean"},
        "colour": {"enum": ["red", "green"]},
    }
    assert argument_words(known, given, incomplete) == offered


async def test_each_command_offers_what_it_takes(
    fleet: Fleet, play: Play, stranger: Stranger
) -> None:
    await play("cam1")
    await apply(stranger, conference(("hall1-balcony", "cam1")))
    offered = {
        "fleet status hall1": {"hall1", "hall1-balcony"},
        "fleet watch hall1-": {"hall1-balcony"},
        "fleet retire h": {"hall1-balcony"},
        "fleet talk h": {"hall1"},
        "fleet maintenance h": {"hall1", "hall1-balcony"},
        "fleet do": {"doctor"},
    }
    for words, expected in offered.items():
        env = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        found = await fleet(env={"_FLEET_COMPLETE": "complete_bash", **env})
        assert set(found.out.split()) == expected, words
        assert found.err == ""

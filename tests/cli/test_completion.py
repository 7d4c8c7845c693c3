"""Names of rooms and stations in real shells, on a real terminal, at the Tab key."""

import inspect
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import get_args

import pytest
import typer

from fleet.cli import names
from fleet.cli.app import main as typer_main
from fleet.cli.commands import COMMANDS
from fleet.cli.completion import argument_words
from fleet.cli.tab import answer
from fleet.cli.taken import TypedNext, what_next
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

    def until(self, text: str, seconds: float = 60) -> None:
        """Read until `text` has appeared."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not appear: {self.seen!r}"
            if select.select([self._terminal], [], [], left)[0]:
                self.seen += os.read(self._terminal, 65536).decode(errors="replace")

    def completes(self, text: str, rest: str) -> None:
        """Type `text`, then Tab until the rest has appeared: an answer that takes long is none."""
        self.seen = ""
        self.type(text)
        deadline = time.monotonic() + 60
        while rest not in self.seen:
            assert time.monotonic() < deadline, f"{rest!r} did not appear: {self.seen!r}"
            self.type("\t")
            with suppress(AssertionError):
                self.until(rest, 5)
        self.type("\x15")

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
            terminal.completes(f"fleet {command} hall1-b", "alcony")
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


def typer_says(words: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name, value in asked_by_bash(words).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["fleet"])
    with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit):
        typer_main()
    return out.getvalue().split()


@pytest.mark.parametrize("before", ["", "x ", "--json ", "--yes "])
def test_options_are_offered_as_typer_offers_them(
    before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read of each command's file before Typer is imported."""
    for command in COMMANDS:
        for beginning in ("-", "--", "--j"):
            words = f"fleet {command} {before}{beginning}"
            with redirect_stdout(StringIO()) as out:
                code = answer(asked_by_bash(words))
            if before.startswith("--") and code is None:
                continue  # it has no such option, and Typer may say so
            assert code == 0, words
            assert sorted(out.getvalue().split()) == sorted(typer_says(words, monkeypatch)), words


def test_values_are_known_by_what_the_commands_say_knows_them() -> None:
    for command in COMMANDS:
        run = import_module(f"fleet.cli.commands.{command}").run
        given: list[str] = []
        for name, one in inspect.signature(run).parameters.items():
            info = getattr(one.annotation, "__metadata__", (None,))[0]
            if info is None:
                continue
            known = getattr(info.autocompletion, "__name__", None)
            kind = get_args(one.annotation)[:1]
            if isinstance(info, typer.models.ArgumentInfo):
                found = what_next(command, given, "")
                given.append("x")
            elif bool in kind:
                continue
            else:
                said = info.default if isinstance(info.default, str) else None
                option = said or f"--{name.replace('_', '-')}"  # as Annotated has Typer read it
                found = what_next(command, [option], "")
            assert found == TypedNext(completer=known), (command, name)


def asked_by_bash(words: str) -> dict[str, str]:
    at = str(len(words.split(" ")) - 1)
    return {"_FLEET_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": at}


def ask_bash(words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What `fleet` answers at the Tab key."""
    return subprocess.run(
        [FLEET],
        env=os.environ | asked_by_bash(words) | env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_the_tab_key_is_answered_soon_though_a_broker_hangs() -> None:
    """One that takes connections and says nothing, and one to which none comes about."""
    with socket.socket() as silent, socket.socket() as full, socket.socket() as first:
        for one, queue in ((silent, 5), (full, 0)):
            one.bind(("127.0.0.1", 0))
            one.listen(queue)
        first.connect(full.getsockname())
        for one in (silent, full):
            url = f"mqtt://127.0.0.1:{one.getsockname()[1]}"
            found = ask_bash("fleet status ", FLEET_BROKER=url)
            assert (found.stdout.strip(), found.stderr) == ("", "")


def test_what_takes_long_is_not_imported_for_names() -> None:
    script = (
        "import sys; from fleet.cli.tab import answer\n"
        "assert 0 == answer({'_FLEET_COMPLETE': 'complete_bash', 'COMP_CWORD': '1',"
        " 'COMP_WORDS': 'fleet sta'})\n"
        "assert 0 == answer({'_FLEET_COMPLETE': 'complete_bash', 'COMP_CWORD': '2',"
        " 'COMP_WORDS': 'fleet apply --js'})\n"
        "assert 'attrs' not in sys.modules\n"
        "assert 0 == answer({'_FLEET_COMPLETE': 'complete_bash', 'COMP_CWORD': '2',"
        " 'COMP_WORDS': 'fleet status ', 'FLEET_BROKER': 'mqtt://127.0.0.1:1'})\n"
        "print(*sorted({'typer', 'pydantic', 'rich', 'fleet.operations'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (found.stdout.split(), found.stderr) == (["status", "start", "--json"], "")


@pytest.mark.parametrize(
    ("shell", "typed", "action", "told", "code"),
    [
        ("zsh", "fleet talk h", "", "_arguments '*: :((\"hall1\"))'\n", 0),
        ("zsh", "fleet talk x", "", "_files\n", 0),
        ("zsh", "fleet apply f.toml --yes --room h", "", "_arguments '*: :((\"hall1\"))'\n", 0),
        ("fish", "fleet talk h", "get-args", "hall1\n", 0),
        ("fish", "fleet talk ", "is-args", "", 0),
        ("fish", "fleet talk x", "is-args", "", 1),
        ("fish", "fleet plan ", "is-args", "", 1),
    ],
)
def test_each_shell_is_told_in_its_words_also_that_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch, shell: str, typed: str, action: str, told: str, code: int
) -> None:
    """`fleet plan` wants a file, which is for Typer and the shell."""
    known = (names.NamedStation("hall1-cam", "hall1"),)
    monkeypatch.setattr(names, "stations", lambda *_: known)
    env = {"_FLEET_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed}
    env |= {"_TYPER_COMPLETE_FISH_ACTION": action} if action else {}
    if "plan" in typed:
        run = subprocess.run([FLEET], env=os.environ | env, capture_output=True, text=True)
        assert (run.stdout, run.returncode) == (told, code)
        return
    with redirect_stdout(StringIO()) as out:
        assert answer(env) == code
    assert out.getvalue() == told


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
        "fleet apply f.toml --station h": {"hall1-balcony"},
        "fleet --prefix fleet retire h": {"hall1-balcony"},
    }
    for words, expected in offered.items():
        await fleet.offers(words, expected)

"""Roles are found by themselves, each by itself; what is broken says why."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fleet.role
from fleet.agent.config import catalogue, trial
from fleet.agent.local import show
from fleet.model import Factory
from tests.processes import ROOT

HAZARDS = trial.hazards
ROLE = """
from attrs import frozen
from fleet.roles import Role, RoleFactory, register_factory

@frozen
class Settings:
    text: str = "x"

class Work(Role[Settings]):
    pass

class WorkFactory(RoleFactory[Settings]):
    role = Work
    settings = Settings
    {more}

register_factory("{name}", WorkFactory())
"""


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.load(None)  # else our own roles would register, once for all tests, in here
    monkeypatch.setattr(fleet.role, "factories", {})
    monkeypatch.setattr(trial, "hazards", lambda _: {})
    for module in [name for name in sys.modules if name.startswith("roles_dir.")]:
        monkeypatch.delitem(sys.modules, module)


@pytest.fixture
def roles_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "roles"
    directory.mkdir()
    return directory


def write(directory: Path, file: str, name: str, more: str = "") -> None:
    (directory / f"{file}.py").write_text(ROLE.format(name=name, more=more))


def test_file_in_roles_dir_is_found(roles_dir: Path) -> None:
    write(roles_dir, "a", "alpha", "instances = 2")
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert offer.described["alpha"] == Factory(
        2,
        {
            "type": "object",
            "properties": {"text": {"type": "string", "default": "x"}},
            "required": [],
            "additionalProperties": False,
        },
        {},
    )
    assert offer.broken == {}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_the_sort", "ImportError: No module named 'nothing_of_the_sort'"),
        ("raise ImportError('no crystal ball')", "ImportError: no crystal ball"),
        ("def (:", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            "from fleet.roles import InvalidConfigurationException",
            "ImportError: there is no InvalidConfigurationException: the station refuses",
        ),
        (
            "from fleet.roles import BlockedRoleException",
            "ImportError: there is no BlockedRoleException: the station refuses",
        ),
        (
            "import fleet.roles; fleet.roles.MissingRoleFactoryException",
            "ImportError: there is no MissingRoleFactoryException: the station refuses",
        ),
        ("from fleet.roles import nonsense", "ImportError: cannot import name 'nonsense'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("class Odd(BaseException): pass\nraise Odd(3)", "Odd: 3"),
        ("x = 1  #" + "x" * 2**20, "ImportError: /"),
        ("from fleet.roles import *; register_factory('a b', None)", "ValueError: 'a b' cannot"),
        ("from fleet.roles import *; register_factory('station', None)", "ValueError: 'station'"),
        ("raise ValueError('x' * 5000)", "ValueError: xxx"),
    ],
)
def test_broken_file_hurts_no_other_and_says_why(roles_dir: Path, source: str, reason: str) -> None:
    (roles_dir / "mystic.py").write_text(source)
    write(roles_dir, "z", "zeta")
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert offer.broken["mystic"].startswith(reason)
    assert len(offer.broken["mystic"]) <= 500
    assert set(offer.factories) >= {"zeta"}


def test_what_a_broken_file_registered_is_taken_back(roles_dir: Path) -> None:
    write(roles_dir, "a", "alpha")
    with (roles_dir / "a.py").open("a") as file:
        file.write("1 / 0\n")
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert "alpha" not in offer.factories
    assert "a" in offer.broken


def test_second_that_claims_a_name_is_refused_and_reported(roles_dir: Path) -> None:
    write(roles_dir, "first", "alpha")
    write(roles_dir, "second", "alpha", "instances = 9")
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert offer.described["alpha"].instances == 0
    assert list(offer.broken) == ["second"]
    message = offer.broken["second"]
    assert "'alpha'" in message
    assert "first.py" in message
    assert "second.py" in message


def test_file_that_registers_nothing_is_fine(roles_dir: Path) -> None:
    (roles_dir / "base.py").write_text("x = 1\n")
    (roles_dir / "_private.py").write_text("1 / 0\n")
    assert catalogue.load(roles_dir) == {}


def test_missing_directory_is_no_reason_to_stop(tmp_path: Path) -> None:
    assert catalogue.load(tmp_path / "nothing") == {}


def test_role_whose_tools_are_missing_is_withheld_with_what_to_install(roles_dir: Path) -> None:
    write(roles_dir, "a", "alpha", 'tools = {"no-such-tool": "toolbox", "sh": "dash"}')
    write(roles_dir, "b", "beta", 'tools = {"no-such-1": "p", "no-such-2": "p"}')
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert not offer.factories
    assert offer.broken == {
        "alpha": "no-such-tool is not installed: apt install toolbox",
        "beta": "no-such-1, no-such-2 are not installed: apt install p",
    }


def test_tool_installed_later_is_seen_at_the_next_look(
    roles_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(roles_dir, "a", "alpha", 'tools = {"later": "toolbox"}')
    broken = catalogue.load(roles_dir)
    assert "alpha" in catalogue.offer(broken).broken
    tool = tmp_path / "later"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "alpha" in catalogue.offer(broken).factories


def test_role_that_is_declared_wrongly_is_broken(roles_dir: Path) -> None:
    write(roles_dir, "a", "alpha", "instances = -1")
    (roles_dir / "b.py").write_text(
        "from fleet.roles import *\nregister_factory('beta', 'no factory')\n"
    )
    write(roles_dir, "c", "gamma", "settings = dict")
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert set(offer.broken) == {"alpha", "beta", "gamma"}


HEAD = """\
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from attrs import frozen
from fleet.roles import Role, RoleFactory, command, register_factory

class Price(Enum):
    LOW = Decimal("1.5")

@frozen
class Nothing:
    pass

@frozen
class Settings:
    good: int = 1
    {setting}

class Work(Role[Settings]):
    {role}

class WorkFactory(RoleFactory[Settings]):
    role = Work
    settings = Settings
    {factory}

register_factory("work", WorkFactory())
"""


@pytest.mark.parametrize(
    ("setting", "role", "factory", "said"),
    [
        ('wrong: float = float("inf")', "", "", "Settings.wrong: its default inf is none of"),
        ("wrong: Price = Price.LOW", "", "", "text, or whole numbers"),
        ("wrong: timedelta = timedelta(1)", "", "", "timedelta is not a type .*seconds"),
        ('wrong: "Nowhere" = None', "", "", "Settings.wrong: its type cannot be read: name 'No"),
        (
            'wrong: "Settings | None" = None',
            "",
            "",
            "Settings.wrong: .* leads back to its own class",
        ),
        ("wrong: None = None", "", "", "Settings.wrong: None alone says nothing"),
        ("wrong: Path = Path()", "", "", "Settings.wrong: Path is not a type .*: take a str"),
        ('wrong: str = "\\ud800"', "", "", "Settings.wrong: .*surrogates not allowed"),
        ("def __attrs_post_init__(self): self.wrong()", "", "", "AttributeError: .*'wrong'"),
        ("", "async def start(self, wrong): pass", "", "Work.start: .*write async def start.self."),
        ("", "def tick(self, wrong): pass", "", "Work.tick: it cannot be called .*write def tick"),
        ("", "async def update(self): wrong = 1", "", "Work.update: it cannot .*self, settings"),
        ("", "def __init__(self, host): wrong = 1", "", "Work.__init__: it cannot .*settings"),
        (
            "",
            "",
            "tools = ['wrong']",
            "WorkFactory.tools: expected programs and their Debian packa",
        ),
        (
            *("", "@command\n    async def stop(self, text: Nothing) -> Nothing: wrong = 1", ""),
            "Work.stop: every role has that: name the command otherwise",
        ),
        (
            *("", "@command\n    async def say(self, *, text: Nothing) -> Nothing: wrong = 1", ""),
            "Work.say: it cannot be called with what it is given",
        ),
        (
            *("", '@command\n    async def say(self, text: "Wrong") -> Nothing: wrong = 1', ""),
            "Work.say: its types cannot be read: name 'Wrong'",
        ),
        ("", "def start(self): wrong = 1", "", "Work.start: it is awaited: write async def start"),
        ("", "def stop(self): wrong = 1", "", "Work.stop: it is awaited"),
        ("", "def update(self, settings): wrong = 1", "", "Work.update: it is awaited"),
        ("", "async def startService(self): wrong = 1", "", "Work.startService: .* def start"),
        ("", "def stopService(self): wrong = 1", "", "Work.stopService: .* def stop"),
        ("", "async def tick(self): wrong = 1", "", "Work.tick: .*write def tick"),
        (
            "",
            "",
            "async def build(self, *_): wrong = 1",
            "WorkFactory.build: .*write def",
        ),
        (
            "",
            'stall_seconds = "10"  # wrong',
            "",
            "Work.stall_seconds: expected a number",
        ),
        ("", "", "instances = True  # wrong", "WorkFactory.instances: expected 0"),
        ("", "", "role = Nothing  # wrong", "WorkFactory.role: expected a subclass of Role"),
        (
            *("", "@command\n    async def say(self, text: str) -> Nothing: wrong = 1", ""),
            "str is not an attrs class",
        ),
        (
            *("", "@command\n    async def say(self, text: Nothing): wrong = 1", ""),
            "Work.say: a command has one annotated parameter and result",
        ),
        (
            *("", "@command\n    def say(self, text: Nothing) -> Nothing: wrong = 1", ""),
            "Work.say: it is awaited",
        ),
    ],
)
def test_what_could_only_fail_later_is_found_at_load_with_file_line_and_name(
    roles_dir: Path, setting: str, role: str, factory: str, said: str
) -> None:
    file = roles_dir / "work.py"
    file.write_text(
        HEAD.format(setting=setting, role=role or "pass", factory=factory or "instances = 1")
    )
    if "role = Nothing" in factory:
        file.write_text(file.read_text().replace("    role = Work\n", ""))
    write(roles_dir, "z", "zeta")
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert list(offer.broken) == ["work"]
    assert re.search(said, offer.broken["work"])
    assert "zeta" in offer.factories
    if "AttributeError" not in said:
        lines = file.read_text().splitlines()
        (number,) = [at for at, line in enumerate(lines, 1) if "wrong" in line]
        assert offer.broken["work"].endswith(f" ({file}, line {number})")


def test_role_files_are_read_again_when_they_change(roles_dir: Path) -> None:
    files = catalogue.RoleFiles(roles_dir)
    files.look()
    write(roles_dir, "a", "alpha", "instances = 1")
    write(roles_dir, "b", "beta")
    files.look()
    first = catalogue.offer(files.broken).factories
    assert set(first) == {"alpha", "beta"}
    write(roles_dir, "a", "alpha", "instances = 2")  # as long as before, and in the same second
    files.look()
    second = catalogue.offer(files.broken).factories
    assert second["alpha"].instances == 2
    assert second["beta"] is first["beta"], "what did not change is not read again"
    (roles_dir / "a.py").write_text("def (")
    files.look()
    offer = catalogue.offer(files.broken)
    assert offer.factories["alpha"] is second["alpha"], "what worked before is kept"
    assert "SyntaxError" in offer.broken["a"]
    write(roles_dir, "a", "gamma")
    (roles_dir / "b.py").unlink()
    files.look()
    offer = catalogue.offer(files.broken)
    assert set(offer.factories) == {"gamma"}
    assert offer.broken == {}


def test_a_file_is_tried_again_where_only_what_it_lacked_is_new(
    roles_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(roles_dir, "a", "alpha")
    with (roles_dir / "a.py").open("a") as file:
        file.write("import os; os.environ['NEEDED']\n")
    files = catalogue.RoleFiles(roles_dir)
    files.look()
    assert "KeyError" in files.broken["a"]
    monkeypatch.setenv("NEEDED", "1")
    files.look()
    assert set(catalogue.offer(files.broken).factories) == {"alpha"}


def test_a_command_is_described_by_its_docstring(roles_dir: Path) -> None:
    said = '"""Say it\n        aloud.\n\n        Twice."""\n        return text'
    role = f"@command\n    async def say(self, text: Nothing) -> Nothing:\n        {said}"
    (roles_dir / "work.py").write_text(HEAD.format(setting="", role=role, factory="instances = 1"))
    offer = catalogue.offer(catalogue.load(roles_dir))
    schema = offer.described["work"].commands["say"].arguments
    assert schema["description"] == "Say it aloud."
    assert "  command say  Say it aloud." in list(show.roles(offer))


def test_what_is_no_file_is_not_read(roles_dir: Path) -> None:
    os.mkfifo(roles_dir / "pipe.py")
    (roles_dir / "directory.py").mkdir()
    (roles_dir / "loop.py").symlink_to("loop.py")
    (roles_dir / "endless.py").symlink_to("/dev/zero")
    write(roles_dir, "z", "zeta")
    offer = catalogue.offer(catalogue.load(roles_dir))
    assert set(offer.factories) == {"zeta"}
    for name in ("pipe", "directory", "endless"):
        assert offer.broken[name] == f"ImportError: {roles_dir / name}.py is not a file"
    assert "Too many levels of symbolic links" in offer.broken["loop"]


def test_a_file_that_would_hang_or_end_the_agent_is_found_in_a_process_of_its_own(
    roles_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "hazards", HAZARDS)
    files = catalogue.RoleFiles(roles_dir)
    write(roles_dir, "a", "alpha")
    files.look()
    (roles_dir / "a.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    files.look()
    assert files.broken == {"a": "ImportError: its import would have ended the agent (SIGSEGV)"}
    assert set(fleet.role.factories) == {"alpha"}, "what worked before is kept"
    (roles_dir / "a.py").write_text("print('x'); import time; time.sleep(3600)")
    monkeypatch.setattr(trial, "TRY_SECONDS", 0.3)  # what ends might end later than that
    files.look()
    assert files.broken == {"a": "ImportError: its import is not over after 0.3 s"}
    assert set(fleet.role.factories) == {"alpha"}, "what worked before is kept"


def test_an_error_of_a_file_says_its_line(roles_dir: Path) -> None:
    (roles_dir / "work.py").write_text("import re\n\nre.compile('(')\n")
    broken = catalogue.load(roles_dir)
    assert broken["work"].endswith(f"({roles_dir / 'work.py'}, line 3)")


def test_entry_point_of_an_installed_package_is_found(
    roles_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "fleet_beep-1.0.dist-info"
    info.mkdir(parents=True)
    write(site, "fleet_beep", "beep")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fleet-beep\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fleet.roles]\nbeep = fleet_beep\nbroken = nothing_there\n"
    )
    monkeypatch.syspath_prepend(str(site))
    offer = catalogue.offer(catalogue.load(None))
    assert "beep" in offer.factories
    assert offer.broken == {"broken": "ImportError: No module named 'nothing_there'"}


def test_a_package_that_is_installed_or_upgraded_later_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "fleet_bell-1.0.dist-info"
    info.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(site))
    files = catalogue.RoleFiles(None)
    files.look()
    assert "bell" not in catalogue.offer(files.broken).factories
    (site / "fleet_bell").mkdir()
    (site / "fleet_bell/__init__.py").write_text("from fleet_bell import work\n")
    write(site / "fleet_bell", "work", "bell", "instances = 1")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fleet-bell\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fleet.roles]\nbell = fleet_bell\n")
    files.look()
    first = catalogue.offer(files.broken).factories["bell"]
    files.look()
    assert catalogue.offer(files.broken).factories["bell"] is first
    write(site / "fleet_bell", "work", "bell", "instances = 25")
    files.look()
    assert catalogue.offer(files.broken).factories["bell"].instances == 25
    (site / "fleet_bell/work.py").write_text("1 / 0")
    files.look()
    assert catalogue.offer(files.broken).factories["bell"].instances == 25
    assert "ZeroDivisionError" in files.broken["bell"]
    shutil.rmtree(info)
    files.look()
    assert "bell" not in catalogue.offer(files.broken).factories


OWN = """
import sys
from pathlib import Path
import fleet, fleet.role
from fleet.agent.config.catalogue import RoleFiles

package, role = Path(fleet.__file__).parent, sys.argv[1]
def write(limit):
    (package / "roles/hum.py").write_text(role.replace("instances = 0", f"instances = {limit}"))
def look():
    files.look()
    return getattr(fleet.role.factories.get("hum"), "instances", None)
files = RoleFiles(None)
assert look() is None
ours = dict(fleet.role.factories)
assert {"record", "ingest", "stream", "monitor"} <= ours.keys()
write(1)
assert look() == 1
write(22)
assert look() == 22
assert {name: fleet.role.factories[name] for name in ours} == ours
monitor = package / "roles/monitor.py"
monitor.write_text(monitor.read_text() + "# mended\\n")
look()
assert fleet.role.factories["monitor"] is not ours["monitor"]
assert fleet.role.factories["record"] is ours["record"]
assert not files.broken, files.broken
(package / "model.py").touch()  # another release is being installed
write(333)
assert look() == 22
(package / "roles/hum.py").unlink()
assert look() == 22
"""


def test_a_new_or_changed_file_in_fleet_roles_is_seen_unless_fleet_itself_is_another(
    tmp_path: Path,
) -> None:
    shutil.copytree(ROOT / "fleet", tmp_path / "fleet")
    role = ROLE.format(name="hum", more="instances = 0")
    env = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-c", OWN, role]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

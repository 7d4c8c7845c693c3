"""`fleet-agent check` looks with the rights that the service has: real files, users and groups."""

import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from fleet.agent import cli
from fleet.agent.box import machine
from fleet.agent.config import catalogue
from fleet.agent.local import check, service
from fleet.manager.fixes import fixes
from fleet.model import PresenceState
from fleet.operations.doctor import StationFacts
from fleet.version import __version__
from tests.processes import ROOT, Mosquitto, Programs
from tests.stranger import Stranger

NOBODY = 65534
SECRET = {"source": {"type": "test"}, "target": {"type": "rtmp", "key": {"secret": "stream-key"}}}


class Said(NamedTuple):
    """What it printed, and how it ended."""

    lines: list[str]
    status: int

    def missing(self) -> list[str]:
        return [line[9:] for line in self.lines if line.startswith("missing")]


class Box:
    """A box on which the service is installed, and runs as `nobody`: all of it in one directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.units, self.state, self.recordings = (
            self._made(name) for name in ("units", "state", "recordings")
        )
        self.secrets, self.roles = self._made("secrets"), self._made("roles")
        self.own(self.state, self.recordings)
        self.write("password", "swordfish\n", 0o640, group=NOBODY)
        self.write("secrets/stream-key", "key\n", 0o600, user=NOBODY)
        self.settings = self.write(
            "agent.toml",
            f'broker = "mqtt://127.0.0.1:1"\nstation = "b1"\nusername = "b1"\n'
            f'password_file = "{place}/password"\nsecrets_dir = "{self.secrets}"\n'
            f'state_dir = "{self.state}"\nrecordings = "{self.recordings}"\n',
        )
        self.environment = self.write("agent.env", f"FLEET_SETTINGS={self.settings}\n")
        self.program = self.write("fleet-agent", "#!/bin/sh\n", 0o755)
        shipped = (ROOT / "systemd/fleet-agent.service").read_text()
        self.unit = self.write(
            "units/fleet-agent.service",
            shipped.replace("User=fleet", "User=nobody")
            .replace("/usr/local/bin/fleet-agent", str(self.program))
            .replace("/etc/fleet/agent.env", str(self.environment)),
        )

    def _made(self, name: str) -> Path:
        (self.place / name).mkdir(mode=0o755)
        return self.place / name

    def own(self, *paths: Path) -> None:
        """Give them to the service's user."""
        for path in paths:
            os.chown(path, NOBODY, NOBODY)

    def write(self, name: str, text: str, mode: int = 0o644, user: int = 0, group: int = 0) -> Path:
        path = self.place / name
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, user, group)
        return path

    def reports_to(self, broker: Mosquitto) -> None:
        with self.environment.open("a") as file:
            file.write(f"FLEET_BROKER={broker.url}\n")

    def wants(self, roles: dict[str, object]) -> None:
        """Have this in force."""
        decision = {"in_force": {"revision": 1, "at": None, "by": None, "roles": roles}}
        payload = json.dumps(decision | {"rejection": None})
        self.write("state/decision.json", payload, 0o600, user=NOBODY)

    def check(self, *flags: str, user: int = 0, **env: str) -> Said:
        """As it is typed by a user who has no group but his own, and `env`."""
        arguments = ["fleet-agent", "check", *flags]
        place = {"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": str(self.units)}
        for late in ("concurrent.futures.thread", "encodings.idna", "encodings.utf_8_sig"):
            importlib.import_module(late)
        catalogue.load(None)
        read, write = os.pipe()
        pid = os.fork()  # no new program: the user may not be able to read the one that tests run
        if pid == 0:
            typed_by(user, arguments, place | env, write)
        os.close(write)
        with open(read) as pipe:  # noqa: PTH123 (a pipe)
            text = pipe.read()
        return Said(text.splitlines(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def typed_by(user: int, arguments: list[str], env: dict[str, str], out: int) -> NoReturn:
    """End this process as the command would."""
    status = 99
    try:
        sys.stdout = sys.stderr = open(out, "w")  # noqa: SIM115 (to the end)
        sys.argv = arguments
        os.environ.clear()
        os.environ.update(env)
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


@pytest.fixture
def box() -> Iterator[Box]:
    assert os.geteuid() == 0, "who looks with another user's rights has to be root"
    place = Path(tempfile.mkdtemp(prefix="fleet-box-"))  # not below pytest's, which is private
    place.chmod(0o755)
    yield Box(place)
    shutil.rmtree(place)


def test_a_copied_box_is_itself_again_after_what_doctor_says(box: Box) -> None:
    hosts = ("hall1-cam", "hall1-cam")
    seen = StationFacts(
        *("b1", "hall1-cam", "hall1", PresenceState.ONLINE, True, True, hosts),
        *(__version__, None, (), None, None),
    )
    (found,) = fixes(seen, __version__, datetime.now(UTC), {})
    told = re.search(r"rm (.*?);", found.fix)
    assert told is not None
    assert f"`rm {told[1]}`" in " ".join((ROOT / "docs/runbook.md").read_text().split())
    here = {
        "/etc/fleet/agent.toml": box.settings,
        "/etc/fleet/agent.password": box.place / "password",
    }
    here["/var/lib/fleet-agent/station*"] = box.state / "station*"
    for name in ("station", "station.copy"):
        box.write(f"state/{name}", "b1\n", 0o600, user=NOBODY)
    assert "ok       station  b1" in box.check().lines
    box.environment.write_text(f"FLEET_STATE_DIR={box.state}\n")  # no settings are named any more
    assert "ok       station  b1" in box.check().lines
    for path in told[1].split():
        for one in here[path].parent.glob(here[path].name):
            one.unlink()
    assert f"ok       station  {machine.mac()}" in box.check().lines


def test_root_sees_what_the_service_will_see(box: Box, broker: Mosquitto) -> None:
    box.reports_to(broker)
    box.wants({"stream": {"main": SECRET}})
    done = box.check(FLEET_STATION="root-has-another", HOME="/root")
    assert done.missing() == []
    assert done.status == 0
    lines = done.lines
    assert lines[0] == "ok       user  checked as nobody, like the service"
    assert f"ok       settings  {box.settings}" in lines
    assert "ok       station  b1" in lines
    assert f"ok       state  {box.state}, revision 1 is in force" in lines
    assert f"ok       password  {box.place}/password" in lines
    assert any(
        line.startswith(f"ok       secret stream-key  {box.secrets}/stream-key, goes wherever")
        for line in lines
    )
    assert any(re.match(rf"ok +recordings  {box.recordings}, .* GiB are free", x) for x in lines)
    assert any(line.startswith("ok       broker") for line in lines)
    assert not list(box.recordings.iterdir()), "looking leaves nothing"
    assert not (box.state / "lock").exists()


def shut_settings(box: Box) -> str:
    box.settings.chmod(0o600)
    return rf"settings  {box.settings} cannot be read"


def shut_directory_of_settings(box: Box) -> str:
    hidden = box.place / "hidden"
    hidden.mkdir(mode=0o700)
    box.settings.rename(hidden / "agent.toml")
    box.environment.write_text(f"FLEET_SETTINGS={hidden}/agent.toml\n")
    return rf"settings  {hidden}/agent.toml cannot be read"


def shut_password(box: Box) -> str:
    (box.place / "password").chmod(0o600)
    return rf"broker  the password file {box.place}/password cannot be read"


def shut_ca_file(box: Box) -> str:
    ca = box.write("ca.pem", "", 0o600)
    with box.environment.open("a") as file:
        file.write(f"SSL_CERT_FILE='{ca}'\nFLEET_BROKER=\"mqtts://127.0.0.1\"\n")
    return rf"broker  the CA file {ca} .*cannot be read: Permission denied"


def shut_secret(box: Box) -> str:
    box.wants({"stream": {"main": SECRET}})
    os.chown(box.secrets / "stream-key", 0, 0)
    return "secret stream-key  .*cannot be read"


def secret_for_all(box: Box) -> str:
    box.wants({"stream": {"main": SECRET}})
    (box.secrets / "stream-key").chmod(0o644)
    return "secret stream-key  .*chmod 600"


def shut_secrets(box: Box) -> str:
    box.wants({"stream": {"main": SECRET}})
    box.secrets.chmod(0o700)
    return rf"secrets  {box.secrets} cannot be read by nobody"


def roots_recordings(box: Box) -> str:
    os.chown(box.recordings, 0, 0)
    return rf"recordings  nobody cannot write to {box.recordings} \(permission denied\)"


def no_recordings(box: Box) -> str:
    box.recordings.rmdir()
    return rf"recordings  nobody cannot write to {box.place} \(permission denied\)"


def no_disk(box: Box) -> str:
    with box.settings.open("a") as file:
        file.write("recordings_mount = true\n")
    return rf"recordings  no disk is mounted at {box.recordings}"


def roots_state(box: Box) -> str:
    os.chown(box.state, 0, 0)
    return rf"state  {box.state} may not be read and written by nobody: chown -R nobody:"


def state_that_cannot_be_made(box: Box) -> str:
    box.state.rmdir()
    return rf"state  {box.state} cannot be made by nobody"


def roots_lock(box: Box) -> str:
    lock = box.write("state/lock", "1\n", 0o600)
    return rf"state  {lock} may not be read and written by nobody: chown -R nobody: {box.state}"


def roots_instance(box: Box) -> str:
    (box.state / "instances/record/main").mkdir(parents=True)
    return rf"state  {box.state}/instances may not be"


def shut_program(box: Box) -> str:
    box.program.chmod(0o700)
    return rf"program  {box.program} cannot be run by nobody"


def shut_roles(box: Box) -> str:
    with box.settings.open("a") as file:
        file.write(f'roles_dir = "{box.roles}"\n')
    box.roles.chmod(0o700)
    return rf"roles_dir  {box.roles} cannot be read by nobody"


def no_user(box: Box) -> str:
    box.unit.write_text(box.unit.read_text().replace("User=nobody", "User=no-such-user"))
    return "service  the unit .* cannot start: there is no user no-such-user"


def no_environment_file(box: Box) -> str:
    box.unit.write_text(box.unit.read_text().replace("EnvironmentFile=-", "EnvironmentFile="))
    box.environment.unlink()
    return rf"service  .*environment file {box.environment} cannot be read"


@pytest.mark.parametrize(
    "harm",
    [
        shut_settings,
        shut_directory_of_settings,
        shut_password,
        shut_ca_file,
        shut_secret,
        secret_for_all,
        shut_secrets,
        roots_recordings,
        no_recordings,
        no_disk,
        roots_state,
        state_that_cannot_be_made,
        roots_lock,
        roots_instance,
        shut_program,
        shut_roles,
        no_user,
        no_environment_file,
    ],
    ids=lambda harm: harm.__name__,
)
def test_what_the_service_cannot_use_is_missing(box: Box, harm: Callable[[Box], str]) -> None:
    expected = harm(box)
    done = box.check()
    assert any(re.match(expected, line) for line in done.missing()), done.lines
    assert done.status == 1


def test_somebody_else_is_told_that_he_may_see_other_things(box: Box) -> None:
    done = box.check("--settings", str(box.settings), user=1)
    assert done.lines[0] == (
        "unsure   user  run by daemon, but the service runs as nobody, whose rights differ: "
        "sudo fleet-agent check"
    )
    assert done.status == 1, "what it may not read itself is missing"


def test_the_services_user_sees_its_environment_and_is_told_of_its_groups(
    box: Box, broker: Mosquitto
) -> None:
    box.reports_to(broker)
    done = box.check(user=NOBODY)
    assert done.missing() == []
    assert "but without its groups audio, video: sudo fleet-agent check" in done.lines[0]
    assert f"ok       settings  {box.settings}" in done.lines


def test_where_no_service_is_installed_it_says_whose_eyes_it_has(
    box: Box, broker: Mosquitto
) -> None:
    box.unit.unlink()
    done = box.check("--settings", str(box.settings), "--broker", broker.url)
    assert done.missing() == []
    text = "unsure   user  run by root, but the agent's files belong to nobody"
    assert any(line.startswith(text) for line in done.lines)


async def test_a_state_directory_that_another_agent_has_lets_no_service_start(
    box: Box, broker: Mosquitto, programs: Programs, stranger: Stranger
) -> None:
    running = programs.start(
        *("fleet-agent", "run", "--broker", broker.url, "--settings", str(box.settings)),
    )
    await stranger.expect("fleet/v1/station/b1/presence", lambda p: p["state"] == "online")
    for path in (box.state, *box.state.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    done = box.check()
    assert any(f"in use by process {running.pid}, which is not the" in x for x in done.missing())
    box.unit.unlink()
    done = box.check("--settings", str(box.settings))
    assert done.missing() == []
    assert any(f"in use by the agent that runs (process {running.pid})" in x for x in done.lines)


def test_a_device_that_the_service_may_not_open_is_missing(box: Box) -> None:
    for name in ("dev/v4l/by-id", "sys/class/video4linux/video0", "proc/asound/card1/pcm0c"):
        (box.place / name).mkdir(parents=True)
    box.write("dev/video0", "", 0o600)
    (box.place / "dev/v4l/by-id/usb-Cam-index0").symlink_to("../../video0")
    box.write("proc/asound/cards", " 1 [CODEC          ]: USB-Audio - USB Audio CODEC\n")
    (box.place / "proc/asound/CODEC").symlink_to("card1")
    (box.place / "dev/snd").mkdir()
    box.write("dev/snd/pcmC1D0c", "", 0o666)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setuid(NOBODY)
        found = [f"{one.verdict} {one.text}" for one in check.devices(box.place)]
        os.write(write, "\n".join(found).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    _, camera, sound = os.read(read, 65536).decode().splitlines()
    os.close(read)
    os.close(write)
    assert camera.startswith("missing")
    assert f"{box.place}/dev/video0 may not be opened by nobody: usermod -a -G video" in camera
    assert sound.startswith("ok")


def test_the_unit_is_read_as_systemd_reads_it(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"/nowhere:{box.units}")
    (box.units / "fleet-agent.service.d").mkdir()
    more = box.write(
        "more.env", "# a comment\nFLEET_STATION = 'b2'\nFLEET_PREFIX=a b\n\nnonsense\n", 0o600
    )
    box.write(
        "units/fleet-agent.service.d/50-more.conf",
        f'[Service]\nEnvironmentFile={more}\nEnvironment="A=1 2" FLEET_PASSWORD_FILE=%d/password\n'
        f"LoadCredential=password:/etc/x\nSupplementaryGroups=\nSupplementaryGroups=cdrom\n"
        f"ExecStart=\nExecStart=fleet-agent run \\\n  --prefix other\n",
    )
    found = service.installed()
    assert found is not None
    assert found.user.pw_name == "nobody"
    assert found.environment["FLEET_STATION"] == "b2"
    assert found.environment["FLEET_PREFIX"] == "a b"
    assert found.environment["A"] == "1 2"
    credentials = "/run/credentials/fleet-agent.service"
    assert found.environment["FLEET_PASSWORD_FILE"] == f"{credentials}/password"
    assert found.environment["CREDENTIALS_DIRECTORY"] == credentials
    assert found.environment["STATE_DIRECTORY"] == "/var/lib/fleet-agent:/var/lib/fleet-recordings"
    assert found.flags == ("--prefix", "other")
    assert found.missing_groups() == ["cdrom", "nogroup"]

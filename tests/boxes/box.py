"""A bare Debian 12 with a live systemd, in a container: what an installation begins with."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import psutil

from tests.processes import ROOT, until

_INCLUDE: Final = "systemd,systemd-sysv,dbus"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
"""Those of this machine, which reaches the packages' sources by them."""


def bare(directory: Path) -> Path:
    """A Debian with nothing but systemd, which boxes are copies of; beside it what is committed
    here, to be cloned from."""
    repository = directory / "repository"
    subprocess.run(["git", "clone", "-q", "--bare", ROOT, repository], check=True)
    image = directory / "bare"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_INCLUDE}", "bookworm", image],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return image


def _hierarchies(*kinds: str) -> list[Path]:
    """Where cgroups of these kinds are mounted."""
    found = psutil.disk_partitions(all=True)
    return [Path(one.mountpoint) for one in found if one.fstype in kinds]


class Box:
    """One machine; it shares the network of this one, and so its card's address too."""

    def __init__(self, name: str, image: Path, directory: Path) -> None:
        self.name = name
        self.root = directory / name
        subprocess.run(["cp", "-a", "--reflink=auto", image, self.root], check=True)
        shutil.copy(_CERTIFICATES, self.root / "root/ca.crt")
        (self.root / "etc/hostname").write_text(f"{name}\n")
        self._log = directory / f"{name}.log"
        # Boxes that were started in one cgroup would take the services of each other for their own.
        self._cgroup = f"box-{os.getpid()}-{name}"
        (self._tree,) = _hierarchies("cgroup2")
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    async def boot(self) -> None:
        """Switch it on, and wait until all its services are up."""
        self._switch_on()
        self._init = await until(self._first_process, 30, f"the start of {self.name}")
        await until(
            lambda: self.run("systemctl is-system-running || true").strip() == "running",
            60,
            f"{self.name} with all services up",
        )

    def _switch_on(self) -> None:
        cgroup = self._tree / self._cgroup
        cgroup.mkdir()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup / "cgroup.procs"),
                    *("systemd-nspawn", "--quiet", "-D", self.root, f"--machine={self.name}"),
                    *("--register=no", "--keep-unit", "--boot", "--console=pipe"),
                    f"--bind-ro={self.root.parent / 'repository'}:/repository",
                ],
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _first_process(self) -> int:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        for child in psutil.Process(self._process.pid).children(recursive=True):
            if child.name() == "systemd":
                return child.pid
        return 0

    def run(self, command: str, check: bool = True) -> str:
        """What `command` prints, stderr too; typed by root in a shell."""
        done = subprocess.run(
            [
                *("nsenter", "-t", str(self._init), "-m", "-p", "-u", "-i", "--"),
                *("env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C", "PIP_CERT=/root/ca.crt"),
                *("PIP_DEFAULT_TIMEOUT=180", "sh", "-c", command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {shlex.quote(command)} failed:\n{done.stdout}")
        return done.stdout

    def journal(self) -> str:
        """What its services and systemd last said of them; it may be off."""
        units = ("fleet-agent", "fleet-manager", "fleet-smart", "fleet-renew", "mosquitto")
        command = ["journalctl", "--quiet", "--no-pager", "--output=short-precise", "--lines=200"]
        command += [f"--unit={unit}" for unit in units]
        command.append(f"--directory={self.root / 'var/log/journal'}")
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        return said.stdout + said.stderr

    async def cut_power(self) -> None:
        """It is off, between two instructions."""
        process, self._process = self._process, None
        assert process is not None
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()
        events = self._tree / self._cgroup / "cgroup.events"
        await until(lambda: "populated 0" in events.read_text(), 10, f"the end of {self.name}")
        self._forget_cgroups()

    def _forget_cgroups(self) -> None:
        for hierarchy in _hierarchies("cgroup", "cgroup2"):
            for place, _, _ in os.walk(hierarchy / self._cgroup, topdown=False):
                Path(place).rmdir()

    async def switch_off(self) -> None:
        """Shut it down, if it is on; one that does not want to loses its power."""
        process = self._process
        if process is None:
            return
        try:
            if process.poll() is None:
                self.run("systemctl poweroff", check=False)
                await until(lambda: process.poll() is not None, 100, f"the end of {self.name}")
        finally:
            await self.cut_power()

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


class Box:
    """One machine; it shares the network of this one, and so its card's address too."""

    def __init__(self, name: str, image: Path, directory: Path) -> None:
        self.name = name
        self.root = directory / name
        subprocess.run(["cp", "-a", "--reflink=auto", image, self.root], check=True)
        shutil.copy(_CERTIFICATES, self.root / "root/ca.crt")
        (self.root / "etc/hostname").write_text(f"{name}\n")
        self._log = directory / f"{name}.log"
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
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
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

    def cut_power(self) -> None:
        """It is off, between two instructions."""
        assert self._process is not None
        for process in psutil.Process(self._process.pid).children(recursive=True):
            process.kill()
        self._process.kill()
        self._process.wait()

    async def switch_off(self) -> None:
        """Shut it down, if it is on; one that does not want to loses its power."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            self.run("systemctl poweroff", check=False)
            await until(lambda: process.poll() is not None, 100, f"the end of {self.name}")
        finally:
            if process.poll() is None:
                self.cut_power()

"""A real PostgreSQL for tests: a cluster of its own in a directory of its own, ended with them."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.processes import PATIENCE, argv_of, free_port

_BINARIES = Path("/usr/lib/postgresql")
_NEW = ("-U", "fleet", "-A", "trust", "-N", "-E", "UTF8", "--locale", "C", "--wal-segsize", "1")
MISSING = "the tests need a real PostgreSQL: apt install postgresql"


def binaries() -> Path | None:
    """Where Debian keeps initdb and postgres; the newest version, None without any."""
    found = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """A server; each test makes a database of its own."""

    def __init__(self, directory: Path, port: int, pid: int) -> None:
        self._directory = directory
        self._port = port
        self._pid = pid
        self._count = 0

    @contextmanager
    def stopped(self, *, wholly: bool = True) -> Iterator[None]:
        """While inside, nothing of it runs (or only its backends do not) and nothing is closed."""
        server = psutil.Process(self._pid)
        found = server.children(recursive=True)
        if not wholly:
            found = [one for one in found if " fleet " in " ".join(argv_of(one))]
        else:
            found.insert(0, server)
        assert found
        for one in found:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        try:
            yield
        finally:
            for one in found:
                with suppress(psutil.NoSuchProcess):
                    one.resume()

    def database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        self._count += 1
        name = f"fleet{self._count}"
        where = f"host={self._directory} port={self._port} user=fleet dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://fleet@/{name}?host={self._directory}&port={self._port}"


def initialise(cluster: Path) -> None:
    """Make a cluster there, to be copied: it takes several times as long as a copy."""
    with _directory() as directory:
        made = subprocess.run(
            [*_other(), str(_found() / "initdb"), *("-D", str(directory / "data")), *_NEW],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert made.returncode == 0, made.stderr
        shutil.move(directory / "data", cluster)


@contextmanager
def serve(cluster: Path) -> Iterator[Postgres]:
    """A copy of that cluster, which only its socket's directory leads to."""
    with _directory() as directory:
        subprocess.run(["cp", "-a", str(cluster), str(directory / "data")], check=True)
        yield from _serve(directory)


def _found() -> Path:
    found = binaries()
    assert found is not None, MISSING
    return found


def _other() -> list[str]:
    """The server refuses to be root."""
    if os.geteuid():
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def _directory() -> Iterator[Path]:
    """Not pytest's: who is not root cannot enter that."""
    directory = Path(tempfile.mkdtemp(prefix="fleet-postgres-"))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(directory, user.pw_uid, user.pw_gid)
        yield directory
    finally:
        shutil.rmtree(directory)


def _serve(directory: Path) -> Iterator[Postgres]:
    found, other = _found(), _other()
    data, log, port = directory / "data", directory / "log", free_port()
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(directory),
        "port": str(port),
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "shared_buffers": "16MB",
    }
    options = [f"-c{name}={value}" for name, value in settings.items()]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*other, str(found / "postgres"), "-D", str(data), *options],
            stdout=output,
            stderr=output,
            cwd="/",
        )
    try:
        _until_ready(process, found, directory, port, log)
        yield Postgres(directory, port, process.pid)
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown: it waits for no client
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(
    process: "subprocess.Popen[bytes]", found: Path, directory: Path, port: int, log: Path
) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        asked = [str(found / "pg_isready"), "-q", "-h", str(directory), "-p", str(port)]
        if subprocess.run([*asked, "-t", "1"], check=False).returncode == 0:
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"PostgreSQL does not start: {log.read_text()}")

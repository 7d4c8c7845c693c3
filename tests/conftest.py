"""Real parts for every test: broker, programs, a stranger's client. A missing one ends the run."""

import fcntl
import gc
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.manager.postgres import binaries
from tests.processes import Mosquitto, Programs, acquaint
from tests.stranger import Stranger

_NEEDED = {
    "mosquitto": "mosquitto",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "systemd-analyze": "systemd",
    "gst-launch-1.0": "gstreamer1.0-tools",
    "icecast2": "icecast2",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "docker-compose": "docker-compose",
    "zsh": "zsh",
    "fish": "fish",
    "openssl": "openssl",
    "faketime": "faketime",
    "Xvfb": "xvfb",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}
_WAITED_FOR = ("agent", "broker", "brokers", "browser", "postgres", "programs", "run", "server")
"""Fixtures of tests that wait for programs more than they compute."""
_PAGE = "tests/page/"
_programs = pytest.StashKey[Programs]()

# The machine is shared: time is no promise. Only who runs for long tries his luck with examples.
settings.register_profile("usual", deadline=None, derandomize=True)
settings.register_profile("long", deadline=None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs beside it
    signal.signal(signal.SIGINT, signal.default_int_handler)
gc.disable()  # what is collected stays: to look through it again and again finds nothing


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="kill at random for as long as it takes")
    parser.addoption("--rounds", type=int, help="how many rounds of faults; 20 if --long, else 2")
    parser.addoption("--seed", type=int, default=20260201, help="which faults there are")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "usual")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones begin first, and the quickest come last, so that all workers end together.

    Those that compute (media) go beside those that wait (for a broker and programs). Those that
    need the browser are one after the other (see `OneBrowser`), so the first begins soon.
    """
    kinds: dict[str, list[pytest.Item]] = {"media": [], "waits": [], "quick": []}
    for item in sorted(items, key=_begins_late):
        used = set(getattr(item, "fixturenames", ()))
        waits = item.get_closest_marker("long") or not used.isdisjoint(_WAITED_FOR)
        kinds["media" if "make_host" in used else "waits" if waits else "quick"].append(item)
    items[:] = _mixed(kinds["media"], kinds["waits"]) + kinds["quick"]


def _begins_late(item: pytest.Item) -> tuple[bool, bool]:
    used = getattr(item, "fixturenames", ())
    return item.get_closest_marker("long") is None, "browser" not in used


def _mixed(some: list[pytest.Item], others: list[pytest.Item]) -> list[pytest.Item]:
    """Both, each in its order, and spread over the whole."""
    placed = [
        ((at + 0.5) / len(one), item) for one in (some, others) for at, item in enumerate(one)
    ]
    return [item for _, item in sorted(placed, key=lambda one: one[0])]


class OneBrowser(LoadScopeScheduling):  # type: ignore[misc]
    """Gives out test by test, but those of the page to one worker: each Chromium is dear."""

    def _split_scope(self, nodeid: str) -> str:
        return _PAGE if nodeid.startswith(_PAGE) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneBrowser:
    config.option.loadscopereorder = False  # the order is ours
    return OneBrowser(config, log)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionstart() -> None:
    lacking = {package for tool, package in _NEEDED.items() if not shutil.which(tool)}
    if binaries() is None:
        lacking.add("postgresql")
    missing = sorted(lacking)
    if missing:
        names = " ".join(missing)
        pytest.exit(f"the tests need real parts: apt install {names}", returncode=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    programs = item.stash.get(_programs, None)
    if programs is not None and report.failed:  # type: ignore[attr-defined]
        for log in sorted(programs.directory.glob("*.log")):
            text = log.read_text(errors="replace")
            report.sections.append((log.name, text[-20_000:]))  # type: ignore[attr-defined]
    return report


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether a test that tries its luck may do so for long."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all who run these tests at once share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def once(together: Path) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once("film.ts", make)`: a file that `make` writes for the first who wants it."""

    def made(name: str, make: Callable[[Path], object]) -> Path:
        file, half = together / name, together / f"half-{name}"
        with (together / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                make(half)
                half.rename(file)
        return file

    return made


@pytest.fixture(scope="session", autouse=True)
def no_traces(tmp_path_factory: pytest.TempPathFactory, together: Path) -> Iterator[None]:
    """What programs keep for themselves goes with the tests; GStreamer looks around but once."""
    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(path))
        patch.setenv("GST_REGISTRY", str(together / "gstreamer.bin"))
        with (together / "gstreamer.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.run(["gst-inspect-1.0", "identity"], capture_output=True, check=True)
        acquaint(path)
        patch.setenv("GST_REGISTRY_UPDATE", "no")  # each home of a test's own would make it look
        yield
    # libfaketime keeps shared memory for ever of a process that was killed.
    for kept in Path("/dev/shm").glob("*faketime_s*_*"):
        if not psutil.pid_exists(int(kept.name.rpartition("_")[2])):
            kept.unlink(missing_ok=True)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Callable[[str], Mosquitto]]:
    """Start a broker with a configuration of its own (`{port}` is put in)."""
    started: list[Mosquitto] = []

    def start(config: str) -> Mosquitto:
        directory = tmp_path / f"broker-{len(started)}"
        directory.mkdir()
        started.append(Mosquitto(directory, config))
        started[-1].start()
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker as the repository configures it; `broker.stop()`, `broker.start()`."""
    mosquitto = Mosquitto(tmp_path)
    mosquitto.start()
    yield mosquitto
    mosquitto.stop()


@pytest.fixture
async def stranger(broker: Mosquitto) -> AsyncIterator[Stranger]:
    """An independent client that hears everything under `fleet/v1/`."""
    async with Stranger(broker.port, "fleet/v1/#") as client:
        yield client


@pytest.fixture
def programs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Programs]:
    """Starts `fleet-agent` and `fleet-manager`; shows their logs when the test fails."""
    started = Programs(tmp_path)
    request.node.stash[_programs] = started
    yield started
    started.end()

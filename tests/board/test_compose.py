"""The containers' description is valid, and what it starts is started here with real programs.

There is no container engine where these tests run: images are not pulled and the Dockerfile is
not built, but every file that is mounted exists and every command line is run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import ROOT, Mosquitto, free_port, until

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def mounts(service: str) -> dict[str, Path]:
    """Path in the container -> file or directory of the repository."""
    volumes = [volume.split(":") for volume in SERVICES[service].get("volumes", [])]
    return {inside: ROOT / outside for outside, inside, *_ in volumes if outside[0] == "."}


def test_it_satisfies_the_compose_schema() -> None:
    done = subprocess.run(
        ["docker-compose", "-f", str(ROOT / "compose.yaml"), "config", "-q"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_everything_mounted_is_there(service: str) -> None:
    for volume in SERVICES[service].get("volumes", []):
        outside, inside, *_ = volume.split(":")
        assert inside.startswith("/")
        if outside.startswith("."):
            assert (ROOT / outside).exists(), outside
        else:
            assert outside in COMPOSE["volumes"]


def test_ports_are_open_to_this_machine_alone() -> None:
    for name, service in SERVICES.items():
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), name


def test_services_find_each_other_by_name() -> None:
    prometheus = (ROOT / "prometheus/prometheus.yml").read_text()
    source = (ROOT / "grafana/provisioning/datasources/fleet.yml").read_text()
    hosts = re.findall(r'"(\w+):\d+"', prometheus) + re.findall(r"http://(\w+):", source)
    hosts += re.findall(r"mqtt://(\w+):", json.dumps(SERVICES))
    assert set(hosts) == {"manager", "alertmanager", "prometheus", "broker"}
    assert set(hosts) <= SERVICES.keys()


def test_boards_are_provisioned_from_where_they_are_mounted() -> None:
    inside = mounts("grafana")
    providers = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/fleet.yml").read_text())
    (provider,) = providers["providers"]
    assert inside[provider["options"]["path"]] == ROOT / "grafana/dashboards"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (inside[str(Path(home).parent)] / Path(home).name).exists()


def test_the_image_is_made_of_files_that_are_there_and_runs_what_compose_runs() -> None:
    ignored = (ROOT / ".dockerignore").read_text()
    for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored.splitlines(), source
    command = json.loads(re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[-1])
    assert command == SERVICES["manager"]["command"]
    assert 'ENTRYPOINT ["fleet-manager"]' in DOCKERFILE


def dockerfile(instruction: str) -> list[str]:
    """What follows each of them, lines joined."""
    text = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.+)$", text, re.MULTILINE)


def test_the_image_takes_what_was_tested_by_its_hashes_and_nothing_else() -> None:
    download, install = (line for line in dockerfile("RUN") if "pip" in line)
    assert "--require-hashes" in download
    assert "--only-binary=:all:" in download, "the image has no compiler"
    assert "--no-index" in install


async def test_what_the_image_is_made_of_is_a_manager_that_serves_and_is_checked(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """The files of `COPY` alone, installed elsewhere, with the image's own command and check."""
    source, site = tmp_path / "src", tmp_path / "site"
    source.mkdir()
    for line in dockerfile("COPY"):
        for name in line.split()[:-1]:
            if name.startswith(("--", "/")):
                continue  # of the stage before
            path = ROOT / name
            unseen = shutil.ignore_patterns("__pycache__")
            if path.is_dir():
                shutil.copytree(path, source / name, ignore=unseen)
            else:
                shutil.copy(path, source)
    offline = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    pip = [sys.executable, "-m", "pip", "install", *offline, "--target", str(site), str(source)]
    subprocess.run(pip, check=True)  # noqa: ASYNC221 (nothing else runs yet)
    ports = {9700: free_port(), 1883: int(broker.url.rpartition(":")[2])}
    run = [_moved(word, ports) for word in json.loads(dockerfile("CMD")[-1])]
    run = [word.replace("/var/lib/fleet", str(tmp_path / "state")) for word in run]
    check = [word.replace("9700", str(ports[9700])) for word in json.loads(_healthcheck())]
    check[0] = sys.executable
    environment = {"PYTHONPATH": str(site), "PATH": os.environ["PATH"]}
    argv = [str(site / "bin" / "fleet-manager"), *run]
    where = [sys.executable, "-P", "-c", "import fleet; print(fleet.__file__)"]
    found = subprocess.run(where, env=environment, capture_output=True, text=True)  # noqa: ASYNC221
    assert found.stdout.startswith(str(site)), "not the files of the checkout"

    def healthy() -> bool:
        return subprocess.run(check, stderr=subprocess.DEVNULL).returncode == 0

    assert not healthy(), "nothing runs yet"
    with running(argv, tmp_path / "manager.log", environment):
        await until(healthy, what="a healthy container")
        for served in ("/", "/page/style.css", "/page/page.js", "/page/icon.svg", "/metrics"):
            assert answer(f"http://127.0.0.1:{ports[9700]}{served}"), served
        broker.stop()
        await until(lambda: not healthy(), what="a container that is not healthy")


def _healthcheck() -> str:
    (line,) = dockerfile("HEALTHCHECK")
    return line.partition("CMD ")[2]


def test_its_broker_is_the_configured_one_but_for_who_may_come() -> None:
    def settings(name: str) -> set[str]:
        lines = (ROOT / "mosquitto" / name).read_text().splitlines()
        return {line for line in lines if line and not line.startswith("#")}

    access = {"listener 1883", "allow_anonymous true"}
    assert settings("container.conf") - access <= settings("mosquitto.conf")


def command(service: str, directory: Path, ports: dict[int, int]) -> list[str]:
    """As compose runs it, with paths, hosts and ports of this machine."""
    here: dict[str, Path] = {}
    for inside, outside in mounts(service).items():
        here[inside] = directory / Path(inside).name
        here[inside].write_text(_moved(outside.read_text(), ports))
    for volume in SERVICES[service].get("volumes", []):
        outside, inside, *_ = volume.split(":")
        if inside not in here:
            here[inside] = directory / outside
            here[inside].mkdir()
    paths = "|".join(sorted(map(re.escape, here), key=len, reverse=True))
    return [
        _moved(re.sub(paths, lambda found: str(here[found[0]]), word), ports)
        for word in SERVICES[service]["command"]
    ]


def _moved(text: str, ports: dict[int, int]) -> str:
    for port, free in ports.items():
        text = text.replace(f"listener {port}", f"listener {free} 127.0.0.1")
        text = re.sub(rf"\b[\w.]+:{port}\b", f"127.0.0.1:{free}", text)
    return text


@contextmanager
def running(argv: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(60)


def answer(url: str) -> str:
    """The body, or nothing where there is no good answer yet."""
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 (ours)
            text: str = reply.read().decode()
            return text
    except OSError:
        return ""


async def test_every_command_line_runs_and_they_find_each_other(tmp_path: Path) -> None:
    ports = {port: free_port() for port in (1883, 9700, 9090, 9093)}
    at = {port: f"http://127.0.0.1:{free}" for port, free in ports.items()}
    fleet_manager = str(Path(sys.executable).with_name("fleet-manager"))
    prometheus = ["prometheus", *command("prometheus", tmp_path, ports)]
    alertmanager = ["prometheus-alertmanager", *command("alertmanager", tmp_path, ports)]
    prometheus.append(f"--web.listen-address=127.0.0.1:{ports[9090]}")
    # What fires before the Alertmanager is discovered would be told again after a minute.
    prometheus.append("--rules.alert.resend-delay=1s")
    alertmanager += [f"--web.listen-address=127.0.0.1:{ports[9093]}", "--cluster.listen-address="]
    with (
        running(command("broker", tmp_path, ports), tmp_path / "broker.log"),
        running([fleet_manager, *command("manager", tmp_path, ports)], tmp_path / "manager.log"),
        running(prometheus, tmp_path / "prometheus.log"),
        running(alertmanager, tmp_path / "alertmanager.log"),
    ):
        await until(lambda: answer(f"{at[9700]}/healthz"), what="a healthy manager")
        up = "/api/v1/query?query=fleet_manager_broker_connected%3D%3D1"
        await until(lambda: "fleet-manager" in answer(at[9090] + up), what="the manager's metrics")
        told = f"{at[9093]}/api/v2/alerts"
        await until(lambda: "Watchdog" in answer(told), what="alerts in the Alertmanager")

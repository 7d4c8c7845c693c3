"""The containers' description is valid, and what it starts is started here with real programs.

There is no container engine where these tests run: images are not pulled and the Dockerfile is
not built, but every file that is mounted exists and every command line is run.
"""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import ROOT, free_port, until

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
def running(argv: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(10)


def answer(url: str) -> str:
    """The body, or nothing where there is no good answer yet."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 (ours)
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
        await until(lambda: "fleet-manager" in answer(at[9090] + up), 30, "the manager's metrics")
        told = f"{at[9093]}/api/v2/alerts"
        await until(lambda: "Watchdog" in answer(told), 30, "alerts in the Alertmanager")

"""A real Alertmanager holds back what follows from something else."""

import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, free_port, until

CORE = {"alertname": "CoreLost", "severity": "critical"}
LOST = {"alertname": "StationLost", "severity": "critical", "room": "hall1", "station": "a"}
STREAM = LOST | {"alertname": "StreamDown", "role": "stream", "role_instance": "main"}
ELSEWHERE = STREAM | {"room": "hall2", "station": "b"}
FAILED = {
    "alertname": "CaptureFailed",
    "severity": "critical",
    "room": "hall1",
    "station": "a",
    "role": "record",
    "role_instance": "main",
}
STILL = FAILED | {"alertname": "RecordingNotGrowing"}
OTHER = STILL | {"role_instance": "spare"}


class Alertmanager:
    def __init__(self, directory: Path) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/api/v2/alerts"
        with (directory / "alertmanager.log").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    "prometheus-alertmanager",
                    f"--config.file={ROOT / 'prometheus/alertmanager.yml'}",
                    f"--storage.path={directory / 'alertmanager'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--cluster.listen-address=",
                ],
                stdout=output,
                stderr=output,
            )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def ask(self, alerts: list[dict[str, str]] | None = None) -> Any:
        """What it knows; `alerts` are told to it."""
        data = None if alerts is None else json.dumps([{"labels": one} for one in alerts]).encode()
        request = urllib.request.Request(  # noqa: S310 (ours)
            self._url, data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310 (ours)
                return json.loads(reply.read() or "true")
        except OSError:
            return None

    def held_back(self) -> dict[tuple[str, ...], bool] | None:
        """Alert (name, station, instance) -> whether nobody is told, once all are processed."""
        known = self.ask()
        if any(one["status"]["state"] == "unprocessed" for one in known):
            return None
        return {
            tuple(one["labels"].get(k, "") for k in ("alertname", "station", "role_instance")):
            bool(one["status"]["inhibitedBy"])
            for one in known
        }  # fmt: skip


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    server = Alertmanager(tmp_path)
    try:
        await until(lambda: server.ask() is not None, what="the Alertmanager")
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("alerts", "held_back"),
    [
        pytest.param(
            [CORE, LOST, ELSEWHERE], {"StationLost", "StreamDown"}, id="the core holds back rooms"
        ),
        pytest.param([LOST, STREAM, ELSEWHERE], {"StreamDown"}, id="a lost box, what it does not"),
        pytest.param([FAILED, STILL, OTHER], {"RecordingNotGrowing"}, id="failed, not growing"),
        pytest.param([STREAM, STILL], set(), id="two faults are two"),
    ],
)
async def test_what_follows_from_something_else_is_held_back(
    alertmanager: Alertmanager, alerts: list[dict[str, str]], held_back: set[str]
) -> None:
    alertmanager.ask(alerts)
    known = await until(alertmanager.held_back, 30, "all alerts processed")
    assert len(known) == len(alerts)
    assert {name for (name, *_), held in known.items() if held} == held_back
    assert not known.get(("StreamDown", "b", "main"), False) or CORE in alerts
    assert not known.get(("RecordingNotGrowing", "a", "spare"), False)

"""A real Alertmanager calls once for a room, and holds back what follows from something else."""

import json
import re
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
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


WATCHDOG = {"alertname": "Watchdog", "severity": "none"}


class Called:
    """Where the receivers of `alertmanager.yml` send to; what came, by receiver."""

    def __init__(self) -> None:
        self.came: dict[str, list[dict[str, Any]]] = {"page": [], "alive": [], "manager": []}
        came = self.came

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                came[self.path.strip("/")].append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def pages(self) -> dict[str, list[tuple[str, str]]]:
        """Room, or the alert where it is of none -> name and station of what was told last."""
        told: dict[str, list[tuple[str, str]]] = {}
        for message in self.came["page"]:
            (group,) = message["groupLabels"].values()
            told[group] = sorted(
                (one["labels"]["alertname"], one["labels"].get("station", ""))
                for one in message["alerts"]
                if one["status"] == "firing"
            )
        return told

    async def beats(self, more: int) -> None:
        """Wait for so many more signs of life: each comes after every other route had its turn."""
        heard = len(self.came["alive"])
        await until(lambda: len(self.came["alive"]) >= heard + more, what="signs of life")


class Alertmanager:
    """The repository's configuration; `called` gets what it sends, in seconds, not minutes."""

    def __init__(self, directory: Path, called: Called) -> None:
        port = free_port()
        text = (ROOT / "prometheus/alertmanager.yml").read_text()
        text = text.replace("127.0.0.1:9095", f"127.0.0.1:{called.port}")
        for name in ("page", "manager"):
            text = text.replace("manager:9700/alerts", f"127.0.0.1:{called.port}/{name}", 1)
        config = directory / "alertmanager.yml"
        config.write_text(re.sub(r"(group_wait|_interval): (30s|1m)", r"\1: 500ms", text))
        self._url = f"http://127.0.0.1:{port}/api/v2/alerts"
        with (directory / "alertmanager.log").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    "prometheus-alertmanager",
                    f"--config.file={config}",
                    f"--storage.path={directory / 'alertmanager'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--cluster.listen-address=",
                ],
                stdout=output,
                stderr=output,
            )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def ask(self, alerts: list[dict[str, str]] | None = None, over: bool = False) -> Any:
        """What it knows; `alerts` are told to it, or that they are over."""
        ends = {"endsAt": datetime.now(UTC).isoformat()} if over else {}
        told = [{"labels": one, **ends} for one in alerts or ()]
        data = None if alerts is None else json.dumps(told).encode()
        request = urllib.request.Request(  # noqa: S310 (ours)
            self._url, data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 (ours)
                return json.loads(reply.read() or "true")
        except OSError:
            return None

    def held_back(self) -> dict[tuple[str, ...], bool] | None:
        """Alert (name, station, instance) -> whether nobody is told, once all are processed."""
        known = self.ask()
        if any(one["status"]["state"] == "unprocessed" for one in known):
            return None
        return {identity(one["labels"]): bool(one["status"]["inhibitedBy"]) for one in known}


@pytest.fixture
def called() -> Iterator[Called]:
    receivers = Called()
    yield receivers
    receivers.stop()


@pytest.fixture
async def alertmanager(tmp_path: Path, called: Called) -> AsyncIterator[Alertmanager]:
    server = Alertmanager(tmp_path, called)
    try:
        await until(lambda: server.ask() is not None, what="the Alertmanager")
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("alerts", "held_back"),
    [
        pytest.param([CORE, LOST, ELSEWHERE], [LOST, ELSEWHERE], id="the core holds back rooms"),
        pytest.param([LOST, STREAM, ELSEWHERE], [STREAM], id="a lost box, what it does not"),
        pytest.param([FAILED, STILL, OTHER, STREAM], [STILL], id="failed, not growing, no more"),
    ],
)
async def test_what_follows_from_something_else_is_held_back(
    alertmanager: Alertmanager, alerts: list[dict[str, str]], held_back: list[dict[str, str]]
) -> None:
    alertmanager.ask(alerts)
    wanted = {identity(one): one in held_back for one in alerts}
    await until(lambda: alertmanager.held_back() == wanted, what=f"{wanted}")


def identity(labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(k, "") for k in ("alertname", "station", "role_instance"))


def of(room: str, station: str, alert: str, severity: str = "critical") -> dict[str, str]:
    labels = {"name": f"{room}-{station}", "where": "back wall", "seat": "cam"}
    own = {"alertname": alert, "severity": severity, "room": room, "station": station}
    return labels | own


async def test_alerts_of_one_room_are_one_message_and_what_only_colours_calls_nobody(
    alertmanager: Alertmanager, called: Called
) -> None:
    first = [of("hall1", "a", "RecordingNotGrowing"), of("hall1", "b", "CaptureFailed")]
    other, colour = of("hall2", "c", "StreamDown"), of("hall2", "c", "StationHot", "warning")
    alertmanager.ask([WATCHDOG, *first, other, colour])
    await called.beats(4)
    assert len(called.came["page"]) == 2
    assert called.pages() == {
        "hall1": [("CaptureFailed", "b"), ("RecordingNotGrowing", "a")],
        "hall2": [("StreamDown", "c")],
    }


async def test_a_lost_core_is_one_message_until_it_is_back_and_then_each_room_speaks_for_itself(
    alertmanager: Alertmanager, called: Called
) -> None:
    rooms = [of(f"hall{n}", str(n), "StationLost") for n in (1, 2, 3)]
    alertmanager.ask([WATCHDOG, CORE])
    await until(called.pages, what="the first call")
    alertmanager.ask([*rooms, of("hall1", "9", "StationMissing", "warning")])
    await called.beats(4)
    assert called.pages() == {"CoreLost": [("CoreLost", "")]}
    alertmanager.ask(rooms[1:], over=True)
    alertmanager.ask([CORE], over=True)
    await until(lambda: "hall1" in called.pages(), what="the room that is still lost")
    await called.beats(2)
    assert called.pages() == {"CoreLost": [], "hall1": [("StationLost", "1")]}


async def test_the_sign_of_life_comes_again_and_again_and_stops_with_prometheus(
    alertmanager: Alertmanager, called: Called
) -> None:
    alertmanager.ask([WATCHDOG])
    await called.beats(3)
    assert called.pages() == {}
    assert all(one["receiver"] == "dead-mans-switch" for one in called.came["alive"])
    alertmanager.ask([CORE | {"alertname": "ManagerSilent"}, WATCHDOG])
    await until(called.pages, what="a call")
    await called.beats(1)
    alertmanager.ask([WATCHDOG], over=True)  # as when nobody says it any more
    heard = 0
    for number in range(4):  # half a second each
        alertmanager.ask([of(f"hall{number}", "a", "StreamDown")])
        await until(lambda: len(called.pages()) == number + 2, what="another call")  # noqa: B023
        heard = heard or len(called.came["alive"])
    assert len(called.came["alive"]) == heard

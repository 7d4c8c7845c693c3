"""A real Prometheus on the repository's own configuration, asked over its API."""

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.processes import ROOT, free_port, until

RULES = ROOT / "prometheus/fleet.rules.yml"


def rules() -> list[dict[str, Any]]:
    """Every rule, in order."""
    groups = yaml.load(RULES.read_text(), yaml.CSafeLoader)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def hastily(expression: str) -> str:
    """With the time in which a file has to grow short."""
    return expression.replace("20s", "8s")


class Prometheus:
    """Scrapes `target`; `hasty`: every second, and alerts fire after one.

    `moment`: the Unix time that is asked about, None for now. Of a moment that is over it always
    says the same, whatever a busy machine makes of the next scrape.
    """

    moment: float | None = None

    def __init__(self, directory: Path, target: str, *, hasty: bool = True) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / "prometheus.log"
        text, alerts = (ROOT / "prometheus/prometheus.yml").read_text(), RULES.read_text()
        if hasty:
            text = re.sub(r"(scrape_interval|evaluation_interval): \w+", r"\1: 1s", text)
            text = text.replace("scrape_timeout: 4s", "scrape_timeout: 1s")
            alerts = hastily(re.sub(r"for: \w+", "for: 1s", alerts))
        text = text.replace('"manager:9700"', f'"{target}"').replace(
            "alertmanager:9093", "127.0.0.1:9"
        )
        (directory / "prometheus.yml").write_text(text)
        (directory / "fleet.rules.yml").write_text(alerts)
        self._argv = [
            "prometheus",
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """`ready` says when it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    async def ready(self) -> None:
        await until(self._is_ready, what=f"Prometheus ({self._log})")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=60):  # noqa: S310 (ours)
                return True
        except OSError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector (or a scalar as one sample); a parse error is an AssertionError."""
        when = {} if self.moment is None else {"time": self.moment}
        found = self._ask("query", query=expression, **when)
        result: list[dict[str, Any]] = found["result"]
        return [{"metric": {}, "value": result}] if found["resultType"] == "scalar" else result

    def now(self) -> float:
        """Its Unix time."""
        return float(self.query("time()")[0]["value"][0])

    def range(self, expression: str, seconds: float) -> list[dict[str, Any]]:
        """The matrix of the last seconds."""
        end = self.now()
        found = self._ask("query_range", query=expression, start=end - seconds, end=end, step="1s")
        result: list[dict[str, Any]] = found["result"]
        return result

    def firing(self) -> set[str]:
        """Names of alerts that fire."""
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def _ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 (ours)
                data: dict[str, Any] = json.load(reply)["data"]
                return data
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments['query']}: {error.read().decode()}") from None

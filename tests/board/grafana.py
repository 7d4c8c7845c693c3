"""With FLEET_GRAFANA_URL (`http://admin:admin@127.0.0.1:3000`) the boards are tried in there.

A name without a password is the token of a service account. It has to reach the test's Prometheus
on the loopback. What is loaded there is removed again.
"""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.board import boards

_SOURCE = {"type": "prometheus", "uid": "fleet-test"}


class Grafana:
    """Its HTTP API, as an admin of the organisation: editors may not make data sources."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        who, _, host = parts.netloc.rpartition("@")
        self._url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        name, colon, _ = (who or "admin:admin").partition(":")
        user = base64.b64encode(unquote(who or "admin:admin").encode()).decode()
        self._authorization = f"Basic {user}" if colon else f"Bearer {unquote(name)}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The reply; a refusal is an AssertionError with Grafana's words."""
        request = urllib.request.Request(  # noqa: S310 (the tester's own)
            f"{self._url}/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": self._authorization},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    @contextmanager
    def holding(self, prometheus: str) -> Iterator[None]:
        """With the boards and a data source for `prometheus` loaded."""
        source = {"name": "fleet test", "access": "proxy", "url": prometheus, **_SOURCE}
        self.ask("POST", "datasources", source)
        loaded = []
        try:
            for uid, board in boards.every_board().items():
                mine = board | {"uid": f"{uid}-test", "title": f"{board['title']} (test)"}
                self.ask("POST", "dashboards/db", {"dashboard": mine, "overwrite": True})
                loaded.append(mine["uid"])
            yield
        finally:
            for uid in loaded:
                self.ask("DELETE", f"dashboards/uid/{uid}")
            self.ask("DELETE", f"datasources/uid/{_SOURCE['uid']}")

    def every_panel_has_data(self, chosen: Callable[[str], str]) -> None:
        """Ask each query of each panel as it was loaded; `chosen` puts the variables in."""
        wrong = []
        for uid in boards.every_board():
            board = self.ask("GET", f"dashboards/uid/{uid}-test")["dashboard"]
            for panel in boards.panels(board):
                for target in panel["targets"]:
                    query = target | {"datasource": _SOURCE, "expr": chosen(target["expr"])}
                    if why := self._why_empty(query):
                        wrong.append(f"{uid}, {panel['title']}: {query['expr']}: {why}")
        assert not wrong, "\n".join(wrong)

    def _why_empty(self, query: Mapping[str, Any]) -> str | None:
        asked = {**query, "intervalMs": 1000, "maxDataPoints": 100}
        body = {"queries": [asked], "from": "now-1m", "to": "now"}
        try:
            result = self.ask("POST", "ds/query", body)["results"][query["refId"]]
        except AssertionError as refused:
            return str(refused)
        values = [frame["data"]["values"] for frame in result.get("frames", [])]
        return None if any(map(any, values)) else result.get("error", "no data")

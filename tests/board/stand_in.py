"""A stand-in for a Grafana server: it is none, and shows nothing.

It keeps to the documented forms of the few requests that `grafana.py` makes, and refuses what
departs from them, so that this code is known to run where there is no Grafana. What a Grafana
makes of the boards it cannot tell.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from attrs import define, field

USER, PASSWORD, TOKEN = "ann", "s:e/c", "glsa_token"
_WHO = {
    "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    f"Bearer {TOKEN}",
}
Reply = tuple[int, Any]


@define
class StandIn:
    """`answer`: PromQL -> the values of its one series, [] for none; ValueError refuses it."""

    answer: Callable[[str], list[float]]
    sources: dict[str, Any] = field(factory=dict)
    boards: dict[str, Any] = field(factory=dict)
    loaded: list[str] = field(factory=list)
    """The uid of each board that was ever loaded."""
    asked: list[str] = field(factory=list)
    port: int = 0

    @property
    def host(self) -> str:
        """With the path under which it is served."""
        return f"127.0.0.1:{self.port}/grafana/"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """On the loopback, at `host`."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = server.server_port
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def reply(self, method: str, path: str, body: Any) -> Reply:
        """To a request of somebody who may do it."""
        match method, path.split("/"):
            case "POST", ["datasources"]:
                assert {"name", "type", "access", "url", "uid"} <= body.keys()
                assert body["access"] == "proxy"
                if body["uid"] in self.sources:
                    return 409, {"message": "data source with the same uid already exists"}
                self.sources[body["uid"]] = body
                return 200, {"datasource": body, "message": "Datasource added"}
            case "POST", ["dashboards", "db"]:
                board = body["dashboard"]
                assert board.get("id") is None, "an id is of one server"
                assert len(board["uid"]) <= 40
                if not board["title"]:
                    return 400, {"message": "Dashboard title cannot be empty"}
                self.boards[board["uid"]] = board
                self.loaded.append(board["uid"])
                return 200, {"uid": board["uid"], "status": "success"}
            case "GET", ["dashboards", "uid", uid] if uid in self.boards:
                return 200, {"dashboard": self.boards[uid], "meta": {}}
            case "DELETE", ["dashboards", "uid", uid] if uid in self.boards:
                del self.boards[uid]
                return 200, {"message": "deleted"}
            case "DELETE", ["datasources", "uid", uid] if uid in self.sources:
                del self.sources[uid]
                return 200, {"message": "Data source deleted"}
            case "POST", ["ds", "query"]:
                return self._query(body)
        return 404, {"message": "Not found"}

    def _query(self, body: Any) -> Reply:
        assert body.keys() == {"queries", "from", "to"}
        (query,) = body["queries"]
        if query["datasource"]["uid"] not in self.sources:
            return 404, {"message": "data source not found"}
        assert isinstance(query["intervalMs"], int)
        assert isinstance(query["maxDataPoints"], int)
        assert query["instant"] is not query["range"]
        self.asked.append(query["expr"])
        try:
            if re.search(r"\$\w", query["expr"]):
                raise ValueError("a variable that was not put in")
            values = self.answer(query["expr"])
        except ValueError as error:
            return 400, {"results": {query["refId"]: {"error": str(error), "status": 400}}}
        columns = [[1_700_000_000_000] * len(values), values]
        frames = [{"schema": {"refId": query["refId"]}, "data": {"values": columns}}]
        return 200, {"results": {query["refId"]: {"status": 200, "frames": frames}}}


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            text = self.rfile.read(length)
            if self.headers.get("Authorization") not in _WHO:
                status, reply = 401, {"message": "Invalid username or password"}
            elif not self.path.startswith("/grafana/api/"):
                status, reply = 404, {"message": "Not found"}
            else:
                path = self.path.removeprefix("/grafana/api/")
                try:
                    status, reply = stand_in.reply(
                        self.command, path, json.loads(text) if text else None
                    )
                except (AssertionError, KeyError, ValueError) as error:
                    status, reply = 400, {"message": f"bad request data: {error!r}"}
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 (its words)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler

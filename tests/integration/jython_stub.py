"""A server that speaks the module's wire format on real sockets and fails as engines and networks do.

What it does with a run is told by the code, the expression or the script's name that comes in. It counts what arrives.
"""

from __future__ import annotations

import json
import os
import socketserver
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

TOKEN = "gw_0123456789abcdef"
COMPAT = "/data/python3integration/api/v1"


class Seen:
    """What arrived: every request, and how many connections."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.runs: Counter[str] = Counter()
        self.keys: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server | UnixServer

    def setup(self) -> None:
        self.server.seen.connections += 1
        if isinstance(self.server, UnixServer):
            self.disable_nagle_algorithm = False
        super().setup()

    def address_string(self) -> str:
        return "somewhere"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self.handle_request()

    def do_POST(self) -> None:
        self.handle_request()

    def handle_request(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/seen":
            seen = self.server.seen
            self.answer({"requests": seen.requests, "connections": seen.connections, "runs": seen.runs})
            return
        body = json.loads(raw) if raw else None
        self.server.seen.requests.append(
            {"method": self.command, "path": self.path, "body": body, "headers": dict(self.headers.items())}
        )
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Bearer realm="gatewright"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = self.path.removeprefix(COMPAT)
        if path in ("/exec", "/eval", "/call-module", "/call-script"):
            self.run(body)
        elif path.startswith("/scripts/load/"):
            name = unquote(path.removeprefix("/scripts/load/"))
            self.answer({"success": True, "script": {"name": name, "path": f"{name}.py", "code": ""}})
        elif self.path.startswith("/api/v1/runs"):
            self.long_run(body)
        else:
            self.answer(ANSWERS.get(path) or {"success": False, "code": "no_route", "error": path})

    def run(self, body: dict[str, Any]) -> None:
        what = body.get("code") or body.get("expression") or body.get("scriptPath") or body["function"]
        seen = self.server.seen
        with self.server.lock:
            seen.runs[what] += 1
            count = seen.runs[what]
        if what.startswith("slow"):
            self.server.ending.wait(float(what.split()[1]))
        if what == "drop" or (what == "drop once" and count == 1):
            self.close_connection = True
            return
        if what == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            self.close_connection = True
            return
        if what == "moved":
            self.send_response(307)
            self.send_header("Location", f"http://127.0.0.1:1{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if what == "page":
            self.answer("<html>Please log in</html>", status=502)
            return
        if what == "busy":
            self.answer({"success": False, "error": "All slots are busy.", "code": "busy"}, status=429)
            return
        self.answer({**OUTCOMES.get(what, {"success": True, "value": body, "result": "{}"}), "runId": 7})
        if what == "last":  # of this connection, which the client cannot know yet
            self.close_connection = True

    def long_run(self, body: dict[str, Any] | None) -> None:
        seen = self.server.seen
        parts = self.path.split("?")[0].split("/")[4:]
        if not parts:
            assert body is not None
            key = self.headers.get("Idempotency-Key")
            if key in seen.keys:
                number = seen.keys[key]
            else:
                seen.runs[body["script"]] += 1
                number = 41 + sum(seen.runs.values())
                if key:
                    seen.keys[key] = number
            if body["script"] == "drop.py":
                self.close_connection = True
                return
            if body["script"] == "drop with key.py" and not getattr(self.server, "dropped", False):
                self.server.dropped = True  # type: ignore[union-attr]
                self.close_connection = True
                return
            self.answer({"id": number, "state": "queued", "kind": "script", "script": body["script"]}, status=202)
            return
        self.answer({"id": int(parts[0]), "state": "running"})

    def answer(self, body: object, status: int = 200) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)


OUTCOMES: dict[str, dict[str, Any]] = {
    "typed": {"success": True, "value": {"n": 2**100, "t": "Grüße \U0001f600", "f": 0.1, "l": [1, None, True]}},
    "text only": {"success": True, "result": "<object>", "output": "printed"},
    "printed only": {"success": True, "result": "printed\n", "output": "printed\n"},
    "not a number": {"success": True, "output": "printed\n", "note": "Changed in the result: NaN to null."},
    "nothing": {"success": True, "output": ""},
    "zero": {"success": True, "value": 0, "result": "0", "output": "printed"},
    "fails": {
        "success": False,
        "error": "ZeroDivisionError: für immer\nTraceback: line 1",
        "code": "script_error",
        "traceback": "Traceback: line 1",
        "output": "before\n",
    },
}

ANSWERS: dict[str, dict[str, Any]] = {
    "/version": {"version": "3.11.7 (main)", "available": True, "pythonVersion": "3.11.7"},
    "/pool-stats": {"totalSize": 3, "poolSize": 3, "available": 2, "inUse": 1, "healthy": 3},
    "/metrics": {
        "total_executions": 4,
        "successful_executions": 3,
        "failed_executions": 1,
        "success_rate": 75.0,
        "average_execution_time_ms": 2.5,
    },
    "/monitoring/metrics": {"p50ResponseTimeMs": 1.5, "p95ResponseTimeMs": 2.5, "p99ResponseTimeMs": 3.5},
    "/scripts/available": {"success": True, "scripts": [{"name": "kpi", "path": "Plant/kpi"}], "count": 1},
    "/check-syntax": {"success": True, "errors": [{"line": 1, "column": 2, "message": "m", "severity": "error"}]},
    "/completions": {"success": True, "completions": [{"text": "append"}], "count": 1},
    "/example": {"success": True, "result": "Hello"},
    "/distributions": {
        "success": False,
        "code": "not_available",
        "message": "There is one Python.",
        "distributions": [],
    },
    "/versions": {"success": False, "code": "not_available", "message": "There is one Python.", "versions": []},
    "/pool-size": {"success": True, "poolSize": 5, "message": "5"},
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, token: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = Seen()
        self.token = token
        self.lock = threading.Lock()
        self.ending = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that leave are what is tested."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        super().__init__(os.fspath(path), Handler)
        self.seen = Seen()
        self.token = ""
        self.lock = threading.Lock()
        self.ending = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that leave are what is tested."""


@contextmanager
def serving(server: Server | UnixServer, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()

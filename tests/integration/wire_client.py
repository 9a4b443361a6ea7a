"""A client of the module's REST interface, written from its tables alone: it knows nothing of this project's code.

It speaks as the Designers do (Java's HttpClient: JSON both ways, ``X-Source``), and reads as they do: a field that is
there but null is a failure (Gson's ``getAsString`` of a JsonNull throws), and so is any status but 200.
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

PREFIX = "/data/python3integration"
API = f"{PREFIX}/api/v1"
NEVER_NULL = ("error", "result", "executionTimeMs", "timestamp", "output", "stderr", "message", "traceback")
DESIGNER = {"Accept": "application/json", "Content-Type": "application/json", "X-Source": "Python3-IDE"}


class HttpStatus(Exception):
    """What a Designer shows as "HTTP n: body"."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}: {body[:300]!r}")
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class WireClient:
    """One connection for each call, as the Designers of all versions are content with.

    Args:
        unix: The engine's socket, or
        tcp: host and port, with
        token: what goes into ``Authorization``.
    """

    def __init__(
        self,
        unix: Path | None = None,
        tcp: tuple[str, int] | None = None,
        token: str | None = None,
        timeout: float = 40,
    ) -> None:
        self._unix = unix
        self._tcp = tcp
        self._timeout = timeout
        self.headers = dict(DESIGNER) | ({} if token is None else {"Authorization": f"Bearer {token}"})

    def with_token(self, token: str) -> WireClient:
        """The same way to the engine with another token."""
        return WireClient(self._unix, self._tcp, token, self._timeout)

    def connection(self) -> http.client.HTTPConnection:
        if self._unix is not None:
            return UnixConnection(str(self._unix), self._timeout)
        assert self._tcp is not None
        return http.client.HTTPConnection(*self._tcp, timeout=self._timeout)

    def raw(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connection()
        try:
            connection.request(method, target, body, self.headers if headers is None else headers)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The answer as a Designer reads it.

        Raises:
            HttpStatus: Any status but 200.
        """
        data = None if body is None else json.dumps(body).encode()
        status, received, text = self.raw(method, target, data, self.headers | headers)
        if status != 200:
            raise HttpStatus(status, received, text)
        assert received["content-type"].startswith("application/json"), received
        answer: dict[str, Any] = json.loads(text)
        assert "data" not in answer, "the web console unwraps a top-level data"
        for name in NEVER_NULL:
            assert name not in answer or answer[name] is not None, f"{name} is null: {answer}"
        return answer

    def get(self, path: str) -> dict[str, Any]:
        return self.ask("GET", API + path)

    def post(self, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        return self.ask("POST", API + path, body, **headers)

    def run(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """An execution, with every field that its answer must have."""
        answer = self.post(path, body, **headers)
        for name, kind in (
            ("success", bool), ("output", str), ("stderr", str), ("executionTimeMs", int), ("timestamp", int),
        ):  # fmt: skip
            assert type(answer[name]) is kind, (name, answer)
        assert type(answer.get("result", "")) is str, answer
        if "runId" in answer:
            assert type(answer["runId"]) is int
            assert type(answer["isolation"]) is str
        assert answer["success"] is ("error" not in answer), answer
        return answer

    def exec(self, code: str, variables: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        return self.run("/exec", {"code": code, "variables": variables or {}, **more})

    def session(self) -> dict[str, Any]:
        return self.ask("POST", f"{PREFIX}/auth/session", {"client_id": "designer"})

    def list(self) -> dict[str, dict[str, Any]]:
        answer = self.get("/scripts/list")
        assert answer["success"] is True
        return {script["name"]: script for script in answer["scripts"]}

    def load(self, name: str) -> dict[str, Any]:
        return self.get(f"/scripts/load/{quote_plus(name)}")

    def save(self, name: str, code: str, **more: Any) -> dict[str, Any]:
        return self.post("/scripts/save", {"name": name, "code": code, **more})

    def delete(self, name: str) -> dict[str, Any]:
        return self.ask("DELETE", f"{API}/scripts/delete/{quote_plus(name)}")

    def delete_by_post(self, name: str) -> dict[str, Any]:
        return self.post(f"/scripts/delete/{quote_plus(name)}", {})

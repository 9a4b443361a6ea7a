"""A real engine for clients of the module's routes: by its socket, and over TCP with tokens of every role."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon_support import ProjectUnderTest, wait_for, write_settings
from wire_client import WireClient

ROLES = ("viewer", "operator", "author", "admin")


@dataclass(frozen=True)
class Wired:
    """One engine and its callers: ``by`` has a client for ``unix`` and, over TCP, for each role."""

    root: Path
    by: dict[str, WireClient]

    def own(self, method: str, path: str, body: Any = None) -> Any:
        """Ask this project's own interface."""
        data = None if body is None else json.dumps(body).encode()
        status, _, text = self.by["unix"].raw(method, f"/api/v1{path}", data)
        assert status < 300, (status, text)
        return json.loads(text)

    def where(self) -> str:
        """Host and port at which the engine listens; nothing before it does."""
        try:
            urls: list[str] = self.own("GET", "/engine")["listening"]
        except OSError:  # its socket is there, and it does not listen yet
            return ""
        return urls[0].rpartition("://")[2] if urls else ""

    def files(self, folder: str = "") -> list[str]:
        scripts = self.root / "scripts"
        return sorted(str(path.relative_to(scripts)) for path in (scripts / folder).rglob("*.py"))

    def versions(self, path: str) -> list[dict[str, Any]]:
        """The history of a script."""
        versions: list[dict[str, Any]] = self.own("GET", f"/scripts/history/{path}")["versions"]
        return versions


@contextmanager
def wired(root: Path) -> Iterator[Wired]:
    """An engine of a new project in ``root``."""
    root.mkdir()
    write_settings(root, '[packages]\nindex = "none"\n')  # no test of routes reaches the network
    project = ProjectUnderTest(root)
    process = project.serve("--listen", "127.0.0.1:0")
    try:
        found = Wired(root, {"unix": WireClient(unix=project.paths.socket)})
        wait_for(lambda: found.where() != "")
        host, _, port = found.where().rpartition(":")
        for role in ROLES:
            made = found.own("POST", "/tokens", {"name": role, "role": role})
            found.by[role] = WireClient(tcp=(host, int(port)), token=made["token"])
        found.by["stranger"] = WireClient(tcp=(host, int(port)))
        yield found
    finally:
        project.end()
        process.wait(20)

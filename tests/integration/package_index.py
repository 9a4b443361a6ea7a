"""A package index on 127.0.0.1, as PEP 503 and PEP 691 describe it, with wheels that tests write themselves."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

SDIST = "sdist"
"""As the tag of a release: only its source is there."""


@dataclass(frozen=True)
class Release:
    """One version of a package.

    Attributes:
        requires: What it depends on.
        files: What its wheel holds beside its module, by path.
        tag: Of its wheel's name.
        yanked: Why it was withdrawn (PEP 592).
        lie: The index tells another hash than that of the file.
        hang: The file never comes.
        told: Its metadata can be had without the file (PEP 658).
    """

    name: str
    version: str = "1.0"
    requires: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    tag: str = "py3-none-any"
    requires_python: str = ""
    yanked: str = ""
    lie: bool = False
    hang: bool = False
    told: bool = False

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def file(self) -> str:
        stem = f"{self.module}-{self.version}"
        return f"{stem}.tar.gz" if self.tag == SDIST else f"{stem}-{self.tag}.whl"

    @property
    def metadata(self) -> bytes:
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {self.name}",
            f"Version: {self.version}",
            f"Summary: The package {self.name}",
            "License: MIT",
            *(f"Requires-Dist: {requirement}" for requirement in self.requires),
        ]
        if self.requires_python:
            lines.append(f"Requires-Python: {self.requires_python}")
        return "\n".join([*lines, "", ""]).encode()

    def wheel(self) -> bytes:
        """Return the wheel: a module that has its version as ``VERSION``, and ``files``."""
        info = f"{self.module}-{self.version}.dist-info"
        files = {
            f"{self.module}.py": f"VERSION = {self.version!r}\n".encode(),
            **self.files,
            f"{info}/METADATA": self.metadata,
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = io.StringIO()
        rows = csv.writer(record, lineterminator="\n")
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.writerow([path, f"sha256={digest}", len(content)])
        rows.writerow([f"{info}/RECORD", "", ""])
        files[f"{info}/RECORD"] = record.getvalue().encode()
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for path, content in files.items():
                archive.writestr(zipfile.ZipInfo(path), content)
        return made.getvalue()


class PackageIndex:
    """What is served, and what was asked for.

    Attributes:
        url: Of the index.
        asked: Paths, in order.
        hang: Nothing is answered from now on.
        login: Name and password that it wants, with a colon between them.
    """

    def __init__(self, releases: Sequence[Release]) -> None:
        self._files = {release.file: (release, release.wheel()) for release in releases}
        self._over = threading.Event()
        self.asked: list[str] = []
        self.hang = False
        self.login = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}/simple/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, *releases: Release) -> None:
        self._files |= {release.file: (release, release.wheel()) for release in releases}

    def answer(self, path: str, authorization: str) -> tuple[int, str, bytes]:
        self.asked.append(path)
        expected = f"Basic {base64.b64encode(self.login.encode()).decode()}"
        if self.login and authorization != expected:
            return 401, "text/plain", b"who are you?"
        kind, _, name = path.strip("/").partition("/")
        if self.hang or (kind == "files" and name in self._files and self._files[name][0].hang):
            self._over.wait()
            return 503, "text/plain", b""
        told = self._files.get(name.removesuffix(".metadata"))
        if kind == "files" and name.endswith(".metadata") and told is not None and told[0].told:
            return 200, "text/plain", told[0].metadata
        if kind == "files" and name in self._files:
            return 200, "application/octet-stream", self._files[name][1]
        offered = [file for file in self._files.values() if kind == "simple" and _same(file[0].name, name)]
        if not offered:
            return 404, "text/plain", b"not here"
        page = {"meta": {"api-version": "1.0"}, "name": name, "files": [_link(*file) for file in offered]}
        return 200, "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = index.answer(unquote(self.path), self.headers.get("Authorization", ""))
                try:
                    self.send_response(status)
                    if status == 401:
                        self.send_header("WWW-Authenticate", 'Basic realm="index"')
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(body)
                except OSError:  # who asked was stopped
                    self.close_connection = True

            do_HEAD = do_GET  # noqa: N815 - as it is called there

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
                pass

        return Handler


def _link(release: Release, content: bytes) -> dict[str, object]:
    told = hashlib.sha256(b"another file" if release.lie else content).hexdigest()
    return {
        "filename": release.file,
        "url": f"../../files/{release.file}",
        "hashes": {"sha256": told},
        "size": len(content),
        **({"requires-python": release.requires_python} if release.requires_python else {}),
        **({"core-metadata": {"sha256": hashlib.sha256(release.metadata).hexdigest()}} if release.told else {}),
        **({"yanked": release.yanked} if release.yanked else {}),
    }


def _same(name: str, other: str) -> bool:
    return name.lower().replace("_", "-") == other.lower().replace("_", "-")


@contextmanager
def package_index(*releases: Release) -> Iterator[PackageIndex]:
    index = PackageIndex(releases)
    try:
        yield index
    finally:
        index.close()


def wheelhouse(folder: Path, *releases: Release) -> Path:
    """Write wheels into a folder."""
    folder.mkdir(exist_ok=True)
    for release in releases:
        (folder / release.file).write_bytes(release.wheel())
    return folder

"""The module for Jython, under Jython, against a server that fails on purpose."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jython_stub import TOKEN, Server, UnixServer, serving
from jython_support import names_in, needs_jython, run_checks

FILE = "stub_checks.py"

# One process does it all in the first test's setup; hosts that are busy take their time.
pytestmark = [needs_jython, pytest.mark.slow, pytest.mark.timeout(300)]


def make_certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the certificate of a CA of our own, and what a server named localhost needs."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Plant CA")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("req", *key[:5], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """A port of ours on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops who wants to connect."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@contextlib.contextmanager
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A port, and what was sent to it."""
    got: list[bytes] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    got.append(b"connected")
                    connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1], got
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str | None]]:
    """What went wrong in each check; ``the proxy`` is one more."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("jython")
    ca_file, tls = make_certificates(folder)
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    server, safe, unix = Server(TOKEN), Server(TOKEN), UnixServer(folder / "engine.sock")
    with serving(server), serving(safe, tls), serving(unix), dead_port() as dead, full_port() as full, proxy() as mid:
        places = {
            "url": f"http://127.0.0.1:{server.port}",
            "tls_url": f"https://localhost:{safe.port}",
            "socket": str(folder / "engine.sock"),
            "token": TOKEN,
            "token_file": str(token_file),
            "ca_file": str(ca_file),
            "dead_port": dead,
            "full_port": full,
            "proxy_port": mid[0],
        }
        found = run_checks(FILE, places, folder)
        found["the proxy"] = f"it got {len(mid[1])} connections" if mid[1] else None
    return found


@pytest.mark.parametrize("name", names_in(FILE))
def test_check(wrong: dict[str, str | None], name: str) -> None:
    assert wrong[name] is None, wrong[name]


def test_the_proxy_of_the_host_gets_nothing(wrong: dict[str, str | None]) -> None:
    assert wrong["the proxy"] is None

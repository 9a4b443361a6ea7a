"""TLS over TCP: a certificate that is checked before it counts, and read again when its files change."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from api_support import eventually
from tcp_support import serving_tcp

from engine.api.tcp import TcpLimits
from engine.config import ConfigError
from engine.daemon.certificate import Certificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make certificates with")


def make_pair(folder: Path, name: str = "tls") -> tuple[Path, Path]:
    """A certificate of its own for gatewright-test, and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=gatewright-test", "-addext", "subjectAltName=DNS:gatewright-test",
            "-keyout", key, "-out", cert,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    return cert, key


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Two pairs, a and b. Copy what a test changes."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in "ab":
        make_pair(folder, name)
    return folder


@pytest.fixture
def pair(pairs: Path, tmp_path: Path) -> tuple[Path, Path]:
    return use(pairs, "a", tmp_path)


def use(pairs: Path, name: str, folder: Path) -> tuple[Path, Path]:
    """Put a pair in place as certbot does: by renaming, the certificate first."""
    for end in ("crt", "key"):
        shutil.copy2(pairs / f"{name}.{end}", folder / "new")
        (folder / "new").rename(folder / f"tls.{end}")
    return folder / "tls.crt", folder / "tls.key"


def trusting(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert)


def served_pem(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=20)


HEAD = b"GET /api/v1/engine HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer alpha\r\n\r\n"


async def test_requests_go_over_tls(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate = Certificate(str(pair[0]), str(pair[1]))
    async with serving_tcp(tmp_path, context=lambda: certificate.context) as host:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(pair[0])
            context.minimum_version = context.maximum_version = version
            async with host.connection(context) as (reader, writer):
                writer.write(HEAD)
                assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 ")
        # The scheme is this connection's: a page served in the clear is another origin.
        async with host.connection(trusting(pair[0])) as (reader, writer):
            writer.write(HEAD.replace(b"Host: localhost", b"Host: localhost:1\r\nOrigin: http://localhost:1"))
            assert b'"code":"bad_origin"' in await reader.read(-1)
        async with host.connection(trusting(pair[0])) as (reader, writer):
            writer.write(HEAD.replace(b"Host: localhost", b"Host: localhost:1\r\nOrigin: https://localhost:1"))
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_older_tls_and_no_tls_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate = Certificate(str(pair[0]), str(pair[1]))
    assert certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2
    async with serving_tcp(tmp_path, context=lambda: certificate.context) as host:
        old = trusting(pair[0])
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with host.connection(old):
                pass
        async with host.connection() as (reader, writer):
            writer.write(HEAD)
            assert b"HTTP" not in await reader.read(-1)
        await eventually(lambda: host.server.connection_count == 0)


async def test_a_handshake_that_is_never_completed_is_cut(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate = Certificate(str(pair[0]), str(pair[1]))
    limits = TcpLimits(handshake=0.3, connections=2)
    async with serving_tcp(tmp_path, limits, context=lambda: certificate.context) as host:
        silent = [socket.create_connection(("127.0.0.1", host.port)) for _ in range(2)]
        silent[1].sendall(b"\x16\x03\x01")
        for sock in silent:  # each counts, and each is cut
            sock.setblocking(False)
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 100), 20) == b""
            sock.close()
        async with host.connection(trusting(pair[0])) as (reader, writer):
            writer.write(HEAD)
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 ")


async def test_new_connections_get_the_new_certificate(pairs: Path, tmp_path: Path) -> None:
    cert, key = use(pairs, "a", tmp_path)
    certificate = Certificate(str(cert), str(key))
    async with (
        serving_tcp(tmp_path / "p", context=lambda: certificate.context) as host,
        host.connection(trusting(cert)) as (reader, writer),
    ):
        assert await asyncio.to_thread(served_pem, host.port) == (pairs / "a.crt").read_text()
        certificate.look()
        shutil.copy2(pairs / "b.crt", cert)
        certificate.look()  # half way: the certificate is new, its key is still to come
        assert certificate.problem is not None
        assert "does not belong to the certificate" in certificate.problem
        assert await asyncio.to_thread(served_pem, host.port) == (pairs / "a.crt").read_text()
        use(pairs, "b", tmp_path)
        certificate.look()
        assert certificate.problem is None
        assert await asyncio.to_thread(served_pem, host.port) == (pairs / "b.crt").read_text()
        cert.unlink()
        certificate.look()
        assert certificate.problem == (
            f"The certificate before it stays in use: {cert} cannot be read: No such file or directory."
        )
        assert await asyncio.to_thread(served_pem, host.port) == (pairs / "b.crt").read_text()
        writer.write(HEAD)  # what was open stays as it was
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_may_read_is_refused(pair: tuple[Path, Path], mode: int) -> None:
    pair[1].chmod(mode)
    with pytest.raises(ConfigError, match="can be read by other accounts") as refused:
        Certificate(str(pair[0]), str(pair[1]))
    assert refused.value.hint == f"Run: chmod 600 {pair[1]}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_account_is_refused(pair: tuple[Path, Path]) -> None:
    os.chown(pair[1], 65534, -1)
    with pytest.raises(ConfigError, match="belongs to another account"):
        Certificate(str(pair[0]), str(pair[1]))


def test_what_is_no_pair_is_refused_in_a_sentence(pairs: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = pair
    (tmp_path / "rubbish").write_text("rubbish")
    (tmp_path / "rubbish").chmod(0o600)
    subprocess.run(
        ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:word", "-out", tmp_path / "locked"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "locked").chmod(0o600)
    for given, sentence in {
        (cert, pairs / "b.key"): "does not belong to the certificate",
        (cert, tmp_path / "locked"): "is encrypted, and the engine has no way to ask",
        (cert, tmp_path / "rubbish"): "cannot be used as certificate and key",
        (tmp_path / "rubbish", key): "cannot be used as certificate and key",
        (tmp_path / "none", key): "none cannot be read: No such file or directory.",
        (cert, tmp_path): "is not a file.",
        (cert, ""): "listen.tls_key is missing",
        ("", key): "listen.tls_cert is missing",
        (cert, "tls.key"): "must be an absolute path",
    }.items():
        with pytest.raises(ConfigError) as refused:
            Certificate(*map(str, given))
        assert sentence in refused.value.message, given

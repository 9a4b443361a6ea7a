"""An engine that listens over TCP: only where it is asked to, and nobody gets in without a token."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_support import ProjectUnderTest, wait_for
from test_tls import make_pair

from engine.client.remote import remote_target
from engine.client.starter import LaunchError
from engine.daemon.listening import Address, bind
from engine.models.engine import EngineInfo
from engine.registry.engine import ENGINE_INFO


def listening_ports(pid: int) -> set[int]:
    """The TCP ports at which a process listens, by the kernel's table (proc(5))."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
    ports = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as lines:
            for fields in (line.split() for line in lines):
                if fields[3] == "0A" and fields[9] in inodes:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


async def info_of(project: ProjectUnderTest) -> EngineInfo:
    client = await project.connect(start=False)
    try:
        return await client.call(ENGINE_INFO)
    finally:
        await client.close()


@contextmanager
def served(project: ProjectUnderTest, *arguments: str) -> Iterator[EngineInfo]:
    engine = project.serve(*arguments)
    try:
        yield asyncio.run(info_of(project))
    finally:
        engine.terminate()
        assert engine.wait(20) == 0


def refused(project: ProjectUnderTest, *arguments: str) -> str:
    """What an engine says that does not start."""
    from engine.client.launch import daemon_command, daemon_environment

    told = subprocess.run(
        [*daemon_command(project.root), *arguments], capture_output=True, text=True, timeout=30,
        env=daemon_environment(), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert told.returncode == 3
    assert "Traceback" not in told.stderr
    assert not project.lives
    return told.stderr


def test_an_ordinary_engine_listens_nowhere_over_tcp(project: ProjectUnderTest) -> None:
    with served(project) as info:
        assert info.listening == []
        assert listening_ports(info.pid) == set()


def test_an_engine_listens_where_its_settings_say(project: ProjectUnderTest) -> None:
    project.settings('[listen]\naddress = "127.0.0.1:0"\n')
    with served(project) as info:
        (url,) = info.listening
        port = int(url.rpartition(":")[2])
        assert url == f"http://127.0.0.1:{port}"
        assert listening_ports(info.pid) == {port}
        command = [sys.executable, "-m", "tui.cli", "--project", str(project.root), "engine", "status"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert f"listens at  {url}\n" in told.stdout
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET /api/v1/engine HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"This needs a token." in answer
    wait_for(lambda: not project.lives)


def test_a_port_in_use_is_one_sentence(project: ProjectUnderTest) -> None:
    (taken,) = bind(Address("127.0.0.1", 0), tls=False)
    with taken:
        port = taken.getsockname()[1]
        said = refused(project, "--listen", f"127.0.0.1:{port}")
    assert said == (
        f"Port {port} of 127.0.0.1 is in use by another program. "
        f"Find it with: ss -ltnp sport = :{port}. Or choose another port.\n"
    )


def test_an_address_that_may_not_be_is_refused_before_anything_starts(project: ProjectUnderTest) -> None:
    assert "does not listen at 0.0.0.0:0 without TLS" in refused(project, "--listen", "0.0.0.0:0")
    assert not (project.paths.home / "state.db").exists()
    assert refused(project, "--listen", "9089").startswith("--listen must be HOST:PORT, not '9089'.")
    told = refused(project, "--listen", "127.0.0.1:0", "--tls-cert", "/etc/hostname")
    assert told.startswith("--tls-key is missing")
    project.settings('[listen]\naddress = "9089"\n')
    assert refused(project).startswith("listen.address must be HOST:PORT")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate with")
def test_an_engine_listens_with_tls_and_follows_its_certificate(
    project: ProjectUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = make_pair(tmp_path)
    monkeypatch.chdir(tmp_path)  # where people are who give it a relative path
    with served(project, "--listen", "127.0.0.1:0", "--tls-cert", cert.name, "--tls-key", key.name) as info:
        (url,) = info.listening
        port = int(url.rpartition(":")[2])
        assert url == f"https://127.0.0.1:{port}"
        assert f"it listens at {url} with the certificate {cert}" in project.paths.log.read_text()
        sentence = asyncio.run(_refused_plainly(port, tmp_path))
        assert sentence == f"The engine at 127.0.0.1:{port} speaks TLS. Use https in its URL: https://127.0.0.1:{port}"
        context = ssl.create_default_context(cafile=cert)
        silent = socket.create_connection(("127.0.0.1", port), timeout=20)  # holds up nobody else
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="gatewright-test") as client,
        ):
            client.sendall(b"GET /api/v1/engine HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 401 ")
        new, new_key = make_pair(tmp_path, "new")
        new_key.rename(key)
        new.rename(cert)
        wait_for(lambda: ssl.get_server_certificate(("127.0.0.1", port), timeout=20) == cert.read_text())
        silent.close()
    assert refused(project, "--listen", "0.0.0.0:0", "--tls-cert", cert.name, "--tls-key", "none").startswith(
        f"{tmp_path / 'none'} cannot be read: No such file or directory."
    )


async def _refused_plainly(port: int, folder: Path) -> str:
    """What a client hears that names a port with TLS by http."""
    token = folder / "some.token"
    token.write_text("gw_some\n")
    token.chmod(0o600)
    with pytest.raises(LaunchError) as refused:
        await remote_target(f"http://127.0.0.1:{port}", token).connect("cli")
    return f"{refused.value.message} {refused.value.hint}"

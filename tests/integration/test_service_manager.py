"""An engine that a service manager started: what it tells the manager's socket, and what it does by its signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_support import PROGRAM
from daemon_support import PATIENCE, wait_for

from engine.daemon.main import Daemon
from engine.daemon.service_manager import ServiceManager

ADDRESS = "127.0.0.1:0"


class Manager:
    """The socket of a service manager, and what came in.

    It is read all the time: of a few messages that wait for a test the kernel takes no more.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._name = f"\0{address[1:]}" if address.startswith("@") else address
        self._said: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._name)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while message := self._socket.recv(4096):
            self._said.put(message.decode().split("\n"))

    def _send(self, message: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message, self._name)

    def next(self) -> list[str]:
        """The assignments of the next message."""
        return self._said.get(timeout=PATIENCE)

    def until(self, assignment: str) -> list[str]:
        """The first message that has ``assignment``; what comes before is let pass."""
        while assignment not in (message := self.next()):
            pass
        return message

    def lifeless_for(self, seconds: float) -> bool:
        """Whether no sign of life comes for so long. What has come before is let pass."""
        self._send(b"MARK")
        self.until("MARK")
        deadline = time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while (left := deadline - time.monotonic()) > 0:
                if "WATCHDOG=1" in self._said.get(timeout=left):
                    return False
        return True

    def close(self) -> None:
        self._send(b"")
        self._reader.join(PATIENCE)
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    try:
        yield made
    finally:
        made.close()


@contextmanager
def service(
    project: Path, manager: Manager, settings: str = "", stdin: int = subprocess.DEVNULL, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``gatewright engine serve`` as systemd calls it."""
    private = project / ".gatewright"
    private.mkdir(mode=0o700, parents=True)
    (private / "settings.toml").write_text(settings)
    engine = subprocess.Popen(
        [PROGRAM, "engine", "serve", "--project", str(project)], stdin=stdin, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, env={**os.environ, "NOTIFY_SOCKET": manager.address, **environment},
    )  # fmt: skip
    try:
        yield engine
    finally:
        if engine.poll() is None:
            engine.send_signal(signal.SIGCONT)
            engine.terminate()
        engine.communicate(timeout=PATIENCE)


def test_it_says_when_it_is_ready_lives_reloads_and_leaves(tmp_path: Path, manager: Manager) -> None:
    project = tmp_path / "plant"
    with service(project, manager, WATCHDOG_USEC="300000") as engine:
        told = manager.until("READY=1")
        (status,) = [line for line in told if line.startswith("STATUS=")]
        assert re.fullmatch(r"STATUS=0 of \d slots running, RESTRICTED \w+\..*", status), status
        assert (project / ".gatewright/engine.sock").exists(), "it was not ready"

        manager.until("WATCHDOG=1")
        manager.until("WATCHDOG=1")
        engine.send_signal(signal.SIGSTOP)
        wait_for(lambda: Path(f"/proc/{engine.pid}/stat").read_text().rpartition(") ")[2].startswith("T"))
        assert manager.lifeless_for(0.5)
        engine.send_signal(signal.SIGCONT)
        manager.until("WATCHDOG=1")

        settings = project / ".gatewright/settings.toml"
        log = project / ".gatewright/logs/engine.log"
        settings.write_text("[access]\nviewers = ['0']\n")
        engine.send_signal(signal.SIGHUP)
        (since,) = [line for line in manager.until("RELOADING=1") if line.startswith("MONOTONIC_USEC=")]
        assert int(since.partition("=")[2]) > 0
        manager.until("READY=1")
        assert "settings and certificate are read again" in log.read_text()
        settings.write_text("[acess]\n")
        engine.send_signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        (status,) = [line for line in manager.until("READY=1") if line.startswith("STATUS=")]
        assert "[acess]" in status or "unknown section acess" in status
        assert engine.poll() is None

        engine.terminate()
        assert manager.until("STOPPING=1") == ["STOPPING=1", "STATUS=Leaving."]
        assert engine.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_start_that_fails_says_why(tmp_path: Path, manager: Manager) -> None:
    with service(tmp_path / "plant", manager, "[listen]\naddress = '192.0.2.1:1'\n") as engine:
        (told,) = manager.next()
        assert told.startswith("STATUS=")
        assert "certificate" in told or "TLS" in told
        assert engine.wait(PATIENCE) == 3


def test_the_watchdog_of_another_process_is_not_served() -> None:
    asked = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    assert ServiceManager.of(asked).watchdog == 2
    assert ServiceManager.of({**asked, "WATCHDOG_PID": str(os.getppid())}).watchdog == 0
    for nonsense in ("9" * 5_000, "-1", "1e9", "\u0663"):
        assert ServiceManager.of({**asked, "WATCHDOG_USEC": nonsense}).watchdog == 0


def test_a_name_with_an_at_sign_is_no_other_socket(tmp_path: Path) -> None:
    meant, other = Manager(str(tmp_path / "a@b")), Manager(str(tmp_path / "a"))
    try:
        ServiceManager.of({"NOTIFY_SOCKET": meant.address}).ready("serves")
        assert meant.next() == ["READY=1", "STATUS=serves"]
        assert other.lifeless_for(0.0)
    finally:
        meant.close()
        other.close()


async def test_a_watchdog_of_no_time_does_not_keep_the_loop_busy(tmp_path: Path) -> None:
    looks = []
    service = ServiceManager(str(tmp_path / "gone"), watchdog=1e-6)
    keeping = asyncio.create_task(service.keep(lambda: looks.append(1) or ""))  # type: ignore[func-returns-value]
    await asyncio.sleep(0.2)
    keeping.cancel()
    assert 1 <= len(looks) <= 5


async def test_a_reload_that_is_asked_for_during_another_is_done_after_it() -> None:
    read, seen = asyncio.Event(), []

    async def look(*, again: bool) -> None:
        seen.append(again)
        await read.wait()

    host: Any = SimpleNamespace(
        _reloading=None, _reload_again=False, _manager=ServiceManager(), _tcp=None, stopping=asyncio.Event(),
        engine=SimpleNamespace(policy=SimpleNamespace(look=look)), _status=str,
    )  # fmt: skip
    host._reload = lambda: Daemon._reload(host)
    host._read_again = lambda: Daemon._read_again(host)
    Daemon.reload(host)
    await asyncio.sleep(0)
    assert seen == [True]
    for _ in range(1_000):
        Daemon.reload(host)
    read.set()
    await host._reloading
    assert seen == [True, True]


def test_signs_of_life_stop_when_the_loop_alone_hangs(manager: Manager) -> None:
    loop, go_on = asyncio.new_event_loop(), threading.Event()
    keeping = loop.create_task(ServiceManager(manager.address, watchdog=0.3).keep(lambda: ""))
    keeping.add_done_callback(lambda _: loop.stop())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        manager.until("WATCHDOG=1")
        manager.until("WATCHDOG=1")
        stuck = threading.Event()
        loop.call_soon_threadsafe(lambda: (stuck.set(), go_on.wait(PATIENCE)))
        assert stuck.wait(PATIENCE)
        assert manager.lifeless_for(0.6)
    finally:
        go_on.set()
    manager.until("WATCHDOG=1")
    loop.call_soon_threadsafe(keeping.cancel)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    loop.close()


def test_an_abstract_socket_and_one_that_is_gone(tmp_path: Path) -> None:
    made = Manager(f"@gatewright-test-{os.getpid()}")
    ServiceManager.of({"NOTIFY_SOCKET": made.address}).ready("serves\nREADY=0")
    assert made.next() == ["READY=1", "STATUS=serves READY=0"]
    made.close()
    ServiceManager(str(tmp_path / "gone")).ready("serves")  # no reason to fail
    assert not ServiceManager.of({"NOTIFY_SOCKET": "vsock:2:1"})
    assert not ServiceManager.of({})


@pytest.mark.slow
def test_the_journal_gets_priorities_and_no_times_and_the_file_only_if_asked(tmp_path: Path, manager: Manager) -> None:
    # As systemd connects it: a socket, which the variable names.
    journal, given = socket.socketpair()
    info = os.fstat(given.fileno())
    program = "import os, sys; os.environ['JOURNAL_STREAM'] = sys.argv[1];os.execv(sys.argv[2], sys.argv[2:])"
    project = tmp_path / "plant"
    private = project / ".gatewright"
    private.mkdir(mode=0o700, parents=True)
    serve = [PROGRAM, "engine", "serve", "--project", str(project)]
    engine = subprocess.Popen(
        [sys.executable, "-c", program, f"{info.st_dev}:{info.st_ino}", *serve],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=given,
        env={**os.environ, "NOTIFY_SOCKET": manager.address, "GATEWRIGHT_ENGINE_LOG_FILE": "false"},
    )  # fmt: skip
    given.close()
    journal.settimeout(PATIENCE)
    try:
        manager.until("READY=1")
        shown = subprocess.run([PROGRAM, "--project", str(project), "engine", "status"], capture_output=True, text=True)
        assert "the journal of its service" in shown.stdout, shown.stderr
    finally:
        engine.terminate()
        assert engine.wait(PATIENCE) == 0
    written = b""
    while piece := journal.recv(65536):
        written += piece
    journal.close()
    lines = written.decode().splitlines()
    assert any(re.fullmatch(r"<6>engine\.daemon: engine \S+ serves .* as process \d+", line) for line in lines), lines
    assert all(re.match(r"<[2-7]>", line) for line in lines), lines
    assert not (private / "logs/engine.log").exists()


@pytest.mark.slow
def test_at_a_terminal_a_hang_up_still_ends_it(tmp_path: Path, manager: Manager) -> None:
    import pty

    controller, terminal = pty.openpty()
    try:
        with service(tmp_path / "plant", manager, stdin=terminal) as engine:
            manager.until("READY=1")
            engine.send_signal(signal.SIGHUP)
            assert engine.wait(PATIENCE) == 0
    finally:
        os.close(terminal)
        os.close(controller)

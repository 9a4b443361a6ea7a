"""Heads in the system's log: each new one and before an ADMIN run, in a form that is read, and never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.services import audit as audit_module
from engine.services.access import Actor, Role
from engine.services.audit import AuditService
from engine.services.system_log import SystemLog
from store.state.database import StateDB

ALICE = Actor("alice", 1000, Role.ADMIN)
LINE = re.compile(
    r"<85>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d gatewright-audit\[\d+\]: "
    r'project "/srv/plant" record (\d+) head ([0-9a-f]{64})(?: before "(.*)")?'
)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDB]:
    opened = await StateDB.open(tmp_path / "state.db")
    yield opened
    await opened.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[socket.socket]:
    """What listens in place of the system's log."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "log"))
        made.settimeout(20)
        yield made


def received(log: socket.socket) -> tuple[int, str, str | None]:
    match = LINE.fullmatch(log.recv(4096).decode())
    assert match is not None
    return int(match[1]), match[2], match[3]


def nothing(log: socket.socket) -> bool:
    log.settimeout(0)
    try:
        log.recv(4096)
    except BlockingIOError:
        return True
    finally:
        log.settimeout(20)
    return False


async def test_a_head_goes_to_the_log_with_the_engines_round_and_when_it_ends(
    state: StateDB, log: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "HEAD_EVERY", 0.01)
    service = AuditService(state.audit, None, SystemLog(tmp_path / "log", Path("/srv/plant")))
    await service.start(ALICE)
    running = asyncio.create_task(service.run())
    first = await asyncio.to_thread(received, log)
    assert first == (1, (await state.audit.newest(1))[0].sha256, None)
    service.tell(ALICE, "cli", "save", "a.py")
    second = await asyncio.to_thread(received, log)
    assert second == (2, (await state.audit.newest(1))[0].sha256, None)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert nothing(log), "a head that is there already is not sent again"
    await service.stop(ALICE)
    assert received(log)[0] == 3
    check = await service.verify(ALICE, head=first[1])
    assert (check.problem, check.head_at) == (None, 1)
    assert check.copies.startswith("The system's log has a head of each minute")


async def test_an_old_head_is_sent_again_after_an_hour(
    state: StateDB, log: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = AuditService(state.audit, None, SystemLog(tmp_path / "log", Path("/srv/plant")))
    await service.start(ALICE)
    await service._send_changed_head()
    await service._send_changed_head()
    assert (received(log)[0], nothing(log)) == (1, True)
    monkeypatch.setattr(audit_module, "RESEND_EVERY", 0.0)
    await service._send_changed_head()
    assert received(log)[0] == 1


def sent_until_full(place: Path) -> int:
    """Return how many datagrams one more program could send without waiting: its own buffer may end first."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as writer:
        writer.connect(str(place))
        for sent in itertools.count():
            try:
                writer.send(b"x")
            except BlockingIOError:
                return sent
    return 0


@pytest.mark.parametrize("kind", ["none", "file", "stream", "too long", "full"])
async def test_a_log_that_takes_nothing_is_told_of_and_not_waited_for(
    state: StateDB, log: socket.socket, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / ("x" * 200 if kind == "too long" else "other")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        if kind == "file":
            place.write_text("")
        if kind == "stream":
            stream.bind(str(place))
            stream.listen()
        if kind == "full":
            place = tmp_path / "log"
            while sent_until_full(place):
                pass
        service = AuditService(state.audit, None, SystemLog(place, Path("/srv/plant")))
        await service.start(ALICE)
        begun = time.monotonic()
        await service.send_head()
        assert time.monotonic() - begun < 10
    check = await service.verify(ALICE)
    assert check.problem is None
    assert check.copies.startswith("No copy of the head could be sent: ")
    assert str(place) in check.copies


async def test_where_it_is_off_nothing_is_sent_and_that_is_told(state: StateDB, log: socket.socket) -> None:
    service = AuditService(state.audit, None)
    await service.start(ALICE)
    await service.send_head()
    assert nothing(log)
    assert (await service.verify(ALICE)).copies.startswith("No copies of the head are sent")


def test_a_projects_folder_cannot_forge_a_line(log: socket.socket, tmp_path: Path) -> None:
    assert SystemLog(tmp_path / "log", Path('/srv/a"\n<85>x')).send(1, "0" * 64, "#1 a\nb.py")
    line = log.recv(4096).decode()
    assert "\n" not in line
    assert '"/srv/a\\"\\n<85>x"' in line


def test_a_runs_name_cannot_keep_its_head_from_coming(log: socket.socket, tmp_path: Path) -> None:
    assert SystemLog(tmp_path / "log", Path("/srv/plant")).send(7, "a" * 64, f"#7 {'ü' * 1_000_000}")
    assert received(log)[:2] == (7, "a" * 64)

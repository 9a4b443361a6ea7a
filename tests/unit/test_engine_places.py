"""Sockets at awkward places, and the lock that decides who is the engine."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine import lock, sockets
from engine.lock import AlreadyRunning, LifetimeLock, engine_lives, holder_of
from engine.paths import EnginePaths


@pytest.fixture
def paths(tmp_path: Path) -> EnginePaths:
    paths = EnginePaths(tmp_path)
    paths.private.mkdir(mode=0o700)
    return paths


async def test_a_path_too_long_for_an_address(tmp_path: Path) -> None:
    paths = EnginePaths(tmp_path / ("d" * 100) / ("e" * 100))
    paths.private.mkdir(parents=True)
    with pytest.raises(OSError, match="too long"), socket.socket(socket.AF_UNIX) as plain:
        plain.bind(str(paths.socket))
    sock, bound = sockets.listen(paths)
    with sock:
        assert bound == paths.socket
        assert bound.stat().st_mode & 0o777 == 0o600
        reader, writer = await sockets.connect(paths, os.geteuid())
        server, _ = sock.accept()
        server.sendall(b"hi")
        server.close()
        assert await reader.read() == b"hi"
        writer.close()
        await writer.wait_closed()


async def test_a_file_system_without_sockets(paths: EnginePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    bind = sockets.bind

    def no_sockets_in_the_project(path: Path) -> socket.socket:
        if path == paths.socket:
            raise OSError(errno.EPERM, "Operation not permitted")
        return bind(path)

    monkeypatch.setattr(sockets, "bind", no_sockets_in_the_project)
    fallback = paths.fallback_socket(os.geteuid())
    try:
        sock, bound = sockets.listen(paths)
        with sock:
            assert bound == fallback
            assert fallback.parent.stat().st_mode & 0o777 == 0o700
            _, writer = await sockets.connect(paths, os.geteuid())
            writer.close()
            await writer.wait_closed()
            fallback.parent.chmod(0o755)
            with pytest.raises(PermissionError, match="only the project's owner"):
                await sockets.connect(paths, os.geteuid())
            with pytest.raises(PermissionError, match="only the project's owner"):
                sockets.listen(paths)
    finally:
        fallback.unlink(missing_ok=True)
        fallback.parent.rmdir()


async def test_a_socket_that_is_not_the_owners_is_not_used(paths: EnginePaths) -> None:
    sock, _ = sockets.listen(paths)
    with sock, pytest.raises(PermissionError, match="the socket belongs to uid"):
        await sockets.connect(paths, os.geteuid() + 1)


def test_the_peer_is_who_the_kernel_says() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = sockets.peer_of(ours)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert set(peer.groups) == set(os.getgroups())


def test_one_engine_at_a_time(paths: EnginePaths) -> None:
    first = LifetimeLock(paths.lifetime_lock)
    assert not engine_lives(paths.lifetime_lock)
    first.acquire()
    first.note("/p/engine.sock")
    assert engine_lives(paths.lifetime_lock)
    with pytest.raises(AlreadyRunning) as caught:
        LifetimeLock(paths.lifetime_lock).acquire()
    host = socket.gethostname()
    expected = f"An engine already serves this project (pid {os.getpid()} on {host}, socket /p/engine.sock)."
    assert str(caught.value) == expected
    holder = holder_of(paths.lifetime_lock)
    assert holder is not None
    assert holder.boot_id == lock.boot_id()
    assert not holder.elsewhere
    first.release()
    assert not engine_lives(paths.lifetime_lock)


def test_the_lock_goes_with_its_process_and_not_with_its_note(paths: EnginePaths) -> None:
    code = (
        "import os, pathlib, sys; from engine.lock import LifetimeLock\n"
        "LifetimeLock(pathlib.Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(paths.lifetime_lock)], check=False)
    assert done.returncode == -9
    assert holder_of(paths.lifetime_lock) is not None
    assert not engine_lives(paths.lifetime_lock)


def test_a_lock_that_was_moved_away_is_noticed(paths: EnginePaths) -> None:
    lock = LifetimeLock(paths.lifetime_lock)
    lock.acquire()
    assert lock.in_place
    paths.lifetime_lock.rename(paths.private / "other")
    assert not lock.in_place
    paths.lifetime_lock.touch()
    assert not lock.in_place
    lock.release()


@pytest.mark.parametrize("note", [b"", b"{", b"null", b'{"pid":"x"}'])
def test_a_note_that_makes_no_sense_is_none(paths: EnginePaths, note: bytes) -> None:
    paths.lifetime_lock.write_bytes(note)
    assert holder_of(paths.lifetime_lock) is None

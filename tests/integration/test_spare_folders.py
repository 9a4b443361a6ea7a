"""What engines have outside of their projects: nobody else's is used, and nothing of it is left lying about."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from account_support import UID, ordinary_account
from cli_support import cli_project
from daemon_support import ProjectUnderTest, alive, family, wait_for
from mounts import needs_mounts, read_only

from engine import sockets, spare
from engine.lock import LifetimeLock
from engine.paths import EnginePaths

OLD = time.time() - 3600
UNKNOWN = "gatewright-{}-0123456789abcdef"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everybody may make folders."""
    monkeypatch.setattr(spare, "PLACES", (tmp_path,))
    return tmp_path


def left(place: Path, number: int = 0, *, at: float = OLD) -> Path:
    """What an engine left that was killed."""
    folder = place / f"gatewright-{os.geteuid()}-{number:016x}"
    folder.mkdir(mode=0o700)
    for name in ("state.db", "engine.lock", "start.lock"):
        (folder / name).write_text("x")
    (folder / "elsewhere").symlink_to(place)
    os.utime(folder, (at, at))
    return folder


def test_what_killed_engines_left_is_cleared_away(place: Path) -> None:
    gone = [left(place, number) for number in range(2)]
    own = left(place, 2)
    (place / "mine").write_text("stays")
    assert sorted(spare.clear_leftovers(os.geteuid(), own)) == gone
    assert sorted(path.name for path in place.iterdir()) == sorted([own.name, "mine"])


def test_what_is_used_or_fresh_or_not_ours_stays(place: Path) -> None:
    locked, fresh, answering, open_to_all = (left(place, n) for n in range(4))
    os.utime(fresh)
    open_to_all.chmod(0o755)
    (place / UNKNOWN.format(os.geteuid() + 1)).mkdir()
    (place / f"{UNKNOWN.format(os.geteuid())}x").mkdir()
    lock = LifetimeLock(locked / "engine.lock")
    lock.acquire()
    with sockets.bind(answering / "engine.sock"):
        os.utime(answering, (OLD, OLD))
        before = sorted(place.iterdir())
        assert spare.clear_leftovers(os.geteuid(), place / "own") == []
        assert sorted(place.iterdir()) == before
    lock.release()
    os.utime(answering, (OLD, OLD))
    assert sorted(spare.clear_leftovers(os.geteuid(), place / "own")) == [locked, answering]


@pytest.mark.slow
@needs_mounts
def test_a_read_only_project_s_folder_goes_with_its_engine_and_a_killed_one_s_with_the_next(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        project.call("engine", "stop", "--force")
    folder = EnginePaths(project.root).fallback_socket(os.geteuid()).parent
    with read_only(project.root):
        assert project.call("scripts", "list").returncode == 0
        assert (folder / "state.db").exists()
        project.call("engine", "stop", "--force")
        assert not folder.exists()
        assert project.call("scripts", "list").returncode == 0
        pid = project.json("engine", "status")["engine"]["pid"]
        members = family(pid)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(members))
    assert (folder / "state.db").exists()
    os.utime(folder, (OLD, OLD))
    with cli_project(tmp_path / "other"):
        assert not folder.exists()


@contextmanager
def squatted(root: Path, owner: int, squatter: int) -> Iterator[Path]:
    folder = EnginePaths(root).fallback_socket(owner).parent
    folder.mkdir(mode=0o700)
    os.chown(folder, squatter, squatter)
    try:
        yield folder
    finally:
        folder.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else")
def test_a_squatter_of_the_name_is_told() -> None:
    with ordinary_account() as account:
        root = account.folder("plant")
        here = ("--project", str(root))
        assert account.call(*here, "init").returncode == 0
        account.call(*here, "engine", "stop", "--force")
        (root / ".gatewright").chmod(0o500)
        with squatted(root, UID, UID + 1000) as folder:
            for command in (("scripts", "list"), ("engine", "status"), ("engine", "start")):
                done = account.call(*here, *command)
                assert done.returncode == 3
                assert f"{folder} is not a folder that only the project's owner can use" in done.stderr
                assert f"it belongs to uid {UID + 1000}" in done.stderr
                assert f"Have uid {UID + 1000} or root remove it" in done.stderr
        assert account.call(*here, "scripts", "list").returncode == 0
        account.call(*here, "engine", "stop", "--force")
        (root / ".gatewright").chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a socket of somebody else")
async def test_nothing_is_sent_to_a_socket_that_is_not_the_owner_s(project: ProjectUnderTest) -> None:
    """Whoever listens in the project's place: the kernel says who that is, before a word is said."""
    project.paths.private.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(project.paths.socket))
        os.seteuid(UID)
        try:
            listener.listen()  # the credentials of the peer are those of listen(2)
        finally:
            os.seteuid(0)
        with pytest.raises(PermissionError, match=f"the socket belongs to uid {UID}"):
            await sockets.connect(project.paths, os.geteuid())
        accepted, _ = listener.accept()
        with accepted:
            heard = accepted.recv(1)
    assert heard == b""

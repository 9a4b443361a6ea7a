"""Starting engines: by whoever needs one, once, whatever an earlier one left behind."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from daemon_support import FOREVER, PATIENCE, TWO, ProjectUnderTest, alive, call_client, eventually, family, wait_for
from ordinary_user import Forked

from engine import logind
from engine.client import launch
from engine.client.answers import EngineUnreachable
from engine.client.finding import find_project
from engine.client.launch import LaunchError
from engine.lock import LifetimeLock
from engine.models.base import API_VERSION
from engine.models.runs import Outcome
from engine.registry.engine import ENGINE_INFO, POOL_INFO
from engine.registry.runs import RUNS_CANCEL, RUNS_GET, RUNS_OUTPUT, RUNS_START, OutputParams, RunParams, StartParams

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


async def test_the_first_client_starts_an_engine_and_the_next_uses_it(project: ProjectUnderTest) -> None:
    client = await project.connect()
    info = await client.call(ENGINE_INFO)
    assert (info.project, info.api_version, info.pid) == (str(project.root), API_VERSION, project.engine_pid)
    assert info.problems == []
    assert [item async for item in client.run_and_follow(TWO)][-1].value == 2
    again = await project.connect(start=False)
    assert (await again.call(ENGINE_INFO)).pid == info.pid
    await client.close()
    await again.close()


async def test_without_start_a_missing_engine_is_said_and_nothing_is_made(project: ProjectUnderTest) -> None:
    with pytest.raises(LaunchError, match="No engine runs for this project") as caught:
        await project.connect(start=False)
    assert caught.value.exit_code == 3
    assert list(project.root.iterdir()) == []


async def test_the_engine_is_nobodys_child_and_keeps_nothing_of_its_starter(
    project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSH_AUTH_SOCK", "GIT_DIR", "PYTHONPATH", "LD_LIBRARY_PATH", "HTTP_PROXY", "SECRET"):
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("GATEWRIGHT_POOL_SIZE", "4")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    client = await project.connect()
    assert (await client.call(POOL_INFO)).size == 4
    pid = project.engine_pid
    assert os.getsid(pid) != os.getsid(0)
    status = Path(f"/proc/{pid}/status").read_text()
    assert "\nUmask:\t0077\n" in status
    assert f"\nPPid:\t{os.getpid()}\n" not in status
    environment = launch.daemon_environment()
    if os.geteuid() == 0:  # the rest of what /proc tells about an undumpable process is for root only
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        environment = dict(line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if line)
    own = {"GATEWRIGHT_POOL_SIZE", "GATEWRIGHT_YIELD_ENABLED"}
    assert set(environment) <= {"HOME", "USER", "LOGNAME", "LANG", "TZ", "PATH", *own}
    assert (environment["TZ"], environment["LANG"]) == ("Europe/Berlin", "C.UTF-8")
    await client.close()


def test_ten_clients_at_once_start_one_engine(project: ProjectUnderTest) -> None:
    clients = [call_client(project.root, "print((await client.call(ENGINE_INFO)).pid)") for _ in range(10)]
    pids = {client.communicate(timeout=60)[0] for client in clients}
    assert pids == {f"{project.engine_pid}\n"}


async def test_a_socket_left_by_a_dead_engine_is_no_obstacle(project: ProjectUnderTest) -> None:
    project.paths.private.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(project.paths.socket))
    project.paths.lifetime_lock.write_text('{"pid": 1, "host": "another", "boot_id": "x", "socket": "/x"}')
    client = await project.connect()
    assert (await client.call(ENGINE_INFO)).pid == project.engine_pid != 1
    await client.close()


async def test_a_project_path_of_200_characters(tmp_path: Path) -> None:
    root = tmp_path / ("a" * 100) / ("b" * 100)
    root.mkdir(parents=True)
    project = ProjectUnderTest(root)
    try:
        client = await project.connect()
        assert [item async for item in client.run_and_follow(TWO)][-1].value == 2
        assert project.paths.socket.is_socket()
        await client.close()
    finally:
        project.end()


async def test_a_second_engine_is_told_about_the_first(project: ProjectUnderTest) -> None:
    client = await project.connect()
    second = await asyncio.to_thread(
        subprocess.run, launch.daemon_command(project.root), capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 3
    expected = f"(pid {project.engine_pid} on {socket.gethostname()}, socket {project.paths.socket})"
    assert f"An engine already serves this project {expected}. Stop it first: gatewright engine stop" in second.stderr
    assert (await client.call(ENGINE_INFO)).pid == project.engine_pid
    await client.close()


async def test_a_killed_engine_takes_its_children_along_and_the_next_client_starts_another(
    project: ProjectUnderTest,
) -> None:
    client = await project.connect()
    run = await client.call(RUNS_START, StartParams(), FOREVER)
    await eventually(lambda: project.recorded("SELECT text FROM output") == [(b"on\n",)])
    old, members = project.engine_pid, family(project.engine_pid)
    assert len(members) > 4
    os.kill(old, signal.SIGKILL)
    with pytest.raises(EngineUnreachable):
        async for _ in client.follow_run(run.id):
            pass
    await eventually(lambda: not alive(members))
    await client.close()
    client = await project.connect()
    assert project.engine_pid != old
    ended = await client.call(RUNS_GET, RunParams(run_id=run.id))
    assert ended.outcome is Outcome.INTERRUPTED
    assert (await client.call(RUNS_OUTPUT, OutputParams(run_id=run.id))).chunks[0].text == "on\n"
    await client.close()


async def test_an_engine_that_cannot_start_says_why(project: ProjectUnderTest) -> None:
    project.settings("[pool]\nsize = 99\n")
    with pytest.raises(LaunchError) as caught:
        await project.connect()
    file = project.paths.private / "settings.toml"
    assert caught.value.message == f"The engine did not start: {file}: pool size must be 3 to 20, not 99."
    assert caught.value.hint == "Correct pool.size."
    project.settings("")
    project.paths.private.chmod(0o755)
    with pytest.raises(LaunchError, match="Other accounts may look into") as caught:
        await project.connect()
    assert "chmod 700" in str(caught.value.hint)


async def test_an_engine_that_dies_at_its_start_leaves_its_last_words(
    project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = project.root / "python"
    broken.write_text("#!/bin/sh\necho 'SomeError: the disk is on fire' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(LaunchError) as caught:
        await project.connect()
    assert caught.value.message == "The engine did not start: SomeError: the disk is on fire"
    assert str(project.paths.log) in str(caught.value.hint)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(LaunchError, match="cannot be started: No such file"):
        await project.connect()


async def test_an_engine_that_hangs_is_named(project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "HANDSHAKE_TIMEOUT", 0.3)
    await (await project.connect()).close()
    os.kill(project.engine_pid, signal.SIGSTOP)
    try:
        with pytest.raises(LaunchError, match=rf"\(pid {project.engine_pid} on .*\) runs but does not answer"):
            await project.connect()
    finally:
        os.kill(project.engine_pid, signal.SIGCONT)


async def test_a_lock_that_is_held_without_a_socket_is_waited_for_but_not_for_ever(
    project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "HANDOVER_TIMEOUT", 0.3)
    project.paths.private.mkdir(mode=0o700)
    lock = LifetimeLock(project.paths.lifetime_lock)
    lock.acquire()
    with pytest.raises(LaunchError, match="runs but does not answer"):
        await project.connect()
    lock.release()
    await (await project.connect()).close()


@pytest.mark.parametrize("works", [True, False])
async def test_where_logout_kills_it_starts_in_a_scope_or_else_without(
    project: ProjectUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    mark = tmp_path / "mark"
    runner = tmp_path / "runner"
    runner.write_text(f'#!/bin/sh\ntouch {mark}\n{"shift" if works else "exit 1"}\nexec "$@"\n')
    runner.chmod(0o755)
    monkeypatch.setattr(logind, "scope_command", lambda: [str(runner), "--"])
    client = await project.connect()
    assert mark.exists()
    assert (await client.call(ENGINE_INFO)).pid == project.engine_pid
    await client.close()


async def test_an_older_idle_engine_is_replaced_and_a_busy_one_is_not(
    project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await project.connect()
    old = project.engine_pid
    run = await client.call(RUNS_START, StartParams(), FOREVER)
    monkeypatch.setattr(launch, "API_VERSION", API_VERSION + 1)
    with pytest.raises(LaunchError, match=r"older version .* cannot be restarted: The engine is busy: a run goes on\."):
        await project.connect()
    assert (await client.call(RUNS_CANCEL, RunParams(run_id=run.id))).outcome is Outcome.CANCELLED
    # What is started instead is this version again, which the patched client cannot use either: it says so and stops.
    with pytest.raises(LaunchError, match="one of another version answers again"):
        await project.connect()
    assert not alive({old})
    await client.close()


async def test_an_engine_of_an_older_version_is_replaced_when_it_is_idle(
    project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await project.connect()
    old = project.engine_pid
    run = await client.call(RUNS_START, StartParams(), FOREVER)
    monkeypatch.setattr(launch, "VERSION", "99.0")
    busy = await project.connect()
    assert (await busy.call(ENGINE_INFO)).pid == old, "it goes on, and is understood"
    assert (await busy.call(RUNS_CANCEL, RunParams(run_id=run.id))).outcome is Outcome.CANCELLED
    asking = await project.connect(start=False)
    assert (await asking.call(ENGINE_INFO)).pid == old, "who starts none ends none"
    async with asyncio.timeout(PATIENCE):
        while (await (new := await project.connect()).call(ENGINE_INFO)).pid == old:  # a task may go on for a moment
            await new.close()
    assert not alive({old})
    for each in (client, busy, asking, new):
        await each.close()


@pytest.mark.slow
async def test_an_engine_that_no_client_started_is_left_to_who_did(
    project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = project.serve()
    monkeypatch.setattr(launch, "VERSION", "99.0")
    client = await project.connect()
    assert (await client.call(ENGINE_INFO)).pid == served.pid
    await client.close()
    served.terminate()
    served.wait(PATIENCE)


async def test_a_newer_engine_is_left_alone(project: ProjectUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await project.connect()
    monkeypatch.setattr(launch, "API_VERSION", API_VERSION - 1)
    with pytest.raises(LaunchError, match="newer version"):
        await project.connect()
    assert (await client.call(ENGINE_INFO)).pid == project.engine_pid
    await client.close()


def test_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    find = partial(find_project, tell=told.append)
    with pytest.raises(LaunchError, match="There is no folder") as caught:
        find(str(tmp_path / "none"))
    assert caught.value.exit_code == 2
    (tmp_path / "p" / ".gatewright").mkdir(parents=True)
    (tmp_path / "p" / "scripts" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "p" / "scripts" / "deep")
    assert find(None) == tmp_path / "p"
    monkeypatch.chdir(tmp_path)
    for explicit in (None, str(tmp_path)):
        with pytest.raises(LaunchError, match="no project") as caught:
            find(explicit)
        assert caught.value.exit_code == 2
        assert "gatewright init" in str(caught.value.hint)
        assert find(explicit, make=True) == tmp_path
    assert find("p") == tmp_path / "p"
    assert told == []


@as_root
def test_root_becomes_the_owner_of_anothers_project() -> None:
    """In a mount namespace in which every account can reach this interpreter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        root = Path(place, "plant")
        root.mkdir(mode=0o700)
        os.chown(root, NOBODY, NOBODY)
        project = ProjectUnderTest(root)
        program = f"""
import asyncio, os
from pathlib import Path
from engine.client.launch import connect
from engine.models.engine import StopRequest
from engine.models.runs import RunKind, RunRequest
from engine.registry.engine import ENGINE_INFO, ENGINE_STOP
from engine.models.runs import RunKind, RunRequest
async def main():
    client = await connect(Path({str(root)!r}), client="cli")
    info = await client.call(ENGINE_INFO)
    items = [item async for item in client.run_and_follow(RunRequest(kind=RunKind.EXEC, code="result = 1 + 1"))]
    print(os.geteuid(), os.getuid(), os.getgroups(), os.environ["HOME"], info.owner, items[-1].value, info.pid)
    await client.call(ENGINE_STOP, body=StopRequest())
    await client.close()
asyncio.run(main())
"""
        done = run_where_everybody_reaches_python([sys.executable, "-c", program])
        assert done.returncode == 0, done.stdout + done.stderr
        *told, pid = done.stdout.split()
        assert told == [str(NOBODY), str(NOBODY), f"[{NOBODY}]", "/nonexistent", "nobody", "2"]
        wait_for(lambda: not alive({int(pid)}))
        assert {path.lstat().st_uid for path in root.rglob("*")} == {NOBODY}
        assert not project.lives


def run_where_everybody_reaches_python(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run as root in a mount namespace whose way to the interpreter is open to all accounts."""
    prefix = Path(sys.base_prefix)
    closed = next((folder for folder in [*prefix.parents][::-1] if not folder.stat().st_mode & 0o001), None)
    script = 'exec "$@"'
    if closed is not None:
        script = f"""set -e
hold=$(mktemp -d)
mount --bind {prefix} "$hold"
mount -t tmpfs -o mode=755 none {closed}
mkdir -p {prefix}
mount --move "$hold" {prefix}
rmdir "$hold"
exec "$@" """
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
        capture_output=True, text=True, check=False, timeout=60, cwd="/", env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


@as_root
def test_another_accounts_project_is_refused_with_the_owners_name() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        answer = _connect_as_nobody(Path(place))
        assert answer == f"4 The folder {place} belongs to root and is no project."
        assert os.listdir(place) == []
        Path(place, ".gatewright").mkdir(mode=0o700)
        answer = _connect_as_nobody(Path(place))
        assert answer == "4 This project belongs to root; other accounts have no access to it."
        assert os.listdir(Path(place, ".gatewright")) == []


def _connect_as_nobody(folder: Path) -> str:
    """What a client of another account is told; forked, so that it need not reach the interpreter's files."""

    def connect() -> str:
        try:
            asyncio.run(launch.connect(folder, client="cli"))
        except LaunchError as error:
            return f"{error.exit_code} {error.message}"
        return "connected"

    return Forked(connect, NOBODY).answer()


def test_it_may_open_all_files_and_what_it_starts_the_usual_number(project: ProjectUnderTest) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        engine = project.serve()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    wait_for(lambda: len(family(engine.pid)) > 3)
    assert open_files(engine.pid) == before[1]
    children = family(engine.pid) - {engine.pid}
    wait_for(lambda: all(open_files(pid) <= 1024 for pid in children))
    engine.terminate()
    assert engine.wait(20) == 0


def open_files(pid: int) -> int:
    """The soft limit of a process, 0 if it has gone."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    except ProcessLookupError:
        return 0

"""Processes that an ADMIN run leaves: ended and told, or kept where the script's header asks for it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_support import cli_project
from daemon_support import ProjectUnderTest, family, line_of, wait_for
from pool_kit import ADMIN, descendants, expect_innocent, limits, make_job, pool_of, run, until, until_ready

from engine.models.runs import Outcome
from engine.worker.descendants import is_alive

LEAVES = replace(ADMIN, leaves=True)
# Popen returns while the child is on its way through execve(2), where /proc has its old name or no command line yet:
# each is waited for until it says that it runs.
START = """
import subprocess, sys
def start(command, **options):
    command = "echo up >&2; exec 2>/dev/null; " + command
    started = subprocess.Popen(["sh", "-c", command], stderr=subprocess.PIPE, **options)
    started.stderr.read(3)
    return started.pid
"""


class Flag:
    """A file for processes of a test to wait for: they go on until it is gone."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "go-on"
        self.path.touch()
        self.after = folder / "went-on"
        self.wait = f"while [ -e {self.path} ]; do sleep 0.02; done; echo heard by nobody; echo yes > {self.after}"

    def lower(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture
def flag(tmp_path: Path) -> Iterator[Flag]:
    made = Flag(tmp_path)
    yield made
    made.lower()


@pytest.fixture
def ended_at_last() -> Iterator[list[int]]:
    """Processes that go on after a test only if it fails."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_what_a_run_leaves_is_ended_and_named(flag: Flag) -> None:
    async with pool_of() as pool:
        await run(pool, "result = 1", profile=ADMIN)
        await until_ready(pool)
        baseline = set(descendants())
        source = f"{START}\nresult = [start({flag.wait!r}), start({flag.wait!r}, start_new_session=True)]"
        done = await run(pool, source, profile=ADMIN)
        assert done.outcome is Outcome.OK
        first, second = done.value
        note = done.ending.note
        assert note is not None
        assert "processes that it left running were ended with it" in note
        assert f"sh (pid {first})" in note
        assert f"sh (pid {second})" in note
        assert "leave_processes" in note
        await expect_innocent(pool, ADMIN)
        await until(lambda: len(set(descendants()) - baseline) <= 1, "only the next parked child is new")
    flag.lower()
    assert not flag.after.exists()


async def test_a_failing_script_is_told_too_and_its_own_note_stays(flag: Flag) -> None:
    async with pool_of() as pool:
        done = await run(pool, f"{START}\nstart({flag.wait!r})\nraise ValueError(1)", profile=ADMIN)
        assert done.outcome is Outcome.SCRIPT_ERROR
        assert "was ended with it: " in (done.ending.note or "") or "were ended with it: " in (done.ending.note or "")
        done = await run(pool, f"{START}\nstart({flag.wait!r})\nresult = open('/dev/null')", profile=ADMIN)
        assert "ended with it: " in (done.ending.note or "")


async def test_what_has_ended_by_itself_is_not_told() -> None:
    async with pool_of() as pool:
        source = f"{START}\nimport os\npid = start('true')\nos.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)"
        assert (await run(pool, source, profile=ADMIN)).ending.note is None
        assert (await run(pool, "result = 1", profile=ADMIN)).ending.note is None


async def test_names_are_cut_and_harmless(flag: Flag, tmp_path: Path) -> None:
    hostile = tmp_path / ("\x1b[31m" + "n" * 60)
    hostile.symlink_to("/bin/sh")
    source = START.replace('"sh"', repr(str(hostile))) + f"\nresult = start({flag.wait!r})"
    async with pool_of() as pool:
        note = (await run(pool, source, profile=ADMIN)).ending.note
    assert note is not None
    assert "\ufffd[31mnnn" in note
    assert "\x1b" not in note
    assert "n" * 41 not in note


async def test_the_first_words_are_told_and_nothing_that_may_be_a_password(tmp_path: Path) -> None:
    script = tmp_path / "waits"
    os.mkfifo(tmp_path / "never-written")
    # A shell that waits without a process more.
    script.write_text(f"echo up >&2; exec 2>/dev/null; read line < {tmp_path / 'never-written'}\n")
    sub = "import subprocess\n" + "".join(
        f"subprocess.Popen(['sh', {str(script)!r}, {words}], stderr=subprocess.PIPE).stderr.read(3)\n"
        for words in ("'serve', 'hall\x1b', '-p', 'hunter2'", "'login', 'user:hunter2@host'", "'login', 'key=hunter2'")
    )
    async with pool_of() as pool:
        note = (await run(pool, sub, profile=ADMIN)).ending.note or ""
    assert note.count("sh /") == 3
    assert "hunter2" not in note
    assert "\x1b" not in note


async def test_what_detached_itself_goes_on_after_run_slot_and_pool(flag: Flag, ended_at_last: list[int]) -> None:
    async with pool_of() as pool:
        source = f"{START}\nresult = [start({flag.wait!r}, start_new_session=True), start({flag.wait!r})]"
        done = await run(pool, source, profile=LEAVES)
        assert done.outcome is Outcome.OK
        kept, ended = done.value
        ended_at_last += done.value
        note = done.ending.note
        assert note is not None
        assert "on after it, as leave_processes asks" in note
        assert f"sh (pid {kept})" in note
        assert "ended with it" in note
        assert note.endswith("under a service with a cgroup of its own it is found for certain.")
        assert "namespace" not in note
        assert "no pid namespace" in done.ending.isolation
        await until(lambda: not is_alive(ended), "what did not detach itself is ended")
        await until_ready(pool)
        await expect_innocent(pool)
        assert is_alive(kept)
        await expect_innocent(pool, ADMIN)
    assert is_alive(kept)
    flag.lower()
    await until(flag.after.exists, "its output, which nobody reads, has not ended it")
    await until(lambda: not is_alive(kept), "it has come to its end")


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_a_stop_ends_what_detached_itself_too(how: str, flag: Flag, ended_at_last: list[int]) -> None:
    async with pool_of() as pool:
        source = f"""{START}
print(start({flag.wait!r}, start_new_session=True), flush=True)
print(start("setsid sh -c '{flag.wait}' & exit", start_new_session=True), flush=True)
while True: pass"""
        wall = 1.0 if how == "timeout" else 20.0
        job = make_job(source, profile=LEAVES, limits=limits(wall=wall))
        ending = pool.submit(job)
        if how == "cancel":
            await until(lambda: job.sink.stdout.count("\n") == 2, "both have started")
            assert pool.cancel(job.run_id)
        done = await ending
        pids = [int(line) for line in job.sink.stdout.split()]
        ended_at_last += pids
        assert len(pids) == 2
        assert done.outcome is (Outcome.CANCELLED if how == "cancel" else Outcome.TIMEOUT)
        assert done.note is None, "there is nothing that could not be ended"
        assert [pid for pid in pids if is_alive(pid)] == []
        await until_ready(pool)
        await expect_innocent(pool)
    flag.lower()
    assert not flag.after.exists()


async def test_an_engine_that_stops_ends_what_a_run_has_detached(flag: Flag, ended_at_last: list[int]) -> None:
    async with pool_of() as pool:
        source = f"{START}\nprint(start({flag.wait!r}, start_new_session=True), flush=True)\nwhile True: pass"
        job = make_job(source, profile=LEAVES, limits=limits(wall=60.0))
        ending = pool.submit(job)
        await until(lambda: job.sink.stdout, "it has started")
    assert (await ending).outcome is Outcome.INTERRUPTED
    ended_at_last.append(int(job.sink.stdout))
    await until(lambda: not is_alive(int(job.sink.stdout)), "it is ended with the run")


async def test_one_that_leaves_without_a_result_is_told_as_well(flag: Flag, ended_at_last: list[int]) -> None:
    async with pool_of() as pool:
        source = f"{START}\nimport os\nprint(start({flag.wait!r}, start_new_session=True), flush=True)\nos._exit(3)"
        done = await run(pool, source, profile=LEAVES)
        assert done.outcome is Outcome.EXITED
        kept = int(done.sink.stdout)
        ended_at_last.append(kept)
        assert f"sh (pid {kept})" in (done.ending.note or "")
        await until_ready(pool)
        assert is_alive(kept)


async def test_earlier_runs_leftovers_are_no_business_of_a_later_stop(flag: Flag, ended_at_last: list[int]) -> None:
    async with pool_of() as pool:
        done = await run(pool, f"{START}\nresult = start({flag.wait!r}, start_new_session=True)", profile=LEAVES)
        ended_at_last.append(done.value)
        stopped = await run(pool, "while True: pass", profile=LEAVES, wall=0.3)
        assert stopped.outcome is Outcome.TIMEOUT
        assert is_alive(done.value)


RESTART = """# /// script
# [tool.gatewright]
# leave_processes = true
# ///
STARTpid = start(WAIT, start_new_session=True)
stays = start(WAIT) if BOTH else 0
print(pid, stays, flush=True)
while BOTH: pass
"""


def restart(flag: Flag, *, both: bool = False) -> str:
    return RESTART.replace("START", START).replace("WAIT", repr(flag.wait)).replace("BOTH", str(both))


def test_a_script_that_restarts_a_service(tmp_path: Path, flag: Flag, ended_at_last: list[int]) -> None:
    with cli_project(tmp_path / "plant", "[policy]\nadmin_as_root = true\n") as project:
        project.script("restart.py", restart(flag).replace("# leave_processes = true\n", ""))
        plain = project.call("run", "restart", "--mode", "admin")
        assert (plain.returncode, plain.stderr.count(" ended with it: sh (pid ")) == (0, 1)
        assert project.call("scripts", "set", "restart", "leave_processes=true").returncode == 0
        assert "leave_processes" in project.call("scripts", "show", "restart").stdout
        refused = project.call("run", "restart")
        assert refused.returncode == 4
        assert "only an ADMIN run starts any" in refused.stderr
        run = project.json("run", "restart", "--mode", "admin")
        ended_at_last.append(kept := int(run["stdout"].split()[0]))
        assert f"on after it, as leave_processes asks: sh (pid {kept})" in run["note"]
        again = project.call("runs", "replay", str(run["id"]), "--mode", "admin")
        ended_at_last.append(int(again.stdout.split()[0]))
        assert "on after it, as leave_processes asks: sh (pid" in again.stderr
        runs = [entry for entry in project.json("audit")["records"] if entry["action"] == "admin_run"]
        assert sorted("leave_processes" in entry["detail"] for entry in runs) == [False, True, True]
    assert all(map(is_alive, ended_at_last)), "they outlive the engine"
    flag.lower()
    wait_for(lambda: not any(map(is_alive, ended_at_last)))


def test_a_killed_engine_takes_along_what_has_not_detached_itself(
    tmp_path: Path, flag: Flag, ended_at_last: list[int]
) -> None:
    with cli_project(tmp_path / "plant", "[policy]\nadmin_as_root = true\n") as project:
        engine = ProjectUnderTest(project.root).engine_pid
        project.script("restart.py", restart(flag, both=True))
        with project.popen("run", "restart", "--mode", "admin", "--timeout", "60") as client:
            kept, ended = map(int, line_of(client).split())
            ended_at_last += [kept, ended]
            # Not what the two have started, which ends all the time: others may have those numbers by now.
            below = family(engine) - family(kept) - family(ended) | {ended}
            os.kill(engine, signal.SIGKILL)
            wait_for(lambda: not any(map(is_alive, below)))
            client.kill()
        assert is_alive(kept)

"""What a run holds where its cgroup is counted: more than its processes are seen to hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.pool import memory_watch
from engine.pool.memory_watch import MemoryPlaces, MemoryWatch


async def test_the_figures_of_a_cgroup_decide_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text(f"anon {1 << 40}\nfile 5\nshmem {1 << 40}\n")
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    MemoryWatch(os.getpid(), 1 << 40, told.set_result, MemoryPlaces(cgroup=tmp_path))
    assert await asyncio.wait_for(told, 30) == 2 << 40


async def test_without_figures_its_processes_are_looked_at(tmp_path: Path) -> None:
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    MemoryWatch(os.getpid(), 1, told.set_result, MemoryPlaces(shm="/dev/shm/none-such", cgroup=tmp_path / "none"))
    assert 1 < await asyncio.wait_for(told, 30) < 1 << 40


@contextlib.contextmanager
def crowd(size: int) -> Iterator[int]:
    """A process with ``size`` children, all asleep; its pid."""
    program = "import os, signal, sys\nfor _ in range(int(sys.argv[1])):\n    if os.fork() == 0: break\n"
    program += "else: print('there', flush=True)\nsignal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(size)], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"there\n"
            yield parent.pid
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


async def test_a_crowd_is_counted_in_small_parts_so_that_the_clock_of_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, looked = 0, []
    loop = asyncio.get_running_loop()

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    def resident(pid: int) -> int:
        looked.append((pid, turns))
        return 1

    monkeypatch.setattr(memory_watch, "AT_ONCE", 0.0)
    monkeypatch.setattr(memory_watch, "resident", resident)
    told: asyncio.Future[int] = loop.create_future()
    with crowd(40) as pid:
        loop.call_soon(turn)
        watch = MemoryWatch(pid, 40, told.set_result)
        assert await asyncio.wait_for(told, 30) == 41
        assert len({pid for pid, _ in looked}) == 41
        assert len({turn for _, turn in looked}) > 20
        watch.stop()


async def test_a_look_ends_where_the_limit_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb's memory passes it after a few hundred processes, and the others need no look."""
    looked: list[int] = []
    monkeypatch.setattr(memory_watch, "resident", lambda pid: looked.append(pid) or 1)  # type: ignore[func-returns-value]
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with crowd(40) as pid:
        MemoryWatch(pid, 9, told.set_result)
        assert await asyncio.wait_for(told, 30) == 10
        assert len(looked) == 10

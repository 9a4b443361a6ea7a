"""What a run holds where its cgroup is counted: more than its processes are seen to hold."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

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

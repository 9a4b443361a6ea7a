"""``kill -9`` in a loop of saves, renames, copies and deletions: nothing acknowledged is lost, nothing is torn."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from changes_support import choose, contents, opened

from store import disk

CHANGES = Path(__file__).with_name("changes_support.py")


@pytest.mark.timeout(110)
def test_no_acknowledged_change_is_lost(tmp_path: Path) -> None:
    kill_loop(tmp_path, kills=30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_acknowledged_change_is_lost_in_many_kills(tmp_path: Path) -> None:
    kill_loop(tmp_path, kills=250)


def kill_loop(root: Path, kills: int) -> None:
    chance = random.Random(4)
    before: dict[str, str] = {}
    acknowledged = unacknowledged = leftovers = 0
    for seed in range(kills):
        count = killed_after(root, seed, at_least=chance.randrange(1, 6), delay=chance.random() * 0.004)
        steps = expected(before, seed, count + 1)
        acknowledged += count
        leftovers += sum(disk.TEMP_NAME.fullmatch(path.name) is not None for path in (root / "scripts").rglob("*"))
        before = asyncio.run(check(root, steps))
        unacknowledged += before != steps[count]
    print(
        f"{kills} kills, {acknowledged} acknowledged changes, {unacknowledged} more done, {leftovers} leftovers cleared"
    )
    assert acknowledged >= kills


def killed_after(root: Path, seed: int, *, at_least: int, delay: float) -> int:
    """Start it, let it acknowledge a few changes, wait a moment longer, kill it; how many it acknowledged in all."""
    reading, writing = os.pipe()
    command = [sys.executable, str(CHANGES), str(root), str(seed), str(writing)]
    process = subprocess.Popen(command, pass_fds=[writing], env=os.environ | {"PYTHONPATH": str(CHANGES.parents[2])})
    os.close(writing)
    count = 0
    try:
        while count < at_least:
            assert select.select([reading], [], [], 60)[0], "it does nothing"
            got = len(os.read(reading, at_least - count))
            assert got, "it ended by itself"
            count += got
        time.sleep(delay)  # where in its loop it dies is left to chance
    finally:
        process.kill()
        ended = process.wait(60)
    assert ended == -signal.SIGKILL
    while got := len(os.read(reading, 4096)):
        count += got
    os.close(reading)
    return count


def expected(before: dict[str, str], seed: int, count: int) -> list[dict[str, str]]:
    """What the scripts are before the first change and after each of ``count``."""
    chance = random.Random(seed)
    states = [before]
    for number in range(count):
        states.append(choose(chance, states[-1], seed * 100_000 + number + 1).after)
    return states


async def check(root: Path, states: list[dict[str, str]]) -> dict[str, str]:
    """The scripts as the next start finds them, held against what was acknowledged."""
    async with opened(root) as parts:
        found = contents(parts.files)
        assert found in states[-2:], "the last acknowledged state, or that of the change being made"
        assert {path.name for path in (root / "scripts").rglob("*") if path.is_file()} == {
            path.rpartition("/")[2] for path in found
        }, "a stray file"
        replaced = {digest for state in states[:-1] for digest in state.values()} - set(found.values())
        for digest in replaced:
            parts.files.kept(digest)
        assert await parts.state.versions.unsettled() == []
        rows = [
            row for path in {path for state in states for path in state} for row in await parts.state.versions.of(path)
        ]
        for row in rows:
            parts.files.kept(row.sha256)
        assert replaced <= {row.sha256 for row in rows}, "a replaced version without a row"
        return found

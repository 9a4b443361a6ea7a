"""``kill -9`` in a loop of saves, renames, copies and deletions: nothing acknowledged is lost, nothing is torn."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from changes_support import choose, contents, opened
from killing import killed_after

from store import disk

CHANGES = Path(__file__).with_name("changes_support.py")


@pytest.mark.slow
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
        count = killed_after(CHANGES, root, seed, at_least=chance.randrange(1, 6), delay=chance.random() * 0.004)
        steps = expected(before, seed, count + 1)
        acknowledged += count
        leftovers += sum(disk.TEMP_NAME.fullmatch(path.name) is not None for path in (root / "scripts").rglob("*"))
        before = asyncio.run(check(root, steps))
        unacknowledged += before != steps[count]
    print(
        f"{kills} kills, {acknowledged} acknowledged changes, {unacknowledged} more done, {leftovers} leftovers cleared"
    )
    assert acknowledged >= kills


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

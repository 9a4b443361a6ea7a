"""``kill -9`` in a loop of saves, renames and deletions of documents: nothing acknowledged is lost, nothing is torn."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from document_changes import contents, next_step
from documents_kit import documents_in
from killing import killed_after

CHANGES = Path(__file__).with_name("document_changes.py")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_acknowledged_change_of_a_document_is_lost(tmp_path: Path) -> None:
    chance = random.Random(6)
    before: dict[str, str] = {}
    acknowledged = 0
    for seed in range(25):
        count = killed_after(CHANGES, tmp_path, seed, at_least=chance.randrange(1, 6), delay=chance.random() * 0.004)
        acknowledged += count
        steps = expected(before, seed, count + 1)
        before = asyncio.run(check(tmp_path, steps))
    assert acknowledged >= 25


def expected(before: dict[str, str], seed: int, count: int) -> list[dict[str, str]]:
    """Return what the documents are before the first change and after each of ``count``."""
    chance = random.Random(seed)
    states = [before]
    for number in range(count):
        states.append(next_step(chance, states[-1], seed * 100_000 + number + 1).after)
    return states


async def check(root: Path, states: list[dict[str, str]]) -> dict[str, str]:
    """Return the documents as the next start finds them, held against what was acknowledged."""
    async with documents_in(root) as docs:
        found = contents(docs)
        assert found in states[-2:], "the last acknowledged state, or that of the change being made"
        assert {path.name for path in docs.folder.rglob("*") if path.is_file()} == {
            path.rpartition("/")[2] for path in found
        }, "a stray file"
        replaced = {digest for state in states[:-1] for digest in state.values()} - set(found.values())
        for digest in replaced:
            docs.files.kept(digest)
        assert await docs.state.document_versions.unsettled() == []
        paths = {path for state in states for path in state}
        rows = [row for path in paths for row in await docs.state.document_versions.of(path)]
        for row in rows:
            docs.files.kept(row.sha256)
        assert replaced <= {row.sha256 for row in rows}, "a replaced version without a row"
        return found

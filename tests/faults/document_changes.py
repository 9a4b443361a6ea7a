"""A process that changes documents as the engine does, tells what it has done, and is killed."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from changes_support import Step, choose, sha
from documents_kit import AUTHOR, Documents, documents_in

from engine.models.documents import SaveDocumentRequest
from engine.models.scripts import DeleteRequest, RenameRequest

NAMES = ("a.md", "b.txt", "sub/a.md", "sub/deep/c.rst")


def next_step(chance: random.Random, now: dict[str, str], number: int) -> Step:
    """Return a change that must succeed on ``now``."""
    return choose(chance, now, number, NAMES, copies=False)


def contents(docs: Documents) -> dict[str, str]:
    """Return the hash of every document by path."""
    return {file.path: sha(docs.files.read(file.path)) for file in docs.files.scan({}).documents}


async def take(docs: Documents, step: Step, now: dict[str, str]) -> None:
    base = now.get(step.path)
    if step.kind == "save":
        await docs.service.save(step.path, SaveDocumentRequest(text=step.text, base_sha256=base), AUTHOR)
    elif step.kind == "delete":
        await docs.service.delete(step.path, DeleteRequest(base_sha256=base), AUTHOR)
    else:
        await docs.service.rename(step.path, RenameRequest(new_path=step.new_path, base_sha256=base), AUTHOR)


async def change(root: Path, seed: int, report: int) -> None:
    """Change documents for ever; ``report`` is a pipe that gets a letter for every change that was acknowledged."""
    chance = random.Random(seed)
    async with documents_in(root) as docs:
        now = contents(docs)
        number = seed * 100_000
        while True:
            number += 1
            step = next_step(chance, now, number)
            await take(docs, step, now)
            now = step.after
            os.write(report, b".")


if __name__ == "__main__":
    asyncio.run(change(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))

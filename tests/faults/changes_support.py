"""A process that changes scripts as the engine does, tells what it has done, and is killed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, SaveRequest
from engine.models.versions import RestoreRequest
from engine.services.access import owner_actor
from engine.services.events import EventBus
from engine.services.scripts.changes import ScriptChanges
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.service import ScriptService
from engine.services.versioned_writer import VersionedWriter
from store.files.scripts import ScriptFiles
from store.index.reconcile import Reconciler
from store.state.database import StateDB

NAMES = ("a.py", "b.py", "sub/a.py", "sub/deep/c.py")
ME = owner_actor()


@dataclass
class Parts:
    """What of an engine changes scripts; no pool."""

    files: ScriptFiles
    state: StateDB
    writer: VersionedWriter
    scripts: ScriptService
    changes: ScriptChanges


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Parts]:
    """As the engine starts: first clear away what a crash left, then decide about what it had announced."""
    for name in ("scripts", "history"):
        (root / name).mkdir(exist_ok=True)
    files = ScriptFiles(root / "scripts", root / "history")
    await asyncio.to_thread(files.recover)
    state = await StateDB.open(root / "state.db")
    reconciler = await Reconciler.open(files, root / "index.db")
    writer = VersionedWriter(files, state.versions)
    try:
        await writer.after_crash()
        events = EventBus()
        scripts = ScriptService(files, reconciler, writer, state.approvals, events, Dependencies([]))
        yield Parts(files, state, writer, scripts, ScriptChanges(scripts, files, writer, state.versions, events))
    finally:
        await writer.settled()
        await reconciler.close()
        await state.close()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def contents(files: ScriptFiles) -> dict[str, str]:
    """Hash of every script by path."""
    return {file.path: sha(files.read(file.path)) for file in files.list()}


@dataclass(frozen=True)
class Step:
    """One change: what it does, and what the scripts are after it."""

    kind: str
    path: str
    new_path: str
    text: str
    after: dict[str, str]


def choose(
    chance: random.Random, now: dict[str, str], number: int, names: Sequence[str] = NAMES, *, copies: bool = True
) -> Step:
    """A change that must succeed on ``now``."""
    text = f"# {number}\n" * (1 + number * 7919 % 3000)
    free = [name for name in names if name not in now]
    if not now or (free and chance.random() < 0.3):
        path = chance.choice(free)
        return Step("save", path, "", text, {**now, path: sha(text.encode())})
    path = chance.choice(sorted(now))
    rest = {name: digest for name, digest in now.items() if name != path}
    kinds = ["save", "delete", *(["rename", "duplicate"] if copies else ["rename"])] if free else ["save", "delete"]
    kind = chance.choice(kinds)
    if kind == "save":
        return Step("save", path, "", text, {**rest, path: sha(text.encode())})
    if kind == "delete":
        return Step("delete", path, "", "", rest)
    new_path = chance.choice(free)
    after = {**(now if kind == "duplicate" else rest), new_path: now[path]}
    return Step(kind, path, new_path, "", after)


async def take(parts: Parts, step: Step, now: dict[str, str]) -> None:
    base = now.get(step.path)
    if step.kind == "save":
        await parts.scripts.save(step.path, SaveRequest(text=step.text, base_sha256=base), ME)
    elif step.kind == "delete":
        await parts.changes.delete(step.path, DeleteRequest(base_sha256=base), ME)
    elif step.kind == "rename":
        await parts.changes.rename(step.path, RenameRequest(new_path=step.new_path, base_sha256=base), ME)
    elif step.kind == "duplicate":
        await parts.changes.duplicate(step.path, DuplicateRequest(new_path=step.new_path), ME)
    else:
        await parts.changes.restore(step.path, RestoreRequest(sha256=step.text, base_sha256=base), ME)


def change_until_killed(root: str, seed: int, report: int) -> None:
    """Change scripts for ever; ``report`` is a pipe that gets one letter for every change that was acknowledged.

    The other side makes the same choices from the same seed, so that a letter says all.
    """
    asyncio.run(_change(Path(root), seed, report))


async def _change(root: Path, seed: int, report: int) -> None:
    chance = random.Random(seed)
    async with opened(root) as parts:
        now = contents(parts.files)
        number = seed * 100_000
        while True:
            number += 1
            step = choose(chance, now, number)
            await take(parts, step, now)
            now = step.after
            os.write(report, b".")


if __name__ == "__main__":
    change_until_killed(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

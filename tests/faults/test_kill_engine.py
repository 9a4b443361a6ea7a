"""``kill -9`` of real engines while a client saves, renames, copies and deletes over their socket."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from changes_support import NAMES, Step, choose, contents, sha

from engine.client import launch
from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.lock import holder_of
from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, SaveRequest
from engine.models.versions import ScriptVersion
from engine.paths import EnginePaths
from engine.registry.scripts import (
    SCRIPTS_DELETE,
    SCRIPTS_DUPLICATE,
    SCRIPTS_HISTORY,
    SCRIPTS_LIST,
    SCRIPTS_RENAME,
    SCRIPTS_SAVE,
    ScriptParams,
)
from store import disk
from store.files.scripts import ScriptFiles

State = dict[str, str]
"""Hash of every script by path."""


@dataclass
class Counts:
    kills: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    leftovers: int = 0
    checks: int = 0


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_no_change_that_an_engine_acknowledged_is_lost(tmp_path: Path) -> None:
    asyncio.run(kill_loop(tmp_path / "plant", kills=10))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_change_that_an_engine_acknowledged_is_lost_in_many_kills(tmp_path: Path) -> None:
    asyncio.run(kill_loop(tmp_path / "plant", kills=200))


async def kill_loop(root: Path, kills: int) -> None:
    root.mkdir()
    chance = random.Random(5)
    counts = Counts()
    states: list[State] = [{}]
    client = await launch.connect(root, client="cli")
    try:
        for seed in range(kills):
            holder = holder_of(EnginePaths(root).lifetime_lock)
            assert holder is not None
            states, perhaps = await change_until_killed(
                client, holder.pid, states[-1], seed, at_least=chance.randrange(1, 6), delay=chance.random() * 0.012
            )
            await client.close()
            counts.kills += 1
            counts.acknowledged += len(states) - 1
            counts.leftovers += len(temps(root))
            client = await launch.connect(root, client="cli")
            found = await check(client, root, states, perhaps, counts)
            counts.unacknowledged += found != states[-1]
            states = [found]
    finally:
        await client.close()
        await launch.stop(root, client="cli", force=True)
    print(counts)
    assert counts.acknowledged >= kills


async def change_until_killed(
    client: EngineClient, pid: int, now: State, seed: int, *, at_least: int, delay: float
) -> tuple[list[State], State]:
    """Change scripts; some time after a few changes were acknowledged the engine is killed.

    Returns:
        The states that were acknowledged, and the one that the change under way would have made.
    """
    chance = random.Random(seed)
    states = [now]
    loop = asyncio.get_running_loop()
    while True:
        step = choose(chance, states[-1], seed * 100_000 + len(states))
        try:
            await send(client, step, states[-1])
        except EngineUnreachable:
            return states, step.after
        states.append(step.after)
        if len(states) == at_least + 1:
            loop.call_later(delay, os.kill, pid, signal.SIGKILL)  # where in its work it dies is left to chance


async def send(client: EngineClient, step: Step, now: State) -> None:
    base = now.get(step.path)
    match step.kind:
        case "save":
            await client.call(SCRIPTS_SAVE, ScriptParams(path=step.path), SaveRequest(text=step.text, base_sha256=base))
        case "delete":
            await client.call(SCRIPTS_DELETE, ScriptParams(path=step.path), DeleteRequest(base_sha256=base))
        case "rename":
            await client.call(
                SCRIPTS_RENAME, ScriptParams(path=step.path), RenameRequest(new_path=step.new_path, base_sha256=base)
            )
        case _:
            await client.call(SCRIPTS_DUPLICATE, ScriptParams(path=step.path), DuplicateRequest(new_path=step.new_path))


def temps(root: Path) -> list[Path]:
    return [path for path in (root / "scripts").rglob("*") if disk.TEMP_NAME.fullmatch(path.name)]


async def check(client: EngineClient, root: Path, states: list[State], perhaps: State, counts: Counts) -> State:
    """What the next engine says and has, held against what was acknowledged."""
    files = ScriptFiles(root / "scripts", root / ".gatewright/history")
    on_disk = contents(files)
    found = {path: digest for path, digest in on_disk.items() if path in NAMES}
    assert found in (states[-1], perhaps), "the last acknowledged state, or that of the change being made"
    listed = {info.path: info.sha256 for info in (await client.call(SCRIPTS_LIST)).scripts}
    assert listed == on_disk, "the index is what the files are"
    assert temps(root) == []
    replaced = {digest for state in states for digest in state.values()} - set(found.values())
    rows = {version.sha256 for path in NAMES for version in await history(client, path)}
    assert replaced <= rows, "a replaced version without a row"
    for digest in rows:
        assert sha(files.kept(digest)) == digest
    counts.checks += 4 + len(rows)
    return found


async def history(client: EngineClient, path: str) -> list[ScriptVersion]:
    """The versions of a script; none if there never was one."""
    try:
        return list((await client.call(SCRIPTS_HISTORY, ScriptParams(path=path))).versions)
    except EngineError as error:
        if error.code != "no_script":
            raise
        return []

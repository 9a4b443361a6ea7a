"""Files outside the project become scripts, and scripts such files, for console and command line alike."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from engine.client.answers import EngineError
from engine.client.client import EngineClient
from engine.models.scripts import SaveRequest, ScriptInfo
from engine.registry.scripts import SCRIPTS_LOAD, SCRIPTS_SAVE, ScriptParams
from tui.scripts.local_files import LocalFile, LocalFileError, TakenError, write_new

DONE = "done"
UNCHANGED = "unchanged"
EXISTS = "exists"
FAILED = "failed"

IMPORTED = "imported"
EXPORTED = "exported"

_COUNTED = {UNCHANGED: "there already", EXISTS: "left alone: the name is taken", FAILED: "failed"}


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of one file."""

    file: str
    script: str
    state: str
    """``done``; ``unchanged``: the very same is there; ``exists``: another one is; ``failed``."""
    problem: str | None = None


def summary(moved: Iterable[Transfer], verb: str) -> str:
    """``3 imported, 1 left alone: the name is taken``."""
    states = [one.state for one in moved]
    parts = [f"{states.count(DONE)} {verb}"]
    parts += [f"{states.count(state)} {text}" for state, text in _COUNTED.items() if state in states]
    return ", ".join(parts)


def told(one: Transfer, verb: str) -> str:
    """What became of one file; names in it may hold anything."""
    word = verb if one.state == DONE else one.state
    line = f"{word}: {one.file}" + (f" -> {one.script}" if verb == IMPORTED and one.script else "")
    return line + (f": {one.problem}" if one.problem else "")


async def import_file(client: EngineClient, found: LocalFile, folder: str, known: dict[str, str]) -> Transfer:
    """Make a script of a file.

    Args:
        client: To the engine.
        found: The file, read already.
        folder: Below ``scripts/``; empty for none.
        known: Hashes of the scripts that were there before, by path.
    """
    script = f"{folder}/{found.path}" if folder else found.path
    if found.problem is not None:
        return Transfer(found.file, "", FAILED, found.problem)
    if not script.endswith(".py"):
        return Transfer(found.file, "", FAILED, "its name does not end in .py")
    try:
        made, remark = await _save(client, script, found.text)
    except EngineError as error:
        return Transfer(found.file, script, EXISTS if error.code == "conflict" else FAILED, error.message)
    state = UNCHANGED if known.get(made.path) == made.sha256 else DONE
    return Transfer(found.file, made.path, state, remark or made.problem)


async def _save(client: EngineClient, script: str, text: str) -> tuple[ScriptInfo, str | None]:
    """Make the script, with an older header as a block if that can be; else the reason why it is not."""
    try:
        return await client.call(
            SCRIPTS_SAVE, ScriptParams(path=script), SaveRequest(text=text, convert_header=True)
        ), None
    except EngineError as error:
        if error.code != "bad_header":
            raise
        made = await client.call(SCRIPTS_SAVE, ScriptParams(path=script), SaveRequest(text=text))
        return made, f"its older header stays as it is: {error.message}"


async def export_script(client: EngineClient, name: str, out: str) -> Transfer:
    """Write a script as a file below the folder ``out``; nothing is ever overwritten."""
    file = f"{out.rstrip('/')}/{name}"
    try:
        loaded = await client.call(SCRIPTS_LOAD, ScriptParams(path=name))
        file = f"{out.rstrip('/')}/{loaded.info.path}"
        written = await asyncio.to_thread(write_new, out, loaded.info.path, loaded.text.encode("utf-8"))
    except EngineError as error:
        return Transfer(file, name, FAILED, error.message)
    except TakenError as error:
        return Transfer(file, name, EXISTS, str(error))
    except LocalFileError as error:
        return Transfer(file, name, FAILED, str(error))
    return Transfer(file, loaded.info.path, DONE if written else UNCHANGED)

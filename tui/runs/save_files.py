"""Saves the files that a run left, by this process and with the user's own rights."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from engine.models.runs import RunFile, RunInfo
from tui.connection import EngineConnection
from tui.host import Host
from tui.runs.returned_files import NotWritten, save_files
from tui.screens.dialogs import AskScreen


class FileSaver:
    """Asks for a folder, then writes there; nothing that exists is ever replaced."""

    def __init__(self, host: Host, connection: EngineConnection) -> None:
        self._host = host
        self._connection = connection

    async def save(self, run: RunInfo | None) -> None:
        """Save the files of a run, if it left any.

        Raises:
            EngineError: The engine does not hand out a file.
            EngineUnreachable: There is no engine.
        """
        if run is None or not run.files:
            self._host.notify("the run in the output left no files")
            return
        folder, problem = str(_proposed(run)), ""
        while (answer := await self._host.push_screen_wait(AskScreen(_question(run), folder, problem))) is not None:
            folder, done = answer, list[RunFile]()
            try:
                await self._write(run, await asyncio.to_thread(_absolute, folder), done)
            except NotWritten as error:
                problem = f"{error}. Nothing is ever replaced; name another folder." if error.taken else f"{error}."
                self._host.notify("")
                problem += f" Saved before that: {', '.join(file.name for file in done)}." if done else ""
            else:
                return

    async def _write(self, run: RunInfo, folder: str, done: list[RunFile]) -> None:
        def begun(file: RunFile) -> None:
            self._host.notify(f"saving {len(done) + 1} of {len(run.files)}: {file.name}")

        await save_files(self._connection.client, run, folder, begun=begun, written=done.append)
        self._host.notify(f"saved {_count(run)} into {folder}")


def _proposed(run: RunInfo) -> Path:
    """A folder below the current one that no other run's files are in."""
    return Path.cwd() / f"{_stem(run.name)}-{run.id}"


def _stem(name: str) -> str:
    stem = Path(name).name.removesuffix(".py")
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in stem).strip(".") or "run"


def _absolute(folder: str) -> str:
    return os.path.abspath(os.path.expanduser(folder))


def _question(run: RunInfo) -> str:
    return f"Save {_count(run)} of run #{run.id} into the folder"


def _count(run: RunInfo) -> str:
    return "1 file" if len(run.files) == 1 else f"{len(run.files)} files"

"""Imports and exports scripts from the console: this process reads and writes the files, with the user's rights."""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Sequence

from tui.connection import EngineConnection
from tui.host import Host
from tui.screens.dialogs import AskScreen, Choice, ChoiceScreen, ReportScreen
from tui.scripts.local_files import gather
from tui.scripts.transfers import (
    DONE,
    EXPORTED,
    IMPORTED,
    UNCHANGED,
    Transfer,
    export_script,
    import_file,
    summary,
    told,
)
from tui.widgets.script_pane import ScriptPane

TOP = "scripts/"


class TransferActions:
    """Asks what and where to, does it, and tells of every file that did not get there.

    Args:
        host: Shows dialogs and sentences.
        connection: May be away; then the user is told.
        scripts: Knows which scripts there are.
    """

    def __init__(self, host: Host, connection: EngineConnection, scripts: ScriptPane) -> None:
        self._host = host
        self._connection = connection
        self._scripts = scripts

    async def import_(self) -> None:
        """Make scripts of a file, or of every .py file in a folder."""
        source = await self._ask("Path of a .py file, or of a folder of them; read with your rights", "")
        target = await self._ask("Folder that it goes to", TOP) if source else ""
        if not target:
            return
        found = await asyncio.to_thread(lambda: list(gather(_own_path(source))))
        known = {info.path: info.sha256 for info in self._scripts.scripts}
        folder = target.removeprefix(TOP).strip("/")
        client = self._connection.client
        await self._report([await import_file(client, one, folder, known) for one in found], IMPORTED)

    async def export(self, path: str) -> None:
        """Write a script, those of its folder, or all as files."""
        chosen = await self._choose(path)
        out = await self._ask("Folder to write to, outside the project; made if need be", "") if chosen else ""
        if out:
            client, target = self._connection.client, _own_path(out)
            await self._report([await export_script(client, one, target) for one in chosen], EXPORTED)

    async def _choose(self, path: str) -> Sequence[str]:
        everything = [script.path for script in self._scripts.scripts]
        folder = posixpath.dirname(path)
        beside = [one for one in everything if folder and one.startswith(f"{folder}/")]
        answers = [Choice("s", f"{path} alone")]
        answers += [Choice("f", f"the folder {folder}: {len(beside)} scripts")] if beside else []
        answers += [Choice("a", f"all {len(everything)} scripts")]
        screen = ChoiceScreen("Export scripts as files; none is overwritten", answers, "back")
        answer = await self._host.push_screen_wait(screen)
        return {"s": [path], "f": beside, "a": everything}.get(answer or "", [])

    async def _report(self, moved: Sequence[Transfer], verb: str) -> None:
        """A line when all went well; else what became of each of the others."""
        remarkable = [one for one in moved if one.problem or one.state not in (DONE, UNCHANGED)]
        if remarkable or not moved:
            title = summary(moved, verb) if moved else "There is no .py file"
            await self._host.push_screen_wait(ReportScreen(title, [told(one, verb) for one in remarkable]))
        else:
            self._host.notify(summary(moved, verb))

    async def _ask(self, question: str, value: str) -> str:
        """A line of text; empty if the user gives up."""
        return await self._host.push_screen_wait(AskScreen(question, value)) or ""


def _own_path(typed: str) -> str:
    """A path as a shell would take it."""
    return os.path.expanduser(typed)

"""Shows what a script was before, and saves an old version of it again."""

from __future__ import annotations

from engine.models.versions import RestoreRequest, ScriptHistory, ScriptVersion
from engine.registry.scripts import (
    SCRIPTS_HISTORY,
    SCRIPTS_LOAD,
    SCRIPTS_RESTORE,
    SCRIPTS_VERSION,
    ScriptParams,
    VersionParams,
)
from tui.connection import EngineConnection
from tui.editing.open_script import OpenScript, safe_to_write
from tui.host import Host
from tui.screens.history import HistoryScreen
from tui.text.formats import clock


class VersionActions:
    """One script's history at a time.

    Args:
        host: Shows dialogs and sentences.
        connection: May be away; then the user is told.
        open_script: Shows a restored version if the script is open.
    """

    def __init__(self, host: Host, connection: EngineConnection, open_script: OpenScript) -> None:
        self._host = host
        self._connection = connection
        self._open_script = open_script

    async def show(self, path: str) -> None:
        """Show the history of a script, and restore what the user chooses from it."""
        history = await self._connection.client.call(SCRIPTS_HISTORY, ScriptParams(path=path))
        version = await self._host.push_screen_wait(
            HistoryScreen(history, VersionTexts(self._connection, history).text)
        )
        if version is not None and await safe_to_write(self._host, self._open_script, path, "save the old version"):
            await self._restore(history, version)

    async def _restore(self, history: ScriptHistory, version: ScriptVersion) -> None:
        path, base = history.path, history.sha256
        if path == self._open_script.path and self._open_script.info is not None:
            base = self._open_script.info.sha256  # what is in the editor, perhaps saved just now
        request = RestoreRequest(sha256=version.sha256, base_sha256=base)
        info = await self._connection.client.call(SCRIPTS_RESTORE, ScriptParams(path=path), request)
        await self._open_script.renewed(info.path)
        self._host.notify(
            f"{info.path} holds the version of {clock(version.at)} again; the other one is in its history"
        )


class VersionTexts:
    """The texts of one script's versions."""

    def __init__(self, connection: EngineConnection, history: ScriptHistory) -> None:
        self._connection = connection
        self._history = history

    async def text(self, sha256: str | None) -> str:
        """The text with that hash; None is no script, which has none.

        Raises:
            EngineError: It is not there any more, or no text.
            EngineUnreachable: The engine is away.
        """
        client, history = self._connection.client, self._history
        if sha256 is None:
            return ""
        if sha256 == history.sha256 and all(version.sha256 != sha256 for version in history.versions):
            return (await client.call(SCRIPTS_LOAD, ScriptParams(path=history.path))).text
        return (await client.call(SCRIPTS_VERSION, VersionParams(path=history.path, sha256=sha256))).text

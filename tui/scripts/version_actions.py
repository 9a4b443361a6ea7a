"""Shows what a script or document was before, and saves an old version of it again."""

from __future__ import annotations

from engine.models.versions import ScriptHistory, ScriptVersion
from tui.editing.open_script import OpenScript, safe_to_write
from tui.editing.texts import Texts
from tui.host import Host
from tui.screens.history import HistoryScreen
from tui.text.formats import clock


class VersionActions:
    """One history at a time.

    Args:
        host: Shows dialogs and sentences.
        texts: Where versions are read and saved again.
        open_script: Shows a restored version of what is open.
    """

    def __init__(self, host: Host, texts: Texts, open_script: OpenScript) -> None:
        self._host = host
        self._texts = texts
        self._open_script = open_script

    async def show(self, path: str) -> None:
        """Show the history of a script or document, and restore what the user chooses from it."""
        history = await self._texts.history(path)
        version = await self._host.push_screen_wait(HistoryScreen(history, VersionTexts(self._texts, history).text))
        if version is not None and await safe_to_write(self._host, self._open_script, path, "save the old version"):
            await self._restore(history, version)

    async def _restore(self, history: ScriptHistory, version: ScriptVersion) -> None:
        path, base = history.path, history.sha256
        if path == self._open_script.path and self._open_script.info is not None:
            base = self._open_script.info.sha256  # what is in the editor, perhaps saved just now
        info = await self._texts.restore(path, version.sha256, base)
        await self._open_script.renewed(info.path)
        self._host.notify(
            f"{info.path} holds the version of {clock(version.at)} again; the other one is in its history"
        )


class VersionTexts:
    """The texts of the versions in one history."""

    def __init__(self, texts: Texts, history: ScriptHistory) -> None:
        self._texts = texts
        self._history = history

    async def text(self, sha256: str | None) -> str:
        """The text with that hash; None is none, of which there is no text.

        Raises:
            EngineError: It is not there any more, or no text.
            EngineUnreachable: The engine is away.
        """
        history = self._history
        if sha256 is None:
            return ""
        if sha256 == history.sha256 and all(version.sha256 != sha256 for version in history.versions):
            return (await self._texts.load(history.path)).text
        return await self._texts.version(history.path, sha256)

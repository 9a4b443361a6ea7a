"""Does what the user wants of a script or document as a file: another name, a copy, deleted, back again."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable

from engine.client.answers import EngineError
from engine.models.scripts import DuplicateRequest, ScriptInfo
from engine.registry.scripts import SCRIPTS_DUPLICATE, ScriptParams
from tui.connection import EngineConnection
from tui.editing.ask_path import under_a_name
from tui.editing.open_script import OpenScript
from tui.editing.texts import TextInfo, Texts
from tui.host import Host
from tui.screens.dialogs import Choice, ChoiceScreen
from tui.screens.picker import PickerEntry, PickerScreen
from tui.scripts.frontmatter_actions import FrontmatterActions
from tui.scripts.transfer_actions import TransferActions
from tui.scripts.version_actions import VersionActions
from tui.text.document_names import document_path, is_document
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line
from tui.text.script_names import script_path
from tui.widgets.script_pane import ScriptAction, ScriptPane

_NOT_FOR_DOCUMENTS = {
    ScriptAction.META: "a document's title, date and tags are in its text, between the --- lines at the top",
    ScriptAction.MACRO: "only a script can be a macro",
    ScriptAction.EXPORT: "only scripts are exported",
}


class FileActions:
    """One wish after the other; problems of the engine are the caller's to tell.

    Args:
        host: Shows dialogs and sentences.
        connection: May be away; then the user is told.
        texts: Changes scripts and documents alike.
        open_script: Knows which script is open, and takes its text along.
        scripts: The list at the left; its cursor goes to what was made.
        reload: Reads the list again, scripts and documents.
    """

    def __init__(
        self,
        host: Host,
        connection: EngineConnection,
        texts: Texts,
        open_script: OpenScript,
        scripts: ScriptPane,
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        self._host = host
        self._connection = connection
        self._texts = texts
        self._open_script = open_script
        self._scripts = scripts
        self._reload = reload
        meta = FrontmatterActions(host, connection, open_script)
        transfers = TransferActions(host, connection, scripts)
        self._works: dict[ScriptAction, Callable[[str], Awaitable[None]]] = {
            ScriptAction.META: meta.edit,
            ScriptAction.MACRO: meta.turn_macro,
            ScriptAction.RENAME: self._rename,
            ScriptAction.DUPLICATE: self._duplicate,
            ScriptAction.DELETE: self._delete,
            ScriptAction.HISTORY: VersionActions(host, texts, open_script).show,
            ScriptAction.EXPORT: transfers.export,
        }
        self._works_without_script: dict[ScriptAction, Callable[[], Awaitable[None]]] = {
            ScriptAction.UNDELETE: self._undelete,
            ScriptAction.IMPORT: transfers.import_,
            ScriptAction.NEW_DOCUMENT: lambda: open_script.make_document(scripts.document_folder),
        }

    async def do(self, action: ScriptAction, path: str) -> None:
        """Do it to the script or document of that path, or to none if the wish is about none."""
        if is_document(path) and action in _NOT_FOR_DOCUMENTS:
            self._host.notify(_NOT_FOR_DOCUMENTS[action])
        elif action in self._works_without_script:
            await self._works_without_script[action]()
        elif path:
            await self._works[action](path)
        else:
            self._host.notify("open a script first, or put the list's cursor on one")

    async def _rename(self, path: str) -> None:
        async def work(new_path: str) -> TextInfo:
            return await self._texts.rename(path, new_path)

        question = f"New path of {path}, like folder/name"
        info = await under_a_name(self._host, question, path, work, meaning=_meaning(path))
        if info is None:
            return
        await self._open_script.renamed(path, info)
        approves = isinstance(info, ScriptInfo) and info.needs_approval
        approval = "; its permissions need a new approval" if approves else ""
        await self._show(info.path, f"it is now {info.path}{approval}")

    async def _duplicate(self, path: str) -> None:
        async def work(new_path: str) -> TextInfo:
            if is_document(path):
                return await self._texts.save(new_path, (await self._texts.load(path)).text, None)
            return await self._connection.client.call(
                SCRIPTS_DUPLICATE, ScriptParams(path=path), DuplicateRequest(new_path=new_path)
            )

        unsaved = (
            "; the unsaved text is not in it" if path == self._open_script.path and self._open_script.dirty else ""
        )
        taken = {text.path for texts in (self._scripts.scripts, self._scripts.documents) for text in texts}
        question, copy = f"Path of the copy of {path}{unsaved}", _free_name(path, taken)
        info = await under_a_name(self._host, question, copy, work, meaning=_meaning(path))
        if info is not None:
            await self._show(info.path, f"made {info.path}")

    async def _delete(self, path: str) -> None:
        seen = self._seen(path)
        if not await self._may_delete(path):
            return
        if path == self._open_script.path:
            seen = self._seen(path)  # it may have been saved just now
        try:
            await self._texts.delete(path, seen)
        except EngineError as error:
            if error.code != "conflict":
                raise
            self._host.notify_error(
                f"{path} changed since you saw it, so it was not deleted. Look at it and try again."
            )
            await self._reload()
            return
        await self._open_script.closed(path)
        await self._reload()
        self._host.notify(f"deleted {path}; u in the list brings it back")

    async def _may_delete(self, path: str) -> bool:
        """Ask; an answer may be to save the unsaved text first."""
        question = f"Delete {path}? Its history keeps it, and u in the list brings it back."
        answers = [Choice("y", "delete it", risky=True)]
        unsaved = path == self._open_script.path and self._open_script.dirty
        if unsaved:
            question = f"Delete {path}, which has unsaved text? u in the list brings it back."
            answers = [
                Choice("s", "save the text, then delete: the history keeps it, too", risky=True),
                Choice("y", "delete it; the unsaved text is offered when it is back", risky=True),
            ]
        answer = await self._host.push_screen_wait(ChoiceScreen(question, answers, "keep it"))
        return await self._open_script.save() if answer == "s" else answer == "y"

    def _seen(self, path: str) -> str | None:
        """Hash of what the user has seen of a script."""
        if path == self._open_script.path and self._open_script.info is not None:
            return self._open_script.info.sha256
        info = self._scripts.info(path)
        return None if info is None else info.sha256

    async def _undelete(self) -> None:
        deleted = await self._texts.deleted()
        if not deleted:
            self._host.notify("there is nothing to restore: nothing was deleted")
            return
        entries = [
            PickerEntry(path, sanitise_line(path), f"deleted {clock(one.at)} by {sanitise_line(one.name)} ")
            for path, one in deleted.items()
        ]
        picker = PickerScreen("restore a deleted script or document: type a part of its name", entries)
        path = await self._host.push_screen_wait(picker)
        if path is not None:
            info = await self._texts.restore(path, deleted[path].sha256, None)
            await self._show(info.path, f"restored {info.path}")

    async def _show(self, path: str, remark: str) -> None:
        """Show what is new there, and say what happened."""
        await self._reload()
        self._scripts.go_to(path)
        self._host.notify(remark)


def _meaning(path: str) -> Callable[[str], str]:
    """Return what makes a path of a typed name, for something of the kind that ``path`` is."""
    return document_path if is_document(path) else script_path


def _free_name(path: str, taken: set[str]) -> str:
    """A name for a copy beside a script or document."""
    stem, suffix = posixpath.splitext(path)
    copy, number = f"{stem}_copy{suffix}", 1
    while copy in taken:
        number += 1
        copy = f"{stem}_copy_{number}{suffix}"
    return posixpath.normpath(copy)

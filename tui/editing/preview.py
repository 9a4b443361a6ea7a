"""Shows what macros make of the open document, or of a document by the open macro, beside the text that is edited."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.documents import DocumentInfo
from engine.models.macros import PreviewRequest, RenderedDocument
from engine.models.scripts import ParamInfo, ScriptInfo
from engine.registry.documents import DOCUMENTS_SEARCH, DocumentSearchParams
from tui.actions import action
from tui.connection import EngineConnection
from tui.editing.debounce import LatestText
from tui.editing.expansion import MacroExpansion
from tui.editing.open_script import OpenScript
from tui.editing.texts import Texts
from tui.host import Host
from tui.screens.picker import PickerEntry, PickerScreen
from tui.text.document_names import engine_path, shown_path
from tui.text.expanded_lines import ExpandedLine, expanded_lines
from tui.text.sanitise import sanitise_line
from tui.widgets.editor.editor import Editor
from tui.widgets.preview_pane import PreviewPane

PREVIEW_AFTER = 0.4
"""Seconds after the last key."""

FOLLOW_AFTER = 0.15
"""Seconds after the cursor moved: the preview comes along when the user pauses."""

MACRO = "macro"

NO_PREVIEW = "Documents and macros have a preview. {} in the list makes a macro of this script, and a utility again."


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is to be expanded: a text, and the document that it is shown as."""

    heading: str
    text: str
    document: str = ""
    """Path in the console; empty for an example."""


class Preview:
    """The pane beside the editor. While it is hidden nothing is expanded for it and no key costs more.

    Args:
        host: Asks which document.
        connection: May be away; then the pane says so.
        texts: Has the documents in which a macro is shown.
        open_script: Has the text.
        editor: Shows it.
        expansion: Asks the engine.
        pane: Shows what came of it.
    """

    def __init__(
        self,
        host: Host,
        connection: EngineConnection,
        texts: Texts,
        open_script: OpenScript,
        editor: Editor,
        expansion: MacroExpansion,
        pane: PreviewPane,
    ) -> None:
        self._host = host
        self._connection = connection
        self._texts = texts
        self._open_script = open_script
        self._editor = editor
        self._expansion = expansion
        self._pane = pane
        self._latest = LatestText(pane, "preview", PREVIEW_AFTER, self._refresh)
        self._follow_due: asyncio.TimerHandle | None = None
        self._last_document = ""
        self._chosen: dict[str, str] = {}
        """Macro -> the document in which the user wants to see it."""
        self._shown = ""
        """Document that the pane shows by the open macro; empty for the open document or an example."""
        self._followed = ""

    # What happens.

    def text_changed(self) -> None:
        """A key: only a timer is set, and only while the pane is shown."""
        if self._pane.is_open:
            self._latest.later()

    def open_script_changed(self) -> None:
        """Another text is open, or this one is saved."""
        if self._open_script.is_document:
            self._last_document = self._open_script.path
        self._followed = ""
        self.refresh()

    def project_changed(self) -> None:
        """Scripts or documents are others: macros may make something else of the same text."""
        self._expansion.forget()
        self.refresh()

    def cursor_moved(self) -> None:
        """The preview follows when the user pauses."""
        if not self._pane.is_open or not self._open_script.is_document:
            return
        if self._follow_due is not None:
            self._follow_due.cancel()
        self._follow_due = asyncio.get_running_loop().call_later(FOLLOW_AFTER, self._follow)

    def refresh(self) -> None:
        """Expand again, if the pane is shown."""
        if self._pane.is_open:
            self._latest.soon()

    async def choose_document(self, documents: Iterable[DocumentInfo]) -> None:
        """Ask in which document the open macro is to be shown."""
        macro = self._macro
        if macro is None:
            self._host.notify("this document is shown; a macro can be shown in any")
            return
        entries = [
            PickerEntry(one.path, sanitise_line(one.path), f"{sanitise_line(one.title)[:36]} ") for one in documents
        ]
        path = await self._host.push_screen_wait(
            PickerScreen(f"show {macro.path} in a document: type a part of its name", entries)
        )
        if path is not None:
            self._chosen[macro.path] = path
            self.refresh()

    async def go_to(self, row: int) -> None:
        """Go to a row of what is shown: in the editor, or in the document that the open macro is shown in."""
        if not self._open_script.is_document:
            if not self._shown:
                self._host.notify(f"this is an example; {action('preview_document').key} shows the macro in a document")
                return
            await self._open_script.open(self._shown)
            if self._open_script.path != self._shown:
                return
        self._editor.go_to_line(row + 1)
        self._editor.screen.set_focus(self._editor)

    # Expanding.

    @property
    def _macro(self) -> ScriptInfo | None:
        script = self._open_script.script
        return script if script is not None and script.kind == MACRO else None

    async def _refresh(self) -> None:
        if not self._pane.is_open:
            return
        macro = self._macro
        if macro is None and not self._open_script.is_document:
            self._shown = ""
            self._pane.show_sentence("Preview", NO_PREVIEW.format(action("set_macro").key))
            return
        path, text = self._open_script.path, self._open_script.text
        heading = "Preview"
        try:
            if macro is None:
                subject = _Subject(heading, text, path)
                request = PreviewRequest(text=text, path=engine_path(path))
            else:
                subject = await self._subject_of(macro)
                heading = subject.heading
                document = engine_path(subject.document) if subject.document else ""
                request = PreviewRequest(text=subject.text, path=document, macro=path, macro_text=text)
            rendered = await self._expansion.of(request)
        except (EngineError, EngineUnreachable) as error:
            self._pane.show_sentence(heading, f"{error.message} {error.hint or ''}".rstrip())
            return
        if path == self._open_script.path:  # else another text's preview comes after this one
            self._shown = subject.document if macro is not None else ""
            lines = await asyncio.to_thread(expanded_lines, subject.text, rendered.text, with_tags=macro is not None)
            self._show(heading, rendered, lines)

    def _show(self, heading: str, rendered: RenderedDocument, lines: list[ExpandedLine]) -> None:
        facts = [f"{rendered.tags} tag{'' if rendered.tags == 1 else 's'}"]
        if count := len(rendered.warnings):
            facts.append(f"{count} problem{'' if count == 1 else 's'}")
        self._pane.show(f"{heading}: {', '.join(facts)}", lines, rendered.warnings)
        self._follow()

    def _follow(self) -> None:
        if self._open_script.is_document:
            row = self._editor.cursor_location[0]
            self._pane.follow(row, self._editor.cursor_screen_offset.y - self._editor.content_region.y)
        elif self._shown != self._followed:
            self._followed = self._shown
            self._pane.go_to_first_made()

    async def _subject_of(self, macro: ScriptInfo) -> _Subject:
        """Return the document in which a macro is shown: chosen, or the last one open, or one that has its tag."""
        name = macro_name(macro.path)
        if chosen := self._chosen.get(macro.path):
            return await self._in_document(chosen)
        if self._last_document:
            subject = await self._in_document(self._last_document)
            if has_tag(subject.text, name):
                return subject
        params = DocumentSearchParams(text=name, limit=20)
        for found in (await self._connection.client.call(DOCUMENTS_SEARCH, params)).documents:
            subject = await self._in_document(shown_path(found.path))
            if has_tag(subject.text, name):
                return subject
        return _Subject(f"Example of {name}", example_of(name, macro.params))

    async def _in_document(self, path: str) -> _Subject:
        loaded = await self._texts.load(path)
        return _Subject(f"In {engine_path(path)}", loaded.text, loaded.info.path)


def macro_name(path: str) -> str:
    """Return the name by which tags mean the macro in a script: its file's, lower case, ``_`` for ``-``."""
    return posixpath.basename(path).removesuffix(".py").lower().replace("-", "_")


def has_tag(text: str, name: str) -> bool:
    """Tell whether a text seems to have a tag of a macro."""
    spelled = re.escape(name).replace("_", "[-_]")
    return re.search(rf"\[\[\s*{spelled}(?![\w-])", text, re.IGNORECASE) is not None


def example_of(name: str, params: Iterable[ParamInfo]) -> str:
    """Return a tag with the macro's parameters, for want of a document that has one."""
    values: Mapping[str, Any] = {one.name: _example_value(one) for one in params if one.required or one.default}
    written = "".join(f" {key}={_written(value)}" for key, value in values.items())
    return f"[[{name}{written}]]"


def _example_value(param: ParamInfo) -> object:
    if param.default is not None:
        return param.default
    if param.choices:
        return param.choices[0]
    return {"int": 3, "float": 1.5, "bool": "true"}.get(str(param.type), "text")


def _written(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""The scripts and documents of the project: folders, marks and a live filter. Documents come below the scripts.

``OutsideMarks`` finds out which scripts others changed, for one of the marks.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeGuard

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from tui.actions import Scope, action, bindings
from tui.text.document_names import ROOT, is_document
from tui.text.sanitise import sanitise_line
from tui.widgets.row_list import Row, RowList

if TYPE_CHECKING:
    from engine.models.documents import DocumentInfo
    from engine.models.scripts import ScriptInfo

    Listed: TypeAlias = ScriptInfo | DocumentInfo

NO_SCRIPTS = (
    f"No scripts yet. {action('new_script').key} makes one; {action('focus_list').key} then "
    f"{action('restore_defaults').key} restores the default scripts."
)
NO_MATCH = "Nothing matches. Esc shows all."
NOT_LOADED = "..."

_KINDS = {"macro": "M", "transform": "T"}
_SHARED = "L"
_FOLDER, _SCRIPT = "folder:", "script:"
_DOCUMENTS = f"/{ROOT}"
"""Stands for the documents' root among folders; no folder of scripts begins with a slash."""


class ScriptAction(Enum):
    """What the user wants done with a script or document, or with all of them."""

    META = auto()
    MACRO = auto()
    RENAME = auto()
    DUPLICATE = auto()
    DELETE = auto()
    UNDELETE = auto()
    HISTORY = auto()
    IMPORT = auto()
    EXPORT = auto()
    NEW_DOCUMENT = auto()


class FilterInput(Input):
    """The filter line; keys that belong to the list go to the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "to_list", "To the list", show=False),
    ]

    class ToList(Message):
        """Down was pressed."""

    def action_to_list(self) -> None:
        self.post_message(self.ToList())


class ScriptPane(Vertical):
    """The list and its filter. It asks for a script to be opened by a message; others tell it what to mark."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(Scope.LIST),
        Binding("space,left,right", "fold", "Fold or unfold the folder", show=False),
    ]

    @dataclass
    class OpenRequested(Message):
        """The user chose a script or document."""

        path: str

    class EndOwnEdits(Message):
        """The user's own edits of a script shall have its permissions no longer."""

    class SearchRequested(Message):
        """The user wants to find words in all texts."""

    @dataclass
    class Wanted(Message):
        """The user wants something. ``path``: of the row under the cursor, or else of what is open; empty without."""

        action: ScriptAction
        path: str

    @dataclass
    class DefaultsRequested(Message):
        """The user wants to see the default scripts, or to have the missing ones back."""

        restore: bool

    class PackagesRequested(Message):
        """The user wants to see the packages that scripts can import."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._scripts: Sequence[ScriptInfo] = ()
        self._documents: Sequence[DocumentInfo] = ()
        self._loaded = False
        self._folded: set[str] = set()
        self._open_path = ""
        self._unsaved: frozenset[str] = frozenset()
        self._failed: set[str] = set()
        self.outside = OutsideMarks()
        self.outside_documents = OutsideMarks()
        self._filter = FilterInput(placeholder="/ filter", compact=True, select_on_focus=False)
        self._rows = RowList(empty=NOT_LOADED)
        self._remark = Static("", id="script-remark", markup=False)

    def compose(self) -> ComposeResult:
        yield self._filter
        yield self._rows
        yield self._remark

    def on_mount(self) -> None:
        self._show_remark()

    @property
    def scripts(self) -> Sequence[ScriptInfo]:
        return self._scripts

    @property
    def documents(self) -> Sequence[DocumentInfo]:
        return self._documents

    def info(self, path: str) -> Listed | None:
        """What the list knows of a script or document."""
        texts = self._documents if is_document(path) else self._scripts
        return next((text for text in texts if text.path == path), None)

    def show_scripts(self, scripts: Sequence[ScriptInfo]) -> None:
        """Show these scripts in place of the previous ones; cursor, filter and folds stay."""
        newly_listed = self.info(self._open_path) is None
        self._scripts, self._loaded = sorted(scripts, key=lambda script: _place(script.path)), True
        self.outside.listed(scripts)
        self.outside.opened(self._open_path)  # what becomes of its text is settled where that is
        # The editor may show a script that no list had so far: one that was just made.
        self._refresh_rows(cursor=_SCRIPT + self._open_path if newly_listed and self._open_path else None)

    def show_documents(self, documents: Sequence[DocumentInfo]) -> None:
        """Show these documents in place of the previous ones."""
        newly_listed = self.info(self._open_path) is None
        self._documents = sorted(documents, key=lambda document: _place(document.path))
        self.outside_documents.listed(documents)
        self.outside_documents.opened(self._open_path)
        listed = newly_listed and is_document(self._open_path)
        self._refresh_rows(cursor=_SCRIPT + self._open_path if listed else None)

    def show_open(self, path: str) -> None:
        """Mark what the editor shows, with the cursor on it. A filter that hides what is newly opened ends."""
        info = self.info(path)
        if path != self._open_path and info is not None and not _matches(info, self._filter.value.casefold().split()):
            with self._filter.prevent(Input.Changed):
                self.clear_filter()
        self._open_path = path
        self.outside.opened(path)
        self.outside_documents.opened(path)
        self._unfold(path)
        self._refresh_rows(cursor=_SCRIPT + path)

    def go_to(self, path: str) -> None:
        """Put the cursor on a script or document."""
        self._unfold(path)
        self._refresh_rows(cursor=_SCRIPT + path)

    def _unfold(self, path: str) -> None:
        self._folded -= {_folder_of(path), _DOCUMENTS if is_document(path) else ""}

    def show_unsaved(self, paths: Iterable[str]) -> None:
        """Mark the scripts with unsaved text."""
        unsaved = frozenset(paths)
        if unsaved != self._unsaved:
            self._unsaved = unsaved
            self._refresh_rows()

    def show_outcome(self, path: str, *, failed: bool) -> None:
        """Mark a script whose last run failed, or take the mark away."""
        if failed != (path in self._failed):
            (self._failed.add if failed else self._failed.discard)(path)
            self._refresh_rows()

    @property
    def path_under_cursor(self) -> str | None:
        """Of the script or document that the cursor is on, while the rows have the focus."""
        row = self._rows.current if self._rows.has_focus else None
        return row.key.removeprefix(_SCRIPT) if row is not None and row.key.startswith(_SCRIPT) else None

    @property
    def document_folder(self) -> str:
        """The folder below the documents' root that the cursor is in, with a slash at its end; else empty."""
        row = self._rows.current if self._rows.has_focus else None
        if row is None:
            return ""
        kind, _, key = row.key.partition(":")
        folder = key if f"{kind}:" == _FOLDER else _folder_of(key)
        inside = folder.removeprefix(f"{_DOCUMENTS}/") if folder.startswith(f"{_DOCUMENTS}/") else ""
        return f"{inside}/" if inside else ""

    def focus_rows(self) -> None:
        self.screen.set_focus(self._rows)

    def want(self, action: ScriptAction) -> None:
        """Tell that the user wants something of what is under the cursor, or else of what is open."""
        self.post_message(self.Wanted(action, self.path_under_cursor or self._open_path))

    def clear_filter(self) -> None:
        """Show all scripts again."""
        self._filter.value = ""

    def action_open_row(self) -> None:
        self._rows.action_choose()

    def action_filter(self) -> None:
        if self._filter.has_focus:
            self._filter.insert_text_at_cursor("/")
        self.screen.set_focus(self._filter)

    def action_search_texts(self) -> None:
        self.post_message(self.SearchRequested())

    def action_meta_row(self) -> None:
        self.want(ScriptAction.META)

    def action_set_macro(self) -> None:
        self.want(ScriptAction.MACRO)

    def action_rename_script(self) -> None:
        self.want(ScriptAction.RENAME)

    def action_duplicate_script(self) -> None:
        self.want(ScriptAction.DUPLICATE)

    def action_delete_script(self) -> None:
        self.want(ScriptAction.DELETE)

    def action_undelete(self) -> None:
        self.want(ScriptAction.UNDELETE)

    def action_script_history(self) -> None:
        self.want(ScriptAction.HISTORY)

    def action_import_scripts(self) -> None:
        self.want(ScriptAction.IMPORT)

    def action_export_scripts(self) -> None:
        self.want(ScriptAction.EXPORT)

    def action_new_document(self) -> None:
        self.want(ScriptAction.NEW_DOCUMENT)

    def action_end_own_edits(self) -> None:
        self.post_message(self.EndOwnEdits())

    def action_default_scripts(self) -> None:
        self.post_message(self.DefaultsRequested(restore=False))

    def action_packages(self) -> None:
        self.post_message(self.PackagesRequested())

    def action_restore_defaults(self) -> None:
        self.post_message(self.DefaultsRequested(restore=True))

    def action_fold(self) -> None:
        row = self._rows.current
        if row is not None and row.key.startswith(_FOLDER):
            self._folded ^= {row.key.removeprefix(_FOLDER)}
            self._refresh_rows()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        if event.key.startswith(_FOLDER):
            self.action_fold()
        else:
            self.post_message(self.OpenRequested(event.key.removeprefix(_SCRIPT)))

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._show_remark()

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _show_remark(self) -> None:
        """Say what is wrong with the script under the cursor, or what to know of its name."""
        info = self.info(self.path_under_cursor or "")
        remark = (info.problem or _note(info) or "") if info is not None else ""
        self._remark.update(sanitise_line(remark))
        self._remark.display = bool(remark)

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._refresh_rows()

    @on(Input.Submitted)
    def _filter_submitted(self, event: Input.Submitted) -> None:
        """Enter in the filter opens the first match."""
        event.stop()
        first = next((row for row in self._rows.rows if row.key.startswith(_SCRIPT)), None)
        if first is not None and event.value:
            self.post_message(self.OpenRequested(first.key.removeprefix(_SCRIPT)))

    @on(FilterInput.ToList)
    def _to_list(self, event: FilterInput.ToList) -> None:
        event.stop()
        self.focus_rows()

    def on_key(self, event: events.Key) -> None:
        """Up from the first row goes back to the filter."""
        if event.key == "up" and self._rows.has_focus and self._rows.cursor == 0:
            event.prevent_default()
            self.action_filter()

    def _refresh_rows(self, cursor: str | None = None) -> None:
        wanted = self._filter.value.casefold().split()
        shown = [text for texts in (self._scripts, self._documents) for text in texts if _matches(text, wanted)]
        if self._loaded:
            self._rows.set_empty(NO_MATCH if self._scripts or self._documents else NO_SCRIPTS)
        self._rows.set_rows(list(self._make_rows(shown, filtered=bool(wanted))), cursor=cursor)
        self._show_remark()

    def _make_rows(self, texts: Iterable[Listed], *, filtered: bool) -> Iterable[Row]:
        folded = frozenset() if filtered else self._folded
        folder, below_root = "", False
        for text in texts:
            document = is_document(text.path)
            if document and not below_root:
                below_root, folder = True, _DOCUMENTS
                yield self._folder_row(_DOCUMENTS, ROOT, folded)
            if document and _DOCUMENTS in folded:
                return
            place = _folder_of(text.path)
            if place != folder:
                folder = place
                yield self._folder_row(folder, folder.removeprefix("/"), folded)
            if folder not in folded:
                yield self._row(text)

    def _folder_row(self, folder: str, name: str, folded: Set[str]) -> Row:
        return Row(_FOLDER + folder, f" {'+' if folder in folded else 'v'} {sanitise_line(name)}", tone="dim")

    def _row(self, text: Listed) -> Row:
        path, problem = text.path, text.problem is not None
        kind, state, enabled = self._facts(text)
        changed = "~" if path in self.outside.paths or path in self.outside_documents.paths else ""
        marks = ("*" if path in self._unsaved else "") + changed + state
        is_open = path == self._open_path
        left = f"{'>' if is_open else ' '}{kind} {sanitise_line(posixpath.basename(path).removesuffix('.py'))}"
        tone = "accent" if is_open else "danger" if problem else "" if enabled else "dim"
        return Row(_SCRIPT + path, left, f"{marks} " if marks else "", tone)

    def _facts(self, text: Listed) -> tuple[str, str, bool]:
        """The letter at the left, the mark of its state, and whether it is in use."""
        problem = "!" if text.problem is not None else ""
        if not _is_script(text):
            return " ", problem, True
        failed, note = text.path in self._failed, text.note
        # What keeps a script from running comes before how its last run went.
        state = problem or ("^" if text.needs_approval else "x" if failed else "?" if note else "")
        return _SHARED if text.shared else _KINDS.get(text.kind, " "), state, text.enabled


def _folder_of(path: str) -> str:
    """Return the folder that a path stands below in the list."""
    folder = posixpath.dirname(path)
    return f"/{folder}" if is_document(path) else folder


def _note(text: Listed) -> str | None:
    return text.note if _is_script(text) else None


def _is_script(text: Listed) -> TypeGuard[ScriptInfo]:
    return not is_document(text.path)


def _place(path: str) -> tuple[str, str]:
    """Scripts outside folders come first: they are the user's own."""
    folder, name = posixpath.split(path)
    return folder, name


def _matches(script: Listed, words: Iterable[str]) -> bool:
    text = "\n".join([script.path, script.title, *script.tags]).casefold()
    return all(word in text for word in words)


class OutsideMarks:
    """Compares one list of scripts or documents with the next one, when others changed something in between.

    Attributes:
        paths: Those that are marked.
    """

    def __init__(self) -> None:
        self.paths: frozenset[str] = frozenset()
        self._seen: dict[str, str] = {}
        self._saved: set[str] = set()
        self._outside = False

    def heard(self, path: str | None, *, outside: bool) -> None:
        """Something was changed, through the engine or by others; the next list says how."""
        if path is not None:
            self._saved.add(path)
        self._outside |= outside

    def listed(self, scripts: Iterable[Listed]) -> None:
        """Everything as it is now."""
        before, self._seen = self._seen, {script.path: script.sha256 for script in scripts}
        changed = {path for path, sha256 in self._seen.items() if before.get(path, sha256) != sha256}
        marked = self.paths - self._saved
        if self._outside:
            marked |= changed - self._saved
        self.paths = frozenset(marked & self._seen.keys())
        self._saved.clear()
        self._outside = False

    def opened(self, path: str) -> None:
        """It was shown to the user as it is."""
        self.paths -= {path}

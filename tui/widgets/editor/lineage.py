"""Which saved version the text in the editor grew from, and whether it differs from the one saved last.

Saving replaces that version and no other, so it must be right also after undo: whoever takes back an edit that brought
another version in has the earlier one's text again, and has not seen the later one in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.text.newlines import newline_of

if TYPE_CHECKING:
    from textual.widgets.text_area import DocumentBase, Edit

_KEPT = 50
"""As many as an editor keeps edits for undo."""


@dataclass(frozen=True, slots=True)
class Version:
    """A saved text.

    Attributes:
        sha256: Its hash; None for a script that was never saved.
        text: None if only the hash is known.
    """

    sha256: str | None = None
    text: str | None = None


@dataclass(slots=True)
class _Step:
    edit: Edit
    before: Version
    after: Version


class Lineage:
    """The version, followed through edits that change it, undo and redo.

    Attributes:
        version: The one that the text grew from.
    """

    def __init__(self) -> None:
        self.version = Version()
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    def begin(self, version: Version) -> None:
        """A text was loaded; nothing leads back."""
        self.version = version
        self._done, self._undone = [], []

    def grew_to(self, edit: Edit, version: Version) -> None:
        """``edit`` brought another version in."""
        self._done = [*self._done[1 - _KEPT :], _Step(edit, self.version, version)]
        self._undone = []
        self.version = version

    def saved(self, version: Version) -> None:
        """The text was saved: it is a version itself now."""
        self.version = version
        if self._done:
            self._done[-1].after = version

    def undone(self, edits: Sequence[Edit]) -> None:
        """These edits were taken back."""
        while self._done and _holds(edits, self._done[-1].edit):
            step = self._done.pop()
            self._undone.append(step)
            self.version = step.before

    def redone(self, edits: Sequence[Edit]) -> None:
        """These edits were made again."""
        while self._undone and _holds(edits, self._undone[-1].edit):
            step = self._undone.pop()
            self._done.append(step)
            self.version = step.after


def _holds(edits: Sequence[Edit], wanted: Edit) -> bool:
    """By identity: equal edits are different ones."""
    return any(edit is wanted for edit in edits)


class SavedText:
    """The lines that were saved last.

    Lines are compared by identity first, so even a full comparison of 50,000 of them takes half a millisecond; a row
    known to differ is looked at before the others.
    """

    def __init__(self) -> None:
        self._lines: list[str] = [""]
        self._newline = "\n"
        self._differing_row = 0
        self._is_lost = False

    def remember(self, document: DocumentBase) -> None:
        self._is_lost = False
        self._lines = list(document.lines)
        self._newline = document.newline

    def remember_text(self, text: str) -> None:
        self._is_lost = False
        self._newline = newline_of(text)
        self._lines = text.split(self._newline)

    def forget(self) -> None:
        """Nothing is saved any more: every text differs."""
        self._is_lost = True

    def differs_from(self, document: DocumentBase) -> bool:
        if self._is_lost:
            return True
        lines, saved = document.lines, self._lines
        if len(lines) != len(saved):
            return True
        if len(lines) > 1 and document.newline != self._newline:
            return True
        row = self._differing_row
        if row < len(saved) and lines[row] != saved[row]:
            return True
        if lines == saved:
            return False
        self._differing_row = next(row for row, line in enumerate(lines) if line != saved[row])
        return True

"""Which saved version the text in the editor grew from.

Saving replaces that version and no other, so it must be right also after undo: whoever takes back an edit that brought
another version in has the earlier one's text again, and has not seen the later one in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widgets.text_area import Edit


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

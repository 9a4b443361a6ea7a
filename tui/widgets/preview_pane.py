"""What macros make of the open text, beside it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from tui.actions import Scope, bindings
from tui.text.expanded_lines import ExpandedLine, Origin
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.text.wrapping import INDENT, line_starts
from tui.widgets.row_list import Row, RowList

if TYPE_CHECKING:
    from engine.models.macros import RenderWarning

NOT_YET = "Nothing is expanded yet."

MOST_WARNINGS = 20
"""Shown above the text; all of a document's are in Problems."""

_LEADS = {Origin.OWN: " ", Origin.TAG: "-", Origin.MADE: "+"}
_TONES = {Origin.OWN: "", Origin.TAG: "dim", Origin.MADE: "accent"}


class PreviewPane(Vertical):
    """Lines that macros made are marked by ``+`` and by colour; where an error stands, Enter goes to its tag."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.PREVIEW)

    @dataclass
    class JumpRequested(Message):
        """The user wants to see a row of the text, from 0."""

        row: int

    class DocumentRequested(Message):
        """The user wants to choose the document that a macro is shown in."""

    class CloseRequested(Message):
        """The user has seen enough."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._heading = Static("", id="preview-heading", markup=False)
        self._rows = RowList(empty=NOT_YET)
        self._lines: Sequence[ExpandedLine] = ()
        self._warnings: Sequence[RenderWarning] = ()
        self._places: list[int] = []
        """Row of the text for each row that is shown below the warnings, never falling."""
        self._above = 0
        """Rows that are shown above the text."""
        self._width = 0

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._rows

    @property
    def is_open(self) -> bool:
        """Whether the user wants it; a narrow screen may show the list in its place meanwhile."""
        return self.has_class("-open")

    def show(self, heading: str, lines: Sequence[ExpandedLine], warnings: Sequence[RenderWarning]) -> None:
        """Show an expanded text in place of the previous one."""
        self._heading.update(f" {sanitise_line(heading)}")
        self._lines, self._warnings = lines, warnings
        self._lay_out()

    def show_sentence(self, heading: str, sentence: str) -> None:
        """Say why there is nothing to show."""
        self._heading.update(f" {sanitise_line(heading)}")
        self._lines, self._warnings = (), ()
        self._rows.set_empty(sanitise_line(sentence))
        self._lay_out()

    def go_to_first_made(self) -> None:
        """Bring the first line that macros made into view, or what it was made of."""
        first = next((line.row for line in self._lines if line.origin is not Origin.OWN), None)
        if first is not None:
            self.follow(first)

    def follow(self, row: int, y: int = 0) -> None:
        """Bring what became of a row of the text into view, ``y`` lines below the upper edge."""
        if self._places and not self.has_focus_within:
            at = bisect_right(self._places, row) - 1
            first = bisect_left(self._places, self._places[max(0, at)])
            # Set rows bring their cursor into view when they are laid out: this comes after that.
            self.call_after_refresh(self._rows.show_at, self._above + first, y)

    def focus_rows(self) -> None:
        self.screen.set_focus(self._rows)

    def on_resize(self) -> None:
        if self._row_width != self._width:
            self._lay_out()

    # Actions.

    def action_preview_go(self) -> None:
        self._rows.action_choose()

    def action_preview_document(self) -> None:
        self.post_message(self.DocumentRequested())

    def action_close_preview(self) -> None:
        self.post_message(self.CloseRequested())

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.post_message(self.JumpRequested(int(event.key.partition(".")[0])))

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()

    # Showing.

    @property
    def _row_width(self) -> int:
        return (self.size.width or self.app.size.width // 2) - 2

    def _lay_out(self) -> None:
        self._width = self._row_width
        above = list(_warning_rows(self._warnings, self._width))
        below: list[Row] = []
        places: list[int] = []
        for number, line in enumerate(self._lines):
            rows = _wrapped(f"{line.row}.{number}", _LEADS[line.origin], line.text, self._width, _TONES[line.origin])
            below += rows
            places += [line.row] * len(rows)
        self._above, self._places = len(above), places
        self._rows.set_rows(above + below)


def told(warning: RenderWarning) -> str:
    """Return what is wrong with a tag, with the name of its macro."""
    return warning.message if warning.macro in warning.message else f"{warning.macro}: {warning.message}"


def _warning_rows(warnings: Sequence[RenderWarning], width: int) -> Iterable[Row]:
    for number, one in enumerate(warnings[:MOST_WARNINGS]):
        yield from _wrapped(f"{max(0, one.line - 1)}.w{number}", "!", f"{one.line}: {told(one)}", width, "danger")
    if len(warnings) > MOST_WARNINGS:
        yield Row(f"{warnings[MOST_WARNINGS].line - 1}.more", f" and {len(warnings) - MOST_WARNINGS} more", tone="dim")


def _wrapped(key: str, lead: str, text: str, width: int, tone: str) -> list[Row]:
    shown = sanitise_code(text)
    if len(shown) < width - 1 and shown.isascii():
        return [Row(key, lead + shown, tone=tone)]
    starts = line_starts(shown, width - 1)
    ends = [*starts[1:], len(shown)]
    pieces = [shown[start:end] for start, end in zip(starts, ends, strict=True)]
    return [Row(f"{key}.{i}", lead + (" " * INDENT if i else "") + piece, tone=tone) for i, piece in enumerate(pieces)]

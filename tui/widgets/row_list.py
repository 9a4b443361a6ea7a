"""A list of one-line rows with a cursor. It draws lines itself: ten thousand rows cost what the visible ones cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list.

    Attributes:
        key: What the row stands for; the cursor stays on it when rows change.
        text: Shown from the left; already free of control characters.
        right: Shown at the right end.
        tone: Component class suffix: ``""``, ``dim``, ``accent`` or ``danger``.
    """

    key: str
    text: str
    right: str = ""
    tone: str = ""


class RowList(ScrollView, can_focus=True):
    """The list. ``Chosen`` is Enter or a click on the row under the cursor, ``Moved`` every move of the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "row-list--row",
        "row-list--dim",
        "row-list--accent",
        "row-list--danger",
        "row-list--cursor",
        "row-list--cursor-blurred",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(False)", "First", show=False),
        Binding("end", "edge(True)", "Last", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    cursor: reactive[int] = reactive(0)

    @dataclass
    class Chosen(Message):
        """The user chose a row."""

        row_list: RowList
        key: str

        @property
        def control(self) -> RowList:
            return self.row_list

    @dataclass
    class Moved(Message):
        """The cursor is on another row."""

        row_list: RowList
        key: str

        @property
        def control(self) -> RowList:
            return self.row_list

    def __init__(
        self,
        *,
        empty: str = "",
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: Sequence[Row] = ()
        self._empty = empty

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    def set_rows(self, rows: Sequence[Row], *, cursor: str | None = None) -> None:
        """Show these rows; the cursor goes to the row of that key, or stays with the one that it is on."""
        wanted = cursor if cursor is not None else (self.current.key if self.current else None)
        self._rows = rows
        index = next((i for i, row in enumerate(rows) if row.key == wanted), min(self.cursor, max(0, len(rows) - 1)))
        self.virtual_size = Size(0, max(len(rows), 1))
        self.set_reactive(RowList.cursor, index)
        self.refresh()
        self.call_after_refresh(self._show_cursor)

    def set_empty(self, text: str) -> None:
        """What is shown when there are no rows."""
        self._empty = text
        self.refresh()

    def watch_cursor(self) -> None:
        self._show_cursor()
        self.refresh()
        if self.current is not None:
            self.post_message(self.Moved(self, self.current.key))

    def action_move(self, by: int) -> None:
        self.go_to(self.cursor + by)

    def action_page(self, direction: int) -> None:
        self.go_to(self.cursor + direction * max(1, self.size.height - 1))

    def action_edge(self, last: bool) -> None:
        self.go_to(len(self._rows) - 1 if last else 0)

    def action_choose(self) -> None:
        if self.current is not None:
            self.post_message(self.Chosen(self, self.current.key))

    def on_click(self, event: events.Click) -> None:
        index = event.y + self.scroll_offset.y
        if index < len(self._rows):
            self.cursor = index
            self.action_choose()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        index = y + self.scroll_offset.y
        if not self._rows:
            return self._render_empty(y, width)
        if index >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[index]
        on_cursor = ("cursor" if self._takes_keys else "cursor-blurred") if index == self.cursor else ""
        style = self.get_component_rich_style(f"row-list--{row.tone or 'row'}")
        if on_cursor:
            style += self.get_component_rich_style(f"row-list--{on_cursor}")
        right = f" {row.right}" if row.right else ""
        text = set_cell_size(row.text, max(0, width - len(right))) + right
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)

    @property
    def _takes_keys(self) -> bool:
        """Whether keys move the cursor; an owner whose input passes them on says so by a class."""
        return self.has_focus or self.has_class("-driven")

    def _render_empty(self, y: int, width: int) -> Strip:
        style = self.get_component_rich_style("row-list--dim")
        words, lines, line = self._empty.split(), [], ""
        for word in words:
            if line and len(line) + 1 + len(word) > width - 2:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.append(line)
        text = f" {lines[y]}" if y < len(lines) else ""
        return Strip([Segment(set_cell_size(text, width), style)])

    def go_to(self, index: int) -> None:
        """Put the cursor on a row, or on the nearest one that there is."""
        self.cursor = max(0, min(index, len(self._rows) - 1))

    def show_at(self, index: int, y: int) -> None:
        """Put the cursor on a row, and that row ``y`` lines below the upper edge, as far as the list allows."""
        self.go_to(index)
        self.scroll_to(0, max(0, self.cursor - y), animate=False, force=True, immediate=True)

    def _show_cursor(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

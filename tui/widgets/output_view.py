"""The output pane: any amount of output, of which only the visible lines are ever looked at.

``feed`` puts text into a spool and never paints. A timer, stopped while nothing arrives, takes notice at
``DRAINS_PER_SECOND`` of what came, and follows the end only if the user is there.

Output keeps its lines, however long. What is said about a run is sentences: they are wrapped to the width of the view.
To search, selection and clipboard a sentence is one row all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.terminal.colours import coloured
from tui.text.wrapping import INDENT, line_starts
from tui.widgets.output_spool import Mark, Spool
from tui.widgets.wrapped_rows import WrappedRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.selection import Selection
    from textual.timer import Timer

DRAINS_PER_SECOND = 15
COPY_LIMIT = 256 << 10
"""Characters handed to the terminal's clipboard at once; more makes terminals drop all of it."""

_GUTTER = {Mark.OUTPUT: "  ", Mark.ERROR: "! ", Mark.NOTE: "  "}
"""Standard error is told apart without colours too."""
_GUTTER_WIDTH = 2
_LEAST_WIDTH = 1
_MARKS = {"stdout": Mark.OUTPUT, "stderr": Mark.ERROR}


@dataclass(frozen=True, slots=True)
class Copied:
    """What went to the clipboard.

    Attributes:
        lines: How many lines.
        complete: False if there was more than a clipboard takes.
    """

    lines: int
    complete: bool


class OutputView(ScrollView, can_focus=True):
    """Output of runs, each between a title and a last line.

    Args:
        folder: Where the spool file is made, usually the user's state folder.
    """

    DEFAULT_CSS = """
    OutputView {
        scrollbar-size: 1 1;
        overflow: auto;
        & .output--error { color: $text-error; }
        & .output--note { color: $text-muted; text-style: bold; }
        & .output--found { text-style: reverse; }
    }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"output--error", "output--note", "output--found"}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("home,ctrl+home,g", "scroll_home", show=False),
        Binding("end,ctrl+end,G", "scroll_end", show=False),
    ]

    ALLOW_SELECT = True

    @dataclass
    class CopiedText(Message):
        """Text went to the clipboard."""

        view: OutputView
        copied: Copied

        @property
        def control(self) -> OutputView:
            return self.view

    def __init__(
        self,
        folder: Path,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  (Textual's name)
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._spool = Spool(folder)
        self._timer: Timer | None = None
        self._idle = True
        self._follows = True
        self._seen = 0
        self._dropped = 0
        self._widest = _LEAST_WIDTH
        self._found = ""
        self._target: int | None = None
        """The row to go to when its lines are there; those that are no longer kept count."""
        self._wrapped = WrappedRows()
        self._wrap_width = 0
        """Cells for sentences, as long as the view is hidden too; 0 before it is laid out."""

    # Output.

    def begin(self, title: str) -> None:
        """Start the output of a run with a line that says which."""
        self.finish(title)
        self._follows = True

    def feed(self, text: str, stream: str = "stdout") -> None:
        """Add output. Cheap, and nothing is drawn: call it as often as output comes."""
        self._spool.write(text, _MARKS[stream])
        self._wake()

    def finish(self, line: str) -> None:
        """End the output of a run with a line that says how it went."""
        self._write_lines(line, Mark.NOTE, wrapped=True)

    def tell_error(self, sentence: str) -> None:
        """Say what went wrong, or what to do about it."""
        self._write_lines(sentence, Mark.ERROR, wrapped=True)

    def show_result(self, lines: str, *, go_there: bool = False) -> None:
        """Show what a run left as its result, which keeps its lines; ``go_there``: from its first line on."""
        self._spool.end_line()
        if go_there:
            self._target = self._rows_so_far
        self._write_lines(lines, Mark.NOTE, wrapped=False)

    def clear(self) -> None:
        """Forget all output."""
        self._spool.clear()
        self._wrapped.clear()
        self._widest = _LEAST_WIDTH
        self._follows = True
        self._found = ""
        self._wake()

    @property
    def is_taller(self) -> bool:
        """Whether there is more than fits into the view."""
        return 0 < self.size.height <= self._height

    @property
    def line_count(self) -> int:
        """Lines there are to see, one without a line end among them."""
        return self._spool.line_count + (self._spool.failure is not None)

    def _write_lines(self, lines: str, mark: Mark, *, wrapped: bool) -> None:
        self._spool.end_line()
        first = self._rows_so_far
        for each in lines.split("\n"):
            self._spool.write(each + "\n", mark)
        if wrapped:
            for row in range(first, self._rows_so_far):
                self._wrapped.add(row, self._line_starts(row))
        self._wake()

    @property
    def _rows_so_far(self) -> int:
        """Rows that were ever written since the last ``clear``, those that are no longer kept among them."""
        return self._spool.dropped + self._spool.line_count

    def _line_starts(self, row: int) -> list[int]:
        """Where a sentence is broken; ``row`` counts those that are no longer kept."""
        if not self._wrap_width or row < self._spool.dropped:
            return [0]
        return line_starts(self._shown(row - self._spool.dropped)[1].plain, self._wrap_width)

    # Taking notice of it.

    def on_mount(self) -> None:
        self._timer = self.set_interval(1 / DRAINS_PER_SECOND, self._drain, pause=self._idle)

    def on_unmount(self) -> None:
        self._spool.close()

    def _wake(self) -> None:
        if self._idle:
            self._idle = False
            if self._timer is not None:
                self._timer.resume()

    def _drain(self) -> None:
        """Show what came since the last time; stop the timer if nothing did."""
        new_width = self._widest + _GUTTER_WIDTH
        if self._seen == self._spool.written and new_width == self.virtual_size.width:
            self._idle = True
            if self._timer is not None:
                self._timer.pause()
            return
        self._seen = self._spool.written
        self._wrapped.forget(self._spool.dropped)
        gone = self._spool.dropped + self._wrapped.forgotten
        dropped, self._dropped = gone - self._dropped, gone
        follows = self._stays_at_end
        self.virtual_size = Size(new_width, self._height)
        target, self._target = self._target, None
        if target is not None:
            line = self._line_of(max(0, target - self._spool.dropped))
            self.scroll_to(y=line, animate=False, immediate=True, force=True)
            self._follows = False
        elif follows:
            self._to_end()
        elif dropped > 0:
            self.scroll_to(y=max(0, self.scroll_offset.y - dropped), animate=False, immediate=True, force=True)
        self.refresh()

    def _to_end(self) -> None:
        # Forced: the scrollbar comes with the next layout only.
        self.scroll_end(animate=False, immediate=True, x_axis=False, force=True)
        self._follows = True

    @property
    def _stays_at_end(self) -> bool:
        """Whether the user is at the end, and not on the way up: a key sets the target, a later tick scrolls."""
        return self._follows and self.scroll_target_y >= self.scroll_y

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._follows = self.scroll_offset.y >= self.max_scroll_y

    def on_resize(self, event: events.Resize) -> None:
        follows, row = self._stays_at_end, self._row_at(self.scroll_offset.y)[0]
        width = event.size.width - _GUTTER_WIDTH - self.styles.scrollbar_size_vertical
        if width != self._wrap_width:
            self._wrap_width = width
            self._wrapped.wrap_again(self._line_starts)
            self.virtual_size = Size(self._widest + _GUTTER_WIDTH, self._height)
            if not follows:
                self.scroll_to(y=self._line_of(row), animate=False, immediate=True, force=True)
            self.refresh()
        if follows:
            self._to_end()

    # Rows, and lines of the screen.

    @property
    def _height(self) -> int:
        return self.line_count + self._wrapped.extra

    def _row_at(self, line: int) -> tuple[int, int]:
        """The row that a line is of, and which line of it."""
        self._wrapped.forget(self._spool.dropped)
        row, part = self._wrapped.row(self._spool.dropped + line)
        return row - self._spool.dropped, part

    def _line_of(self, row: int) -> int:
        """The first line of a row."""
        self._wrapped.forget(self._spool.dropped)
        return self._wrapped.line(self._spool.dropped + row) - self._spool.dropped

    # Drawing.

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        width = self.size.width
        row, part = self._row_at(scroll_y + y)
        if row >= self.line_count:
            return Strip.blank(width, self.rich_style)
        mark, text = self._shown(row)
        style = self._style_of(mark)
        self._decorate(text, row, style)
        room = max(0, width - _GUTTER_WIDTH)
        starts = self._wrapped.starts(self._spool.dropped + row)
        if starts is not None:
            return Strip([Segment(_GUTTER[mark], style), *self._line_of_sentence(text, starts, part, row, room)], width)
        self._widest = max(self._widest, text.cell_len)
        line = Strip(text.render(self.app.console), text.cell_len)
        line = line.crop_extend(scroll_x, scroll_x + room, style).apply_offsets(scroll_x, row)
        return Strip([Segment(_GUTTER[mark], style), *line], width)

    def _line_of_sentence(self, text: Text, starts: Sequence[int], part: int, row: int, room: int) -> Strip:
        """One line of a sentence. The blanks around it belong to its ends: a selection may begin or end on them."""
        start = starts[part]
        piece = text.divide(starts[1:])[part]
        indent = min(INDENT if part else 0, room)
        line = Strip(piece.render(self.app.console), piece.cell_len)
        line = line.crop(0, room - indent).apply_offsets(start, row)
        style = self._style_of(self._shown(row)[0])
        before = _blanks(indent, style, start, row)
        behind = _blanks(room - indent - line.cell_length, style, start + len(piece), row)
        return Strip([*before, *line, *behind], room)

    def _shown(self, row: int) -> tuple[Mark, Text]:
        if row >= self._spool.line_count:
            return Mark.NOTE, Text(f"- output is no longer kept: {self._spool.failure} -", end="")
        line = self._spool[row]
        return line.mark, coloured(line.text)

    def _style_of(self, mark: Mark) -> Style:
        style = self.rich_style
        if mark is Mark.OUTPUT:
            return style
        component = "output--error" if mark is Mark.ERROR else "output--note"
        return style + self.get_component_rich_style(component, partial=True)

    def _decorate(self, text: Text, row: int, style: Style) -> None:
        text.stylize_before(style)
        if self._found:
            folded = self._found == self._found.lower()
            text.highlight_words(
                [self._found], self.get_component_rich_style("output--found", partial=True), case_sensitive=not folded
            )
        selection = self.text_selection
        span = None if selection is None else selection.get_span(row)
        if span is not None:
            start, end = span
            selected = self.screen.get_component_rich_style("screen--selection")
            text.stylize(selected, start, len(text) if end < 0 else end)

    # Finding.

    def find(self, pattern: str, *, forward: bool = True, again: bool = True) -> bool:
        """Go to the next line, or the one before, that holds ``pattern``, around the end if need be.

        Args:
            pattern: Capitals count if it has any. Empty: nothing is marked any more.
            forward: Which way.
            again: Whether the line found last does not count.
        """
        same = pattern == self._found
        self._found = pattern
        self.refresh()
        if not pattern:
            return False
        step = (1 if forward else -1) if again and same else 0
        here = self._row_at(self.scroll_offset.y)[0] + step
        total = self._spool.line_count
        row = self._spool.find(pattern, here, forward=forward) if 0 <= here < total else None
        if row is None:
            row = self._spool.find(pattern, 0 if forward else total - 1, forward=forward)
        if row is None:
            return False
        self.scroll_to(y=self._line_of(row), animate=False, immediate=True, force=True)
        self._follows = False
        return True

    # Copying.

    def copy_all(self) -> Copied:
        """Hand the output to the clipboard, its end if it is too long."""
        total = self._spool.line_count
        first, size = total, 0
        while first and size <= COPY_LIMIT:
            first -= 1
            size += len(self._spool[first].text) + 1
        if size > COPY_LIMIT and first < total - 1:
            first += 1
        return self._copy(self._spool.text(first, total), total - first, complete=first == 0)

    def copy_selection(self) -> Copied | None:
        """Hand what is selected to the clipboard; None if nothing is."""
        selection = self.text_selection
        got = None if selection is None else self.get_selection(selection)
        if got is None:
            return None
        text, _ending = got
        return self._copy(text[:COPY_LIMIT], text.count("\n") + 1, complete=len(text) <= COPY_LIMIT)

    def _copy(self, text: str, lines: int, *, complete: bool) -> Copied:
        self.app.copy_to_clipboard(text)
        copied = Copied(lines, complete)
        self.post_message(self.CopiedText(self, copied))
        return copied

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text as it is shown; reading stops when there is more than a clipboard takes."""
        first = 0 if selection.start is None else selection.start.y
        last = self.line_count - 1 if selection.end is None else min(selection.end.y, self.line_count - 1)
        lines: list[str] = []
        size = 0
        for row in range(first, last + 1):
            start, end = selection.get_span(row) or (0, 0)
            text = self._shown(row)[1].plain
            lines.append(text[start:] if end < 0 else text[start:end])
            size += len(lines[-1]) + 1
            if size > COPY_LIMIT:
                break
        return ("\n".join(lines), "\n") if lines else None

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002  (Textual passes it)
        self.refresh()


def _blanks(count: int, style: Style, x: int, row: int) -> list[Segment]:
    """Blanks that all stand for one place in the text; each is a segment, because places count on within one."""
    return [Segment(" ", style + Style.from_meta({"offset": (x, row)}))] * count

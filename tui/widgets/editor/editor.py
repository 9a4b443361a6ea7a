"""The script editor: what people expect of an editor, on a text area that stays quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditResult, Location, Selection

from tui.terminal.guard import code_pictures
from tui.text.newlines import newline_of, normalise
from tui.widgets.editor.area import FlatTextArea
from tui.widgets.editor.blocks import (
    SPACES,
    LineEdits,
    dedented,
    in_bracket,
    indentation_after,
    indentation_of,
    indented,
    step_of,
    toggled_comments,
)
from tui.widgets.editor.changed_rows import changed_span, row_follower
from tui.widgets.editor.colours import THEMES, theme_for
from tui.widgets.editor.lineage import Lineage, SavedText, Version
from tui.widgets.editor.search import Occurrence, next_occurrence, occurrences

_APP_KEYS = frozenset({"f6", "f7"})
"""Keys that ``TextArea`` binds and that are the application's here."""


WRAPPED_LINES = 5_000
"""Longer texts are not wrapped: each edit would count all lines below it anew."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """Where the user is in a text: cursor and scroll position."""

    row: int = 0
    column: int = 0
    scroll_x: int = 0
    scroll_y: int = 0


def _own_bindings() -> list[BindingType]:
    """Textual's bindings without the application's keys, and ours."""
    kept = [binding for binding in TextArea.BINDINGS if not (isinstance(binding, Binding) and binding.key in _APP_KEYS)]
    ours = [
        Binding("ctrl+home", "text_start", "To the start", show=False),
        Binding("ctrl+end", "text_end", "To the end", show=False),
        Binding("ctrl+shift+home", "text_start(True)", "Select to the start", show=False),
        Binding("ctrl+shift+end", "text_end(True)", "Select to the end", show=False),
        Binding("alt+a", "select_all", "Select all", show=False),
        Binding("shift+tab", "dedent", "Dedent", show=False),
        # ctrl+/ arrives as 0x1f on plain terminals.
        Binding("ctrl+underscore,ctrl+slash", "toggle_comment", "Comment or uncomment", show=False),
    ]
    return [*kept, *ours]


class Editor(FlatTextArea, inherit_bindings=False):
    """An editor of Python, and of prose without its colours and block rules.

    ``load`` puts a text in, ``text`` is what to save, byte for byte what was loaded if nothing changed, and
    ``mark_saved`` says that it was. Undoing back to what was saved makes the editor clean again.
    """

    BINDINGS: ClassVar[list[BindingType]] = _own_bindings()

    DEFAULT_CSS = """
    Editor {
        border: none;
        padding: 0;
        scrollbar-size: 1 1;
        &:focus { border: none; }
        /* The row of the cursor is marked in the gutter only: a coloured row is 400 bytes for each arrow key. */
        & .text-area--cursor-line { background: $surface; }
        & .text-area--cursor-gutter { background: $surface; color: $foreground; text-style: bold; }
    }
    """

    dirty: reactive[bool] = reactive(False, init=False)
    """Whether the text differs from what was loaded or saved last."""

    @dataclass
    class DirtyChanged(Message):
        """The text began or ceased to differ from what is saved."""

        editor: Editor
        dirty: bool

        @property
        def control(self) -> Editor:
            return self.editor

    def __init__(
        self,
        text: str = "",
        *,
        language: str | None = "python",
        fast: bool = True,
        soft_wrap: bool = False,
        read_only: bool = False,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  (Textual's name)
        classes: str | None = None,
    ) -> None:
        """Make an editor.

        Args:
            text: What it shows first.
            language: ``"python"``, or None for plain text. It may be set later, after the first paint.
            fast: False leaves Textual's own text area, in case a later Textual and the fast one do not agree.
            soft_wrap: Whether long lines wrap.
            read_only: Whether keys may change the text.
            name: The widget's name.
            id: The widget's id.
            classes: The widget's classes.
        """
        self._saved = SavedText()
        self.lineage = Lineage()
        self._prose = False
        super().__init__(
            text,
            language=language,
            fast=fast,
            soft_wrap=soft_wrap,
            read_only=read_only,
            name=name,
            id=id,
            classes=classes,
        )
        self.cursor_blink = False
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = "dark"
        self._remember_saved()

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._use_app_colours)

    def _use_app_colours(self) -> None:
        self.theme = theme_for(self.app.current_theme)

    # Loading and saving.

    def load(
        self, text: str, *, version: Version | None = None, language: str | None = "python", prose: bool = False
    ) -> None:
        """Show ``text`` from its start, as saved and without history; it grew from ``version``.

        Args:
            text: What to show.
            version: The saved version that it grew from.
            language: What to colour it by.
            prose: It is no Python: no colours, a line's end says nothing of the next one's indentation, and lines
                that are too long go on below.
        """
        self._prose = prose
        language = None if prose else language
        if language != self.language:
            self.language = language
        self.soft_wrap = prose and text.count("\n") < WRAPPED_LINES
        self.load_text(text)
        self.move_cursor((0, 0))
        self.scroll_to(0, 0, animate=False, immediate=True)
        self.lineage.begin(version or Version())
        self._remember_saved()

    def change_to(self, text: str, version: Version) -> bool:
        """Make the text another one by one edit that can be undone; cursor and view stay with their lines.

        Args:
            text: The new text.
            version: That it has in it; after undo the text has only the one before in it.

        Returns:
            False if its line ends are of another kind: then it was loaded, and undo begins anew.
        """
        old, new = self.document.lines, text.split(newline_of(text))
        if newline_of(text) != self.document.newline:
            self._load_in_place(text, version)
            return False
        if new == old:
            self.lineage.saved(version)
            return True
        edit = self._replace_rows(list(old), new)
        if self.text != text:  # Textual's own document cannot hold some texts exactly
            self._load_in_place(text, version)
            return False
        self.lineage.grew_to(edit, version)
        self._update_dirty()
        return True

    def _replace_rows(self, old: list[str], new: list[str]) -> Edit:
        """Put new rows in place of those that differ."""
        follow, place, selection = row_follower(old, new), self.place, self.selection
        span = changed_span(old, new)
        rows = "\n".join(new[span.first : span.new_end])
        last = span.old_end - 1
        edit = Edit(rows, (span.first, 0), (last, len(old[last])), maintain_selection_offset=False)
        self.history.checkpoint()
        super().edit(edit)  # as it is: a carriage return in a line belongs to the text
        self.history.checkpoint()
        self.selection = Selection(*((follow(row), column) for row, column in selection))
        self._restore_view(place, follow(place.row) - place.row)
        return edit

    def _load_in_place(self, text: str, version: Version) -> None:
        """Load a text and stay on the line, as far as it is still there."""
        place = self.place
        row = row_follower(list(self.document.lines), text.split(newline_of(text)))(place.row)
        self.load(text, version=version, language=self.language, prose=self._prose)
        self.move_cursor((row, place.column))
        self._restore_view(place, row - place.row)

    def _restore_view(self, place: ViewState, moved: int) -> None:
        self.scroll_to(place.scroll_x, place.scroll_y + moved, animate=False, immediate=True, force=True)

    def mark_saved(self) -> None:
        """What is in the editor now is what is saved."""
        self._remember_saved()

    def _remember_saved(self) -> None:
        self._saved.remember(self.document)
        self.dirty = False

    def compare_with(self, saved: str) -> None:
        """Keep the text but compare it with ``saved`` from now on: recovered text is not what is on disk."""
        self._saved.remember_text(saved)
        self._update_dirty()

    def mark_lost(self) -> None:
        """What was saved is gone: the text is unsaved, whatever it is."""
        self._saved.forget()
        self._update_dirty()

    def _update_dirty(self) -> None:
        self.dirty = self._saved.differs_from(self.document)

    def watch_dirty(self, dirty: bool) -> None:
        self.post_message(self.DirtyChanged(self, dirty))

    @property
    def place(self) -> ViewState:
        row, column = self.cursor_location
        return ViewState(row, column, self.scroll_offset.x, self.scroll_offset.y)

    def restore(self, place: ViewState) -> None:
        """Go back to a place, as far as the text still has it."""
        self.move_cursor((min(place.row, self.document.line_count - 1), place.column))
        self.scroll_to(place.scroll_x, place.scroll_y, animate=False, immediate=True, force=True)

    def go_to_line(self, number: int) -> None:
        """Put the cursor at the start of a line, counted from 1, in the middle of the editor."""
        row = max(0, min(number, self.document.line_count) - 1)
        self.move_cursor((row, 0), center=True)

    # Editing.

    def edit(self, edit: Edit) -> EditResult:
        edit.text = normalise(edit.text)
        result = super().edit(edit)
        self._update_dirty()
        return result

    def undo(self) -> None:
        batches = self.history.undo_stack
        super().undo()
        if batches:
            self.lineage.undone(batches[-1])
        self._update_dirty()

    def redo(self) -> None:
        batches = self.history.redo_stack
        super().redo()
        if batches:
            self.lineage.redone(batches[-1])
        self._update_dirty()

    def get_line(self, line_index: int) -> Text:
        return Text(code_pictures(self.document[line_index]), end="", no_wrap=True)

    async def _on_key(self, event: events.Key) -> None:
        handlers = {"enter": self._new_line, "ctrl+j": self._bare_new_line, "tab": self._indent}
        handler = handlers.get(event.key)
        if handler is not None and not self.read_only and handler():
            event.stop()
            event.prevent_default()

    def _new_line(self) -> bool:
        start, end = sorted(self.selection)
        lines = self.document.lines
        before = lines[start[0]][: start[1]]
        if self._prose:
            indentation = indentation_of(before)
        else:
            indentation = indentation_after(before, self._step, bracket_open=in_bracket(lines, *start))
        self._replace_via_keyboard("\n" + indentation, start, end)
        return True

    def _bare_new_line(self) -> bool:
        """Take LF as what it is: the end of a line of text that a slow line lets through key by key."""
        self._replace_via_keyboard("\n", *sorted(self.selection))
        return True

    def _indent(self) -> bool:
        """Indent the selected lines; without a selection of lines go to the next step of the text's indentation."""
        start, end = sorted(self.selection)
        step = self._step
        if start[0] != end[0]:
            self._change_lines(lambda lines: indented(lines, step))
            return True
        line = self.document[start[0]]
        if step != "\t" and not indentation_of(line).startswith("\t"):
            at = cell_len(line[: start[1]].expandtabs(self.indent_width))
            step = step[at % len(step) :]
        elif indentation_of(line).startswith(" "):
            step = SPACES
        else:
            step = "\t"
        self._replace_via_keyboard(step, start, end)
        return True

    @property
    def _step(self) -> str:
        """One step of the text's own indentation."""
        return step_of(self.document.lines)

    def action_dedent(self) -> None:
        step = self._step
        self._change_lines(lambda lines: dedented(lines, step))

    def action_toggle_comment(self) -> None:
        """Comment lines or uncomment them; prose has none, and in Markdown ``#`` makes a heading."""
        if not self._prose:
            self._change_lines(toggled_comments)

    def _change_lines(self, change: LineEdits) -> None:
        """Replace the selected lines as one edit, and keep the same lines selected."""
        if self.read_only:
            return
        selection = self.selection
        (first, _), (last, last_column) = sorted(selection)
        if last > first and last_column == 0:
            last -= 1
        old = self.document[first : last + 1]
        new = change(old)
        if new == old:
            return
        self.replace("\n".join(new), (first, 0), (last, len(old[-1])))
        grown = {row: len(new[row - first]) - len(old[row - first]) for row in range(first, last + 1)}
        self.selection = Selection(_moved(selection.start, grown), _moved(selection.end, grown))

    # Moving and finding.

    def find(self, pattern: str, *, forward: bool = True, again: bool = True) -> Occurrence:
        """Select the next occurrence of ``pattern``, or the one before; capitals count if it has any.

        Args:
            pattern: What to find, literally.
            forward: Which way, around the end if need be.
            again: Whether one that is selected now does not count; False while the pattern is being typed.
        """
        here = min(self.selection)
        found = next_occurrence(occurrences(self.document.lines, pattern), here, forward=forward, again=again)
        if found.start is not None:
            row, column = found.start
            self.selection = Selection((row, column), (row, column + len(pattern)))
            self.scroll_cursor_visible(center=not self._is_in_view(row))
        elif not self.selection.is_empty:
            self.move_cursor(here)
        return found

    def _is_in_view(self, row: int) -> bool:
        top = self.scroll_offset.y
        return top <= row < top + self.size.height

    def action_text_start(self, select: bool = False) -> None:
        self.move_cursor((0, 0), select=select)

    def action_text_end(self, select: bool = False) -> None:
        self.move_cursor(self.document.end, select=select)


def _moved(location: Location, grown: dict[int, int]) -> Location:
    """A location whose row grew by some characters at its front; the start of a line stays the start."""
    row, column = location
    return (row, max(0, column + grown.get(row, 0)) if column else 0)

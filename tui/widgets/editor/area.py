"""A ``TextArea`` whose keys cost the same in a short file and in a long one.

This is the one module that reaches into Textual's private names; ``tests/tui/test_editor_contract.py`` pins each of
them. What they buy, per key at 50,000 lines: Textual joins the whole text once for every line it draws, sums all wrap
offsets once for every line, measures every line, encodes every line above the cursor, and queries the whole syntax
tree.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from importlib.resources import files
from typing import TYPE_CHECKING

from textual.geometry import Offset, Region, Size
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import DocumentNavigator, WrappedDocument

from tui.widgets.editor.brackets import partner_of
from tui.widgets.editor.document import FlatDocument
from tui.widgets.editor.highlights import LineHighlights
from tui.widgets.editor.painted import PaintedRows
from tui.widgets.editor.wrapped import FlatWrapped

if TYPE_CHECKING:
    from textual.timer import Timer
    from textual.widgets.text_area import Location

    from tui.widgets.editor.syntax import SyntaxTree

PAUSE = 0.15
"""Seconds without an edit after which a parse that waited is made."""
_KEPT_STRIPS = 1024

SIDEWAYS_STEP = 16
"""Cells by which the view moves sideways at least: one at a time would repaint every row for every key."""


def _python_tree() -> SyntaxTree:
    import tree_sitter_python
    from tree_sitter import Language

    from tui.widgets.editor.syntax import SyntaxTree

    return SyntaxTree(Language(tree_sitter_python.language()))


def _python_query() -> str:
    return files("tui.widgets.editor").joinpath("python.scm").read_text(encoding="utf-8")


class FlatTextArea(TextArea):
    """A text area over a ``FlatDocument``; wrapping, completion hints and a placeholder are drawn by Textual's own
    code.

    With ``fast`` off it is Textual's text area unchanged.
    """

    def __init__(
        self,
        text: str = "",
        *,
        language: str | None = None,
        fast: bool = True,
        soft_wrap: bool = False,
        read_only: bool = False,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  (Textual's name)
        classes: str | None = None,
    ) -> None:
        self.fast = fast
        self._strips: dict[Hashable, Strip] = {}
        self._painted = PaintedRows()
        self._look: tuple[object, ...] = ()
        self._look_number = 0
        self._styled_for: tuple[object, int] | None = None
        self._parse_timer: Timer | None = None
        self._line_highlights: LineHighlights | None = None
        self._flat: FlatDocument | None = None
        self._language_in_use: str | None = None
        super().__init__(
            # Textual would build its own document and wrap it before it asks for ours.
            "" if fast else text,
            language=language,
            soft_wrap=soft_wrap,
            read_only=read_only,
            show_line_numbers=True,
            tab_behavior="indent",
            name=name,
            id=id,
            classes=classes,
        )
        if fast:
            self._set_document(text, language)

    # The document.

    def _set_document(self, text: str, language: str | None) -> None:
        if not self.fast:
            super()._set_document(text, language)
            self._keep_exact(text)
            return
        document = self._flat
        if document is not None and document.text == text:
            # Textual asks for the same document twice, and again when only the language is another.
            self._use_language(document, language)
            return
        self._language_in_use = None
        self._line_highlights = None
        document = self._flat = FlatDocument(text)
        self._use_language(document, language)
        self.document = document
        self.wrapped_document = FlatWrapped(document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self.move_cursor((0, 0))
        self._rewrap_and_refresh_virtual_size()

    def _keep_exact(self, text: str) -> None:
        """Where Textual's document would lose something, form feeds say, edit without colours rather than lose it."""
        if self.document.text == text:
            return
        self._highlight_query = None
        self._highlights.clear()
        self.document = FlatDocument(text)
        self.wrapped_document = WrappedDocument(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._rewrap_and_refresh_virtual_size()

    def _use_language(self, document: FlatDocument, language: str | None) -> None:
        """Colour by a language. Scripts are Python; everything else is plain text."""
        if language == self._language_in_use:
            return
        self._language_in_use = language
        self._strips = {}
        self._line_highlights = None
        document.syntax = document.edited = None
        if language == "python":
            document.use_syntax(_python_tree())
            query = document.prepare_query(_python_query())
            if query is not None:
                self._line_highlights = LineHighlights(document, query)
                document.edited = self._line_highlights.edited
        # Textual reads them only to colour a row: a mapping of rows is all it needs.
        self._highlights = self._line_highlights or {}  # type: ignore[assignment]

    @property
    def is_syntax_aware(self) -> bool:
        return self._line_highlights is not None if self.fast else super().is_syntax_aware

    def _build_highlight_map(self) -> None:
        """Nothing to build: the document says which rows an edit touched."""
        if not self.fast:
            super()._build_highlight_map()

    # Drawing.

    def notify_style_update(self) -> None:
        self._strips = {}
        self._painted.forget()
        self._look = ()
        super().notify_style_update()

    def _exchange_repaint_regions(self) -> Collection[Region]:
        """What to paint of what was asked for: of the whole widget, only the rows that are not on the screen already.

        Any change of cursor or text makes Textual refresh all of it.
        """
        regions = super()._exchange_repaint_regions()
        width, height = self.outer_size
        whole = any(region.height >= height and region.width >= width for region in regions)
        if not whole or not self._draws_rows():
            self._painted.forget()
            return regions
        self._begin_frame()
        rows = self._painted.changed(self._row_keys(0, height))
        return regions if len(rows) == height else {Region(0, y, width, 1) for y in rows}

    def render_lines(self, crop: Region) -> list[Strip]:
        """Lines as they go to the screen, each drawn only if none like it was drawn before."""
        self._begin_frame()
        if not self._draws_rows() or crop.column_span != (0, self.outer_size.width):
            return super().render_lines(crop)
        keys = self._row_keys(crop.y, crop.bottom)
        missing = [index for index, key in enumerate(keys) if key not in self._strips]
        if missing:
            if len(self._strips) + len(keys) > _KEPT_STRIPS:
                self._strips.clear()
                missing = [0, len(keys) - 1]
            first, last = missing[0], missing[-1]
            drawn = self._drawn(Region(0, crop.y + first, crop.width, last - first + 1))
            self._strips.update(zip(keys[first : last + 1], drawn, strict=True))
        self._painted.drawn(crop.y, keys)
        return [self._strips[key] for key in keys]

    def _drawn(self, region: Region) -> list[Strip]:
        """Textual's drawing, which looks up all component styles each time, unless nothing about them changed."""
        styled_for = (self._theme, self._look_number)
        if styled_for == self._styled_for:
            return super(TextArea, self).render_lines(region)
        drawn = super().render_lines(region)
        self._styled_for = (self._theme, self._look_number)
        return drawn

    def render_line(self, y: int) -> Strip:
        """Textual looks whether the text is empty by joining all of it, for each line it draws."""
        plain = self.fast and not self.suggestion and not self.placeholder
        return self._render_line(y) if plain else super().render_line(y)

    def _draws_rows(self) -> bool:
        """Whether a row on the screen is a function of its key; if not, Textual's code draws."""
        if not self.fast or self.soft_wrap or self.suggestion or self.styles.gutter.totals != (0, 0):
            return False
        return not self.placeholder or self.document.line_count > 1 or bool(self.document[0])

    def _begin_frame(self) -> None:
        """Take note of what all rows depend on, and have the colours up to date."""
        if self._line_highlights is not None:
            self._parse_or_wait(self._line_highlights)
        look = (
            self.size,
            self.virtual_size.width,
            self.gutter_width,
            self.show_line_numbers,
            self.line_number_start,
            self.indent_width,
            self.match_cursor_bracket,
            self.theme,
            self.styles._cache_key,
            self.rich_style,
            self.opacity,
            *self.get_line_filters(),
        )
        if look != self._look:
            self._look = look
            self._look_number += 1

    def _row_keys(self, top: int, bottom: int) -> list[Hashable]:
        """For each row of the widget everything that it is a function of, so that no edit has to clear what was
        drawn."""
        lines, selection, bracket = self.document.lines, self.selection, self._matching_bracket_location
        scroll_x, scroll_y = self.scroll_offset
        first_selected, last_selected = sorted((selection.start[0], selection.end[0]))
        cursor = (self._draw_cursor, self.read_only, self.show_cursor, self.highlight_cursor_line, bracket)
        highlights, look = self._line_highlights, (self._look_number, scroll_x)
        keys: list[Hashable] = []
        for row in range(scroll_y + top, scroll_y + bottom):
            if row >= len(lines):
                keys.append(look)
                continue
            keys.append(
                (
                    row,
                    lines[row],
                    None if highlights is None else highlights[row],
                    selection if first_selected <= row <= last_selected else None,
                    cursor if row == selection.end[0] else None,
                    bracket if bracket is not None and bracket[0] == row else None,
                    look,
                )
            )
        return keys

    def _parse_or_wait(self, highlights: LineHighlights) -> None:
        syntax = None if self._flat is None else self._flat.syntax
        if syntax is None or not syntax.should_wait:
            highlights.sync()
            return
        if self._parse_timer is not None:
            self._parse_timer.stop()
        self._parse_timer = self.set_timer(PAUSE, self._parse_after_pause)

    def _parse_after_pause(self) -> None:
        self._parse_timer = None
        if self._line_highlights is not None:
            self._line_highlights.sync()
            self.refresh()

    # Scrolling.

    def _refresh_size(self) -> None:
        """Leave room for a step to the right of the longest line."""
        if not self.fast or self.soft_wrap:
            super()._refresh_size()
            return
        width, height = self.document.get_size(self.indent_width)
        width += self.gutter_width + 1
        if width > self.scrollable_content_region.width:
            width += SIDEWAYS_STEP
        self.virtual_size = Size(width, height)
        self._refresh_scrollbars()

    def scroll_cursor_visible(self, center: bool = False, animate: bool = False) -> Offset:
        """Scroll so that the cursor is in view, and sideways no further than that takes."""
        if self.cursor_location[0] >= self.document.line_count:
            # Undo took the cursor's line away, and a scrollbar with it, before it moves the cursor and comes again.
            return Offset(0, 0)
        width = self.scrollable_content_region.width
        if not self.fast or self.soft_wrap or not width:
            return super().scroll_cursor_visible(center, animate)
        self._recompute_cursor_offset()  # type: ignore[no-untyped-call]
        x, y = self._cursor_offset
        region = Region(self._scroll_x_for(x, width - self.gutter_width), y, width, 1)
        return self.scroll_to_region(region, animate=animate, force=True, center=center)

    def _scroll_x_for(self, column: int, room: int) -> int:
        """Return the column at which the view is to begin: the first one whenever the cursor is seen from there."""
        last = room - 2  # a cell beside the cursor shows what it stands before
        if column <= last:
            return 0
        begins: int = self.scroll_offset.x
        if column < begins:
            return max(0, column - SIDEWAYS_STEP)
        return begins if column <= begins + last else column - last + SIDEWAYS_STEP

    def find_matching_bracket(self, bracket: str, search_from: Location) -> Location | None:
        """The partner of a bracket, if it is close."""
        if not self.fast:
            return super().find_matching_bracket(bracket, search_from)
        return partner_of(self.document, bracket, search_from)

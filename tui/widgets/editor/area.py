"""A ``TextArea`` whose keys cost the same in a short file and in a long one.

This is the one module that reaches into Textual's private names; ``tests/tui/test_editor_contract.py`` pins each of
them. What they buy, per key at 50,000 lines: Textual joins the whole text once for every line it draws, sums all wrap
offsets once for every line, measures every line, encodes every line above the cursor, and queries the whole syntax
tree.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from textual.geometry import Region
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import DocumentNavigator

from tui.widgets.editor.brackets import partner_of
from tui.widgets.editor.document import FlatDocument
from tui.widgets.editor.highlights import LineHighlights
from tui.widgets.editor.wrapped import FlatWrapped

if TYPE_CHECKING:
    from textual.timer import Timer
    from textual.widgets.text_area import Location

    from tui.widgets.editor.syntax import SyntaxTree

PAUSE = 0.15
"""Seconds without an edit after which a parse that waited is made."""
_KEPT_STRIPS = 1024


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
        self._strips: dict[tuple[object, ...], Strip] = {}
        self._parse_timer: Timer | None = None
        self._line_highlights: LineHighlights | None = None
        self._flat: FlatDocument | None = None
        self._language_in_use: str | None = None
        super().__init__(
            text,
            language=language,
            soft_wrap=soft_wrap,
            read_only=read_only,
            show_line_numbers=True,
            tab_behavior="indent",
            name=name,
            id=id,
            classes=classes,
        )

    # The document.

    def _set_document(self, text: str, language: str | None) -> None:
        if not self.fast:
            super()._set_document(text, language)
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
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        if self._line_highlights is not None:
            self._parse_or_wait(self._line_highlights)
        return super().render_lines(crop)

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

    def render_line(self, y: int) -> Strip:
        if not self.fast or self.soft_wrap or self.suggestion or self._shows_placeholder():
            return super().render_line(y)
        row = y + self.scroll_offset.y
        if row >= self.document.line_count:
            return self._render_line(y)
        key = self._strip_key(row)
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) >= _KEPT_STRIPS:
                self._strips.clear()
            strip = self._strips[key] = self._render_line(y)
        return strip

    def _strip_key(self, row: int) -> tuple[object, ...]:
        """Everything that a drawn row is a function of, so that no edit has to clear what was drawn."""
        selection = self.selection
        has_cursor = selection.end[0] == row
        bracket = self._matching_bracket_location
        highlights = self._line_highlights
        return (
            row,
            self.document[row],
            None if highlights is None else highlights[row],
            self.scroll_offset.x,
            self.size.width,
            self.virtual_size.width,
            self.gutter_width,
            selection if selection.contains_line(row) else None,
            (self._draw_cursor, self.read_only, self.show_cursor, self.highlight_cursor_line) if has_cursor else None,
            bracket if bracket is not None and (has_cursor or bracket[0] == row) else None,
            self.match_cursor_bracket,
            self.theme,
            self.indent_width,
            self.show_line_numbers,
            self.line_number_start,
        )

    def _shows_placeholder(self) -> bool:
        return bool(self.placeholder) and self.document.line_count == 1 and not self.document[0]

    def find_matching_bracket(self, bracket: str, search_from: Location) -> Location | None:
        """The partner of a bracket, if it is close."""
        if not self.fast:
            return super().find_matching_bracket(bracket, search_from)
        return partner_of(self.document, bracket, search_from)

"""The private names of Textual that the editor and the driver stand on: a new Textual without them fails here
first."""

from __future__ import annotations

import inspect

import pytest
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.css.styles import RenderStyles
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter
from textual.widgets import TextArea
from textual.widgets.text_area import Document, WrappedDocument
from tree_sitter import Parser, Query, QueryCursor, Tree

from tui.widgets.editor.editor import Editor


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (TextArea, ("_set_document", "_build_highlight_map", "_render_line", "_draw_cursor")),
        (
            TextArea,
            (
                "_rewrap_and_refresh_virtual_size",
                "_exchange_repaint_regions",
                "_refresh_size",
                "_recompute_cursor_offset",
            ),
        ),
        (RenderStyles, ("_cache_key",)),
        (
            TextArea,
            ("_on_key", "_replace_via_keyboard", "find_matching_bracket", "notify_style_update", "render_lines"),
        ),
        (WrappedDocument, ("wrap", "wrap_range", "height", "get_sections", "get_offsets", "get_tab_widths")),
        (
            LinuxDriver,
            ("write", "process_message", "run_input_thread", "start_application_mode", "stop_application_mode"),
        ),
        (XTermParser, ("feed", "tick")),
        (App, ("get_line_filters", "copy_to_clipboard")),
        (LineFilter, ("apply",)),
        (Parser, ("parse",)),
        (Tree, ("edit", "changed_ranges")),
        (Query, ("capture_count", "capture_name")),
        (QueryCursor, ("captures", "set_point_range")),
    ],
)
def test_methods_are_there(owner: type, names: tuple[str, ...]) -> None:
    assert [name for name in names if not hasattr(owner, name)] == []


def test_attributes_of_a_wrapped_document_are_the_ones_replaced() -> None:
    replaced = {"_wrap_offsets", "_tab_width_cache", "_offset_to_line_info", "_line_index_to_offsets"}
    assert replaced | {"_width", "_tab_width"} <= {*vars(WrappedDocument(Document("a")))}


async def test_attributes_of_a_text_area_are_the_ones_read() -> None:
    class Stock(App[None]):
        def compose(self) -> ComposeResult:
            yield TextArea("(a)", language="python")

    app = Stock()
    async with app.run_test():
        area = app.query_one(TextArea)
        assert {"_highlights", "_highlight_query", "_matching_bracket_location", "_theme", "_cursor_offset"} <= {
            *vars(area)
        }


def test_a_text_area_draws_through_the_names_that_are_overridden() -> None:
    source = inspect.getsource(TextArea)
    for call in (
        "self._set_document(text, language)",
        "self._set_document(self.document.text, language)",
        "self._build_highlight_map()",
        "self._highlights",
        "highlights[line_index]",
        "self.get_line(line_index)",
        "self.find_matching_bracket(character, cursor_location)",
        "self._render_line(y)",
    ):
        assert call in source, call


def test_the_editor_overrides_nothing_that_textual_does_not_have() -> None:
    ours = {name for kind in Editor.__mro__[:2] for name, value in vars(kind).items() if inspect.isfunction(value)}
    private = {name for name in ours if name.startswith("_") and not name.startswith("__")}
    overridden = {name for name in private if hasattr(TextArea, name)}
    assert overridden == {
        *("_set_document", "_build_highlight_map", "_exchange_repaint_regions", "_refresh_size", "_on_key")
    }

"""The document behind the editor: no byte is lost, and what is kept beside the text always fits it."""

from __future__ import annotations

import pytest
import tree_sitter_python
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.geometry import Offset
from textual.widgets.text_area import Document, WrappedDocument
from tree_sitter import Language

from tui.text.newlines import newline_of, normalise
from tui.widgets.editor.brackets import SEARCHED_LINES, partner_of
from tui.widgets.editor.document import FlatDocument
from tui.widgets.editor.highlights import LineHighlights
from tui.widgets.editor.syntax import SyntaxTree, encode
from tui.widgets.editor.wrapped import FlatWrapped

QUERY = """
(string) @string
(comment) @comment
(identifier) @name
["def" "class" "return"] @keyword
"""
PIECES = ["x", "def f(a):\n", "    return 1\n", "\n", "'", '"""', "(", ")", "# c\n", "漢字", "é", "\t"]
PIECES += ["\x0c", "\u2028", "\x1b[0m"]
CASE = settings(max_examples=60, deadline=None)

texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
columns = st.integers(0, 12)
edits = st.lists(st.tuples(st.integers(0, 40), columns, st.integers(0, 3), columns, texts), max_size=12)


def coloured_document(text: str) -> tuple[FlatDocument, LineHighlights]:
    document = FlatDocument(text)
    document.use_syntax(SyntaxTree(Language(tree_sitter_python.language())))
    query = document.prepare_query(QUERY)
    assert query is not None
    highlights = LineHighlights(document, query)
    document.edited = highlights.edited
    return document, highlights


def rows(highlights: LineHighlights) -> list[list[str]]:
    return [sorted(map(str, highlights[row])) for row in highlights]


@pytest.mark.parametrize(
    ("text", "newline"),
    [
        *(("", "\n"), ("a", "\n"), ("a\nb\n", "\n"), ("a\r\nb\r\n", "\r\n"), ("a\rb", "\r")),
        *(("a\r\nb\n", "\n"), ("a\rb\n", "\n")),
    ],
)
def test_line_end_of_a_text(text: str, newline: str) -> None:
    assert newline_of(text) == newline


@given(st.text(alphabet="a\n\r\x0c\x0b\x1c\x85\u2028\u2029\t é漢\ud800"))
@CASE
def test_what_was_loaded_comes_back(text: str) -> None:
    assert FlatDocument(text).text == text


@pytest.mark.parametrize("text", ["a\x0cb\n", "a\u2028b\n", "a\x0bb", "mixed\r\nand\nplain\rhere"])
def test_only_line_ends_end_lines(text: str) -> None:
    document = FlatDocument(text)
    document.replace_range((0, 0), (0, 0), "x")
    assert document.text == "x" + text


def test_typed_line_ends_take_the_style_of_the_file() -> None:
    document = FlatDocument("a\r\nb")
    document.replace_range((0, 1), (0, 1), normalise("1\n2\r\n3\r4"))
    assert document.text == "a1\r\n2\r\n3\r\n4\r\nb"


def test_a_deletion_put_back_is_exact_in_a_file_of_mixed_line_ends() -> None:
    text = "a\r\nb\nc\rd\r\n"
    document = FlatDocument(text)
    removed = document.replace_range((0, 1), (2, 1), "")
    document.replace_range((0, 1), removed.end_location, removed.replaced_text)
    assert document.text == text


def test_a_range_may_reach_below_the_text() -> None:
    document = FlatDocument("a\nb")
    result = document.replace_range((1, 0), (2, 0), "")
    assert (document.text, result.replaced_text, result.end_location) == ("a\n", "b", (1, 0))


@given(texts, edits, st.sampled_from(["\n", "\r\n", "\r"]))
@CASE
def test_random_edits_leave_what_a_fresh_document_has(text: str, changes: list[tuple], newline: str) -> None:
    document, highlights = coloured_document(text.replace("\n", newline))
    document.get_size(4)
    for row, column, height, width, inserted in changes:
        row = min(row, document.line_count - 1)
        start = (row, min(column, len(document[row])))
        end = (row + height, width) if height else (row, start[1] + width)
        before = document.text
        result = document.replace_range(start, end, inserted)
        if width % 3 == 0:  # at times many edits come before one parse
            highlights.sync()
            assert rows(highlights)
        if width % 4 == 0:
            document.replace_range(start, result.end_location, result.replaced_text)
            assert document.text == before
    highlights.sync()
    fresh, fresh_highlights = coloured_document(document.text)
    assert document.syntax is not None
    assert document.syntax.source == encode("\n".join(document.lines))
    assert document.get_size(4) == fresh.get_size(4)
    assert rows(highlights) == rows(LineHighlights(document, document.prepare_query(QUERY)))
    if not has_error(document):
        assert rows(highlights) == rows(fresh_highlights)


def has_error(document: FlatDocument) -> bool:
    """Where the text is not Python, a tree that grew by edits may differ from a fresh one; both are right."""
    assert document.syntax is not None
    return bool(document.query_syntax_tree(document.syntax.prepare("(ERROR) @error")))


@given(texts, edits)
@CASE
def test_edits_do_what_textuals_own_document_does(text: str, changes: list[tuple]) -> None:
    plain = str.maketrans("", "", "\x0c\u2028\x1b")
    ours, stock = FlatDocument(text.translate(plain)), Document(text.translate(plain))
    for row, column, height, width, inserted in changes:
        row = min(row, ours.line_count - 1)
        last = min(row + height, ours.line_count - 1)
        start, end = (row, min(column, len(ours[row]))), (last, min(width, len(ours[last])))
        assert ours.get_text_range(*sorted((start, end))) == stock.get_text_range(start, end)
        assert ours.replace_range(start, end, inserted.translate(plain)) == stock.replace_range(
            start, end, inserted.translate(plain)
        )
        assert ours.text == stock.text


def test_colours_stay_in_place_behind_a_control_character() -> None:
    line = "a = 1  # \x1b\x9b"
    _, highlights = coloured_document("\x1bé = 'x'  # c\n" + line)
    shown = "\u241bé = 'x'  # c".encode()
    spans = {name: shown[start:end].decode() for start, end, name in highlights[0]}
    assert spans["string"] == "'x'"
    assert spans["comment"] == "# c"


def test_a_span_that_ends_where_a_row_starts_colours_nothing_of_it() -> None:
    _, highlights = coloured_document("'''\nabc\n'''\nx = 1\n")
    assert all(start != end for row in highlights for start, end, _ in highlights[row])


@pytest.mark.parametrize("width", [0, 10])
def test_wrapping_says_what_textuals_own_says(width: int) -> None:
    lines = "\n".join(f"{'word ' * (number % 5)}\t漢{number}" for number in range(30))
    ours, stock = FlatWrapped(FlatDocument(lines), width), WrappedDocument(Document(lines), width)
    assert ours.height == stock.height
    for y in range(stock.height):
        for x in (0, 3, 40):
            location = stock.offset_to_location(Offset(x, y))
            assert ours.offset_to_location(Offset(x, y)) == location
            assert ours.location_to_offset(location) == stock.location_to_offset(location)


def test_what_has_no_shape_is_one_visible_cell() -> None:
    document = FlatDocument("is_ok\ufe0f = 1  # \u200b\u202e\u3164 \u26a0\ufe0f\n")
    shown = document.get_line(0)
    assert shown == "is_ok\u2426 = 1  # \u2426\u2426\u2426 \u26a0\ufe0f"
    assert FlatWrapped(document).location_to_offset((0, 7)) == Offset(7, 0)


def test_a_control_character_is_one_cell_for_the_cursor_too() -> None:
    wrapped = FlatWrapped(FlatDocument("\x1b\x1bab"))
    assert wrapped.location_to_offset((0, 3)) == Offset(3, 0)
    assert wrapped.offset_to_location(Offset(2, 0)) == (0, 2)


@pytest.mark.parametrize(
    ("text", "start", "partner"),
    [
        ("f(a[1], {2})", (0, 1), (0, 11)),
        ("f(a[1], {2})", (0, 11), (0, 1)),
        ("f(a[1], {2})", (0, 3), (0, 5)),
        ("(\n\n)", (0, 0), (2, 0)),
        ("(\n\n)", (2, 0), (0, 0)),
        ("([)]", (0, 0), None),
        ("(", (0, 0), None),
        (")", (0, 0), None),
        ("a", (0, 0), None),
    ],
)
def test_partner_of_a_bracket(text: str, start: tuple[int, int], partner: tuple[int, int] | None) -> None:
    document = FlatDocument(text)
    assert partner_of(document, document[start[0]][start[1]], start) == partner


def test_a_partner_is_looked_for_among_close_lines_only() -> None:
    near = FlatDocument("(" + "\n" * (SEARCHED_LINES - 1) + ")")
    far = FlatDocument("(" + "\n" * SEARCHED_LINES + ")")
    assert partner_of(near, "(", (0, 0)) == (SEARCHED_LINES - 1, 0)
    assert partner_of(far, "(", (0, 0)) is None
    assert partner_of(far, ")", (SEARCHED_LINES, 0)) is None

"""The editor as a user meets it, through keys."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import tree_sitter_python
from quiet import QuietPilot
from textual import events, on
from textual.app import App, ComposeResult
from textual.widgets import Label, TextArea
from textual.widgets.text_area import Edit
from tree_sitter import Language

from tui.widgets.editor.area import _python_query
from tui.widgets.editor.editor import Editor, ViewState
from tui.widgets.editor.pane import EditorPane
from tui.widgets.editor.syntax import LONG_FILE

CODE = 'import os\n\n\ndef main(name: str) -> int:\n    """Say hello."""\n    print(f"hello {name}")\n    return 0\n'


class EditorApp(App[None]):
    """An editor and what it says."""

    def __init__(self, text: str = "", **options: bool | str | None) -> None:
        super().__init__()
        self.editor = Editor(text, id="editor", **options)  # type: ignore[arg-type]
        self.said: list[bool] = []

    def compose(self) -> ComposeResult:
        yield EditorPane(self.editor)

    @on(Editor.DirtyChanged)
    def note(self, event: Editor.DirtyChanged) -> None:
        self.said.append(event.dirty)


@asynccontextmanager
async def editing(text: str = "", **options: bool | str | None) -> AsyncIterator[tuple[Editor, QuietPilot]]:
    app = EditorApp(text, **options)
    async with app.run_test(size=(80, 24)):
        pilot = QuietPilot(app)
        app.editor.focus()
        await pilot.pause()
        yield app.editor, pilot


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Poll for a state."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the state was not reached"
        await asyncio.sleep(0.01)


def screen_text(editor: Editor) -> list[str]:
    return [editor.render_line(y).text.rstrip() for y in range(editor.size.height)]


@pytest.mark.parametrize("fast", [True, False])
class TestEitherWay:
    """With the quick drawing and without it the editor is the same to its user."""

    async def test_typing_and_undoing_back_is_clean(self, fast: bool) -> None:
        async with editing(CODE, fast=fast) as (editor, pilot):
            await pilot.press("x", "y", "enter")
            assert (editor.text, editor.dirty) == ("xy\n" + CODE, True)
            await pilot.press("ctrl+z", "ctrl+z")
            assert (editor.text, editor.dirty) == (CODE, False)
            await pilot.press("ctrl+y")
            assert editor.dirty
            await until(lambda: pilot.app.said == [True, False, True])  # type: ignore[attr-defined]

    async def test_saved_text_is_clean_and_what_it_was_before_is_not(self, fast: bool) -> None:
        async with editing(CODE, fast=fast) as (editor, pilot):
            await pilot.press("x")
            editor.mark_saved()
            assert not editor.dirty
            await pilot.press("ctrl+z")
            assert editor.dirty
            await pilot.press("ctrl+y")
            assert not editor.dirty

    async def test_loading_starts_over(self, fast: bool) -> None:
        async with editing(CODE, fast=fast) as (editor, pilot):
            await pilot.press("x", "ctrl+end")
            editor.load("one\ntwo\n")
            await pilot.pause()
            assert (editor.text, editor.dirty, editor.cursor_location) == ("one\ntwo\n", False, (0, 0))
            await pilot.press("ctrl+z")
            assert editor.text == "one\ntwo\n"

    async def test_a_paste_is_undone_in_one_step_that_takes_the_scrollbar_away(self, fast: bool) -> None:
        async with editing("", fast=fast) as (editor, pilot):
            pilot.app._driver.send_message(events.Paste("if x:\r\n\ty = (1,\r" * 30))
            await pilot.pause()
            assert editor.text == "if x:\n\ty = (1,\n" * 30
            assert editor.show_vertical_scrollbar
            await pilot.press("ctrl+z")
            assert (editor.text, editor.cursor_location) == ("", (0, 0))

    async def test_a_line_feed_is_a_line_end_and_nothing_else(self, fast: bool) -> None:
        async with editing("", fast=fast) as (editor, pilot):
            for key in ("i", "f", "space", "x", ":", "ctrl+j", "y"):
                await pilot.press(key)
            assert editor.text == "if x:\ny"

    async def test_control_characters_are_pictures(self, fast: bool) -> None:
        text = "x = '\x1b]52;c;AAAA\x07' # \x9b31m \u202e\n"
        async with editing(text, fast=fast) as (editor, _pilot):
            drawn = "".join(screen_text(editor))
            assert "x = '␛]52;c;AAAA␇' # ␦31m ␦" in drawn
            assert editor.text == text

    async def test_keys_of_the_application_are_left_to_it(self, fast: bool) -> None:
        async with editing(CODE, fast=fast) as (editor, _pilot):
            bound = set(editor._bindings.key_to_bindings)
            for key in ("ctrl+s", "ctrl+o", "ctrl+n", "ctrl+f", "ctrl+p", "ctrl+q", "ctrl+j", "ctrl+l", "ctrl+r"):
                assert key not in bound
            assert not bound & {f"f{number}" for number in range(1, 13)}
            assert {"ctrl+z", "ctrl+home", "shift+tab"} <= bound

    async def test_lines_of_a_selection_are_indented_dedented_and_commented(self, fast: bool) -> None:
        async with editing("a\n\n  b\nc", fast=fast) as (editor, pilot):
            await pilot.press("shift+down", "shift+down", "shift+down", "tab")
            assert editor.text == "    a\n\n      b\nc"
            await pilot.press("shift+tab")
            assert editor.text == "a\n\n  b\nc"
            await pilot.press("ctrl+underscore")
            assert editor.text == "# a\n\n#   b\nc"
            await pilot.press("ctrl+underscore")
            assert editor.text == "a\n\n  b\nc"
            await pilot.press("ctrl+z")
            assert editor.text == "# a\n\n#   b\nc"

    async def test_form_feeds_and_mixed_line_ends_survive_editing(self, fast: bool) -> None:
        text = "a\x0cb\r\nc\u2028d\ne\x0b\r"
        async with editing(text, fast=fast) as (editor, pilot):
            await pilot.press("x", "backspace")
            assert (editor.text, editor.dirty) == (text, False)
            await pilot.press("ctrl+end", "enter")
            assert editor.text == text + "\n"

    async def test_a_new_line_is_indented(self, fast: bool) -> None:
        async with editing("", fast=fast) as (editor, pilot):
            await pilot.press(*"if x:", "enter", *"return", "enter", *"y")
            assert editor.text == "if x:\n    return\ny"


async def test_long_way_to_the_ends() -> None:
    async with editing("\n".join(map(str, range(100)))) as (editor, pilot):
        await pilot.press("ctrl+end")
        assert editor.cursor_location == (99, 2)
        await until(lambda: "99" in screen_text(editor)[-1])
        await pilot.press("ctrl+shift+home")
        assert editor.selected_text == editor.text
        await pilot.press("delete")
        assert editor.text == ""


async def test_a_pasted_line_end_takes_the_style_of_the_file() -> None:
    async with editing("a\r\nb\r\n") as (editor, pilot):
        editor.insert("1\n2\r3\r\n")
        await pilot.pause()
        assert editor.text == "1\r\n2\r\n3\r\na\r\nb\r\n"
        await pilot.press("ctrl+z")
        assert (editor.text, editor.dirty) == ("a\r\nb\r\n", False)


async def test_the_language_may_come_after_the_first_paint() -> None:
    async with editing(CODE, language=None) as (editor, pilot):
        await pilot.press("down", "x")
        plain = editor.render_line(0)
        editor.language = "python"
        await pilot.pause()
        assert editor.cursor_location == (1, 1)
        assert [segment.style for segment in editor.render_line(0)] != [segment.style for segment in plain]
        await pilot.press("ctrl+z")
        assert editor.text == CODE


async def test_a_place_is_found_again() -> None:
    async with editing("\n".join("word " * 40 for _ in range(200))) as (editor, pilot):
        editor.move_cursor((120, 150), center=True)
        await pilot.pause()
        place = editor.place
        assert min(place.scroll_x, place.scroll_y) > 0
        editor.load(editor.text)
        await pilot.pause()
        assert editor.place == ViewState()
        editor.restore(place)
        await pilot.pause()
        assert editor.place == place


async def test_a_place_in_a_text_that_became_shorter() -> None:
    async with editing("one") as (editor, pilot):
        editor.restore(ViewState(50, 50, 0, 40))
        await pilot.pause()
        assert editor.cursor_location == (0, 3)


async def test_recovered_text_is_compared_with_what_is_saved() -> None:
    async with editing() as (editor, _pilot):
        editor.load("mine")
        editor.compare_with("theirs")
        assert editor.dirty
        editor.compare_with("mine")
        assert not editor.dirty


async def test_read_only_text_stays() -> None:
    async with editing("if x:", read_only=True) as (editor, pilot):
        await pilot.press("end", "enter", "x", "shift+tab", "ctrl+underscore", "ctrl+k", "tab")
        assert editor.text == "if x:"


async def test_finding() -> None:
    async with editing("One two\none\nnone ONE\n") as (editor, pilot):
        pane = pilot.app.query_one(EditorPane)
        pane.action_find()
        await pilot.press(*"one")
        result = pane.find_bar.query_one("#result", Label)
        await until(lambda: result.content == "1 of 4")
        assert editor.selected_text == "One"
        await pilot.press("enter", "enter")
        await until(lambda: result.content == "3 of 4")
        await pilot.press("down", "down")  # around the end
        await until(lambda: result.content == "1 of 4")
        await pilot.press("up")
        await until(lambda: result.content == "4 of 4")
        assert editor.selection.start == (2, 5)
        await pilot.press("x")
        await until(lambda: result.content == "none")
        await pilot.press("escape")
        await until(lambda: editor.has_focus)
        assert not pane.find_bar.is_open


async def test_capitals_count_when_they_are_asked_for() -> None:
    async with editing("One two\none\nnone ONE\n") as (editor, _pilot):
        found = editor.find("ONE")
        assert (found.start, found.number, found.total) == ((2, 5), 1, 1)
        assert editor.find("nothing") == (type(found)(None, 0, 0))
        assert editor.selection.is_empty


async def test_going_to_a_line() -> None:
    async with editing("\n".join(map(str, range(300)))) as (editor, pilot):
        await pilot.press("ctrl+g", *"150", "enter")
        await until(lambda: editor.has_focus and editor.cursor_location == (149, 0))
        await until(lambda: 0 < editor.scroll_offset.y < 149)
        await pilot.press("ctrl+g", *"9999", "enter")
        await until(lambda: editor.cursor_location == (299, 0))


async def test_the_colours_are_those_of_a_stock_text_area() -> None:
    """After random edits each row has the captures that Textual's own document has, empty ones aside."""
    rng = random.Random(5)
    stock = TextArea(CODE * 6)
    stock.register_language("python", Language(tree_sitter_python.language()), _python_query())
    async with editing(CODE * 6) as (editor, pilot):
        for _ in range(80):
            row = rng.randrange(editor.document.line_count)
            column = rng.randint(0, len(editor.document[row]))
            end = (min(row + rng.choice((0, 0, 0, 1)), editor.document.line_count - 1), 0)
            inserted = rng.choice(("x", "(", "'", '"""', "\n", "# c", "def f():\n    pass\n", "漢", "é = 1"))
            for area in (editor, stock):
                area.edit(Edit(inserted, *sorted(((row, column), max((row, column), end))), False))
            if rng.random() < 0.3:
                await pilot.pause()
        await pilot.pause()
        assert editor._line_highlights is not None
        editor._line_highlights.sync()
        stock.language = "python"
        assert stock.text == editor.text
        for row in range(editor.document.line_count):
            expected = {span for span in stock._highlights[row] if span[0] != span[1]}
            assert set(editor._line_highlights[row]) == expected, row


ACTIONS = [
    *(f"cursor_{name}" for name in ("up", "down", "left", "right", "line_start", "line_end", "page_up", "page_down")),
    *("cursor_word_left", "cursor_word_right", "cursor_down(True)", "cursor_right(True)", "select_line"),
    *("delete_left", "delete_right", "delete_line", "delete_to_start_of_line", "delete_word_left", "delete_word_right"),
    *("delete_to_end_of_line_or_delete_line", "cut", "paste", "undo", "redo"),
]
TYPED = ["x", "(", ")", "'", " ", "\n", "# c", "漢"]


async def act(editor: Editor, step: str) -> None:
    """An action by its name, or text as if typed."""
    if step in TYPED:
        editor.replace(step, *editor.selection, maintain_selection_offset=False)
    else:
        await editor.run_action(step)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
async def test_random_actions_do_what_they_do_in_a_stock_text_area(seed: int) -> None:
    rng = random.Random(seed)
    steps = [rng.choice(ACTIONS if rng.random() < 0.6 else TYPED) for _ in range(400)]
    text = "\n".join(f"line {number} {'漢字 ' * (number % 4)}\tend" for number in range(60))
    states: list[list[tuple[object, ...]]] = []
    for fast in (True, False):
        states.append([])
        async with editing(text, fast=fast) as (editor, _pilot):
            editor.history.checkpoint_timer = 1e9  # what one undo takes back does not depend on how fast keys come
            for step in steps:
                await act(editor, step)
                seen = (step, editor.text, editor.selection, editor.matching_bracket_location, editor.dirty)
                states[-1].append((*seen, editor.virtual_size.height))
    assert states[0] == states[1]


async def test_what_is_drawn_is_what_a_fresh_editor_draws() -> None:
    """No row kept from an earlier state is ever shown."""
    rng = random.Random(11)
    async with editing(CODE * 8) as (editor, pilot):
        for _ in range(60):
            for _ in range(5):
                await act(editor, rng.choice(ACTIONS if rng.random() < 0.6 else TYPED))
            await pilot.pause()
            drawn = [list(strip) for strip in editor.render_lines(editor.size.region)]
            editor._strips.clear()
            editor._styles_cache.clear()
            assert drawn == [list(strip) for strip in editor.render_lines(editor.size.region)]


async def test_a_parse_that_would_be_felt_waits_for_a_pause() -> None:
    async with editing("x = 1\n" * (LONG_FILE + 10)) as (editor, pilot):
        syntax = editor.document.syntax  # type: ignore[union-attr]
        editor.insert('"""\n\n\n"""\n', (0, 0))
        editor.refresh()
        assert syntax.should_wait
        await until(lambda: not syntax.stale)
        await pilot.pause()
        assert editor._line_highlights is not None
        assert editor._line_highlights[1] == ((0, None, "string"),)


class TestSideways:
    """The view moves sideways only when the cursor would be out of it, and comes back by itself."""

    async def test_it_comes_back_on_the_line_below(self) -> None:
        long = "def main(" + "x" * 75 + "):"
        async with editing(f"{long}\n    pass\n") as (editor, pilot):
            await pilot.press("end")
            assert editor.scroll_offset.x > 0
            await pilot.press("enter")
            assert editor.scroll_offset.x == 0
            assert editor.cursor_location == (1, 4)

    async def test_a_line_that_fits_does_not_move_it(self) -> None:
        async with editing("x\n") as (editor, pilot):
            room = editor.scrollable_content_region.width - editor.gutter_width
            for length in range(room - 4, room - 1):
                editor.load("x" * length)
                await pilot.press("end")
                assert editor.scroll_offset.x == 0

    async def test_it_moves_by_several_columns_at_once(self) -> None:
        async with editing("x" * 70) as (editor, pilot):
            await pilot.press("end")
            seen = [editor.scroll_offset.x]
            for _ in range(40):
                await pilot.press("y")
                seen.append(editor.scroll_offset.x)
            column = editor.cursor_location[1]
            assert editor.scroll_offset.x <= column < editor.scroll_offset.x + editor.size.width - editor.gutter_width
            assert len(set(seen)) <= 4

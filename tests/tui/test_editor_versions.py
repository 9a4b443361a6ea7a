"""The editor takes another version of its text in: as one edit, with the cursor on its line, and undo as before."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_editor import editing
from textual.widgets.text_area import Edit

from tui.widgets.editor.changed_rows import changed_span, row_follower
from tui.widgets.editor.lineage import Lineage, Version

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=10)
OLD, NEW, NEWER = Version("old"), Version("new"), Version("newer")


@given(LINES, LINES)
def test_the_span_holds_every_difference(old, new):
    if old == new:
        return
    span = changed_span(old, new)
    assert span.first < span.old_end
    assert span.first < span.new_end
    assert old[: span.first] + new[span.first : span.new_end] + old[span.old_end :] == new


@given(LINES, LINES, st.integers(0, 9))
def test_a_row_is_followed_into_the_text_and_rows_keep_their_order(old, new, row):
    row = min(row, len(old) - 1)
    follow = row_follower(old, new)
    assert 0 <= follow(row) < len(new)
    assert follow(max(0, row - 1)) <= follow(row)


def test_rows_below_what_was_added_move_with_it():
    old = [f"line {number}" for number in range(50)]
    new = ["above"] * 3 + old[:20] + old[22:] + ["below"]
    follow = row_follower(old, new)
    assert [new[follow(row)] for row in (0, 19, 22, 49)] == ["line 0", "line 19", "line 22", "line 49"]
    assert follow(20) == follow(21) == 23


@pytest.mark.parametrize("fast", [True, False])
async def test_any_change_is_one_edit_and_undo_leads_back(fast):
    chance = random.Random(4)
    async with editing("start\n", fast=fast) as (editor, pilot):
        for _ in range(60):
            old = editor.text
            lines = [chance.choice(["a", "b", "", "def f():"]) for _ in range(chance.randrange(1, 9))]
            new = "\n".join(lines)
            before = editor.lineage.version
            version = Version(new)
            assert editor.change_to(new, version)
            assert (editor.text, editor.lineage.version) == (new, version)
            if new == old or chance.random() < 0.5:
                continue
            editor.undo()
            assert (editor.text, editor.lineage.version) == (old, before)
            if chance.random() < 0.5:
                editor.redo()
                assert (editor.text, editor.lineage.version) == (new, version)
        await pilot.pause()


async def test_typed_text_and_the_new_version_are_undone_apart():
    async with editing("one\n") as (editor, pilot):
        await pilot.press("x")
        editor.change_to("xone\ntheirs\n", NEW)
        await pilot.press("y")
        await pilot.press("ctrl+z")
        assert editor.text == "xone\ntheirs\n"
        await pilot.press("ctrl+z")
        assert editor.text == "xone\n"
        await pilot.press("ctrl+z")
        assert editor.text == "one\n"
        await pilot.press("ctrl+y", "ctrl+y")
        assert editor.text == "xone\ntheirs\n"
        assert editor.lineage.version == NEW


async def test_the_view_stays_with_its_lines():
    lines = [f"line {number}" for number in range(200)]
    async with editing("\n".join(lines)) as (editor, pilot):
        editor.go_to_line(101)
        await pilot.pause()
        first_shown = editor.document[editor.scroll_offset.y]
        editor.change_to("\n".join(["above"] * 7 + lines), NEW)
        await pilot.pause()
        assert editor.document[editor.cursor_location[0]] == "line 100"
        assert editor.document[editor.scroll_offset.y] == first_shown


async def test_carriage_returns_in_lines_are_kept():
    mixed = "a\r\nb\nc\n"
    async with editing(mixed) as (editor, _):
        assert editor.change_to("a\r\nB\r\nc\n", NEW)
        assert editor.text == "a\r\nB\r\nc\n"
        editor.undo()
        assert editor.text == mixed


async def test_a_form_feed_is_kept_also_by_textuals_own_document():
    async with editing("a\nb\n", fast=False) as (editor, _):
        editor.change_to("a\n\x0cb\n", NEW)
        assert editor.text == "a\n\x0cb\n"
        assert editor.lineage.version == NEW


async def test_what_is_lost_is_unsaved_until_it_is_saved():
    async with editing("a\n") as (editor, pilot):
        editor.mark_lost()
        assert editor.dirty
        await pilot.press("x", "ctrl+z")
        assert editor.dirty
        editor.compare_with("a\n")
        assert not editor.dirty


def test_a_save_is_the_version_that_redo_leads_to():
    lineage, edit, other = Lineage(), Edit("a", (0, 0), (0, 0), False), Edit("a", (0, 0), (0, 0), False)
    lineage.begin(OLD)
    lineage.grew_to(edit, NEW)
    lineage.saved(NEWER)
    lineage.undone([other])
    assert lineage.version == NEWER
    lineage.undone([other, edit])
    assert lineage.version == OLD
    lineage.redone([other])
    assert lineage.version == OLD
    lineage.redone([edit])
    assert lineage.version == NEWER

"""Keys that arrive in one bunch, as over a slow line, do what they would have done one by one."""

from __future__ import annotations

from console_support import console
from textual import events

from tui.terminal.bursts import KeyBurst


def bunch(c, *keys):
    """What the driver does when one read of the terminal brings several keys."""
    for key in keys:
        c.app._driver.send_message(events.Key(key, key if len(key) == 1 else None))


async def test_text_does_not_overtake_movements(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away")
        bunch(c, *"abc", "home", "x", "end", "y", "left", "left", "backspace", "z", "enter", "w")
        await c.until(lambda: c.app._console.editor.text == "xaz\nwcy" or len(c.app._console.editor.text) >= 7, "typed")
        assert c.app._console.editor.text == "xaz\nwcy"


async def test_pasted_text_stays_between_the_keys_around_it(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away")
        bunch(c, "a", "b", "left")
        c.app._driver.send_message(events.Paste("PASTED"))
        bunch(c, "end", "c")
        await c.until(lambda: len(c.app._console.editor.text) == 9, "typed")
        assert c.app._console.editor.text == "aPASTEDbc"


async def test_text_behind_a_change_of_focus_goes_to_the_new_place(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away")
        bunch(c, "f2", "slash", "q", "backspace", "t", "escape", "x", "ctrl+p", "z", "o", "o", "m")
        await c.shows("Make the panel large")
        assert c.app._console.editor.text == "x"
        bunch(c, "escape", "y")
        await c.until(lambda: c.app._console.editor.text == "xy", "the dialog is closed and the editor has the keys")


def burst(c, text):
    """What the driver says of several characters in one read of the terminal."""
    c.app._driver.send_message(KeyBurst([events.Key(KEY_NAMES.get(one, one), one) for one in text]))


KEY_NAMES = {"/": "slash", "\t": "tab"}


async def test_letters_that_come_at_once_go_into_text_fields_only(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away")
        bunch(c, "f2")
        burst(c, "hidden")
        await c.shows("Several letters at once count as pasted text")
        assert c.app.screen is c.app._console
        bunch(c, "escape")
        burst(c, "x = 1")
        await c.until(lambda: c.app._console.editor.text == "x = 1", "typed")


async def test_a_filter_may_be_opened_and_typed_at_once(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away")
        bunch(c, "f2")
        burst(c, "/tour")
        await c.until(lambda: c.app._console.script_pane._filter.value == "tour", "typed into the filter")


async def test_text_pasted_outside_a_text_field_does_nothing(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away")
        bunch(c, "f2")
        c.app._driver.send_message(events.Paste("h\ni\n"))
        await c.shows("Several letters at once count as pasted text")
        assert c.app._console.editor.text == ""


async def test_a_line_feed_in_a_dialog_does_nothing(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away")
        bunch(c, "ctrl+p")
        await c.shows("what to do")
        bunch(c, *"thishelp", "ctrl+j")
        c.app._driver.send_message(events.Paste("\n"))
        await c.settled()
        assert c.app.screen is not c.app._console
        bunch(c, "enter")
        await c.shows("Keys go to the pane")

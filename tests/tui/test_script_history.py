"""A script's history in the console: versions, texts, differences, and saving an old one again."""

from __future__ import annotations

from console_support import console, write_script

FIRST = "one = 1\n# \x1b]0;x\x07\n"


async def saved(c, text):
    """Type at the end of the open script and save it."""
    await c.press("escape", "ctrl+end")
    await c.type(text)
    await c.press("ctrl+s")
    await c.until(lambda: not c.app._console.editor.dirty, "it is saved")


async def history_of(c, path):
    await c.press("f2")
    c.app._console.script_pane.go_to(path)
    await c.until(lambda: c.app._console.script_pane.path_under_cursor == path, f"the cursor is on {path}")
    await c.press("h")
    await c.shows(f"History of {path}")


async def test_versions_differences_texts_and_going_back(project, tmp_path):
    write_script(project, "story.py", FIRST)
    file = project / "scripts/story.py"
    async with console(project, tmp_path) as c:
        await c.shows("story", "pool [...]")
        await c.open("story.py")
        await history_of(c, "story.py")
        await c.shows("what it holds now")
        await c.press("enter")
        await c.shows("the whole text of", "1 one = 1")
        await c.press("escape", "escape")
        await c.hides("History of")
        await saved(c, "two = 2\n")
        await saved(c, "three = 3\n")
        await history_of(c, "story.py")
        await c.until(lambda: c.text.count("a save") == 2, "both versions are listed")
        await c.press("enter")
        await c.shows("+ a save", "+three", "<U+001B>]0;x<U+0007>")
        await c.press("enter", "end", "c")
        await c.shows("+two = 2")
        assert "+three" not in c.text
        await c.press("backspace")
        await c.press("enter")
        await c.shows("+ now", "+two = 2", "+three")
        await c.press("escape", "t")
        await c.shows("the whole text of", "1 one = 1")
        await c.press("escape", "home", "r")
        await c.shows("That is what the script holds now.")
        await c.press("end", "r")
        await c.shows("story.py holds the version of")
        assert file.read_text() == FIRST
        await c.until(lambda: c.app._console.editor.text == FIRST, "the editor shows it")
        assert not c.app._console.editor.dirty
        c.app._console.editor.undo()
        await c.until(lambda: "three" in c.app._console.editor.text, "undo is kept")
        c.app._console.editor.redo()
        await history_of(c, "story.py")
        await c.shows("an older version, restored")


async def test_unsaved_text_is_saved_before_an_old_version_takes_its_place(project, tmp_path):
    write_script(project, "typed.py", "one = 1\n")
    file = project / "scripts/typed.py"
    async with console(project, tmp_path) as c:
        await c.shows("typed", "pool [...]")
        await c.open("typed.py")
        await saved(c, "two = 2\n")
        await c.type("three = 3\n")
        await history_of(c, "typed.py")
        await c.press("end", "r")
        await c.shows("typed.py has unsaved text", "save the text, then save the old version")
        await c.press("escape")
        await c.hides("has unsaved text")
        assert file.read_text() == "one = 1\ntwo = 2\n"
        await history_of(c, "typed.py")
        await c.press("end", "r")
        await c.press("s")
        await c.shows("typed.py holds the version of")
        assert file.read_text() == "one = 1\n"
        await history_of(c, "typed.py")
        await c.press("down", "t")
        await c.shows("3 three = 3")


async def test_a_change_from_outside_is_told_and_not_overwritten(project, tmp_path):
    write_script(project, "race.py", "one = 1\n")
    file = project / "scripts/race.py"
    async with console(project, tmp_path) as c:
        await c.shows("race", "pool [...]")
        await c.open("race.py")
        await saved(c, "two = 2\n")
        await history_of(c, "race.py")
        file.write_text("theirs = 3\n")
        await c.press("end", "r")
        await c.told("has changed since it was loaded")
        assert file.read_text() == "theirs = 3\n"


async def test_large_texts_are_listed_and_their_difference_says_so(project, tmp_path):
    write_script(project, "large.py", "x = 1\n" * 30_000)
    async with console(project, tmp_path) as c:
        await c.shows("large", "pool [...]")
        await c.open("large.py")
        await saved(c, "two = 2\n")
        await history_of(c, "large.py")
        await c.press("end", "enter")
        await c.shows("too long to compare here")
        await c.press("escape", "t")
        await c.shows("30001 lines")
        await c.press("end")
        await c.shows("30000 x = 1")

"""The open script changes on disk by somebody else's hand: nothing that was typed is lost, and the user is told."""

from __future__ import annotations

import os

import pytest
from console_support import console, write_script

from tui.editing.recovery import UnsavedText
from tui.keymap import keys_of
from tui.messages import ScriptsChanged
from tui.text.merge import MINE_BEGINS, THEIRS_ENDS

MERGE = keys_of("merge")[0]
LINES = "".join(f"line_{number} = {number}\n" for number in range(40))
CHANGED = "changed on disk; F7 merge, edit on and decide when saving"


def on_disk(project, path):
    return (project / "scripts" / path).read_bytes().decode()


def replace_outside(project, path, text):
    """As vim does it: a new file, renamed over the old one."""
    file = project / "scripts" / path
    other = file.with_name(f".{file.name}.swp")
    other.write_bytes(text.encode())
    os.replace(other, file)


async def told(c):
    """The engine says that scripts changed; what it says of them is what the console finds on disk then."""
    c.app._console.on_scripts_changed(ScriptsChanged())
    await c.settled()


def editor(c):
    return c.app._console.editor


async def edit_both(c, project, path, theirs, *, mine="mine = 0\n"):
    """The script is open with an edit at its start, and another program writes ``theirs``."""
    await c.open(path)
    await c.type(mine)
    await c.shows(f"{path} *")
    replace_outside(project, path, theirs)


async def test_a_clean_text_takes_the_new_version_in_and_undo_is_kept(project, tmp_path):
    write_script(project, "clean.py", LINES)
    async with console(project, tmp_path) as c:
        await c.open("clean.py")
        await c.type("# own\n")
        await c.press("ctrl+s")
        await c.shows("saved clean.py")
        editor(c).move_cursor((31, 3))
        theirs = "# above\n" * 3 + "# own\n" + LINES.replace("line_20 = 20", "line_20 = 'theirs'")
        replace_outside(project, "clean.py", theirs)
        await told(c)
        await c.shows("clean.py changed on disk and was loaded; ^Z takes it back")
        assert editor(c).text == theirs
        assert not editor(c).dirty
        assert editor(c).cursor_location == (34, 3)
        assert editor(c).document[34] == "line_30 = 30"
        assert CHANGED not in c.text
        await c.press("ctrl+z")
        await c.shows("clean.py *", CHANGED)
        assert editor(c).text == "# own\n" + LINES
        await c.press("ctrl+z")
        assert editor(c).text != "# own\n" + LINES
        await c.press("ctrl+y", "ctrl+y")
        await c.hides(CHANGED)
        await c.hides("clean.py *")
        assert editor(c).text == theirs


async def test_a_version_that_was_undone_is_not_saved_over_unseen(project, tmp_path):
    write_script(project, "undone.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("undone.py")
        replace_outside(project, "undone.py", "one = 1\ntheirs = 2\n")
        await told(c)
        await c.shows("theirs = 2", "was loaded")
        await c.press("ctrl+z")
        await c.shows("undone.py *")
        await c.press("ctrl+s")
        await c.shows("undone.py changed on disk while you edited it", "by another program", "0 conflicts")
        await c.press("escape")
        assert on_disk(project, "undone.py") == "one = 1\ntheirs = 2\n"


async def test_unsaved_text_is_left_alone_then_merged_and_saved(project, tmp_path):
    write_script(project, "dirty.py", LINES)
    theirs = LINES.replace("line_20 = 20", "line_20 = 'theirs'")
    async with console(project, tmp_path) as c:
        await edit_both(c, project, "dirty.py", theirs)
        await told(c)
        await c.shows(CHANGED)
        await c.type("more = 1\n")
        assert editor(c).text == "mine = 0\nmore = 1\n" + LINES
        await c.press(MERGE)
        await c.shows("merge: both changes, 0 conflicts", "after the merge", "+mine = 0")
        await c.press("d")
        await c.shows("mine, unsaved     +  after", "+line_20 = 'theirs'")
        await c.press("m")
        await c.shows("both changes are in the text, unsaved", "dirty.py *")
        await c.hides(CHANGED)
        assert on_disk(project, "dirty.py") == theirs
        await c.press("ctrl+s")
        await c.shows("saved dirty.py")
        assert on_disk(project, "dirty.py") == "mine = 0\nmore = 1\n" + theirs
        await c.press("ctrl+z")
        await c.shows("dirty.py *", CHANGED)
        assert editor(c).text == "mine = 0\nmore = 1\n" + LINES


async def test_a_save_merges_and_saves_at_once(project, tmp_path):
    write_script(project, "at_once.py", LINES)
    theirs = LINES.replace("line_39 = 39", "line_39 = 'theirs'")
    async with console(project, tmp_path) as c:
        await edit_both(c, project, "at_once.py", theirs)
        await c.press("ctrl+s")
        await c.shows("at_once.py changed on disk while you edited it", "nothing written")
        await c.press("m")
        await c.shows("saved at_once.py")
        await c.hides("at_once.py *")
        assert on_disk(project, "at_once.py") == editor(c).text == "mine = 0\n" + theirs


async def test_it_asks_again_when_the_file_changes_during_the_question(project, tmp_path):
    write_script(project, "twice.py", LINES)
    async with console(project, tmp_path) as c:
        await edit_both(c, project, "twice.py", LINES + "first = 1\n")
        await c.press("ctrl+s")
        await c.shows("0 conflicts", "+mine = 0")
        replace_outside(project, "twice.py", LINES.replace("line_20 = 20", "line_20 = 'second'") + "first = 1\n")
        await c.press("m")
        await c.until(lambda: "first = 1" in editor(c).text, "the first merge is in the text")
        await c.shows("0 conflicts", "nothing written")
        await c.press("m")
        await c.shows("saved twice.py")
        merged = "mine = 0\n" + LINES.replace("line_20 = 20", "line_20 = 'second'") + "first = 1\n"
        assert on_disk(project, "twice.py") == merged


async def test_conflicts_are_settled_in_the_editor_and_never_saved(project, tmp_path):
    write_script(project, "both.py", LINES)
    theirs = LINES.replace("line_0 = 0", "line_0 = 'theirs'").replace("line_30 = 30", "line_30 = 'theirs'")
    async with console(project, tmp_path) as c:
        await c.open("both.py")
        await c.type("mine_")
        editor(c).replace("mine", (30, 0), (30, 7))
        replace_outside(project, "both.py", theirs)
        await c.press("ctrl+s")
        await c.shows("merge: both changes, 2 conflicts to settle in the editor")
        await c.press("m")
        await c.shows("conflicts to settle: 2; F7 next", MINE_BEGINS, "mine_line_0 = 0", "= 'theirs'", THEIRS_ENDS)
        assert editor(c).cursor_location[0] == 0
        await c.press(MERGE)
        assert editor(c).document[editor(c).cursor_location[0]] == MINE_BEGINS
        assert editor(c).cursor_location[0] > 30
        await c.press("ctrl+s")
        await c.until(lambda: c.app.screen.query("Toast"), "a sentence says why not")
        assert on_disk(project, "both.py") == theirs
        kept = [line for line in editor(c).text.split("\n") if line not in (MINE_BEGINS, "=======", THEIRS_ENDS)]
        editor(c).replace("\n".join(kept), (0, 0), editor(c).document.end)
        await c.hides("conflicts to settle")
        await c.press("ctrl+s")
        await c.shows("saved both.py")
        assert on_disk(project, "both.py") == "\n".join(kept)


async def test_a_merge_that_is_taken_back_is_offered_again(project, tmp_path):
    write_script(project, "back.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await edit_both(c, project, "back.py", "theirs = 2\n")
        await told(c)
        await c.shows(CHANGED)
        await c.press(MERGE)
        await c.shows("1 conflict to settle")
        await c.press("m")
        await c.shows("conflicts to settle: 1")
        await c.press("ctrl+z")
        await c.shows(CHANGED)
        assert editor(c).text == "mine = 0\none = 1\n"
        await c.press("ctrl+s")
        await c.shows("1 conflict to settle")
        await c.press("k")
        await c.shows("saved back.py")
        assert on_disk(project, "back.py") == "mine = 0\none = 1\n"


async def test_a_deleted_script_stays_in_the_editor_unsaved(project, tmp_path):
    write_script(project, "gone.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("gone.py")
        (project / "scripts/gone.py").unlink()
        await told(c)
        await c.shows("deleted on disk; the text stays here, ^S writes it again", "gone.py *", "one = 1")
        await c.until(lambda: list(c.app._journal.folder.glob("*.*.json")), "the text is journaled")
        await c.press("ctrl+s")
        await c.shows("saved gone.py")
        await c.hides("deleted on disk")
        assert on_disk(project, "gone.py") == "one = 1\n"


async def test_a_script_that_is_there_again_is_clean_again(project, tmp_path):
    write_script(project, "blink.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("blink.py")
        (project / "scripts/blink.py").unlink()
        await told(c)
        await c.shows("deleted on disk", "blink.py *")
        write_script(project, "blink.py", "one = 1\ntwo = 2\n")
        await told(c)
        await c.shows("two = 2", "was loaded")
        await c.hides("blink.py *")
        assert "deleted on disk" not in c.text


async def test_a_renamed_script_is_followed_with_its_unsaved_text(project, tmp_path):
    write_script(project, "was.py", "name = 'was'\n")
    async with console(project, tmp_path) as c:
        await c.open("was.py")
        await c.type("mine = 0\n")
        os.rename(project / "scripts/was.py", project / "scripts/now.py")
        await told(c)
        await c.shows("renamed on disk; F7 follows it to now.py", "was.py *")
        await c.press(MERGE)
        await c.until(lambda: "now.py *" in c.text.splitlines()[0], "the text is now.py's")
        await c.hides("renamed on disk")
        await c.press("ctrl+s")
        await c.shows("saved now.py")
        assert on_disk(project, "now.py") == "mine = 0\nname = 'was'\n"
        assert not (project / "scripts/was.py").exists()


async def test_a_renamed_script_that_goes_too_leaves_unsaved_text(project, tmp_path):
    write_script(project, "first.py", "name = 'first'\n")
    async with console(project, tmp_path) as c:
        await c.open("first.py")
        os.rename(project / "scripts/first.py", project / "scripts/second.py")
        await told(c)
        await c.shows("renamed on disk; F7 follows it to second.py")
        assert not editor(c).dirty, "the text is on disk, under another name"
        (project / "scripts/second.py").unlink()
        await told(c)
        await c.shows("deleted on disk", "first.py *")


async def test_a_name_that_now_means_another_script_is_not_taken_for_it(project, tmp_path):
    write_script(project, "same.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("same.py")
        (project / "scripts/same.py").unlink()
        write_script(project, "elsewhere/same.py", "another = 1\n")
        await told(c)
        await c.shows("deleted on disk", "same.py *", "one = 1")


async def test_two_consoles_see_each_others_saves(project, tmp_path):
    write_script(project, "shared.py", LINES)
    async with console(project, tmp_path / "one") as one, console(project, tmp_path / "two") as two:
        for c in (one, two):
            await c.open("shared.py")
        await one.type("first = 1\n")
        await one.press("ctrl+s")
        await one.shows("saved shared.py")
        await two.shows("shared.py changed on disk and was loaded")
        assert editor(two).text == "first = 1\n" + LINES
        assert editor(two).document[editor(two).cursor_location[0]] == "line_0 = 0"
        await two.press("ctrl+home")
        await two.type("second = 2\n")
        await two.shows("shared.py *")
        await one.press("ctrl+end")
        await one.type("third = 3\n")
        await one.press("ctrl+s")
        await one.shows("saved shared.py")
        await two.shows(CHANGED)
        await two.press("ctrl+s")
        await two.shows("0 conflicts")
        await two.press("m")
        await two.shows("saved shared.py")
        both = "second = 2\nfirst = 1\n" + LINES + "third = 3\n"
        assert on_disk(project, "shared.py") == both
        await one.until(lambda: editor(one).text == both, "the first console has the merge")
        assert not editor(one).dirty


async def test_text_of_the_journal_merges_with_the_version_that_history_has(project, tmp_path):
    write_script(project, "kept.py", LINES)
    async with console(project, tmp_path) as c:
        await c.open("kept.py")
        base = editor(c).lineage.version.sha256
        editor(c).replace("line_39 = 'theirs'", (39, 0), (39, 12))
        await c.press("ctrl+s")
        await c.shows("saved kept.py")
        c.app._journal.set_aside(UnsavedText("kept.py", "mine = 0\n" + LINES, base))
    async with console(project, tmp_path, open_script="kept.py") as c:
        await c.shows("Unsaved text of kept.py")
        await c.press("r")
        await c.shows("kept.py *", CHANGED)
        await c.press("ctrl+s")
        await c.shows("merge: both changes, 0 conflicts")
        await c.press("m")
        await c.shows("saved kept.py")
        assert on_disk(project, "kept.py") == "mine = 0\n" + LINES.replace("line_39 = 39", "line_39 = 'theirs'")


async def test_without_the_common_version_there_are_two_choices(project, tmp_path):
    write_script(project, "unknown.py", "theirs = 1\n")
    async with console(project, tmp_path, open_script="unknown.py") as c:
        await c.shows("theirs = 1")
        c.app._journal.set_aside(UnsavedText("unknown.py", "mine = 0\n", "0" * 64))
    async with console(project, tmp_path, open_script="unknown.py") as c:
        await c.shows("Unsaved text of unknown.py")
        await c.press("r")
        await c.shows("unknown.py *")
        await c.press("ctrl+s")
        await c.shows("keep mine; theirs goes into history", "take theirs", "-theirs = 1")
        assert "merge:" not in c.text


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
async def test_another_line_end_is_loaded_and_mine_stays_in_a_merge(project, tmp_path, newline):
    path = f"ends_{len(newline)}.py"
    write_script(project, path, LINES)
    async with console(project, tmp_path) as c:
        await c.open(path)
        theirs = LINES.replace("line_20 = 20", "line_20 = 'theirs'").replace("\n", newline)
        replace_outside(project, path, theirs)
        await told(c)
        await c.shows("its line ends are others")
        assert editor(c).text == theirs
        await c.type("mine = 0\n")
        replace_outside(project, path, LINES)
        await c.press("ctrl+s")
        await c.shows("0 conflicts")
        await c.press("m")
        await c.shows(f"saved {path}")
        assert on_disk(project, path) == "mine = 0\n".replace("\n", newline) + LINES.replace("\n", newline)


async def test_a_file_that_is_no_text_any_more_is_said(project, tmp_path):
    write_script(project, "binary.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("binary.py")
        (project / "scripts/binary.py").write_bytes(b"\xff\xfe\x00")
        await told(c)
        await c.shows("changed on disk: binary.py is not UTF-8 text")
        assert editor(c).text == "one = 1\n"


async def test_who_saved_is_said(project, tmp_path):
    write_script(project, "who.py", "one = 1\n")
    async with console(project, tmp_path / "one") as one, console(project, tmp_path / "two") as two:
        for c, text in ((one, "x"), (two, "y")):
            await c.open("who.py")
            await c.type(text)
        await one.press("ctrl+s")
        await one.shows("saved who.py")
        await two.press("ctrl+s")
        await two.shows("who.py changed on disk while you edited it")
        assert "by another program" not in two.text


async def test_nothing_to_merge_is_said(project, tmp_path):
    write_script(project, "same_as_ever.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("same_as_ever.py")
        await c.press(MERGE)
        await c.shows("nothing to merge")


async def test_equal_bytes_are_no_conflict(project, tmp_path):
    write_script(project, "equal.py", "one = 1\n")
    async with console(project, tmp_path) as c:
        await edit_both(c, project, "equal.py", "mine = 0\none = 1\n")
        await c.press("ctrl+s")
        await c.shows("saved equal.py")
        assert on_disk(project, "equal.py") == "mine = 0\none = 1\n"

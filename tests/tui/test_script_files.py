"""Scripts renamed, copied, deleted, restored, imported and exported in the console, driven by keys."""

from __future__ import annotations

import hashlib

import pytest
from console_support import console, write_script

ASKS = '# /// script\n# [tool.gatewright.permissions]\n# read = ["/etc/x\x1b"]\n# ///\n'


async def on_row(c, path):
    """The list's cursor on a script; folders are unfolded."""
    await c.until(lambda: c.app._console.script_pane.info(path), f"{path} is listed")
    await c.press("f2")
    c.app._console.script_pane.go_to(path)
    await c.until(lambda: c.app._console.script_pane.path_under_cursor == path, f"the cursor is on {path}")


async def answer(c, question, text):
    """Answer a question for a line, in place of what the line holds."""
    await c.shows(question)
    await c.press("end", "ctrl+u")
    await c.type(text)
    await c.press("enter")


async def test_the_open_script_goes_along_with_its_unsaved_text(project, tmp_path):
    write_script(project, "one/first.py", "a = 1\n")
    async with console(project, tmp_path) as c:
        await c.shows("pool [...]")
        await c.open("one/first.py")
        await c.press("ctrl+end")
        await c.type("mine = 2")
        await on_row(c, "one/first.py")
        await c.press("r")
        await c.shows("New path of one/first.py")
        await answer(c, "New path", "defaults/tour")
        await c.shows("defaults/tour.py")
        await c.shows("exists already")
        await answer(c, "New path", "../x")
        await c.until(lambda: "exists already" not in c.text, "the next problem is shown")
        await answer(c, "New path", "two/second")
        await c.shows("it is now two/second.py", "two/second.py *")
        assert (project / "scripts/two/second.py").read_text() == "a = 1\n"
        assert not (project / "scripts/one/first.py").exists()
        assert [entry.path for entry in kept(c)] == ["two/second.py"]
        await c.press("escape", "ctrl+s")
        await c.shows("saved two/second.py")
        assert (project / "scripts/two/second.py").read_text() == "a = 1\nmine = 2"
        await c.press("ctrl+z")
        await c.until(lambda: c.app._console.editor.dirty, "undo reaches back over the rename")


def kept(c):
    """What the journal holds of this console and of those that left."""
    journal = c.app._journal
    entries = [journal._read(file) for file in journal.folder.glob("*.*.json")]
    return [entry for entry in entries if entry is not None]


async def test_text_that_earlier_consoles_left_goes_along_too(project, tmp_path):
    from tui.editing.recovery import UnsavedText

    write_script(project, "left.py", "a = 1\n")
    async with console(project, tmp_path) as c:
        await c.shows("# /// script")
        c.app._journal.set_aside(UnsavedText("left.py", "a = 2\n", hashlib.sha256(b"a = 1\n").hexdigest()))
        await on_row(c, "left.py")
        await c.press("r")
        await answer(c, "New path", "moved")
        await c.shows("it is now moved.py")
        await c.open("moved.py")
        await c.shows("Unsaved text of moved.py")


async def test_a_copy_gets_a_name_that_is_free(project, tmp_path):
    write_script(project, "dup.py", "a = 1\n")
    write_script(project, "dup_copy.py", "a = 2\n")
    async with console(project, tmp_path) as c:
        await on_row(c, "dup.py")
        await c.press("d")
        await c.shows("Path of the copy of dup.py", "dup_copy_2.py")
        await c.press("enter")
        await c.shows("made dup_copy_2.py")
        assert c.app._console.script_pane.path_under_cursor == "dup_copy_2.py"
        assert (project / "scripts/dup_copy_2.py").read_text() == "a = 1\n"
        await on_row(c, "dup_copy.py")
        await c.press("ctrl+p")
        await c.type("duplicate the script")
        await c.press("enter")
        await c.shows("Path of the copy of dup_copy.py")
        await c.press("escape", "escape", "ctrl+p")
        await c.type("duplicate the script")
        await c.press("enter")
        await c.shows("Path of the copy of defaults/tour.py")


async def test_deleted_scripts_come_back(project, tmp_path):
    write_script(project, "gone.py", "a = 1\n")
    file = project / "scripts/gone.py"
    async with console(project, tmp_path) as c:
        await c.shows("gone", "pool [...]")
        await c.open("gone.py")
        await on_row(c, "gone.py")
        await c.press("delete")
        await c.shows("Delete gone.py? Its history keeps it")
        await c.press("escape")
        await c.hides("Delete gone.py?")
        assert file.exists()
        await c.press("delete")
        await c.shows("Delete gone.py?")
        await c.press("y")
        await c.until(lambda: not file.exists(), "it is deleted")
        await c.until(lambda: "gone" not in c.text.splitlines()[0], "the editor is empty")
        assert c.app._console.editor.text == ""
        await c.press("u")
        await c.shows("restore a deleted script", "gone.py", "deleted")
        await c.type("gone")
        await c.press("enter")
        await c.shows("restored gone.py")
        assert file.read_text() == "a = 1\n"
        assert c.app._console.script_pane.path_under_cursor == "gone.py"


async def test_unsaved_text_of_a_deleted_script_is_saved_first_or_offered_when_it_is_back(project, tmp_path):
    write_script(project, "typed.py", "a = 1\n")
    file = project / "scripts/typed.py"
    async with console(project, tmp_path) as c:
        await c.shows("typed", "pool [...]")
        await c.open("typed.py")
        await c.press("ctrl+end")
        await c.type("b = 2")
        await on_row(c, "typed.py")
        await c.press("delete")
        await c.shows("which has unsaved text", "save the text, then delete", "offered when it is back")
        await c.press("y")
        await c.until(lambda: not file.exists(), "it is deleted")
        await c.until(lambda: not c.app._console.editor.text, "the editor is empty")
        await c.press("u")
        await c.type("typed")
        await c.press("enter")
        await c.shows("restored typed.py")
        await c.press("enter")
        await c.shows("Unsaved text of typed.py")
        await c.press("r")
        await c.until(lambda: c.app._console.editor.text == "a = 1\nb = 2", "the text is back")
        await on_row(c, "typed.py")
        await c.press("delete", "s")
        await c.until(lambda: not file.exists(), "it is deleted")
        await c.press("u")
        await c.shows("typed.py")
        await c.type("typed")
        await c.press("enter")
        await c.until(lambda: file.exists() and file.read_text() == "a = 1\nb = 2", "the saved text is back")


async def test_what_changed_since_it_was_seen_is_not_deleted(project, tmp_path):
    write_script(project, "race.py", "a = 1\n")
    async with console(project, tmp_path) as c:
        await c.shows("race", "pool [...]")
        await c.open("race.py")
        await c.press("escape", "ctrl+p")
        await c.type("delete the script")
        await c.press("enter")
        await c.shows("Delete race.py?")
        write_script(project, "race.py", "theirs = 2\n")
        await c.press("y")
        await c.told("race.py changed since you saw it")
        assert (project / "scripts/race.py").read_text() == "theirs = 2\n"


async def test_problems_and_notes_are_said_in_the_list(project, tmp_path):
    write_script(project, "broken.py", "# /// script\n# [tool.gatewright\n# ///\n")
    write_script(project, "random.py", "pass\n")
    async with console(project, tmp_path) as c:
        await on_row(c, "broken.py")
        await c.until(lambda: "not valid TOML" in " ".join(remark(c).split()), "the problem is said")
        await on_row(c, "random.py")
        await c.until(lambda: "module random" in " ".join(remark(c).split()), "the note is said")
        await c.press("escape")
        await c.until(lambda: not remark(c).strip(), "it goes with the focus")


def remark(c):
    widget = c.app._console.query_one("#script-remark")
    return str(widget.render()) if widget.display else ""


async def test_without_a_script_it_is_said_and_with_the_engine_away_too(project, tmp_path, monkeypatch):
    async with console(project, tmp_path) as c:
        await c.shows("defaults", "# /// script")
        monkeypatch.setattr(c.app._console.script_pane, "_open_path", "")
        await c.press("escape", "ctrl+t")
        await c.shows("open a script first")
        monkeypatch.setattr(c.app._connection, "_client", None)
        await c.press("f2", "u")
        await c.shows("The engine is not connected.")


async def test_files_and_folders_are_imported(project, tmp_path, short_folder):
    folder = short_folder / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "plain.py").write_text("a = 1\n")
    (folder / "sub/deep.py").write_text("b = 2\n")
    async with console(project, tmp_path) as c:
        await c.shows("defaults", "pool [...]")
        await c.press("f2", "i")
        await answer(c, "Path of a .py file", str(folder))
        await answer(c, "Folder that it goes to", "scripts/got/")
        await c.shows("2 imported")
        assert (project / "scripts/got/sub/deep.py").read_text() == "b = 2\n"
        (folder / "plain.py").write_text("other = 1\n")
        (folder / "bad.py").write_bytes(b"\xff\x1b]0;x\x07")
        (folder / "link.py").symlink_to(folder / "plain.py")
        await c.press("i")
        await answer(c, "Path of a .py file", str(folder))
        await answer(c, "Folder that it goes to", "got")
        await c.shows("0 imported, 1 there already, 1 left alone", "2 failed", "UTF-8 text (byte 0)", "symbolic link,")
        assert (project / "scripts/got/plain.py").read_text() == "a = 1\n"
        await c.press("enter")
        await c.hides("left alone")
        await c.press("i")
        await answer(c, "Path of a .py file", str(tmp_path / "nowhere"))
        await c.press("enter")
        await c.shows("no such file")


@pytest.mark.parametrize(("key", "files"), [("s", {"out/a.py"}), ("f", {"out/a.py", "out/b.py"})])
async def test_scripts_are_exported(project, tmp_path, key, files):
    write_script(project, "out/a.py", "a = 1\n")
    write_script(project, "out/b.py", "b = 2\n")
    target = tmp_path / "target"
    async with console(project, tmp_path) as c:
        await on_row(c, "out/a.py")
        await c.press("e")
        await c.shows("out/a.py alone", "the folder out: 2 scripts", "all ")
        await c.press(key)
        await answer(c, "Folder to write to", str(target))
        await c.shows(f"{len(files)} exported")
        assert {str(file.relative_to(target)) for file in target.rglob("*.py")} == files
        (target / "out/a.py").write_text("somebody else's\n")
        await c.press("e", key)
        await answer(c, "Folder to write to", str(target))
        await c.shows("1 left alone: the name is taken", "it was left alone")
        assert (target / "out/a.py").read_text() == "somebody else's\n"

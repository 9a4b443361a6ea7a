"""Documents in the console: listed, opened, changed, kept; and what macros make of them, beside the text."""

from __future__ import annotations

import pytest
from console_support import console, write_script
from fake_documents import FakeDocuments

from engine.models.sync import TaskInfo
from tui.messages import DocumentsChanged, TaskChanged
from tui.text.document_names import shown_path

NIGHT = '---\ntitle: "Night shift"\n---\n\nPumps were stopped.\n\n[[badge state=ok]]\n\nThe end.\n'
BADGE = """\
# /// script
# [tool.gatewright]
# kind = "macro"
# entrypoint = "render"
# ///
def render(params, context):
    return "1"
"""


@pytest.fixture
def documents(monkeypatch):
    fake = FakeDocuments()
    fake.texts = {"night.md": NIGHT, "plant/pumps.md": "# Pumps\n\nNo tags here.\n"}
    fake.stand_in(monkeypatch)
    return fake


@pytest.fixture
async def c(project, tmp_path, documents):
    write_script(project, "macros/badge.py", BADGE)
    async with console(project, tmp_path) as opened:
        documents.changed = lambda path: opened.app.publish(DocumentsChanged(shown_path(path)))
        await opened.shows("night.md", "pool [...]")
        yield opened


async def on_row(c, path):
    """The list's cursor on a document."""
    await c.press("f2")
    c.app._console.script_pane.go_to(path)
    await c.until(lambda: c.app._console.script_pane.path_under_cursor == path, f"the cursor is on {path}")


async def answer(c, question, text):
    """Answer a question for a line, in place of what the line holds."""
    await c.shows(question)
    await c.press("end", "ctrl+u")
    await c.type(text)
    await c.press("enter")


async def test_they_are_a_second_root_that_folds_and_that_the_filter_finds(c):
    await c.shows(" v documents", "   night.md", " v documents/plant", "   pumps.md")
    assert c.text.index(" v macros") < c.text.index(" v documents"), "scripts come first"
    pane = c.app._console.script_pane
    await on_row(c, "documents/night.md")
    await c.press("up")
    assert pane._rows.current.key == "folder:/documents"
    await c.press("space")
    await c.hides("pumps.md")
    await c.press("slash")
    await c.type("pumps")
    await c.shows("pumps.md")
    await c.hides("badge")
    await c.press("enter")
    await c.until(lambda: "documents/plant/pumps.md" in c.text.splitlines()[0], "the match is open")


async def test_one_is_edited_as_prose_saved_and_brought_back(c, documents):
    await c.open("documents/night.md")
    editor = c.app._console.editor
    assert editor.language is None
    await c.press("ctrl+end")
    await c.type("Causes:\n")
    assert documents.texts["night.md"] == NIGHT
    assert editor.cursor_location[1] == 0, "a colon opens no block in prose"
    await c.press("up", "ctrl+underscore")
    assert "\nCauses:\n" in editor.text, "a comment of Python would be a heading"
    await c.press("ctrl+s")
    await c.shows("saved documents/night.md")
    assert documents.texts["night.md"] == NIGHT + "Causes:\n"
    await c.open("macros/badge.py")
    assert editor.language == "python"
    await on_row(c, "documents/night.md")
    await c.press("h")
    await c.shows("History of documents/night.md", "alice", "a save")
    await c.press("end", "r")
    await c.shows("documents/night.md holds the version of")
    assert documents.texts["night.md"] == NIGHT


async def test_a_change_by_others_is_a_conflict_that_can_be_merged(c, documents):
    await c.open("documents/night.md")
    await c.press("ctrl+end")
    await c.type("mine\n")
    documents.texts["night.md"] = NIGHT.replace("Pumps", "All pumps")
    await c.press("ctrl+s")
    await c.shows("documents/night.md changed on disk while you edited it", "merge: both changes, 0 conflicts")
    await c.press("m")
    await c.shows("saved documents/night.md")
    assert documents.texts["night.md"] == NIGHT.replace("Pumps", "All pumps") + "mine\n"


async def test_a_change_from_outside_is_loaded_and_marked(c, documents):
    await c.open("documents/night.md")
    documents.texts = {path: text + "later\n" for path, text in documents.texts.items()}
    c.app.publish(DocumentsChanged(outside=True))
    await c.shows("documents/night.md changed on disk and was loaded", "pumps.md      ~")
    assert c.app._console.editor.text == NIGHT + "later\n"


async def test_new_renamed_copied_deleted_and_back(c, documents):
    await on_row(c, "documents/plant/pumps.md")
    await c.press("n")
    await c.shows("Name of the new document", "plant/")
    await c.type("valves")
    await c.press("enter")
    await c.shows("made documents/plant/valves.md", 'title: "Valves"')
    assert documents.texts["plant/valves.md"].startswith('---\ntitle: "Valves"\ndate: 2')
    await on_row(c, "documents/plant/valves.md")
    await c.press("r")
    await answer(c, "New path of documents/plant/valves.md", "documents/taps")
    await c.shows("it is now documents/taps.md")
    assert "documents/taps.md" in c.text.splitlines()[0]
    await c.press("d")
    await c.shows("Path of the copy", "documents/taps_copy.md")
    await c.press("enter")
    await c.shows("made documents/taps_copy.md")
    await c.press("delete")
    await c.shows("Delete documents/taps_copy.md?")
    await c.press("y")
    await c.shows("deleted documents/taps_copy.md")
    assert "taps_copy.md" not in documents.texts
    await c.press("u")
    await c.shows("restore a deleted script or document", "documents/taps_copy.md")
    await c.press("enter")
    await c.shows("restored documents/taps_copy.md")
    assert "taps_copy.md" in documents.texts


async def test_what_only_scripts_have_is_said(c):
    await c.open("documents/night.md")
    for key, sentence in (
        ("f5", "a document is not run"),
        ("ctrl+t", "between the --- lines"),
        ("f9", "documents ask for no permissions"),
    ):
        await c.press(key)
        await c.shows(sentence)


async def test_words_are_found_in_all_texts(c):
    await c.press("f2", "s")
    await c.shows("search in scripts and documents")
    await c.type("stopped")
    await c.shows("documents/night.md:5", "Pumps were stopped.")
    await c.press("enter")
    await c.until(lambda: c.app._console.editor.cursor_location == (4, 0), "the cursor is on the line")
    assert "documents/night.md" in c.text.splitlines()[0]


async def test_what_is_wrong_with_tags_is_a_problem(c):
    await c.open("documents/night.md")
    await c.press("ctrl+end")
    await c.type("[[nosuch a=1]]")
    await c.shows("Problems 1")
    await c.press("f3", "2")
    await c.shows("10:1", "error", "nosuch: there is no such macro")


async def test_the_preview_follows_typing_and_cursor_and_closes(c, documents):
    await c.open("documents/night.md")
    await c.press("ctrl+backslash")
    await c.shows("Preview: 1 tag", "+<badge>state=ok", " The end.")
    assert " v documents" not in c.text, "80 columns are for the text and its preview"
    await c.press("ctrl+end")
    await c.type("[[broken]]")
    await c.shows("Preview: 2 tags, 1 problem", "!10: broken: ZeroDivisionError")
    preview = c.app._console.parts.preview_pane
    await c.until(lambda: "[[broken]]" in preview._rows.current.text, "the preview follows the cursor")
    await c.press("ctrl+home")
    await c.until(lambda: preview._rows.current.text.strip() == "---", "the preview follows back")
    await c.press("ctrl+backslash")
    await c.shows("Enter go there  d document")
    await c.press("home", "enter")
    assert c.app._console.editor.cursor_location[0] == 9
    await c.press("f2")
    await c.shows(" v documents")
    await c.hides("Preview: ")
    await c.press("escape")
    await c.shows("Preview: 2 tags")
    await c.press("alt+p", "alt+p")
    await c.hides("Preview: ")
    await c.shows(" v documents")


async def test_a_hidden_preview_asks_nothing_for_scripts(c, documents):
    await c.open("macros/badge.py")
    await c.type("x")
    await c.settled()
    assert documents.previews == []


async def test_a_macro_is_shown_in_a_document_that_uses_it_with_its_unsaved_text(c, documents):
    await c.open("macros/badge.py")
    await c.press("ctrl+end")
    await c.type("# unsaved")
    await c.press("ctrl+backslash")
    await c.shows("In night.md: 1 tag", "-[[badge state=ok]]", "+<badge>state=ok", "+by # unsaved</badge>")
    assert documents.previews[-1].macro == "macros/badge.py"
    assert documents.previews[-1].path == "night.md"
    await c.press("ctrl+backslash", "d")
    await c.shows("show macros/badge.py in a document")
    await c.type("pumps")
    await c.press("enter")
    await c.shows("In plant/pumps.md: 0 tags", "No tags here.")


async def test_a_script_that_is_no_macro_has_no_preview(c, project):
    write_script(project, "plain.py", "x = 1\n")
    await c.lists("plain.py")
    await c.open("plain.py")
    await c.press("ctrl+backslash")
    await c.shows("A document or a macro has a")


async def test_a_batch_shows_its_progress_among_the_tasks_and_is_cancelled_there(c, documents):
    task = TaskInfo(
        id=7, kind="render", actor="alice", started_at=0, doing="rendering", done=4012, total=10_000, rate=2210.4
    )
    documents.tasks[7] = task
    c.app.publish(TaskChanged(task))
    await c.press("f3", "3")
    await c.shows("[Tasks 1]", "render 4,012/10,000", "2,210/s", "alice")
    await c.press("home", "enter")
    await c.shows("has no output")
    await c.press("k")
    await c.shows("render: cancelled")
    assert documents.tasks == {}
    ended = TaskInfo(id=7, kind="render", actor="alice", started_at=0, finished_at=1)
    c.app.publish(TaskChanged(ended))
    await c.hides("render 4,012")
    await c.shows("[Tasks]")

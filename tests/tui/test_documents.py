"""Documents in the console: listed, opened, changed, kept; and what macros make of them, beside the text."""

from __future__ import annotations

import pytest
from console_support import console, engine_project, write_script
from msgspec.structs import replace
from pictures_support import check

from engine.models.runs import RunInfo, RunKind
from engine.models.sync import TaskInfo, TaskState
from engine.registry.macros import MACROS_PREVIEW
from engine.registry.runs import RUNS_CANCEL
from engine.registry.sync import TASKS_CANCEL
from tui.messages import RunChanged, TaskChanged

NIGHT = '---\ntitle: "Night shift"\n---\n\nPumps were stopped.\n\n[[lamp state=on]]\n\nThe end.\n'
PUMPS = "# Pumps\n\nNo tags here.\n"
LAMP = """\
# /// script
# [tool.gatewright]
# kind = "macro"
# entrypoint = "render"
# ///
def render(params, context):
    return f"<b>{params['state']}</b>\\n<p>beside</p>"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("documents") / "plant-a") as root:
        write_script(root, "macros/lamp.py", LAMP)
        write_script(root, "plain.py", "x = 1\n")
        yield root


@pytest.fixture
def documents(project):
    """The folder of documents, with two of them, whatever the test before left."""
    folder = project / "documents"
    (folder / "plant").mkdir(parents=True, exist_ok=True)
    (folder / "night.md").write_text(NIGHT)
    (folder / "plant/pumps.md").write_text(PUMPS)
    return folder


@pytest.fixture
async def c(project, tmp_path, documents):
    async with console(project, tmp_path) as opened:
        await opened.lists("documents/night.md")
        await opened.shows("defaults/tour.py", "pool [...]")  # what is opened at the start takes the list's cursor
        yield opened


def work_of(c):
    """What stands above the panel, whose figures differ from run to run."""
    return c.text[: c.text.index("\u2500\u2500")]


async def on_row(c, path):
    """The list's cursor on a document."""
    await c.lists(path)
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
    await on_row(c, "documents/night.md")
    pane = c.app._console.script_pane
    keys = [row.key for row in pane._rows.rows]
    assert (
        keys.index("script:macros/lamp.py") < keys.index("folder:/documents") < keys.index("script:documents/night.md")
    )
    assert keys.index("folder:/documents/plant") < keys.index("script:documents/plant/pumps.md")
    await c.shows("night.md")
    pane._rows.go_to(keys.index("folder:/documents"))
    await c.press("space")
    await c.shows(" + documents")
    assert pane._rows.rows[-1].key == "folder:/documents"
    await c.press("slash")
    await c.type("pumps")
    await c.shows("pumps.md")
    await c.hides("lamp")
    await c.press("enter")
    await c.until(lambda: "documents/plant/pumps.md" in c.text.splitlines()[0], "the match is open")


async def test_one_is_edited_as_prose_saved_and_brought_back(c, documents):
    await c.open("documents/night.md")
    editor = c.app._console.editor
    assert editor.language is None
    assert editor.soft_wrap
    await c.press("ctrl+end")
    await c.type("Causes:\n")
    assert editor.cursor_location[1] == 0, "a colon opens no block in prose"
    await c.press("up", "ctrl+underscore")
    assert "\nCauses:\n" in editor.text, "a comment of Python would be a heading"
    await c.press("ctrl+s")
    await c.shows("saved documents/night.md")
    assert (documents / "night.md").read_text() == NIGHT + "Causes:\n"
    await c.open("macros/lamp.py")
    assert editor.language == "python"
    assert not editor.soft_wrap
    await on_row(c, "documents/night.md")
    await c.press("h")
    await c.shows("History of documents/night.md", "a save")
    await c.press("down", "r")
    await c.shows("documents/night.md holds the version of")
    assert (documents / "night.md").read_text() == NIGHT
    for key, sentence in (("t", "only a script can be a macro"), ("e", "only scripts are exported")):
        await c.press("f2", key)
        await c.shows(sentence)
    await c.open("documents/night.md")
    for key, sentence in (
        ("f5", "a document is not run"),
        ("ctrl+t", "between the --- lines"),
        ("f9", "documents ask for no permissions"),
    ):
        await c.press(key)
        await c.shows(sentence)


@pytest.mark.slow
async def test_changes_by_others_are_loaded_marked_or_merged(c, documents):
    await c.open("documents/night.md")
    (documents / "night.md").write_text(NIGHT + "later\n")
    (documents / "plant/pumps.md").write_text(PUMPS + "later\n")
    await c.until(lambda: c.app._console.editor.text == NIGHT + "later\n", "the new version is shown")
    rows = c.app._console.script_pane._rows
    await c.until(
        lambda: any(row.key == "script:documents/plant/pumps.md" and "~" in row.right for row in rows.rows),
        "pumps.md is marked",
    )
    await c.press("ctrl+end")
    await c.type("mine\n")
    (documents / "night.md").write_text(NIGHT.replace("Pumps", "All pumps") + "later\n")
    await c.press("ctrl+s")
    await c.shows("documents/night.md changed on disk while you edited it", "merge: both changes, 0 conflicts")
    await c.press("m")
    await c.shows("saved documents/night.md")
    assert (documents / "night.md").read_text() == NIGHT.replace("Pumps", "All pumps") + "later\nmine\n"


@pytest.mark.slow
async def test_new_renamed_copied_deleted_and_back(c, documents):
    await on_row(c, "documents/plant/pumps.md")
    await c.press("n")
    await c.shows("Name of the new document", "plant/")
    await c.type("valves")
    await c.press("enter")
    await c.shows("made documents/plant/valves.md", 'title: "Valves"')
    assert (documents / "plant/valves.md").read_text().startswith('---\ntitle: "Valves"\ndate: 2')
    await on_row(c, "documents/plant/valves.md")
    await c.press("r")
    await answer(c, "New path of documents/plant/valves.md", "documents/taps")
    await c.shows("it is now documents/taps.md")
    assert "documents/taps.md" in c.text.splitlines()[0]
    await on_row(c, "documents/taps.md")
    await c.press("d")
    await c.shows("Path of the copy", "documents/taps_copy.md")
    await c.press("enter")
    await c.shows("made documents/taps_copy.md")
    await on_row(c, "documents/taps_copy.md")
    await c.press("delete")
    await c.shows("Delete documents/taps_copy.md?")
    await c.press("y")
    await c.shows("deleted documents/taps_copy.md")
    assert not (documents / "taps_copy.md").exists()
    await c.press("u")
    await c.shows("restore a deleted script or document", "documents/taps_copy.md")
    await c.press("enter")
    await c.shows("restored documents/taps_copy.md")
    assert (documents / "taps_copy.md").exists()


async def test_front_matter_that_cannot_be_used_is_a_problem_of_the_saved_text(c, documents):
    (documents / "night.md").write_text("---\ntitle: [\n---\n")
    await c.until(lambda: c.app._console.script_pane.info("documents/night.md").problem, "the list knows of it")
    await c.open("documents/night.md")
    await c.press("f3", "2")
    await c.shows("[Problems 1]", "1:1     error", "ront matter")


async def test_words_are_found_in_all_texts(c):
    await c.press("f2", "s")
    await c.shows("search in scripts and documents")
    await c.type("were stopped")
    await c.shows("documents/night.md:5", "Pumps were stopped.")
    await c.press("enter")
    await c.until(lambda: c.app._console.editor.cursor_location == (4, 0), "the cursor is on the line")
    assert "documents/night.md" in c.text.splitlines()[0]


async def test_problems_come_without_a_call_and_the_preview_follows_typing_and_cursor(c):
    client, real, asked = c.app._connection.client, c.app._connection.client.call, []

    async def call(operation, *args, **kwargs):
        if operation is MACROS_PREVIEW:
            asked.append(kwargs["body"].check)
        return await real(operation, *args, **kwargs)

    client.call = call
    await c.open("macros/lamp.py")
    await c.press("ctrl+end")
    await c.type("#")
    await c.press("backspace")
    await c.open("documents/night.md")
    await c.press("ctrl+end")
    await c.type("See [[nosuch a=1]]")
    await c.shows("Problems 1")
    assert set(asked) == {True}, "no macro is called while nobody looks at what it makes"
    await c.press("f3", "2")
    await c.shows("10:5", "error", "no macro nosuch")
    await c.press("escape", "ctrl+backslash")
    await c.shows("Preview: 2 tags, 1 problem", "!10: There is no macro nosuch", "+<b>on</b>", " The end.")
    await check(c, "preview", work_of)
    preview = c.app._console.parts.preview_pane
    await c.until(lambda: "[[nosuch a=1]]" in preview._rows.current.text, "the preview stands at the cursor's line")
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


@pytest.mark.slow
async def test_a_macro_is_shown_with_its_unsaved_text_in_a_document_that_uses_it(c):
    await c.open("macros/lamp.py")
    await c.press("ctrl+backslash")
    await c.shows("In night.md: 1 tag", "-[[lamp state=on]]", "+<b>on</b>", "+<p>beside</p>")
    await check(c, "preview_of_macro", work_of)
    editor = c.app._console.editor
    editor.move_cursor((6, len('    return f"<b>')))
    await c.type("now ")
    await c.shows("+<b>now on</b>", "macros/lamp.py *")
    await c.press("ctrl+backslash", "d")
    await c.shows("show macros/lamp.py in a document")
    await c.type("pumps")
    await c.press("enter")
    await c.shows("In plant/pumps.md: 0 tags", "No tags here.")
    await c.press("escape", "ctrl+z")
    await c.hides("macros/lamp.py *")
    await c.open("plain.py")
    await c.shows("Documents and macros have a preview", "t in the list")


async def test_what_the_engine_is_at_is_a_task_that_can_be_cancelled(c, monkeypatch):
    cancelled = []

    async def cancel(params):
        cancelled.append(params.task_id)
        return TaskInfo(id=7, kind="rebuild", actor="alice", started_at=0, finished_at=1, state=TaskState.CANCELLED)

    c.answer(monkeypatch, TASKS_CANCEL, cancel)
    task = TaskInfo(id=7, kind="rebuild", actor="alice", started_at=0, doing="reading", done=4012)
    c.app.publish(TaskChanged(task))
    await c.press("f3", "3")
    await c.shows("[Tasks 1]", "rebuild 4,012  ", "reading", "alice")
    await c.press("home", "enter")
    await c.shows("has no output")
    await c.press("k")
    await c.shows("rebuild: cancelled")
    assert cancelled == [7]
    c.app.publish(TaskChanged(replace(task, finished_at=1)))
    await c.hides("rebuild 4,012")
    await c.shows("[Tasks]")


async def test_a_batch_is_one_row_that_shows_its_progress_and_whose_run_is_killed(c, monkeypatch):
    killed = []

    async def kill(params):
        killed.append(params.run_id)
        return replace(run, state="finished", outcome="cancelled", finished_at=2.0)

    c.answer(monkeypatch, RUNS_CANCEL, kill)
    run = RunInfo(
        id=4100,
        kind=RunKind.RENDER,
        name="render",
        state="running",
        mode="RESTRICTED",
        actor="alice",
        source="cli",
        queued_at=1.0,
        timeout=60.0,
        code_sha256="",
    )
    task = TaskInfo(id=8, kind="render", actor="alice", started_at=0, done=4012, total=10_000, rate=2210.4, run_id=4100)
    c.app.publish(RunChanged(run))
    c.app.publish(TaskChanged(task))
    await c.press("f3", "3")
    await c.shows("[Tasks 1]", "#4100  render 4,012/10,000", "2,210/s", "alice")
    await c.press("home", "k")
    await c.shows("#4100 cancelled")
    assert killed == [4100]
    c.app.publish(TaskChanged(replace(task, finished_at=1)))
    c.app.publish(RunChanged(replace(run, state="finished", outcome="cancelled", finished_at=2.0)))
    await c.hides("render 4,012")
    await c.shows("[Tasks]", "#4100  render ", "cancelled")
    c.app.publish(RunChanged(replace(run, id=4101, name="preview night.md", state="finished", outcome="ok")))
    await c.settled()
    assert "preview night.md" not in c.text, "previews that went well are no news"

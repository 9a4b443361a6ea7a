"""The console on a real engine, driven by keys."""

from __future__ import annotations

import shutil

import pytest
from console_support import console, write_script

from engine.client.answers import EngineError
from engine.registry.scripts import MODULES

COUNTER = """import time
for i in range(200):
    print("line", i)
    time.sleep(0.05)
"""


async def test_a_new_user_sees_the_tour_and_the_pool(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("defaults/tour.py", "tour", "csv_summary", "log_digest", "pool [...] 0/3", "Run F5", "F1 help")


async def test_a_clean_script_runs_with_its_parameters_and_shows_its_result(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("defaults/tour.py", "pool [...]")
        await c.press("f5")
        await c.shows("Run defaults/tour.py", "name", "engineer", "timeout")
        await c.type("s")
        await c.press("tab")
        await c.press("end", *["backspace"] * 3, "0")
        await c.press("enter")
        await c.shows("end of output", "result:")
        await c.press("f3")
        await c.shows("z zoom")
        await c.press("z")
        await c.hides("# dependencies")
        await c.press("home")
        await c.shows("Hello engineers!")


async def test_output_arrives_while_it_runs_and_stop_stops_it(project, tmp_path):
    write_script(project, "counter.py", COUNTER)
    async with console(project, tmp_path) as c:
        await c.open("counter.py")
        await c.press("ctrl+enter")
        await c.shows("line 3", "running", "Stop F6", "[#..] 1/3", "Tasks 1")
        await c.press("f6")
        await c.shows("cancelled", "[...] 0/3", "Run F5")
        await c.hides("Tasks 1")
        assert "line 199" not in c.text


async def test_the_unsaved_text_is_what_runs(project, tmp_path):
    write_script(project, "greet.py", "print('saved')\n")
    async with console(project, tmp_path) as c:
        await c.open("greet.py")
        await c.press("ctrl+end")
        await c.type("print(2 * 21)")
        await c.shows("greet.py *")
        await c.press("f5")
        await c.shows("42", "running the unsaved text")
        assert (project / "scripts/greet.py").read_text() == "print('saved')\n"
        await c.press("ctrl+s")
        await c.shows("saved greet.py")
        await c.hides("greet.py *")
        assert (project / "scripts/greet.py").read_text() == "print('saved')\nprint(2 * 21)"


async def test_a_traceback_names_the_scripts_own_line_and_the_list_marks_it(project, tmp_path):
    write_script(project, "broken.py", "x = 1\nx / 0\n")
    async with console(project, tmp_path) as c:
        await c.open("broken.py")
        await c.press("f5")
        await c.shows("script error", "ZeroDivisionError", 'File "broken.py", line 2')
        await c.until(lambda: any("broken" in line and " x " in line[:20] for line in c.text.splitlines()), "a mark x")


async def test_a_new_script_is_made_runs_and_a_bad_name_is_asked_again(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("pool [...]")
        await c.press("ctrl+n")
        await c.type("../evil")
        await c.press("enter")
        await c.until(lambda: c.app.screen.query(".dialog--problem").first().display, "a sentence says why")
        await c.press("ctrl+u", *["backspace"] * 12)
        await c.type("team/hello")
        await c.press("enter")
        await c.shows("made team/hello.py", "v team")
        await c.press("f5")
        await c.shows("end of output")
        assert "hello" in c.text
        assert not (project.parent / "evil.py").exists()


async def test_leaving_unsaved_text_asks_and_names_what_happens(project, tmp_path):
    write_script(project, "one.py", "a = 1\n")
    write_script(project, "two.py", "b = 2\n")
    async with console(project, tmp_path) as c:
        await c.shows("two")
        await c.open("one.py")
        await c.type("zz")
        await c.press("ctrl+o")
        await c.type("two.py")
        await c.press("enter")
        await c.shows("one.py has unsaved text", "save it and go on", "throw the unsaved text away", "back to editing")
        await c.press("escape")
        await c.hides("has unsaved text")
        await c.shows("one.py *", "zza = 1")
        await c.press("ctrl+o")
        await c.type("two.py")
        await c.press("enter")
        await c.shows("one.py has unsaved text")
        await c.press("x")
        await c.shows("b = 2")
        assert "has unsaved text" not in c.text
        await c.open("one.py")
        await c.type("zz")
        await c.press("ctrl+q")
        await c.shows("one.py has unsaved text")
        await c.press("x")
        await c.until(lambda: c.app.return_code == 0 or not c.app.is_running, "the console leaves")
        assert c.app._journal.left_behind() == []
        assert [file.name for file in c.app._journal.folder.iterdir()] == ["session.json"]
    assert (project / "scripts/one.py").read_text() == "a = 1\n"


@pytest.mark.parametrize("keys", ["k", "t", "escape"])
async def test_a_save_never_replaces_what_its_author_has_not_seen(project, tmp_path, keys):
    path = f"conflict_{keys}.py"
    write_script(project, path, "a = 1\n")
    async with console(project, tmp_path) as c:
        await c.open(path)
        await c.type("mine ")
        write_script(project, path, "theirs = 2\n")
        await c.press("ctrl+s")
        await c.shows("changed on disk while you edited it", "keep mine", "take theirs", "nothing written")
        assert (project / "scripts" / path).read_text() == "theirs = 2\n"
        await c.press(keys)
        on_disk = project / "scripts" / path
        if keys == "k":
            await c.shows(f"saved {path}")
            assert on_disk.read_text() == "mine a = 1\n"
        elif keys == "t":
            await c.shows("theirs = 2", "took the version on disk")
            assert on_disk.read_text() == "theirs = 2\n"
            assert [entry.text for entry in c.app._journal.left_behind()] == ["mine a = 1\n"]
        else:
            await c.hides("nothing written")
            await c.shows("mine a = 1", f"{path} *")
            assert on_disk.read_text() == "theirs = 2\n"


async def test_a_journal_that_cannot_be_written_is_said_and_costs_no_text(project, tmp_path):
    (tmp_path / "recovery").write_text("a file where the folder should be")
    write_script(project, "full_disk.py", "a = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("full_disk.py")
        await c.type("mine ")
        await c.shows("cannot be written")
        write_script(project, "full_disk.py", "theirs = 2\n")
        await c.press("ctrl+s")
        await c.shows("take theirs; mine goes into recovery")
        await c.press("t")
        await c.hides("take theirs")
        await c.shows("mine a = 1", "full_disk.py *")


async def test_the_list_filters_as_one_types(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("csv_summary", "log_digest")
        await c.press("f2", "slash")
        await c.type("diges")
        await c.hides("csv_summary")
        assert "log_digest" in c.text
        await c.press("enter")
        await c.until(lambda: "defaults/log_digest.py" in c.text.splitlines()[0], "the first match is open")
        await c.press("escape")
        await c.shows("csv_summary")


async def test_palette_finds_actions_and_scripts(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("pool [...]")
        await c.press("ctrl+p")
        await c.type("show the pool")
        await c.press("enter")
        await c.shows("3 slots", "queue: empty")
        await c.press("escape")
        await c.press("ctrl+p")
        await c.type("csv_summ")
        await c.press("pagedown", "pageup", "enter")
        await c.until(lambda: "defaults/csv_summary.py" in c.text.splitlines()[0], "the script is open")


async def test_page_keys_in_an_empty_palette_do_no_harm(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.press("ctrl+p")
        await c.type("zzzzqq")
        await c.shows("Nothing matches.")
        await c.press("pagedown", "pageup", "down", "up", "enter", "escape")
        await c.shows("pool [...]")


async def test_tasks_show_runs_of_others_and_the_history_after_a_restart(project, tmp_path):
    write_script(project, "quick.py", "print('quick output')\n")
    async with console(project, tmp_path) as c:
        await c.open("quick.py")
        await c.press("f5")
        await c.shows("end of output")
    async with console(project, tmp_path) as c:
        await c.shows("quick output", "quick.py", "end of output")
        assert c.text.count("end of output") == 1
        await c.press("f3", "f3", "f3")
        await c.shows("quick.py", "ok", "[Tasks]")
        await c.press("enter")
        await c.shows("[Output]", "quick output")


async def test_tasks_pane_kills_a_run(project, tmp_path):
    write_script(project, "endless.py", "while True: pass\n")
    async with console(project, tmp_path) as c:
        await c.open("endless.py")
        await c.press("f5")
        await c.shows("running")
        await c.press("f3", "3")
        await c.shows("[Tasks", "k kill")
        await c.press("k")
        await c.shows("cancelled", "[...] 0/3")


async def test_pool_screen_is_live_resizes_and_kills(project, tmp_path):
    write_script(project, "endless.py", "while True: pass\n")
    async with console(project, tmp_path) as c:
        await c.open("endless.py")
        await c.press("f5")
        await c.shows("running")
        await c.press("f4")
        await c.shows("3 slots   1 running", "endless.py", "r restart")
        await c.press("plus")
        await c.shows("4 slots")
        await c.press("minus")
        await c.shows("3 slots")
        while not c.app.screen.query("Toast"):  # "why not"; a message about the pool of before may still be on its way
            await c.press("minus")
        await c.until(lambda: c.app.screen.query("#slots RowList").first().rows, "slots are shown")
        running = next(line for line in c.text.splitlines() if "endless.py" in line)
        await c.press("home", *["down"] * (int(running.split()[0]) - 1), "enter")
        await c.shows("[Output", "#")
        await c.press("f4")
        await c.press("home", *["down"] * (int(running.split()[0]) - 1), "k")
        await c.shows("0 running")
        await c.press("escape")
        await c.shows("cancelled")


async def test_git_tab_shows_branch_and_changed_files(project, tmp_path):
    write_script(project, "fresh.py", "pass\n")
    async with console(project, tmp_path, size=(80, 120)) as c:  # there is room for every file of a new project
        await c.open("fresh.py")
        await c.press("f3", "4")
        await c.shows("[Git", "on ", "changed")
        write_script(project, "by_others.py", "pass\n")
        await c.press("1", "4", "z")
        await c.shows("[Git", "by_others.py")


async def test_hostile_text_reaches_no_terminal(project, tmp_path):
    write_script(project, "evil.py", 'print("\\x1b]0;PWNED\\x07\\x1b[2Jtext\\x9b31m")\n')
    async with console(project, tmp_path) as c:
        await c.open("evil.py")
        await c.press("f5")
        await c.shows("end of output")
        strips = c.app.screen._compositor.render_strips()
        drawn = "".join(segment.text for strip in strips for segment in strip)
        assert not [character for character in drawn if ord(character) < 32 or 0x7F <= ord(character) < 0xA0]
        assert "text" in drawn


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (1, 1)])
async def test_a_small_terminal_gets_a_sentence_and_no_crash(project, tmp_path, size):
    async with console(project, tmp_path, size=size) as c:
        await c.press("f5", "f4", "escape", "f1", "escape", "ctrl+p", "down", "escape", "ctrl+n", "escape", "f3", "f2")
        if size == (20, 5):
            await c.shows("Terminal too small")
        await c.pilot.resize_terminal(80, 24)
        await c.shows("F1 help", "pool [...]")
        await c.pilot.resize_terminal(*size)
        await c.pilot.resize_terminal(80, 24)
        await c.shows("F1 help")


async def test_a_terminal_made_small_and_large_again_keeps_text_and_focus(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("defaults/tour.py", "pool [...]")
        await c.pilot.resize_terminal(20, 5)
        await c.shows("Terminal too small")
        await c.type("blind")
        await c.pilot.resize_terminal(120, 40)
        await c.shows("Run F5", "defaults/tour.py *")
        assert c.app._console.editor.text.startswith("blind# ///")
        assert c.app._console.editor.has_focus


async def test_the_mouse_can_do_what_keys_do(project, tmp_path):
    write_script(project, "quick.py", "print('clicked')\n")
    async with console(project, tmp_path, size=(80, 60)) as c:  # there is room for every script
        await c.shows("quick", "pool [...]", ">  tour")
        row = next(i for i, line in enumerate(c.text.splitlines()) if line.startswith("   csv_summary"))
        await c.pilot.click(offset=(4, row))
        await c.until(lambda: "csv_summary.py" in c.text.splitlines()[0], "a click opens the script")
        await c.open("quick.py")
        await c.pilot.click("HeaderBar", offset=(75, 0))
        await c.shows("clicked", "end of output")
        tabs = next(i for i, line in enumerate(c.text.splitlines()) if "[Output]" in line)
        await c.pilot.click(offset=(c.text.splitlines()[tabs].index("Tasks"), tabs))
        await c.shows("[Tasks")
        await c.pilot.click(offset=(c.text.splitlines()[-1].index("help"), 59))
        await c.shows("Everywhere")


async def test_help_lists_every_key_of_the_table(project, tmp_path):
    from tui.actions import ACTIONS

    async with console(project, tmp_path, size=(120, 300)) as c:
        await c.press("f1")
        await c.shows("Scripts list")
        assert [action.help for action in ACTIONS if action.help not in c.text] == []


async def test_help_says_what_scripts_may_import(project, tmp_path, monkeypatch):
    async def broken(*_, **__):
        raise EngineError("busy", "Too many texts wait.", None, 429)

    async with console(project, tmp_path, size=(100, 600)) as c:
        await c.shows("pool [...]")
        await c.press("f1")
        await c.shows("What scripts may import", " zoneinfo", "They may not import:", "  fcntl")
        await c.press("escape")
        c.answer(monkeypatch, MODULES, broken)
        await c.press("f1")
        await c.shows("What scripts may import", "Too many texts wait.", "Scripts list")


async def test_the_list_shows_the_script_that_is_open(project, tmp_path):
    """Also one that was just made, and in a list that is far longer than the screen."""
    for number in range(60):
        write_script(project, f"many/script_{number:02}.py", "x = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("many/script_55.py")
        await c.until(lambda: ">  script_55" in c.text, "the list is scrolled to it")
        await c.press("ctrl+n")
        await c.shows("Name of the new script")
        await c.type("many/script_30b")
        await c.press("enter")
        await c.until(lambda: ">  script_30b" in c.text, "the list is scrolled to the new one")
        await c.press("f2", "home", "escape")
        await c.press("f2", "slash")
        await c.type("script_0")
        await c.hides("tour")
        await c.open("defaults/tour.py")
        await c.until(lambda: ">  tour" in c.text, "the list is scrolled back, and filtered no longer")
    shutil.rmtree(project / "scripts/many")


REPORT = """
print("\\n".join(f"row {number}" for number in range(30)))
result = {f"key {number}": "x" * 40 for number in range(12)}
"""


async def test_a_report_stays_in_view_and_its_result_is_shown_on_demand(project, tmp_path):
    write_script(project, "report.py", REPORT)
    async with console(project, tmp_path, size=(80, 24)) as c:
        await c.open("report.py")
        await c.press("f5")
        await c.shows("row 29", "- end of output; result: 12 lines, F3 r shows it; F3 z makes room -")
        assert "key 11" not in c.text
        await c.press("f3", "r")
        await c.shows("result:", "key 0: ")
        await c.hides("row 29")
        await c.press("G")
        await c.shows("key 11: ")
        await c.press("r")
        await c.told("Nothing of a result is left to show.")


async def test_a_result_without_a_report_is_shown_at_once(project, tmp_path):
    write_script(project, "data.py", REPORT.replace("print", "str"))
    async with console(project, tmp_path, size=(80, 24)) as c:
        await c.open("data.py")
        await c.press("f5")
        await c.shows("key 11: ", "- end of output; F3 z makes room -")
        await c.press("f3", "z", "home")
        await c.shows("result:", "key 0: ")

"""The frontmatter of a script as a form, driven by keys."""

from __future__ import annotations

import pytest
from console_support import console, write_script

from tui.screens.frontmatter.line import ParamLine

REPORT = """\
# /// script
# dependencies = ["pandas>=2,<3", "numpy"]
# mine = 1
# [tool.gatewright]
# title = "Report"  # shown
# kind = "utility"
# tags = ["logs", "a, b"]
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# help = "look back"
# [tool.gatewright.limits]
# memory = "1 GiB"
# timeout = 60
# ///
def main(hours):
    return hours


def other():
    pass
"""


async def form_of(c, path):
    """Open a script and its form."""
    await c.until(lambda: c.app._console.script_pane.info(path), f"{path} is listed")
    await c.open(path)
    await c.press("ctrl+t")
    await c.shows(f"Header of {path}")
    await c.until(lambda: c.app.screen.focused is not None, "a line has the focus")


async def enter(c, key, text):
    """Put a text into the line of a key."""
    line = c.app.screen._lines[key]
    c.app.screen.set_focus(line.entry)
    line.text = text
    await c.settled()


def line(c, text):
    return next(row for row in c.text.splitlines() if text in row)


async def test_values_are_shown_changed_and_written_byte_exactly(project, tmp_path):
    write_script(project, "report.py", REPORT)
    async with console(project, tmp_path) as c:
        await form_of(c, "report.py")
        await c.shows("Report", "< utility >", '["logs", "a, b"]', "pandas>=2,<3, numpy", "default 24 look back")
        await c.type(" of the night")
        await c.shows("Report of the night")
        assert line(c, "Report of the night").rstrip(" │▂▃▅▆▇█").endswith("changed")
        await c.press("ctrl+t")
        await c.shows("< macro >")
        await c.press("down")
        await c.shows("the function that is called")
        await c.press("right")
        await c.shows("< main >")
        await c.press("right")
        await c.shows("< other >", "new")
        await c.press("down", "down")
        await c.shows("an empty line removes the key")
        await c.press("ctrl+u", "end", "ctrl+u")
        await c.shows("removed")
        await c.press("ctrl+s")
        await c.shows("wrote 4 keys")
        expected = REPORT.replace('"Report"', '"Report of the night"').replace('"utility"', '"macro"')
        expected = expected.replace('# tags = ["logs", "a, b"]\n', "")
        written = (project / "scripts/report.py").read_text()
        assert written.replace('# entrypoint = "other"\n', "") == expected
        assert '# entrypoint = "other"\n' in written
        editor = c.app._console.editor
        await c.until(lambda: editor.text == written, "the editor shows it")
        assert not editor.dirty
        await c.press("ctrl+z")
        await c.until(lambda: editor.text == REPORT, "undo is kept")


async def test_each_sentence_stands_at_its_line_and_nothing_is_written(project, tmp_path):
    write_script(project, "wrong.py", REPORT)
    async with console(project, tmp_path, size=(100, 60)) as c:
        await form_of(c, "wrong.py")
        await enter(c, "limits.timeout", "-1")
        await enter(c, "limits.memory", "much")
        await c.press("ctrl+s")
        await c.shows("limits.timeout must be a number of seconds above 0.", "limits.memory must be a size such as")
        rows = c.text.splitlines()
        at = next(number for number, row in enumerate(rows) if " timeout " in row)
        assert "above 0" in rows[at + 1]
        assert c.app.screen.focused is c.app.screen._lines["limits.timeout"].entry
        assert (project / "scripts/wrong.py").read_text() == REPORT
        await enter(c, "limits.timeout", "90")
        await enter(c, "limits.memory", "")
        await c.hides("above 0")
        await c.press("ctrl+s")
        await c.shows("wrote limits.timeout, limits.memory")
        changed = REPORT.replace("# timeout = 60", "# timeout = 90").replace('# memory = "1 GiB"\n', "")
        assert (project / "scripts/wrong.py").read_text() == changed


async def test_parameters_are_added_changed_and_removed(project, tmp_path):
    write_script(project, "params.py", REPORT)
    file = project / "scripts/params.py"
    async with console(project, tmp_path, size=(100, 60)) as c:
        await form_of(c, "params.py")
        hours, add = c.app.screen.query(ParamLine)
        c.app.screen.set_focus(hours)
        await c.shows("Enter changes it   Delete removes it")
        await c.press("enter")
        await c.shows("A parameter", "Enter takes it over")
        await c.press("down", "down", "end", "ctrl+u")
        await c.type("many")
        await c.press("enter")
        await c.shows("default many", "params.hours.default does not fit its type, int.")
        await c.press("enter")
        await c.press("down", "down", "end", "ctrl+u")
        await c.type("12")
        await c.press("enter")
        await c.shows("default 12", "changed")
        await c.hides("does not fit")
        c.app.screen.set_focus(add)
        await c.shows("Enter adds one")
        await c.press("enter")
        await c.shows("A parameter")
        await c.press("enter")
        await c.shows("It needs a name")
        await c.type("hours")
        await c.press("enter")
        await c.shows("Another parameter has that name.")
        await c.press("end", "ctrl+u")
        await c.type("who")
        await c.press("down", "down", "down")
        await c.type("whom to greet")
        await c.press("enter")
        await c.shows("whom to greet", "new")
        await c.press("ctrl+s")
        await c.shows("wrote params.hours.default, params.who.type, params.who.help")
        text = file.read_text()
        assert "# default = 12\n" in text
        assert '# [tool.gatewright.params.who]\n# type = "str"\n# help = "whom to greet"\n' in text

        await c.press("ctrl+t")
        await c.shows("Header of params.py")
        hours, *_ = c.app.screen.query(ParamLine)
        c.app.screen.set_focus(hours)
        await c.press("delete")
        await c.shows("removed")
        await c.press("delete")
        await c.hides("removed")
        await c.press("delete", "ctrl+s")
        await c.shows("wrote params.hours")
        assert "params.hours" not in file.read_text()
        assert "params.who" in file.read_text()


async def test_a_file_that_changed_meanwhile_is_shown_again_with_the_changes(project, tmp_path):
    write_script(project, "race.py", REPORT)
    file = project / "scripts/race.py"
    async with console(project, tmp_path) as c:
        await form_of(c, "race.py")
        await enter(c, "description", "mine")
        theirs = REPORT.replace('"Report"', '"Theirs"') + "# theirs\n"
        file.write_text(theirs)
        await c.press("ctrl+s")
        await c.shows("race.py changed meanwhile", "Theirs", "mine")
        assert file.read_text() == theirs
        await c.press("ctrl+s")
        await c.shows("wrote description")
        assert file.read_text().replace('# description = "mine"\n', "") == theirs


async def test_unsaved_text_is_saved_first_or_the_form_stays_closed(project, tmp_path):
    write_script(project, "typed.py", "x = 1\n")
    async with console(project, tmp_path) as c:
        await c.shows("typed", "pool [...]")
        await c.open("typed.py")
        await c.type("y = 2\n")
        await c.press("ctrl+t")
        await c.shows("typed.py has unsaved text", "save the text, then open its header")
        await c.press("escape")
        await c.hides("has unsaved text")
        await c.press("ctrl+t", "s")
        await c.shows("Header of typed.py")
        await enter(c, "title", "Typed")
        await c.press("escape")
        await c.shows("Esc again gives up what you changed; ^S writes it.")
        await c.press("escape")
        await c.hides("Header of")
        assert (project / "scripts/typed.py").read_text() == "y = 2\nx = 1\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("# /// script\n# [tool.gatewright\n# ///\n", "Put that right in"), ("# /// script\n", "no closing line")],
)
async def test_a_block_that_cannot_be_read_is_for_the_editor(project, tmp_path, text, sentence):
    write_script(project, "unreadable.py", text)
    async with console(project, tmp_path) as c:
        await c.shows("unreadable", "pool [...]")
        await c.open("unreadable.py")
        await c.press("ctrl+t")
        await c.told(sentence)


async def test_one_key_in_the_list_makes_a_macro(project, tmp_path):
    write_script(project, "one_key.py", "x = 1\n")
    async with console(project, tmp_path) as c:
        await c.until(lambda: c.app._console.script_pane.info("one_key.py"), "it is listed")
        await c.press("f2")
        c.app._console.script_pane.go_to("one_key.py")
        await c.press("t")
        await c.shows("one_key.py is a macro now", "M one_key")
        await c.press("t")
        await c.shows("one_key.py is a utility now")
        await c.press("m")
        await c.shows("Header of one_key.py")


async def test_hostile_values_are_drawn_harmless(project, tmp_path):
    hostile = '# /// script\n# [tool.gatewright]\n# title = "\\u001b[2Jx\\u202e"\n# tags = ["\\u009b2J"]\n'
    hostile += '# [tool.gatewright.params.n]\n# help = "\\u001b]0;x\\u0007"\n# ///\n'
    write_script(project, "hostile.py", hostile)
    async with console(project, tmp_path) as c:
        await form_of(c, "hostile.py")
        await c.shows("2Jx")
        assert not [char for char in c.text if (ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0]

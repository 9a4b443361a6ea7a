"""Run with parameters: text in, typed values out; a refusal leads back to the form, a file is read by the console."""

from __future__ import annotations

import pytest
from console_support import console, write_script
from textual import events

TYPED = """# /// script
# [tool.gatewright]
# entrypoint = "main"
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# [tool.gatewright.params.loud]
# type = "bool"
# default = false
# [tool.gatewright.params.level]
# type = "choice"
# choices = ["low", "high"]
# default = "low"
# [tool.gatewright.params.tags]
# type = "list"
# default = ["a", "b"]
# [tool.gatewright.params.data]
# type = "file"
# required = false
# ///
def main(hours, loud, level, tags, data=None):
    print(repr((hours, loud, level, tags)))
    if data is not None:
        print("file:", data.read()[:40])
"""


@pytest.fixture
async def form(project, tmp_path):
    write_script(project, "typed.py", TYPED)
    async with console(project, tmp_path) as c:
        await c.shows("typed", "pool [...]")
        await c.open("typed.py")
        await c.press("f5")
        await c.shows("Run typed.py", "hours", "tags", "a, b", "timeout")
        yield c


async def test_defaults_are_the_scripts_own(form):
    await form.press("enter")
    await form.shows("(24, False, 'low', ['a', 'b'])", "end of output")


async def test_a_line_end_that_is_pasted_runs_nothing(form):
    shown = form.app.screen
    await form.press("end", "ctrl+j")
    form.app._driver.send_message(events.Paste("7\r"))
    form.app._driver.send_message(events.Paste("\n"))
    await form.shows("247")
    await form.press("tab")
    form.app._driver.send_message(events.Paste("y\n"))
    await form.settled()
    assert form.app.screen is shown
    await form.press("enter")
    await form.shows("(247, False, 'low', ['a', 'b'])", "end of output")


async def test_typed_values_arrive_with_their_types(form):
    await form.press("end", "backspace", "backspace")
    await form.type("7")
    await form.press("tab", "right", "tab", "space", "tab", "end")
    await form.type(", c d")
    await form.press("enter")
    await form.shows("(7, True, 'high', ['a', 'b', 'c d'])")


async def test_a_refused_value_leads_back_to_the_form_with_what_was_typed(form):
    await form.type("x")
    await form.press("tab", "right", "enter")
    await form.shows("'hours' takes a whole number", "Run typed.py", "24x", "< yes >")
    await form.press("end", "backspace", "enter")
    await form.shows("(24, True, 'low', ['a', 'b'])")


async def test_a_file_is_read_with_the_rights_of_the_console(form, tmp_path):
    secret = tmp_path / "mine.csv"
    secret.write_bytes(b"tag,value\npump,1\n")
    secret.chmod(0o600)
    await form.press("shift+tab", "shift+tab")
    await form.type(str(tmp_path / "missing.csv"))
    await form.press("enter")
    await form.shows("cannot be read: No such file or directory")
    await form.press("home", "ctrl+k")
    await form.type(str(secret))
    await form.press("enter")
    await form.shows("file: b'tag,value\\npump,1\\n'")


async def test_a_path_may_start_at_the_project(form, project):
    (project / "documents").mkdir(exist_ok=True)
    (project / "documents/here.txt").write_text("found")
    await form.press("shift+tab", "shift+tab")
    await form.type("documents/here.txt")
    await form.press("enter")
    await form.shows("file: b'found'")


async def test_the_form_offers_what_was_typed_last_time(form):
    await form.press("end")
    await form.type("5")
    await form.press("enter")
    await form.shows("(245,")
    await form.press("f5")
    await form.shows("^R as last time")
    await form.shows("int      24 ")
    await form.press("ctrl+r")
    await form.shows("int      245 ")
    await form.press("escape")
    await form.hides("Run typed.py")


async def test_parameters_of_the_unsaved_text_that_the_form_does_not_know_are_named(form):
    await form.press("escape", "ctrl+home", *["down"] * 5)
    await form.press("end", "backspace")  # the default of hours is 2 now
    await form.shows("typed.py *")
    await form.press("f5")
    await form.shows("Run typed.py")
    await form.press("enter")
    await form.shows("running the unsaved text", "end of output")


SECRETIVE = """# /// script
# [tool.gatewright]
# entrypoint = "main"
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# [tool.gatewright.params.db_password]
# [tool.gatewright.params.api_token]
# default = "own"
# ///
def main(hours, db_password, api_token):
    print(hours, len(db_password), api_token)
"""


async def test_a_secret_is_not_shown_not_remembered_and_asked_for_by_a_replay(project, tmp_path):
    write_script(project, "secretive.py", SECRETIVE)
    async with console(project, tmp_path) as c:
        await c.shows("secretive", "pool [...]")
        await c.open("secretive.py")
        await c.press("f5")
        await c.shows("Run secretive.py", "db_password")
        await c.press("end")
        await c.type("x")
        await c.press("tab")
        await c.shows("secret: neither shown nor kept")
        await c.type("hunter2")
        await c.shows("•••••••")
        await c.press("enter")
        await c.shows("'hours' takes a whole number", "24x", "•••••••")  # refused, not over: it need not be typed again
        await c.press("end", "backspace", "backspace", "enter")
        await c.shows("2 7 own", "end of output")
        await c.press("f5")
        await c.shows("^R as last time")
        await c.press("ctrl+r")
        await c.shows("int      2 ")
        assert "•" not in c.text
        await c.press("escape", "f10")
        await c.shows("secretive.py", "r replay")
        await c.press("r")
        await c.shows("db_password of run", "is secret and was not kept")
        await c.type("hunter22")
        assert "hunter" not in c.text
        await c.press("enter")
        await c.shows("2 8 own", "end of output")
        assert "hunter" not in c.text


@pytest.fixture
async def plain(project, tmp_path):
    """A console with a script that declares nothing and reads its arguments."""
    write_script(project, "plain.py", "from dataclasses import sys\nprint(len(sys.argv), sys.argv[1:])\n")
    async with console(project, tmp_path) as c:
        await c.shows("plain", "pool [...]")
        await c.open("plain.py")
        yield c


async def test_a_script_without_parameters_gets_arguments_as_a_shell_splits_them(plain):
    await plain.press("f11")
    await plain.shows("Run plain.py", "arguments", "timeout")
    await plain.type("--hours 5 'a b'")
    await plain.press("enter")
    await plain.shows("4 ['--hours', '5', 'a b']", "end of output")
    await plain.press("alt+r")
    await plain.shows("Run plain.py", "^R as last time")
    await plain.press("ctrl+r", "end")
    await plain.type(" 'open")
    await plain.press("enter")
    await plain.shows("a quotation mark too few")


async def test_without_the_form_there_are_no_arguments(plain):
    await plain.press("f5")
    await plain.shows("1 []", "end of output")


async def test_an_empty_path_offers_the_file_that_the_help_names(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.open("defaults/log_digest.py")
        await c.press("f5")
        await c.shows("try documents/samples/wrapper.log", "Right takes it")
        await c.press("enter")
        await c.shows("log is the path of a file and is needed.")  # an offer is no default
        await c.press("x", "left", "right", "enter")
        await c.shows("x cannot be read")
        await c.press("backspace", "right", "enter")
        await c.shows("defaults/log_digest.py  ok", "end of output")


async def test_a_help_that_names_a_file_which_is_not_there_offers_nothing(project, tmp_path):
    text = TYPED.replace("# required = false", '# required = false\n# help = "see documents/samples/none.csv"')
    write_script(project, "offers.py", text)
    async with console(project, tmp_path) as c:
        await c.open("offers.py")
        await c.press("f5", *["tab"] * 4)
        await c.shows("see documents/samples/none.csv; read with your rights")
        await c.press("right", "enter")
        await c.shows("(24, False, 'low', ['a', 'b'])", "end of output")
        await c.hides("file:")

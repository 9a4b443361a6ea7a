"""F8: ADMIN by explicit choice, for a few minutes, seen by everybody who looks at the screen."""

from __future__ import annotations

import pytest
from console_support import console, engine_project, write_script
from msgspec.structs import replace

from engine.client.answers import EngineError
from engine.models.runs import Mode
from engine.registry.runs import RUNS_LIST, RunListParams
from tui.messages import EngineConnected
from tui.runs import admin_mode
from tui.runs.admin_mode import STEP_UP, STILL_MEANT, StepUp

WHO = "import os\nprint('pid', os.getpid())\n"
ASKS_HOURS = """# /// script
# [tool.gatewright]
# entrypoint = "main"
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# ///
def main(hours):
    print("hours", hours)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("admin") / "plant-a", admin=True) as root:
        write_script(root, "who.py", WHO)
        write_script(root, "hours.py", ASKS_HOURS)
        yield root


@pytest.fixture
async def c(project, tmp_path):
    async with console(project, tmp_path) as opened:
        await opened.shows("hours", "pool [...]", "RESTRICTED")
        yield opened


def header(c):
    return c.text.splitlines()[0]


async def step_up_by_keys(c):
    await c.press("f8")
    await c.shows("ADMIN runs are a shell as the engine's account", "no sandbox")
    await c.press("enter")
    await c.until(lambda: "ADMIN " in header(c), "the header says ADMIN")


async def runs(c):
    return (await c.app._connection.client.call(RUNS_LIST, RunListParams())).runs


async def test_runs_are_admin_after_a_question_and_restricted_before_and_after(c):
    await c.open("who.py")
    await c.press("f8")
    await c.shows("Runs you start in the next 5 minutes are ADMIN.")
    await c.press("escape")
    await c.hides("Runs you start in")
    await c.press("f5")
    await c.shows("import denied", "RESTRICTED full")
    await step_up_by_keys(c)
    assert "ADMIN 4:5" in header(c) or "ADMIN 5:00" in header(c)
    await c.press("f5")
    await c.shows("pid ", "  ADMIN  ", "ok")
    await c.press("f8")
    await c.shows("runs are RESTRICTED again")
    assert "RESTRICTED" in header(c)
    await c.press("f5")
    await c.shows("import denied")
    assert [run.mode for run in (await runs(c))[:3]] == [Mode.RESTRICTED, Mode.ADMIN, Mode.RESTRICTED]


async def test_y_is_yes_and_the_palette_has_it(c):
    await c.press("ctrl+p")
    await c.type("ADMIN runs for five")
    await c.press("enter")
    await c.shows("Runs you start in")
    await c.press("y")
    await c.until(lambda: "ADMIN " in header(c), "the header says ADMIN")
    assert "F8 ADMIN" in c.text.splitlines()[-1]


async def test_the_pool_tells_an_admin_slot_from_the_others(c):
    await c.open("who.py")
    await step_up_by_keys(c)
    await c.press("f5")
    await c.shows("end of output")
    await c.press("f4")
    await c.shows("sandbox", "ADMIN", "full")
    tones = {row.text.split()[-1]: row.tone for row in c.app.screen.query_one("#slots RowList").rows}
    assert tones["ADMIN"] == "danger"
    assert tones["full"] != "danger"


async def test_the_time_ends_by_itself_and_that_is_said(c, monkeypatch):
    monkeypatch.setattr(admin_mode, "STEP_UP", 1.5)
    await step_up_by_keys(c)
    await c.shows("ADMIN is over: runs are RESTRICTED again")
    await c.until(lambda: "RESTRICTED" in header(c), "the header says RESTRICTED")
    assert not c.app.screen.has_class("-admin")


async def test_a_key_that_was_meant_for_admin_runs_nothing(c, monkeypatch):
    monkeypatch.setattr(admin_mode, "STEP_UP", 1.0)
    monkeypatch.setattr(admin_mode, "STILL_MEANT", 30.0)
    await c.open("who.py")
    before = len(await runs(c))
    await step_up_by_keys(c)
    await c.until(lambda: "RESTRICTED" in header(c), "the time is over")
    await c.press("f5")
    await c.shows("ADMIN is over, nothing was run")
    assert len(await runs(c)) == before


async def test_a_form_that_outlives_admin_says_so_and_sends_nothing_by_itself(c, monkeypatch):
    monkeypatch.setattr(admin_mode, "STEP_UP", 2.5)
    monkeypatch.setattr(admin_mode, "STILL_MEANT", 30.0)
    await c.open("hours.py")
    before = len(await runs(c))
    await step_up_by_keys(c)
    await c.press("f5")
    await c.shows("Run hours.py", "mode: ADMIN  (F8 RESTRICTED)")
    await c.shows("ADMIN is over and nothing was sent", "mode: RESTRICTED  (F8 ADMIN)")
    await c.press("enter", "enter")  # an Enter that was on its way
    await c.shows("ADMIN is over and nothing was sent")
    assert len(await runs(c)) == before
    monkeypatch.setattr(admin_mode, "STILL_MEANT", 0.0)
    await c.press("enter")
    await c.shows("hours 24", "RESTRICTED full")


async def test_an_enter_before_the_form_heard_of_the_end_is_not_sent(c):
    await c.open("hours.py")
    before = len(await runs(c))
    await step_up_by_keys(c)
    await c.press("f5")
    await c.shows("mode: ADMIN")
    c.app._console._parts.admin._step_up.end(by_user=False)
    c.app.screen.action_run()
    await c.shows("ADMIN is over and nothing was sent")
    assert len(await runs(c)) == before


async def test_the_form_can_step_up_and_goes_on(c):
    await c.open("hours.py")
    await c.press("f5")
    await c.shows("mode: RESTRICTED  (F8 ADMIN)")
    await c.press("end", "5", "f8")
    await c.shows("Runs you start in")
    await c.press("enter")
    await c.shows("mode: ADMIN", "245")
    await c.press("enter")
    await c.shows("hours 245", "  ADMIN  ")
    await c.hides("Run hours.py")
    first = header(c)
    await c.until(lambda: header(c) != first and "ADMIN" in header(c), "the time goes on after the form is gone")


async def test_where_there_are_no_admin_runs_the_key_says_why(c):
    connection = c.app._connection
    connection.info = replace(connection.info, admin="There are no ADMIN runs here: because of \x1b[31mreasons.")
    await c.press("f8")
    await c.shows("There are no ADMIN runs here: because of", "\\x1b[31mreasons.")
    assert "RESTRICTED" in header(c)
    assert c.app.screen is c.app._console


async def test_an_engine_without_admin_runs_ends_it(c):
    await step_up_by_keys(c)
    c.app.publish(EngineConnected(replace(c.app._connection.info, admin="There are no ADMIN runs here: new rules.")))
    await c.shows("There are no ADMIN runs here: new rules.")
    assert "RESTRICTED" in header(c)


async def test_a_refusal_is_shown_as_the_engine_says_it(c, monkeypatch):
    def refuse(request):
        raise EngineError("forbidden", f"bob may not start {request.mode} runs.", "Ask an administrator.", 403)

    await c.open("who.py")
    await step_up_by_keys(c)
    monkeypatch.setattr(c.app._connection.client, "run_and_follow", refuse)
    await c.press("f5")
    await c.shows("bob may not start ADMIN runs.", "Ask an administrator.")


async def test_nothing_of_it_is_kept(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("pool [...]")
        await step_up_by_keys(c)
        await c.press("ctrl+q")
        await c.until(lambda: c.app.return_code == 0 or not c.app.is_running, "the console leaves")
    async with console(project, tmp_path) as c:
        await c.shows("pool [...]")
        assert "RESTRICTED" in header(c)


def test_the_clock_is_the_only_judge():
    now = [100.0]
    chosen = StepUp(lambda: now[0])
    assert (chosen.mode, chosen.remaining) == (Mode.RESTRICTED, 0.0)
    chosen.begin()
    assert (chosen.mode, chosen.remaining) == (Mode.ADMIN, STEP_UP)
    now[0] += STEP_UP - 0.001
    assert chosen.mode is Mode.ADMIN
    assert not chosen.just_ended
    now[0] += 0.001
    assert (chosen.mode, chosen.just_ended) == (Mode.RESTRICTED, True)
    now[0] += STILL_MEANT
    assert not chosen.just_ended
    chosen.begin()
    chosen.end(by_user=True)
    assert (chosen.mode, chosen.just_ended) == (Mode.RESTRICTED, False)
    chosen.begin()
    chosen.end(by_user=False)
    assert (chosen.mode, chosen.just_ended) == (Mode.RESTRICTED, True)

"""The assistant in the console: a failed run explained, and a proposal that only the user's key puts into the text."""

from __future__ import annotations

import pytest
from console_support import console, write_script

from engine.client.answers import EngineError
from engine.models.assistant import AssistantAnswer, ProposedChange
from engine.registry.assistant import ASSISTANT_EXPLAIN, ASSISTANT_PROPOSE
from engine.text_diff import unified

TEXT = "x = 1\nprint(x / 0)\n"
BETTER = "x = 1\nprint(x / 2)\n"


@pytest.mark.slow
async def test_a_failed_run_is_explained(project, tmp_path, monkeypatch):
    write_script(project, "half.py", TEXT)
    asked = []

    async def explain(body):
        asked.append(body.run_id)
        return AssistantAnswer(
            text="Line 2 divides\x1b[31m by zero.\n\nUse another divisor.", complete=False, model="m"
        )

    async with console(project, tmp_path) as c:
        await c.shows("half", "pool [...]")
        await c.open("half.py")
        c.answer(monkeypatch, ASSISTANT_EXPLAIN, explain)
        await c.press("f3", "1", "e")
        await c.shows("the output shows no run that failed")
        await c.press("f5")
        await c.shows("ZeroDivisionError")
        await c.press("f3", "1", "e")
        await c.shows("explained by m", "Line 2 divides", "Use another divisor.", "(cut off)")
        assert len(asked) == 1
        assert "\x1b" not in c.text
        await c.press("escape")
        await c.hides("Use another divisor.")


async def test_a_proposal_is_applied_by_a_key_unsaved_and_taken_back_by_another(project, tmp_path, monkeypatch):
    write_script(project, "mend.py", TEXT)
    asked = []

    async def propose(body):
        asked.append(body)
        return ProposedChange(text=BETTER, diff=unified(body.text, BETTER, body.path, "proposed"))

    async with console(project, tmp_path) as c:
        await c.shows("mend", "pool [...]")
        await c.open("mend.py")
        c.answer(monkeypatch, ASSISTANT_PROPOSE, propose)
        await c.press("f5")
        await c.shows("ZeroDivisionError")
        await c.press("f3", "1", "p")
        await c.shows("What is the assistant to change in mend.py?", "Correct the error.")
        await c.press("enter")
        await c.shows("proposes this change of mend.py", "-print(x / 0)", "+print(x / 2)", "apply, unsaved")
        assert (asked[0].wish, asked[0].text, asked[0].run_id is not None) == ("Correct the error.", TEXT, True)
        await c.press("escape")
        await c.hides("proposes this change")
        assert c.app._console.parts.open_script.text == TEXT
        await c.press("f3", "1", "p")
        await c.shows("What is the assistant to change")
        await c.press("enter")
        await c.shows("proposes this change")
        await c.press("a")
        await c.shows("the proposal is in the editor, unsaved")
        assert c.app._console.parts.open_script.text == BETTER
        assert (project / "scripts" / "mend.py").read_text() == TEXT
        await c.press("escape", "ctrl+z")
        await c.until(lambda: c.app._console.parts.open_script.text == TEXT, "it is taken back")


@pytest.mark.slow
async def test_without_an_assistant_it_says_how_to_get_one(project, tmp_path, monkeypatch):
    write_script(project, "none.py", TEXT)

    async def off(body):
        raise EngineError("assistant_off", "There is no assistant in this project.", "An administrator names one.", 503)

    async with console(project, tmp_path) as c:
        await c.shows("none", "pool [...]")
        await c.open("none.py")
        await c.press("f3", "1", "p")
        await c.shows("What is the assistant to change")
        await c.type("x")
        await c.press("enter")
        await c.told("There is no assistant in this project.")
        assert c.app._console._status.remark == "", "it is no longer asked"

"""The run history: found by words, read on page by page, repeated, compared."""

from __future__ import annotations

import asyncio

import pytest
from console_support import console, engine_project

from engine.client import launch
from engine.evidence_check import check
from engine.models.runs import RunKind, RunRequest
from engine.registry.runs import RUNS_START, StartParams
from tui.screens import runs as runs_screen


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("history") / "plant-a", admin=True) as root:
        yield root


def run_each(project, *requests):
    """Run these one after the other; the ids."""

    async def work():
        client = await launch.connect(project, client="cli", start=False)
        ids = []
        for fields in requests:
            run = await client.call(RUNS_START, StartParams(), RunRequest(**{"kind": RunKind.EXEC, **fields}))
            ids.append(run.id)
            async for _ in client.follow_run(run.id):
                pass
        await client.close()
        return ids

    return asyncio.run(work())


@pytest.fixture(scope="module")
def ids(project):
    return run_each(
        project,
        {"code": "print('first output')\nresult = x", "name": "same", "variables": {"x": 1}},
        {"code": "print('second output')\nresult = x", "name": "same", "variables": {"x": 2}},
        {"code": "raise ValueError('\\x1b[2J')", "name": "breaks"},
        {"code": "result = 'by admin'", "name": "shell", "mode": "ADMIN"},
    )


def rows(c):
    return [line for line in c.text.splitlines() if line.lstrip(" *").startswith("#")]


async def test_runs_are_found_by_words_and_their_output_shown(project, tmp_path, ids):
    async with console(project, tmp_path) as c:
        await c.shows("pool [")
        await c.press("f10")
        await c.shows("shell", "breaks", "same", "r replay")
        await c.press("slash")
        await c.type("outcome:script_error since:today")
        await c.until(lambda: len(rows(c)) == 1 and "breaks" in rows(c)[0], "only the failed one is left")
        await c.type(" when:now")
        await c.shows("There is no when: in a search")
        await c.press("ctrl+u")
        await c.type("who:nobody")
        await c.shows("No run matches.")
        await c.press("ctrl+u")
        await c.type("same")
        await c.until(lambda: len(rows(c)) == 2, "both runs of that name are left")
        await c.press("enter", "down")
        await c.shows("inputs ")
        await c.press("enter")
        await c.shows("first output", f"#{ids[0]} same")


async def test_a_run_is_repeated_and_its_output_followed(project, tmp_path, ids):
    async with console(project, tmp_path) as c:
        await c.shows("pool [")
        await c.press("f10")
        await c.shows("same")
        await c.press("slash")
        await c.type("same")
        await c.until(lambda: len(rows(c)) == 2, "both runs of that name are left")
        await c.press("enter", "r")
        await c.shows("second output", "result: 2")
        await c.press("f10")
        await c.shows(f"replay of #{ids[1]}")
        await c.press("escape")
        await c.shows("c copy")


async def test_two_runs_are_compared(project, tmp_path, ids):
    async with console(project, tmp_path) as c:
        await c.shows("pool [")
        await c.press("f10", "slash")
        await c.type("same")
        await c.until(lambda: rows(c) and all("same" in row for row in rows(c)), "only runs of that name are left")
        await c.press("enter", "end", "c")
        await c.shows(f"#{ids[0]} is marked", f"*#{ids[0]}")
        await c.press("up", "c")
        await c.shows("inputs: different", '-  "x": 1', '+  "x": 2', "text: different", f"- #{ids[0]}", f"+ #{ids[1]}")
        await c.press("end")
        await c.shows("+second output")
        await c.press("escape")
        await c.shows("r replay")
        assert "is marked" not in c.text


async def test_an_admin_run_is_repeated_in_admin_only(project, tmp_path, ids):
    async with console(project, tmp_path) as c:
        await c.shows("pool [")
        await c.press("f10", "slash")
        await c.type("shell")
        await c.until(lambda: len(rows(c)) == 1, "only that run is left")
        await c.press("enter", "r")
        await c.shows("was an ADMIN run")
        await c.press("escape", "f8")
        await c.shows("ADMIN runs are a shell")
        await c.press("enter")
        await c.hides("ADMIN runs are a shell")
        await c.press("f10", "slash")
        await c.type("shell")
        await c.until(lambda: len(rows(c)) == 1, "only that run is left")
        await c.shows("runs  ADMIN")
        await c.press("enter", "r")
        await c.shows("result: by admin")


async def test_older_pages_come_when_the_cursor_reaches_the_end(project, tmp_path, ids, monkeypatch):
    monkeypatch.setattr(runs_screen, "PAGE", 2)
    async with console(project, tmp_path) as c:
        await c.shows("pool [")
        await c.press("f10")
        await c.until(lambda: len(rows(c)) == 2, "the first page is there")
        for _ in range(8):
            if f"#{ids[0]} " in c.text:
                break
            count = len(rows(c))
            await c.press("end")
            await c.until(lambda count=count: len(rows(c)) > count, "the next page is there")
        assert f"#{ids[0]} " in c.text


async def test_a_run_that_begins_meanwhile_appears(project, tmp_path, ids):
    async with console(project, tmp_path) as c:
        await c.shows("pool [")
        await c.press("f10")
        await c.shows("shell")
        await asyncio.to_thread(run_each, project, {"code": "result = 1", "name": "just-now"})
        await c.shows("just-now")


async def test_the_evidence_of_a_run_is_written_into_a_new_file(project, tmp_path, ids):
    file = tmp_path / "proof.json"
    async with console(project, tmp_path) as c:
        await c.shows("pool [")
        await c.press("f10")
        await c.shows("same", "e evidence")
        await c.press("slash")
        await c.type("breaks")
        await c.until(lambda: len(rows(c)) == 1, "only that run is left")
        await c.press("enter", "e")
        await c.shows(f"Write the evidence of run #{ids[2]}")
        await c.press("ctrl+u")
        await c.type(str(project))
        await c.press("enter")
        await c.shows("evidence of run", "SHA-256")
        written = project / f"evidence-{ids[2]}.json"
        assert check(written.read_bytes()).problems == []
        assert written.stat().st_mode & 0o777 == 0o600
        await c.press("e")
        await c.shows(f"Write the evidence of run #{ids[2]}")
        await c.press("ctrl+u")
        await c.type(str(written))
        await c.press("enter")
        await c.shows("Nothing is ever replaced")
        await c.press("ctrl+u")
        await c.type(str(file))
        await c.press("enter")
        await c.until(file.exists, "it has another name now")
    written.unlink()

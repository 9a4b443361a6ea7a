"""The audit in the console: searched on the engine, shown whole, verified, exported to a file."""

from __future__ import annotations

import asyncio
import json
import stat

import pytest
from console_support import Console, console, engine_project
from pictures_support import check

from engine.client import launch
from engine.client.answers import EngineError
from engine.models.engine import AuditCheck, AuditList, AuditRecord
from engine.models.scripts import SaveRequest
from engine.registry.engine import AUDIT_LIST, AUDIT_VERIFY
from engine.registry.scripts import SCRIPTS_SAVE, ScriptParams
from tui.commands.audit_files import check_files
from tui.screens import audit as audit_screen
from tui.screens.audit import AuditScreen

SAVES = 5


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("audit") / "plant-a") as root:

        async def work():
            client = await launch.connect(root, client="cli", start=False)
            for number in range(SAVES):
                place = ScriptParams(path=f"night {number}.py")
                await client.call(SCRIPTS_SAVE, place, SaveRequest(text=f"result = {number}\n"))
            await client.close()

        asyncio.run(work())
        yield root


@pytest.fixture
async def c(project, tmp_path):
    async with console(project, tmp_path) as opened:
        await opened.shows("defaults/tour.py", "pool [")
        await opened.press("f10")
        await opened.shows("No runs yet", "a audit")
        yield opened


async def open_audit(c: Console) -> None:
    await c.press("a")
    await c.until(lambda: isinstance(c.app.screen, AuditScreen), "the audit is shown")
    await c.shows("v verify")


def rows(c: Console) -> list[str]:
    return [line for line in c.text.splitlines()[2:] if line[:9].strip().isdigit()]


async def test_records_are_found_by_who_what_and_when(c):
    await open_audit(c)
    await c.until(lambda: len(rows(c)) >= SAVES, "the records are listed")
    await c.press("slash")
    await c.type('action:save subject:"night 3.py" since:today')
    await c.until(lambda: len(rows(c)) == 1 and "night 3" in rows(c)[0], "one record is left")
    await c.type(" when:now")
    await c.shows("There is no when: in a search; there are who:, what:, action:")
    await c.press("ctrl+u")
    await c.type("who:nobody")
    await c.shows("No record matches.")
    await c.press("ctrl+u")
    await c.until(lambda: len(rows(c)) >= SAVES, "all records are listed again")
    await c.press("escape", "escape")
    await c.shows("a audit")


@pytest.mark.slow
async def test_enter_shows_all_that_a_record_says(c):
    await open_audit(c)
    await c.shows("night 4")
    await c.press("enter")
    await c.shows("save night 4.py", "sha256 ", "before it ", "(uid ")


async def test_the_record_is_verified_piece_by_piece(c, monkeypatch):
    told = []
    monkeypatch.setattr(audit_screen, "VERIFIED_AT_ONCE", 2)
    show = AuditScreen._show_remark
    monkeypatch.setattr(AuditScreen, "_show_remark", lambda self, text: (told.append(text), show(self, text))[0])
    await open_audit(c)
    await c.press("v")
    await c.shows("Verification of the audit", "records, internally consistent.", "Head: ")
    assert sum(text.startswith("verified ") for text in told) > SAVES // 2


@pytest.mark.slow
async def test_a_head_that_was_noted_is_found_again(c):
    client = c.app._connection.client
    head = (await client.call(AUDIT_LIST)).records[-1].sha256
    await open_audit(c)
    await c.press("h")
    await c.type("abc")
    await c.press("enter")
    await c.shows("A head has 64 hexadecimal digits; this has 3 characters.")
    await c.press("ctrl+u")
    await c.type(head)
    await c.press("enter")
    await c.shows("The head that you gave is record 1's;")


@pytest.mark.slow
async def test_a_record_that_was_changed_is_named(c, monkeypatch):
    async def changed(*_args, **_options):
        return AuditCheck(9, "0" * 64, "Audit record 7 was changed.", checked=6)

    await open_audit(c)
    c.answer(monkeypatch, AUDIT_VERIFY, changed)
    await c.press("v")
    await c.shows("Verification of the audit", "Audit record 7 was changed.")


async def test_what_is_exported_can_be_verified_elsewhere(c, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audit_screen, "EXPORT_PAGE", 3)
    await open_audit(c)
    await c.press("e")
    await c.shows("records into the new file")
    taken = tmp_path / "taken.jsonl"
    taken.write_text("mine")
    await c.press("ctrl+u")
    await c.type(str(taken))
    await c.press("enter")
    await c.shows("That file is there already and was left alone; name another one.")
    assert taken.read_text() == "mine"
    await c.press("ctrl+u")
    await c.type(str(tmp_path / "all.jsonl"))
    await c.press("enter")
    await c.shows("exported ")
    file = tmp_path / "all.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = check_files([str(file)], "")
    assert (found.problem, found.first) == (None, 1)
    assert found.last >= SAVES
    lines = file.read_text().splitlines()
    record = json.loads(lines[-1])
    file.write_text("\n".join([*lines[:-1], json.dumps(record | {"actor": "mallory"})]) + "\n")
    assert check_files([str(file)], "").problem == f"all.jsonl: Audit record {record['seq']} was changed."


async def test_the_engine_says_who_may_not_see_it(c, monkeypatch):
    async def refused(*_args, **_options):
        raise EngineError("forbidden", "alice may not read the audit record.", "It needs the role admin.", 403)

    c.answer(monkeypatch, AUDIT_LIST, refused)
    await open_audit(c)
    await c.shows("alice may not read the audit record. It needs the role admin.")


async def test_the_audit_at_80x24(c, monkeypatch):
    async def records(*_args, **_options):
        details = {"outcome": "timeout", "duration": 30.0, "inputs_sha256": "ab" * 32}
        return AuditList(
            records=[
                AuditRecord(12, 0.0, "alice", 1000, "cli", "run", "night/hours.py", details, "cd" * 32, "ef" * 32),
                AuditRecord(11, 0.0, "bob", 1001, "console", "denied", "", {"what": "Stop the engine"}, "ef" * 32, ""),
            ]
        )

    monkeypatch.setattr(audit_screen, "clock", lambda at: "01 Jan 00:00")
    c.answer(monkeypatch, AUDIT_LIST, records)
    await open_audit(c)
    await c.shows("night/hours.py", "refused: Stop the engine")
    await check(c, "audit")


@pytest.mark.slow
async def test_the_palette_leads_to_the_audit(c):
    await c.press("escape")
    await c.press("ctrl+p")
    await c.type("audit")
    await c.shows("Audit: who did what; search, verify, export")
    await c.press("enter")
    await c.shows("v verify", "night 4")

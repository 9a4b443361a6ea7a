"""The run history through a real engine: what runs were given, the same again, two runs side by side."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from daemon_support import write_settings

from engine import Engine
from engine.models.runs import Mode, Outcome, ReplayRequest, RunInfo, RunKind, RunRequest
from engine.models.scripts import DeleteRequest, SaveRequest
from engine.services.access import Actor, Role, ServiceError
from engine.services.runs.inputs import MAX_INPUTS, NOTHING
from store.state.run_filter import RunFilter

ADD = """# /// script
# [tool.gatewright]
# entrypoint = "main"
# [tool.gatewright.params.a]
# type = "int"
# [tool.gatewright.params.b]
# type = "int"
# default = 2
# ///
def main(a, b):
    print("adding")
    return a + b
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    root = tmp_path / "plant"
    root.mkdir()
    write_settings(root, "[policy]\nadmin_as_root = true\n")
    async with Engine.open(root, pool_size=1) as opened:
        yield opened


async def run(engine: Engine, **fields: Any) -> RunInfo:
    return await (await engine.runs.launch(RunRequest(**fields), engine.owner, "library")).ended()


async def again(engine: Engine, run_id: int, actor: Actor | None = None, **fields: Any) -> RunInfo:
    active = await engine.run_history.launch(run_id, ReplayRequest(**fields), actor or engine.owner, "library")
    return await active.ended()


async def upload(engine: Engine, name: str, data: bytes) -> str:
    writer = engine.buffers.create(name, engine.owner)
    writer.write(data)
    return writer.finish().id


async def test_code_runs_again_as_it_was(engine: Engine) -> None:
    first = await run(engine, kind=RunKind.EXEC, code="result = [x, params, args]", variables={"x": 1.5}, args=["é"])
    second = await again(engine, first.id)
    assert second.value == first.value == [1.5, {}, ["é"]]
    assert (second.replay_of, second.code_sha256, second.inputs_sha256) == (
        first.id,
        first.code_sha256,
        first.inputs_sha256,
    )
    await engine.runs.recorder.flush()
    assert (await engine.runs.get(second.id, engine.owner)).replay_of == first.id


async def test_an_expression_and_a_call_run_again(engine: Engine) -> None:
    for fields, value in (
        ({"kind": RunKind.EVAL, "code": "6 * 7"}, 42),
        ({"kind": RunKind.CALL, "module": "math", "function": "comb", "args": [5, 2]}, 10),
    ):
        first = await run(engine, **fields)
        second = await again(engine, first.id)
        assert (first.value, second.value, second.kind, second.name) == (value, value, first.kind, first.name)


async def test_equal_inputs_have_equal_hashes_in_any_order(engine: Engine) -> None:
    runs = [
        await run(engine, kind=RunKind.EXEC, code="result = 1", variables=variables)
        for variables in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}, {})
    ]
    hashes = [info.inputs_sha256 for info in runs]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert hashes[3] == NOTHING


async def test_a_saved_script_runs_again_with_the_old_text_after_it_was_changed(engine: Engine) -> None:
    made = await engine.scripts.save("add.py", SaveRequest(text=ADD), engine.owner)
    first = await run(engine, kind=RunKind.SCRIPT, script="add", params={"a": "40"})
    operator = Actor(name=engine.owner.name, uid=engine.owner.uid, role=Role.OPERATOR)
    assert (await again(engine, first.id, operator)).value == first.value == 42
    await engine.scripts.save(
        "add.py", SaveRequest(text=ADD.replace("a + b", "a - b"), base_sha256=made.sha256), engine.owner
    )
    assert (await again(engine, first.id)).value == 42
    with pytest.raises(ServiceError, match="author"):
        await again(engine, first.id, operator)
    await engine.changes.delete("add.py", DeleteRequest(), engine.owner)
    second = await again(engine, first.id)
    assert (second.value, second.name) == (42, "add.py")


async def test_a_text_that_was_never_saved_and_one_changed_outside_run_again(engine: Engine) -> None:
    unsaved = await run(engine, kind=RunKind.SCRIPT, script="never.py", code="result = 'unsaved'")
    assert (await again(engine, unsaved.id)).value == "unsaved"
    file = engine.project.scripts / "outside.py"
    file.write_text("result = 'before'")
    first = await run(engine, kind=RunKind.SCRIPT, script="outside.py")
    file.write_text("result = 'after'")
    assert (await again(engine, first.id)).value == "before"


async def test_permissions_are_judged_anew(engine: Engine) -> None:
    text = '# /// script\n# [tool.gatewright.permissions]\n# read = ["/srv"]\n# ///\nresult = 1\n'
    first = await run(engine, kind=RunKind.SCRIPT, script="asks.py", code="result = 1")
    await engine.scripts.save("asks.py", SaveRequest(text=text), engine.owner)
    with closing(sqlite3.connect(engine.project.state_db)) as database:  # as if it had been approved, and is not now
        await engine.runs.recorder.flush()
        sha256 = (await engine.scripts.info("asks.py")).sha256
        database.execute("INSERT INTO run_code VALUES (?, ?)", (sha256, text.encode()))
        database.execute("UPDATE run SET code_sha256 = ? WHERE id = ?", (sha256, first.id))
        database.commit()
    with pytest.raises(ServiceError) as refusal:
        await again(engine, first.id)
    assert refusal.value.code == "needs_approval"


async def test_an_admin_run_asks_for_admin_again(engine: Engine) -> None:
    first = await run(engine, kind=RunKind.EXEC, code="import os; result = os.getpid() > 0", mode="ADMIN")
    assert first.outcome is Outcome.OK
    with pytest.raises(ServiceError) as refusal:
        await again(engine, first.id)
    assert refusal.value.code == "needs_admin"
    author = Actor(name=engine.owner.name, uid=engine.owner.uid, role=Role.AUTHOR)
    with pytest.raises(ServiceError, match="ADMIN"):
        await again(engine, first.id, author, mode=Mode.ADMIN)
    second = await again(engine, first.id, mode=Mode.ADMIN)
    assert (second.mode, second.value) == (Mode.ADMIN, True)


async def test_admin_is_not_forced_on_a_restricted_run(engine: Engine) -> None:
    first = await run(engine, kind=RunKind.EXEC, code="result = 1")
    assert (await again(engine, first.id, mode=Mode.ADMIN)).mode is Mode.RESTRICTED


async def test_a_file_is_used_while_it_is_held_and_must_be_the_same_after_that(engine: Engine) -> None:
    buffer = await upload(engine, "wrapper.log", b"lines")
    first = await run(engine, kind=RunKind.EXEC, code="result = 1", files={"log": buffer})
    assert (await again(engine, first.id)).outcome is Outcome.OK
    inputs = await engine.run_history.inputs(first.id, engine.owner)
    assert [(file.parameter, file.name, file.size) for file in inputs.files] == [("log", "wrapper.log", 5)]
    engine.buffers.close()
    with pytest.raises(ServiceError, match="not kept") as refusal:
        await again(engine, first.id)
    assert refusal.value.hint == "Hand it over again: --file log=PATH."
    with pytest.raises(ServiceError) as refusal:
        await again(engine, first.id, files={"log": await upload(engine, "wrapper.log", b"other")})
    assert refusal.value.code == "not_the_same"
    with pytest.raises(ServiceError, match="no file 'other'"):
        await again(engine, first.id, files={"other": buffer})
    second = await again(engine, first.id, files={"log": await upload(engine, "moved.log", b"lines")})
    assert second.outcome is Outcome.OK


async def test_what_is_not_kept_is_said_plainly(engine: Engine) -> None:
    large = await run(engine, kind=RunKind.EXEC, code="result = len(x)", variables={"x": "x" * MAX_INPUTS})
    inputs = await engine.run_history.inputs(large.id, engine.owner)
    assert "too large" in (inputs.problem or "")
    assert inputs.variables == {}
    with pytest.raises(ServiceError) as refusal:
        await again(engine, large.id)
    assert refusal.value.code == "not_replayable"
    old = await run(engine, kind=RunKind.EXEC, code="result = 1")
    await engine.runs.recorder.flush()
    with closing(sqlite3.connect(engine.project.state_db)) as database:
        database.execute("UPDATE run SET inputs_sha256 = NULL WHERE id = ?", (old.id,))
        database.commit()
    with pytest.raises(ServiceError, match="of a time when inputs were not kept"):
        await again(engine, old.id)
    with pytest.raises(ServiceError, match="no run 999"):
        await again(engine, 999)


async def test_two_runs_are_compared(engine: Engine) -> None:
    first = await run(engine, kind=RunKind.EXEC, code="print('one')\nresult = x", variables={"x": 1})
    second = await run(engine, kind=RunKind.EXEC, code="print('two')\nresult = x", variables={"x": 2})
    found = await engine.run_history.compare(first.id, second.id, engine.owner)
    assert '-  "x": 1' in found.inputs
    assert '+  "x": 2' in found.inputs
    assert "-print('one')" in found.code
    assert "+two" in found.output
    assert "-result: 1" in found.result
    assert found.notes == []
    same = await engine.run_history.compare(first.id, (await again(engine, first.id)).id, engine.owner)
    assert (same.inputs, same.code, same.output, same.result) == ("", "", "", "")


async def test_others_runs_and_their_inputs_are_for_authors(engine: Engine) -> None:
    first = await run(engine, kind=RunKind.EXEC, code="result = 1", variables={"password": "hunter2"})
    for role in (Role.VIEWER, Role.OPERATOR):
        bob = Actor("bob", 4711, role)
        for work in (
            engine.run_history.inputs(first.id, bob),
            engine.run_history.compare(first.id, first.id, bob),
            engine.run_history.replay(first.id, ReplayRequest(), bob, "rest"),
        ):
            with pytest.raises(ServiceError, match="bob may not"):
                await work
        assert (await engine.runs.list(bob)).runs == []
        assert (await engine.runs.list(bob, wanted=RunFilter(actor=engine.owner.name))).runs == []


async def test_the_history_is_filtered_page_by_page_on_the_engine(engine: Engine) -> None:
    begin = None
    for number in range(6):
        code = "result = 1" if number % 2 else "raise ValueError"
        info = await run(engine, kind=RunKind.EXEC, code=code, name=f"Night_{number}" if number < 4 else "day")
        begin = begin or info.queued_at
    failed = RunFilter(outcome="script_error", part="night")
    page = await engine.runs.list(engine.owner, limit=1, wanted=failed)
    assert [info.name for info in page.runs] == ["Night_2"]
    page = await engine.runs.list(engine.owner, limit=1, before=page.next_before, wanted=failed)
    assert [info.name for info in page.runs] == ["Night_0"]
    assert page.next_before is None
    assert begin is not None
    assert len((await engine.runs.list(engine.owner, wanted=RunFilter(since=begin))).runs) == 6
    assert (await engine.runs.list(engine.owner, wanted=RunFilter(since=begin + 3600))).runs == []
    assert (await engine.runs.list(engine.owner, wanted=RunFilter(until=begin))).runs == []
    assert (await engine.runs.list(engine.owner, wanted=RunFilter(actor="nobody"))).runs == []


async def test_texts_go_with_the_last_run_that_had_them(engine: Engine) -> None:
    first = await run(engine, kind=RunKind.EXEC, code="result = 'kept once'", variables={"a": 1})
    second = await run(engine, kind=RunKind.EXEC, code="result = 'kept once'", variables={"a": 2})
    await engine.runs.recorder.flush()
    with closing(sqlite3.connect(engine.project.state_db)) as database:
        database.execute("PRAGMA foreign_keys=ON")

        def left() -> tuple[int, int]:
            codes = database.execute("SELECT count(*) FROM run_code").fetchone()[0]
            return codes, database.execute("SELECT count(*) FROM run_input").fetchone()[0]

        assert left() == (1, 2)
        database.execute("DELETE FROM run WHERE id = ?", (first.id,))
        assert left() == (1, 1)
        database.execute("DELETE FROM run WHERE id = ?", (second.id,))
        assert left() == (0, 0)

"""The executor of the engine's own slots: hostile children, slots left to people, cancel, reads; the library's call."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from engine import Engine
from engine.models.engine import SlotState
from engine.models.runs import Outcome, Priority, RunKind
from engine.models.scripts import SaveRequest
from engine.pool.job import Profile, Reply
from engine.pool.pool import Pool
from engine.services.macros import local
from engine.services.macros.local import LocalExecutor
from engine.services.macros.many import CallFailed
from engine.worker.shared_code import CODE_HEADER, compiled
from tests.integration.executor_kit import PLAIN, chunk, kinds, macro, results, texts
from tests.integration.pool_kit import PATIENCE, expect_innocent, limits, make_job, until, until_ready

pytestmark = pytest.mark.asyncio(loop_scope="module")

RAW = """
import random, struct
os = random._os
def frame(kind, payload):
    os.write(3, struct.pack('<IB', len(payload), kind) + payload)
def texts(number, first, lengths, head=b'', text=b'', count=None):
    count = len(lengths) if count is None else count
    sizes = struct.pack(f'<{len(lengths)}I', *lengths)
    frame(11, struct.pack('<IIII', number, first, count, len(head)) + sizes + head + text)
def render(params, context):
    if params['i'] == 3:
        ATTACK
        while True: pass
    return f"<{params['i']}>"
"""
"""What a macro can do that knows the format: descriptor 3 is the run's socket."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("plant"), pool_size=3) as opened:
        yield opened


@pytest.fixture(scope="module")
def pool(engine: Engine) -> Pool:
    return engine.pool


_numbers = iter(range(1, 1_000_000))


def executor(pool: Pool, **options: Any) -> LocalExecutor:
    return LocalExecutor(pool, **({"run_id": next(_numbers), "actor": "tester", "wall": 60.0} | options))


@pytest.mark.parametrize(
    "attack",
    [
        "texts(999, 0, [1], b'', b'x')",
        "texts(1, 5, [1], b'', b'x')",
        "texts(1, 0, [1] * 21, b'', b'x' * 21)",
        "texts(1, 0, [], b'', b'')",
        "texts(1, 0, [2], b'', b'x')",
        "texts(1, 0, [1], b'', b'xy')",
        "texts(1, 0, [1], b'', b'\\xff')",
        "texts(1, 0, [0xFFFFFFFF], b'', b'')",
        'texts(1, 0, [1], b\'{"errors":{"0":{"error":{"type":"a","message":"b"}}}}\', b\'x\')',
        'texts(1, 0, [1], b\'{"warnings":{"7":["x"]}}\', b\'x\')',
        "texts(1, 0, [1], b'{\"warnings\":{\"0\":[' + b'\"x\",' * 99 + b'\"x\"]}}', b'x')",
        "texts(1, 0, [1], b'{\"strange\":1}', b'x')",
        "texts(1, 0, [1], b'{\"again\":{\"0\":[0]}}', b'x')",
        "texts(1, 0, [1], b'[' * 100_000, b'x')",
        "texts(1, 0, [], b'', b'', count=65_000)",
        "frame(11, b'x')",
        "os.write(3, struct.pack('<IB', 1 << 31, 11))",
        "frame(10, b'x' * 20)",
        "frame(1, b'x')",
    ],
)
async def test_what_no_honest_child_sends_costs_its_sender_one_call(pool: Pool, attack: str) -> None:
    done = await results(executor(pool), [chunk(RAW.replace("ATTACK", attack))])
    assert kinds(done[0]) == {3: Outcome.PROTOCOL}
    assert done[0].texts == texts(20, [3])


async def test_a_child_may_answer_early_but_only_for_itself(pool: Pool) -> None:
    """What a macro says in another call's place is its own affair; nothing of it reaches another macro."""
    forged = RAW.replace("ATTACK", "texts(1, 0, [1] * 20, b'', b'x' * 20)").replace("while True: pass", "")
    done = await results(executor(pool), [chunk(forged, number=0), chunk(macro("    pass", "other"), number=1)])
    assert done[0].texts == ["x"] * 20
    assert done[1].texts == texts()


async def test_a_result_in_the_middle_ends_that_macro_alone(pool: Pool) -> None:
    lying = RAW.replace("ATTACK", "frame(7, struct.pack('<I', 0)); [0 for _ in iter(int, 1)]")
    done = await results(executor(pool), [chunk(lying, number=0), chunk(macro("    pass", "other"), number=1)])
    assert set(done[0].errors) == set(range(20))
    assert done[1].texts == texts()


@pytest.mark.slow
async def test_the_limits_on_what_the_engine_holds(pool: Pool) -> None:
    done = await results(executor(pool), [chunk("    return 'x' * (8 << 20)", 10), chunk(PLAIN, 2, 1)])
    assert [len(text or "") for text in done[0].texts] == [8 << 20] * 8 + [0] * 2
    assert all("no room" in done[0].errors[index].message for index in (8, 9))
    assert done[1].texts == texts(2)
    forged = RAW.replace("ATTACK", "[texts(1, at, [8 << 20], b'', b'x' * (8 << 20)) for at in range(9)]")
    done = await results(executor(pool), [chunk(forged)])
    assert set(done[0].errors) == set(range(8, 20))


async def test_the_slots_that_a_batch_has_are_told(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[int] = []
    monkeypatch.setattr(pool, "on_batch", changes.append)
    for code in ("    return str(params['i'])", "    while True: pass"):
        going_on = executor(pool)
        await going_on.submit(chunk(code, wall=60.0))
        await until(lambda: sum(changes) == 1, "its child has a slot")
        await going_on.close()
        await until(lambda: sum(changes) == 0, "it has none")
    assert changes == [1, -1, 1, -1]


async def test_one_slot_is_left_to_people(pool: Pool) -> None:
    await until_ready(pool)
    going_on = executor(pool, workers=8)
    for number in range(8):
        await going_on.submit(chunk("    while True: pass", number=number, wall=60.0))
    await until(lambda: pool.info().running == 2, "two children of the batch run")
    assert not pool.info().queue
    await expect_innocent(pool, Profile())
    waiting = make_job("result = 1", priority=Priority.BATCH, profile=Profile(), limits=limits())
    ending = pool.submit(waiting)
    assert any("leaves one slot to people" in entry.reason for entry in pool.info().queue)
    await asyncio.wait_for(going_on.close(), PATIENCE)
    assert (await asyncio.wait_for(ending, PATIENCE)).outcome is Outcome.OK


async def test_many_macros_take_turns_on_few_slots(pool: Pool) -> None:
    sources = [macro("    pass", f"number_{name}") for name in range(7)]
    many = [chunk(sources[number % 7], 3, number) for number in range(28)]
    done = await results(executor(pool), many)
    assert all(result.texts == texts(3) for result in done.values())


@pytest.mark.slow
async def test_a_macro_that_never_pauses_makes_room_for_another(pool: Pool) -> None:
    busy = [chunk(macro("    __import__('time').sleep(0.001)", "busy"), 5, number) for number in range(200)]
    busy.insert(9, chunk("    pass", 3, 999))
    done = await results(executor(pool, workers=2), busy)
    assert list(done).index(999) < 180
    assert not any(result.errors for result in done.values())


async def test_cancel_kills_what_runs(pool: Pool) -> None:
    await until_ready(pool)
    going_on = executor(pool)
    await going_on.submit(chunk("    while True: pass", wall=60.0))
    await until(lambda: any(slot.state is SlotState.RUNNING for slot in pool.slots()), "it runs")
    await going_on.cancel()
    await asyncio.wait_for(going_on.close(), PATIENCE)
    assert pool.info().running == 0
    assert [result async for result in going_on.as_completed()] == []


async def test_a_cancelled_run_ends_its_batch_and_says_so(pool: Pool) -> None:
    going_on = executor(pool, run_id=77_777)
    await going_on.submit(chunk("    while True: pass", wall=60.0))
    await until(lambda: pool.cancel(77_777), "there is something to cancel")
    async with asyncio.timeout(PATIENCE):
        assert [result async for result in going_on.as_completed()] == []
    assert going_on.stopped is not None
    assert going_on.stopped.type == Outcome.CANCELLED
    await going_on.close()


async def test_what_is_killed_from_outside_is_made_again(pool: Pool) -> None:
    going_on = executor(pool)
    await going_on.submit(chunk("    __import__('time').sleep(0.03)", 10))
    await until(lambda: any(slot.state is SlotState.RUNNING for slot in pool.slots()), "it runs")
    [pid] = [slot.info().pid for slot in pool.slots() if slot.state is SlotState.RUNNING]
    assert pid is not None
    await asyncio.sleep(0.05)  # perhaps into the middle of its calls; it is all one wherever it is
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    result = await asyncio.wait_for(anext(going_on.as_completed()), PATIENCE)
    assert (result.texts, result.errors) == (texts(10), {})
    await going_on.close()


async def test_a_parked_child_is_used_where_the_batch_is_short(pool: Pool) -> None:
    await until_ready(pool)
    pids = {slot.info().pid for slot in pool.slots()}
    going_on = executor(pool, wall=5.0)
    await going_on.submit(chunk("    while True: pass", wall=60.0))
    running = [slot.info().pid for slot in pool.slots() if slot.state is SlotState.RUNNING]
    assert len(running) == 1
    assert running[0] in pids
    await going_on.close()


async def test_a_child_without_work_gives_its_slot_back(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "KEPT_IDLE", 0.05)
    going_on = executor(pool)
    await going_on.submit(chunk(PLAIN))
    assert (await anext(going_on.as_completed())).texts == texts()
    await until(lambda: pool.info().running == 0, "its slot is free")
    await going_on.submit(chunk(PLAIN, 3, 1))
    assert (await anext(going_on.as_completed())).texts == texts(3)
    await going_on.close()


class Documents:
    """``HostCalls`` that answers as a collection of documents would."""

    def __init__(self, *, stays: bool = False) -> None:
        self.ends = 0
        self.asked = 0
        self._more: dict[str, bool] = {"stays": True} if stays else {}

    def call(self, payload: bytes, reply: Reply) -> None:
        asked = json.loads(payload)
        self.asked += 1
        if asked["op"] == "documents.tags":
            told = self._more | {"ok": {"z": 1, "a": asked["params"]}}
            reply(json.dumps(told, separators=(",", ":")).encode(), ())
        else:
            reply(b'{"error":{"code":"no_operation","message":"No."}}', ())

    def end(self) -> None:
        self.ends += 1


class LateAnswers:
    """``HostCalls`` whose answers come when a test says so."""

    def __init__(self) -> None:
        self.late: list[Reply] = []

    def call(self, payload: bytes, reply: Reply) -> None:
        self.late.append(reply)

    def end(self) -> None: ...


IMPATIENT = """
import gatewright, signal
class Late(Exception): pass
def give_up(*_): raise Late
signal.signal(signal.SIGALRM, give_up)
def render(params, context):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        gatewright._call("scripts.list")
    except Late:
        return "late"
"""


async def test_an_answer_that_nothing_waits_for_is_taken(pool: Pool) -> None:
    calls = LateAnswers()
    going_on = executor(pool, calls=calls)
    done = going_on.as_completed()
    for number in range(20):  # more than may be asked at once
        await going_on.submit(chunk(IMPATIENT, 1, number))
        assert (await asyncio.wait_for(anext(done), PATIENCE)).texts == ["late"]
        for reply in calls.late:  # none, if its time was over before it asked
            reply(b'{"ok":[]}', ())
        calls.late.clear()
    await going_on.close()


ASKING = """
import gatewright
def render(params, context):
    if params['i'] % 2:
        return str(gatewright._call('documents.tags', limit=params['i'] % 4))
    return 'even'
"""


@pytest.mark.parametrize("stays", [False, True])
async def test_what_a_call_reads_of_the_documents_comes_with_it(pool: Pool, stays: bool) -> None:
    calls = Documents(stays=stays)
    chunks = [chunk(ASKING, 20, number) for number in range(6)]
    done = await results(executor(pool, calls=calls), chunks)
    for result in done.values():
        assert result.texts[1] == "{'z': 1, 'a': {'limit': 1}}"
        assert sorted(result.reads) == list(range(1, 20, 2))
        [read] = result.reads[3]
        assert (read.operation, read.params) == ("documents.tags", {"limit": 3})
        assert read.sha256 == _sha256('{"a":{"limit":3},"z":1}')
    assert calls.ends == 1
    assert calls.asked == (4 if stays else 60)  # each of two questions twice; then the child has the answers


KEEPING = """
import gatewright
from concurrent.futures import ThreadPoolExecutor
told = []
def ask():
    try:
        told.append(gatewright._call('documents.tags', limit=1)['z'])
    except gatewright.Error as error:
        told.append(error.code)
def render(params, context):
    told.clear()
    mine = gatewright._call('documents.tags', limit=1)
    mine['z'] = mine['a']['limit'] = 7
    ask()
    if params['i'] == 3:
        raise ValueError
    if params['i'] == 4:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(ask).result()
    return str(told)
"""


async def test_a_kept_answer_is_fresh_for_each_call_and_for_the_thread_that_may_ask(pool: Pool) -> None:
    calls = Documents(stays=True)
    done = await results(executor(pool, calls=calls), [chunk(KEEPING, 6)])
    assert done[0].texts == ["[1]", "[1]", "[1]", None, "[1, 'unavailable']", "[1]"]
    assert calls.asked == 2
    assert sorted(done[0].reads) == list(range(6))


async def test_a_macro_asks_no_more_than_is_noted(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it makes of an answer that is not noted would stay as it is when that changes."""
    monkeypatch.setattr(local, "MAX_READS", 3)
    code = """
import gatewright
def ask(operation, **params):
    try:
        return str(gatewright._call(operation, **params)['z'])
    except gatewright.Error as error:
        return error.code
def render(params, context):
    said = [ask('documents.none', path='x' * 100_000 + str(i)) for i in range(5)]
    return ' '.join(said + [ask('documents.tags', limit=i // 2) for i in range(8)])
"""
    [result] = (await results(executor(pool, calls=Documents()), [chunk(code, 2)])).values()
    assert result.texts == [" ".join(["no_operation"] * 5 + ["1"] * 6 + ["too_many"] * 2)] * 2, result.errors
    assert [read.params for read in result.reads[1]] == [{"limit": 0}, {"limit": 1}, {"limit": 2}]
    monkeypatch.setattr(local, "MAX_CHUNK_READS_SIZE", 100)
    [result] = (await results(executor(pool, calls=Documents()), [chunk(code, 5)])).values()
    assert sum(map(len, result.reads.values())) < 5


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_compiled_code_is_used_and_that_of_another_interpreter_is_not(pool: Pool) -> None:
    other = compiled(PLAIN.replace("<", "(").replace(">", ")"), "macros/under_test.py")
    done = await results(executor(pool), [chunk(macro(PLAIN, code=other), 2)])
    assert done[0].texts == ["(0)", "(1)"]
    done = await results(executor(pool), [chunk(macro(PLAIN, code=b"?" + other), 2)])
    assert done[0].texts == ["<0>", "<1>"]


async def test_a_macro_is_compiled_ahead_where_no_script_runs(engine: Engine) -> None:
    header = '# /// script\n# [tool.gatewright]\n# kind = "macro"\n# ///\n'
    await engine.scripts.save("macros/compiled_ahead.py", SaveRequest(text=header + PLAIN), engine.owner)
    library = engine.render._library
    await library.macros()
    await engine.shared.compiled()
    found = (await library.macros()).get("compiled_ahead")
    assert found is not None
    assert found.source is not None
    assert found.source.code[: len(CODE_HEADER)] == CODE_HEADER
    done = await results(executor(engine.pool), [chunk(found.source, 2)])
    assert done[0].texts == texts(2)
    library_again = replace(found.source, text=header.encode() + b"def render(p, c): return 'changed'", code=b"")
    done = await results(executor(engine.pool), [chunk(library_again, 1)])
    assert done[0].texts == ["changed"]


async def test_no_frame_of_the_engine_s_is_below_a_macro_but_the_first(pool: Pool) -> None:
    code = """
import sys
def render(params, context):
    frame, files = sys._getframe(), []
    while frame is not None:
        files.append(frame.f_code.co_filename.rpartition("/")[2])
        frame = frame.f_back
    return " ".join(files)
"""
    done = await results(executor(pool), [chunk(code, 1)])
    assert done[0].texts == ["under_test.py __main__.py"]


async def test_the_library_renders_many(engine: Engine) -> None:
    params = [{"i": i, "x": i / 7, "s": f"ä{i}"} for i in range(3000)]
    source = "def render(params, context):\n    return f\"{params['i']} {params['x']} {params['s']} {context['a']}\""
    found = await engine.render_many(source, params, {"a": [1]})
    assert found == [f"{p['i']} {p['x']} {p['s']} [1]" for p in params]
    assert await engine.render_many(source, []) == []
    last = (await engine.runs.list(actor=engine.owner, limit=1)).runs[0]
    assert (last.kind, last.outcome, last.value) == (RunKind.RENDER, Outcome.OK, None)


async def test_the_library_names_the_call_that_failed(engine: Engine) -> None:
    source = "def render(params, context):\n    return str(1 / (700 - params['i']))"
    with pytest.raises(CallFailed, match=r"^Call 700 failed: ZeroDivisionError: .*\(line 2\)$") as failed:
        await engine.render_many(source, [{"i": i} for i in range(1000)])
    assert failed.value.index == 700
    assert "line 2, in render" in str(failed.value.traceback)
    with pytest.raises(CallFailed, match="Call 0 failed: SyntaxError"):
        await engine.render_many("def render(", [{}])
    source = "def render(params, context):\n    return 'x'"
    with pytest.raises(CallFailed, match="Call 0 failed: parameters: The parameters of a call are a dict"):
        await engine.render_many(source, [3])  # type: ignore[list-item]
    with pytest.raises(CallFailed, match=r"Call 0 failed: parameters: .* cannot be written as JSON"):
        await engine.render_many(source, [{"a": object()}])
    with pytest.raises((TypeError, KeyError)):  # not by waiting for ever
        await engine.render_many(source, {"a": 1})  # type: ignore[arg-type]
    assert (await engine.execute("result = 1")).value == 1


async def test_a_library_call_whose_run_is_cancelled_says_so(engine: Engine) -> None:
    task = asyncio.create_task(engine.render_many("def render(params, context):\n    while True: pass", [{}] * 3))
    await until(lambda: engine.pool.info().running == 1, "it runs")
    [number] = [slot.run_id for slot in engine.pool.slots() if slot.run_id is not None]
    assert (await engine.runs.cancel(number, engine.owner)).outcome is Outcome.CANCELLED
    with pytest.raises(CallFailed, match="Call 0 failed: cancelled"):
        await task


async def test_a_cancelled_library_call_leaves_nothing_running(engine: Engine) -> None:
    task = asyncio.create_task(engine.render_many("def render(params, context):\n    while True: pass", [{}] * 3))
    await until(lambda: engine.pool.info().running == 1, "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.pool.info().running == 0
    assert (await engine.execute("result = 1")).value == 1

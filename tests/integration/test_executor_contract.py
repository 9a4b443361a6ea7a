"""What executors promise of chunks, whatever the macros in them do. A further filling is added to ``FILLINGS``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from engine.models.runs import Outcome
from engine.pool.job import Profile
from engine.pool.pool import Pool
from engine.services.macros.executor import MAX_TEXT, Chunk, Executor
from engine.services.macros.local import LocalExecutor
from tests.integration.executor_kit import PLAIN, chunk, kinds, macro, results, texts
from tests.integration.pool_kit import PATIENCE, pool_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Callable[..., Executor]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(3, profile=Profile()) as opened:
        yield opened


def local(pool: Pool) -> Make:
    numbers = iter(range(1, 1_000_000))
    return lambda **options: LocalExecutor(pool, run_id=next(numbers), actor="tester", wall=20.0, **options)


FILLINGS = {"local": local}


@pytest.fixture(params=FILLINGS)
def make(request: pytest.FixtureRequest, pool: Pool) -> Make:
    return FILLINGS[request.param](pool)


async def test_texts_come_back_in_the_order_of_their_calls(make: Make) -> None:
    chunks = [chunk(PLAIN, 7 + number, number) for number in range(30)]
    done = await results(make(), chunks)
    assert {number: result.texts for number, result in done.items()} == {n: texts(7 + n) for n in range(30)}
    assert not any(result.errors for result in done.values())
    assert len({result.isolation for result in done.values()} - {""}) == 1


async def test_no_chunk_and_an_empty_one_end(make: Make) -> None:
    assert await results(make(), []) == {}
    done = await results(make(), [chunk(PLAIN, 0)])
    assert done[0].texts == []


async def test_parameters_and_context_arrive_as_they_are(make: Make) -> None:
    values = {"s": "ä\u2028\U0001f600\0]]", "i": -7, "big": 10**30, "x": 1e308, "inf": float("inf"), "none": None}
    values |= {"nested": {"a": [1, [2.5, {"b": True}]]}, "": "", "lone": "\ud800"}
    context = {"macro": "m", "preview": False, "numbers": [1, 2]}
    document = {"path": "a/ä.md", "meta": {"tags": ["x"], "n": 1}, "text": "T\n" * 1000}
    code = "import json\ndef render(params, context):\n    return json.dumps([params, context])"
    done = await results(make(), [chunk(code, params=[values], context=context, documents=[document], of=[0])])
    assert json.loads(str(done[0].texts[0])) == [values, context | {"document": document}]
    plain = [{"s": "ä", "i": 1, "x": 2.5}, {"s": "", "i": -(2**63), "x": 0.1}]
    done = await results(make(), [chunk(code, params=plain)])
    assert [json.loads(str(text)) for text in done[0].texts] == [[params, {}] for params in plain]


async def test_a_call_gets_arguments_of_its_own(make: Make) -> None:
    code = """
def render(params, context):
    seen = repr((params, context))
    params["i"] = context["new"] = 1
    context["list"].append(1)
    context["deep"]["a"][0]["b"] = 2
    context["document"]["meta"]["tags"].append("changed")
    context["document"]["text"] = ""
    return seen
"""
    context = {"list": [], "deep": {"a": [{"b": 1}]}}
    document = {"path": "p", "meta": {"tags": []}, "text": "t"}
    done = await results(make(), [chunk(code, 3, context=context, documents=[document], of=[0, 0, 0])])
    assert done[0].texts == [repr(({"i": i}, context | {"document": document})) for i in range(3)]


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("    if i == 3: return None", "ReturnValue", "returned None"),
        ("    if i == 3: return b'x'", "ReturnValue", "returned bytes"),
        ("    if i == 3: return {'data': 1}", "ReturnValue", "without a text"),
        ("    if i == 3: return '\\ud800'", "ReturnValue", "surrogate"),
        ("    if i == 3: return 'x' * 50_000_000", "ReturnValue", "50,000,000 bytes"),
        ("    if i == 3: 1 / 0", "ZeroDivisionError", "division by zero"),
        ("    if i == 3: raise SystemExit(4)", "SystemExit", "ended itself"),
        ("    if i == 3: raise StopIteration", "StopIteration", "StopIteration"),
        ("    if i == 3: raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("    if i == 3: bytearray(1 << 40)", "MemoryError", "memory"),
        ("    if i == 3: import socket", "ImportDenied", "socket"),
        ("    if i == 3:\n        f = lambda f: f(f)\n        f(f)", "RecursionError", "recursion"),
    ],
)
async def test_what_a_call_does_wrong_is_its_own_error(make: Make, body: str, kind: str, said: str) -> None:
    [result] = (await results(make(), [chunk(body)])).values()
    assert result.texts == texts(20, [3])
    assert kinds(result) == {3: kind}
    assert said in result.errors[3].message


async def test_an_exception_is_told_with_its_line_and_traceback(make: Make) -> None:
    done = await results(make(), [chunk(macro("    if i == 3: 1 / 0", "broken"))])
    assert done[0].errors[3].filename == "macros/broken.py"
    assert done[0].errors[3].line == 3
    assert done[0].tracebacks[3].splitlines()[1].endswith('"macros/broken.py", line 3, in render')


async def test_warnings_of_a_dict_are_those_of_its_call(make: Make) -> None:
    body = "    if i == 3: return {'html': '<3>', 'data': {}, 'warnings': ['one', 2]}"
    done = await results(make(), [chunk(body)])
    assert done[0].texts == texts()
    assert done[0].warnings == {3: ["one", "2"]}


async def test_a_call_without_end_is_found_and_the_batch_goes_on(make: Make) -> None:
    chunks = [chunk("    while i == 12: pass", 20, 0, wall=1.5), chunk("    pass", 20, 1)]
    done = await results(make(), chunks)
    assert done[0].texts == texts(20, range(12, 20))
    assert set(kinds(done[0]).values()) == {Outcome.TIMEOUT}
    assert "did not end" in done[0].errors[12].message
    assert all("had not begun" in done[0].errors[i].message for i in range(13, 20))
    assert done[1].texts == texts()


async def test_a_call_that_ends_its_process_costs_no_other_call(make: Make) -> None:
    code = "    if i == 12:\n        import random; random._os._exit({})"
    chunks = [chunk(code.format(3 * number), 20, number) for number in range(3)]
    done = await results(make(), chunks)
    for result in done.values():
        assert result.texts == texts(20, [12])
        assert kinds(result) == {12: Outcome.EXITED}


async def test_a_macro_that_ends_every_process_is_given_up(make: Make) -> None:
    chunks = [chunk("    import random; random._os._exit(3)", 50, number) for number in range(8)]
    done = await results(make(), chunks)
    assert all(result.texts == [None] * 50 and len(result.errors) == 50 for result in done.values())
    assert any("has ended 10 processes" in error.message for error in done[7].errors.values())


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("def render(:", "SyntaxError", ""),
        ("import socket\n" + PLAIN, "ImportDenied", "socket"),
        ("1 / 0\n" + PLAIN, "ZeroDivisionError", ""),
        ("text = 1", "EntrypointError", "needs def render(params, context)"),
        ("import random; random._os._exit(3)", Outcome.EXITED, ""),
        ("raise SystemExit(0)", "", ""),
        ("x = 'ä'.encode('latin-1')\nwhile True: pass", Outcome.TIMEOUT, "outside of its function"),
    ],
)
async def test_a_macro_that_cannot_begin_is_told_for_every_call(make: Make, code: str, kind: str, said: str) -> None:
    done = await results(make(), [chunk(code, 5, number, wall=0.5 if "while" in code else 20.0) for number in range(6)])
    for result in done.values():
        assert result.texts == [None] * 5
        assert len(result.errors) == 5
        assert all(error.type == kind or not kind for error in result.errors.values()), result.errors
        assert all(said in error.message for error in result.errors.values())


async def test_what_is_printed_is_of_its_chunk_and_no_flood(make: Make) -> None:
    done = await results(make(), [chunk(f"    print('{number}', i)", 3, number) for number in range(3)])
    assert [done[number].output for number in range(3)] == [f"{n} 0\n{n} 1\n{n} 2\n" for n in range(3)]
    done = await results(make(), [chunk("    print('x' * 200_000)", 20)])
    assert done[0].texts == texts()
    assert 1_000 < len(done[0].output) < 100_000
    assert "more characters" in done[0].output


async def test_a_patched_module_reaches_no_other_macro_and_not_the_next_batch(make: Make) -> None:
    patching = "import json, html\njson.dumps = html.escape = lambda *_: 'patched'\n" + PLAIN
    reading = "import json, html\ndef render(params, context): return json.dumps(html.escape('<'))"
    for _ in range(2):
        chunks = [chunk(macro(patching, "a"), 3, 0), chunk(macro(reading, "b"), 3, 1)]
        done = await results(make(), chunks)
        assert done[0].texts == texts(3)
        assert done[1].texts == ['"&lt;"'] * 3


async def test_large_texts_come_whole(make: Make) -> None:
    code = "def render(params, context): return chr(97 + params['i'] % 26) * (300_000 + params['i'])"
    done = await results(make(), [chunk(code, 100)])
    assert done[0].texts == [chr(97 + i % 26) * (300_000 + i) for i in range(100)]
    done = await results(make(), [chunk(f"def render(params, context): return 'x' * {MAX_TEXT}", 2)])
    assert [len(text or "") for text in done[0].texts] == [MAX_TEXT] * 2


async def test_workers_share_the_chunks_of_a_macro(make: Make) -> None:
    code = """
import random, time
ME = random.SystemRandom().random()
def render(params, context):
    time.sleep(0.01)
    return str(ME)
"""
    done = await results(make(workers=2), [chunk(code, 5, number) for number in range(12)])
    assert len({text for result in done.values() for text in result.texts}) == 2


async def test_cancel_stops_at_once(make: Make) -> None:
    executor = make()
    await executor.submit(chunk("    while True: pass", wall=60.0))
    taking = asyncio.ensure_future(anext(executor.as_completed(), None))
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await executor.cancel()
    assert await asyncio.wait_for(taking, PATIENCE) is None
    await asyncio.wait_for(executor.close(), PATIENCE)
    assert asyncio.get_running_loop().time() - began < PATIENCE
    await executor.close()
    await executor.submit(chunk(PLAIN))  # nothing takes it


async def test_what_cannot_be_sent_is_an_error_of_its_chunk(make: Make) -> None:
    strange: list[dict[str, Any]] = [{"i": object()}]
    unfitting = Chunk(1, macro(PLAIN), [{"i": 0}], documents=[{"path": "p", "meta": {}, "text": ""}], of=[1])
    done = await results(make(), [chunk(PLAIN, params=strange), unfitting, chunk(PLAIN, 3, 2)])
    assert kinds(done[0]) == kinds(done[1]) == {0: "parameters"}
    assert done[2].texts == texts(3)

"""Output over its limit: the run goes on, whoever reads along gets it, and the record has its beginning and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import Engine
from engine.config import LimitsSection, Settings
from engine.models.runs import Outcome, OutputChunk, RunInfo, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.services.runs import active
from store.state.rows import OutputRow

LIMIT = 32 << 10
LINES = 20_000
CODE = f"for n in range({LINES}): print('E [Tags] line', n)\nresult = n + 1"
WRITTEN = "".join(f"E [Tags] line {n}\n" for n in range(LINES))
SETTINGS = Settings(limits=LimitsSection(output=LIMIT))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", settings=SETTINGS) as opened:
        yield opened


def text_of(chunks: list[OutputChunk] | list[OutputRow]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def launched(engine: Engine, code: str) -> int:
    request = RunRequest(kind=RunKind.EXEC, code=code)
    return (await engine.runs.start(request, engine.owner, "library")).id


async def followed(engine: Engine, run_id: int, *, kept: bool = False) -> tuple[str, RunInfo]:
    text, info = "", None
    async for item in engine.runs.follow(run_id, engine.owner, kept=kept):
        if isinstance(item, RunInfo):
            info = item
        else:
            text += text_of(item)
    assert info is not None
    return text, info


async def recorded(engine: Engine, run_id: int) -> str:
    return text_of(await engine.state.output(run_id, 0, 1_000_000))


async def test_the_run_goes_on_and_one_line_says_what_is_missing(engine: Engine) -> None:
    run = await engine.execute(CODE)
    assert (run.outcome, run.value) == (Outcome.OK, LINES)
    said = next(line for line in run.stdout.splitlines() if line.startswith("["))
    head, tail = run.stdout.split(said + "\n")
    assert WRITTEN.startswith(head)
    assert WRITTEN.endswith(tail)
    assert LIMIT // 2 - 100 < len(head) <= LIMIT // 2
    assert LIMIT // 2 - 100 < len(tail) <= LIMIT // 2 + 100
    gone = WRITTEN[len(head) : -len(tail)]
    assert f"({gone.count(chr(10)):,} lines) of output are missing here: it was longer than its limit, 32 KiB" in said
    assert run.note is not None
    assert f"({gone.count(chr(10)):,} lines) from the middle of the output are not kept" in run.note


async def test_readers_along_get_all_and_the_record_is_what_later_ones_get(engine: Engine) -> None:
    run_id = await launched(engine, CODE)
    (seen, info), (kept, _) = await asyncio.gather(followed(engine, run_id), followed(engine, run_id, kept=True))
    assert seen == WRITTEN
    assert (info.outcome, info.output_complete) == (Outcome.OK, False)
    page = await engine.runs.output(run_id, engine.owner, limit=10_000)
    assert kept == text_of(page.chunks)
    await engine.runs.recorder.flush()
    assert await recorded(engine, run_id) == kept
    assert (await followed(engine, run_id))[0] == kept
    assert await engine.state.output_bytes() == len(kept)


async def test_a_script_that_asks_for_it_is_stopped(engine: Engine) -> None:
    header = "# /// script\n# [tool.gatewright.limits]\n# output_stop = true\n# ///\n"
    await engine.scripts.save("chatty.py", SaveRequest(text=header + CODE), engine.owner)
    run = await engine.call_script("chatty.py")
    assert run.outcome is Outcome.OUTPUT_LIMIT
    assert run.error is not None
    assert "limits.output_stop" in run.error.message
    assert run.stdout.endswith("\n[output limit of 32 KiB reached; the script was stopped]\n")
    assert WRITTEN.startswith(run.stdout[:LIMIT])


async def test_what_may_go_again_is_on_record_while_the_run_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a killed engine does not take the last half of the output along."""
    monkeypatch.setattr(active, "RING_RECORDED_EVERY", 0.05)
    run_id = await launched(engine, f"{CODE}\nprint('waiting')\nwhile True: pass")
    async with asyncio.timeout(20):
        while not (text := await recorded(engine, run_id)).endswith("waiting\n"):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
    assert text.count(" missing here: ") == 1
    assert len(text) < LIMIT + active.SEAL_BYTES + 200
    await engine.runs.cancel(run_id, engine.owner)
    await engine.runs.recorder.flush()
    kept = await recorded(engine, run_id)
    assert kept.endswith("waiting\n")
    assert kept.count(" missing here: ") == 1
    assert await engine.state.output_bytes() == len(kept) <= LIMIT + 200


async def test_a_line_that_is_written_again_and_again_is_kept_once(engine: Engine) -> None:
    code = "import time\nfor n in range(20_000): print(f'{n:6}', end='\\r')\nprint()\nresult = n"
    run = await engine.execute(code.replace("import time\n", ""))
    assert (run.value, run.stdout.lstrip("\r"), run.note) == (19_999, " 19999\r\n", None)

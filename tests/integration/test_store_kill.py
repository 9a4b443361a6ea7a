"""``kill -9`` while saving and recording: what was acknowledged is there, what was not is whole or absent."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from daemon_support import line_of

from store import disk
from store.files.scripts import ScriptFiles
from store.state.database import StateDB

KILLS = 30

SAVER = """
    import hashlib, os, sys
    from pathlib import Path
    from store.files.scripts import ScriptFiles

    root = Path(sys.argv[1])
    number = int(sys.argv[2])
    files = ScriptFiles(root / "scripts", root / "history")
    files.recover()
    base = hashlib.sha256(files.read("x.py")).hexdigest()
    while True:
        number += 1
        data = (f"{number}\\n" * (1 + number * 7919 % 9000)).encode()
        base = files.save("x.py", data, base)
        os.write(1, f"{number}\\n".encode())
"""

RECORDER = """
    import asyncio, os, sys
    from pathlib import Path
    from store.state.rows import OutputRow, RunRow
    from store.state.database import StateDB

    async def main():
        state = await StateDB.open(Path(sys.argv[1]))
        while True:
            run_id = await state.next_run_id()
            run = RunRow(id=run_id, kind="exec", name="x", state="running", mode="RESTRICTED", actor="a", source="cli",
                         queued_at=1.0, timeout=30.0, code_sha256="0")
            output = [OutputRow(run_id, seq, "stdout", "x" * 500, 1.0) for seq in range(run_id % 40)]
            await state.apply([run], output, [])
            os.write(1, f"{run_id}\\n".encode())

    asyncio.run(main())
"""


def run_until_killed(source: str, *args: str, acknowledgements: int, delay: float) -> list[int]:
    """Start a program, let it acknowledge a few, wait a moment longer, kill it; returns the numbers it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *args],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        try:
            lines = [line_of(process) for _ in range(acknowledgements)]
            time.sleep(delay)  # where in its loop it dies is left to chance
        finally:
            process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [int(line) for line in lines if line.endswith(b"\n")]


def test_no_acknowledged_save_is_lost_or_torn(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "history").mkdir()
    files = ScriptFiles(tmp_path / "scripts", tmp_path / "history")
    files.save("x.py", b"0\n", None)
    chance = random.Random(2)
    number = acknowledged = leftovers = 0
    for _ in range(KILLS):
        answers = run_until_killed(
            SAVER, str(tmp_path), str(number), acknowledgements=chance.randrange(1, 8), delay=chance.random() * 0.004
        )
        acknowledged += len(answers)
        leftovers += sum(disk.TEMP_NAME.fullmatch(name) is not None for name in os.listdir(tmp_path / "scripts"))
        files.recover()
        content = files.read("x.py").decode().split("\n")
        number = int(content[0])
        assert number in (answers[-1], answers[-1] + 1), "the last acknowledged save, or the one being made"
        assert content == [str(number)] * (1 + number * 7919 % 9000) + [""], "torn"
        kept = {path.name: path.read_bytes() for path in (tmp_path / "history").iterdir()}
        assert all(hashlib.sha256(data).hexdigest() == name for name, data in kept.items())
        for before in range(answers[0], number):
            version = (f"{before}\n" * (1 + before * 7919 % 9000)).encode()
            assert hashlib.sha256(version).hexdigest() in kept, "a replaced version is not in the history"
        assert os.listdir(tmp_path / "scripts") == ["x.py"], "a stray file"
    print(f"{KILLS} kills, {acknowledged} acknowledged saves, {leftovers} leftovers cleared")
    assert acknowledged >= KILLS


@pytest.mark.slow
async def test_no_acknowledged_record_is_lost(tmp_path: Path) -> None:
    chance = random.Random(3)
    acknowledged: list[int] = []
    for _ in range(8):
        acknowledged += run_until_killed(
            RECORDER,
            str(tmp_path / "state.db"),
            acknowledgements=chance.randrange(1, 30),
            delay=chance.random() * 0.004,
        )
    state = await StateDB.open(tmp_path / "state.db")
    try:
        assert state.problems == []
        assert len(set(acknowledged)) == len(acknowledged), "an id was given out twice"
        # Each kill may take one that was handed out and not acknowledged; the next engine goes on from there.
        assert max(acknowledged) <= len(acknowledged) + 8
        for run_id in acknowledged:
            assert await state.run(run_id) is not None
            assert len(await state.output(run_id)) == run_id % 40
        stored = await state.runs(limit=100_000)
        assert len(stored) <= len(acknowledged) + 8, "at most one per kill was recorded but not acknowledged"
        assert await state.output_bytes() == sum(run.id % 40 * 500 for run in stored)
        assert await state.interrupt_unfinished(9.0) == len(stored)
    finally:
        await state.close()
    print(f"8 kills, {len(acknowledged)} acknowledged records")

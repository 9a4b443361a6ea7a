"""A run's standard input: what it was handed, else an error that says how to hand it over, never an empty one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from daemon_support import write_settings

from engine import Engine
from engine.models.runs import Mode, Outcome, ReplayRequest, RunInfo, RunKind, RunRequest, RunState
from engine.registry.runs import RunListParams
from engine.services.access import ServiceError

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = """[policy]
modules = ["os", "sys", "csv", "fileinput", "io", "subprocess"]
admin_as_root = true
"""

COUNTS = "from dataclasses import sys\nresult = sum(1 for _ in sys.stdin)"

READERS = {
    "lines": COUNTS,
    "read": "import sys\nresult = sys.stdin.read()",
    "readline": "import sys\nresult = sys.stdin.readline()",
    "readlines": "import sys\nresult = sys.stdin.readlines()",
    "bytes": "import sys\nresult = len(sys.stdin.buffer.read())",
    "lines of bytes": "import sys\nresult = sum(1 for _ in sys.stdin.buffer)",
    "into": "import sys\nresult = sys.stdin.buffer.readinto(bytearray(5))",
    "wrapped": "import io, sys\nresult = io.TextIOWrapper(sys.stdin.buffer).read()",
    "original": "import sys\nresult = sys.__stdin__.read()",
    "input": "result = 0\ntry:\n    while True:\n        input()\n        result += 1\nexcept EOFError:\n    pass",
    "fileinput": "import fileinput\nresult = sum(1 for _ in fileinput.input())",
    "csv": "import csv, sys\nresult = list(csv.reader(sys.stdin))",
    "descriptor": "import os\nresult = len(os.read(0, 9))",
    "opened": "result = sum(1 for _ in open(0))",
    "opened as bytes": "result = len(open(0, 'rb').read())",
    "copied": "import os\nresult = len(os.read(os.dup(0), 9))",
    "by name": "result = open('/dev/stdin').read()",
    "by another name": "import os\nresult = len(os.read(os.open('/dev/fd/0', os.O_RDONLY), 9))",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    root: Path = tmp_path_factory.mktemp("stdin") / "plant"
    root.mkdir()
    write_settings(root, SETTINGS)
    async with Engine.open(root, pool_size=1) as opened:
        yield opened


async def run(engine: Engine, code: str, **fields: Any) -> RunInfo:
    request = RunRequest(kind=RunKind.EXEC, code=code, **fields)
    return await (await engine.runs.launch(request, engine.owner, "library")).ended()


def upload(engine: Engine, data: bytes) -> str:
    writer = engine.buffers.create("stdin", engine.owner)
    writer.write(data)
    return writer.finish().id


@pytest.mark.parametrize("mode", Mode)
async def test_no_way_to_read_takes_none_for_an_empty_one(engine: Engine, mode: Mode) -> None:
    for how, code in READERS.items():
        done = await run(engine, code, mode=mode)
        assert done.outcome is Outcome.SCRIPT_ERROR, how
        assert not done.has_value, how
        assert done.error is not None
        for told in (done.error.hint, done.traceback):
            assert "--stdin" in (told or ""), how
            assert "--file NAME=-" in (told or ""), how


async def test_a_script_that_goes_on_without_is_told_of(engine: Engine) -> None:
    done = await run(engine, "import sys\ntry:\n    sys.stdin.read()\nexcept Exception:\n    result = 0")
    assert (done.outcome, done.value) == (Outcome.OK, 0)
    assert done.note is not None
    assert "--stdin" in done.note
    assert (await run(engine, "result = 1")).note is None


@pytest.mark.parametrize("mode", Mode)
async def test_every_way_to_read_gets_what_was_handed_over(engine: Engine, mode: Mode) -> None:
    known = {
        "lines": 2, "read": "a,b\n\udcffc", "readline": "a,b\n", "readlines": ["a,b\n", "\udcffc"], "bytes": 6,
        "lines of bytes": 2, "into": 5, "original": "a,b\n\udcffc", "input": 2, "fileinput": 2, "descriptor": 6,
        "opened as bytes": 6, "copied": 6,
    }  # fmt: skip
    if mode is Mode.ADMIN:
        known["by another name"] = 6
    stdin = upload(engine, b"a,b\n\xffc")
    for how, wanted in known.items():
        code = f"{READERS[how]}\nresult = ascii(result)"
        done = await run(engine, code, mode=mode, stdin=stdin)
        assert (done.outcome, done.value) == (Outcome.OK, ascii(wanted)), (how, done.traceback)


async def test_runs_that_share_one_begin_each_at_its_beginning(engine: Engine) -> None:
    stdin = upload(engine, b"x" * 100_000)
    for _ in range(3):
        done = await run(engine, "import os\nresult = [len(os.read(0, 70_000)), os.lseek(0, 0, 1)]", stdin=stdin)
        assert done.value == [70_000, 70_000]


async def test_it_cannot_be_changed_and_is_beside_file_parameters(engine: Engine) -> None:
    code = """import os, sys
try:
    os.write(0, b"x")
except OSError as error:
    result = [type(error).__name__, params["log"].text(), sys.stdin.read()]
"""
    stdin, log = upload(engine, b"own"), upload(engine, b"log")
    done = await run(engine, code, stdin=stdin, files={"log": log})
    assert done.value == ["OSError", "log", "own"]


async def test_what_an_admin_script_starts_reads_it(engine: Engine) -> None:
    code = "import subprocess\nresult = subprocess.run(['wc', '-c'], capture_output=True, text=True).stdout.strip()"
    done = await run(engine, code, mode=Mode.ADMIN, stdin=upload(engine, b"12345"))
    assert done.value == "5"


async def test_what_an_admin_script_starts_neither_waits_nor_ends_for_want_of_one(engine: Engine) -> None:
    code = """import subprocess
done = subprocess.run(["sh", "-c", "cat; echo still here"], capture_output=True, text=True)
result = [done.stdout, "Bad file descriptor" in done.stderr]
"""
    done = await run(engine, code, mode=Mode.ADMIN)
    assert done.value == ["still here\n", True]


async def test_it_is_on_record_and_repeated(engine: Engine) -> None:
    first = await run(engine, COUNTS, stdin=upload(engine, b"1\n2\n3\n"))
    assert first.value == 3
    kept = await engine.run_history.inputs(first.id, engine.owner)
    assert kept.stdin is not None
    assert (kept.stdin.name, kept.stdin.size, kept.problem) == ("stdin", 6, None)
    active = await engine.run_history.launch(first.id, ReplayRequest(), engine.owner, "library")
    again = await active.ended()
    assert (again.value, again.inputs_sha256) == (3, first.inputs_sha256)
    other = ReplayRequest(stdin=upload(engine, b"1\n"))
    with pytest.raises(ServiceError, match="content differs"):
        await engine.run_history.launch(first.id, other, engine.owner, "library")
    engine.buffers.close()  # as ten minutes later
    with pytest.raises(ServiceError, match="standard input of run") as refused:
        await engine.run_history.launch(first.id, ReplayRequest(), engine.owner, "library")
    assert "--stdin" in (refused.value.hint or "")
    plain = await run(engine, "result = 1")
    request = ReplayRequest(stdin=upload(engine, b"1\n"))
    with pytest.raises(ServiceError, match="no standard input"):
        await engine.run_history.launch(plain.id, request, engine.owner, "library")


async def test_no_descriptor_of_it_stays_open(engine: Engine) -> None:
    stdin = upload(engine, b"1\n")
    await run(engine, COUNTS, stdin=stdin)

    def buffers() -> int:
        links = (os.path.join("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd"))
        return sum("gatewright-buffer" in os.readlink(link) for link in links if os.path.islink(link))

    before = buffers()
    await asyncio.gather(*(run(engine, COUNTS, stdin=stdin) for _ in range(5)))
    assert buffers() == before


async def test_what_a_run_does_to_its_file_reaches_no_other_one(engine: Engine) -> None:
    stdin = upload(engine, b"abc")
    look = (
        "import os\nfound = os.fstat(0)\nresult = [os.read(0, 9).decode(), found.st_mode & 0o777, found.st_mtime > 9]"
    )
    change = "import os\nos.fchmod(0, 0)\nos.utime(0, (1, 1))\nresult = os.fstat(0).st_mode & 0o777"
    for mode in Mode:
        assert (await run(engine, change, mode=mode, stdin=stdin)).value == 0
        seen = await run(engine, look, mode=mode, stdin=stdin)
        assert seen.value == ["abc", 0o777, True]


async def test_an_admin_run_that_cannot_start_has_its_end_on_record(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason is, and its buffers are given back."""
    stdin = upload(engine, b"abc")

    def fails(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(engine.runs._pool, "submit", fails)
        with pytest.raises(OSError, match="Too many"):
            await run(engine, "result = 1", mode=Mode.ADMIN, stdin=stdin)
    await engine.runs.recorder.flush()
    newest, *_ = (await engine.runs.find(RunListParams(), engine.owner)).runs
    assert (newest.mode, newest.state, newest.outcome) == (Mode.ADMIN, RunState.FINISHED, Outcome.CANCELLED)
    assert "could not be started" in str(newest.error)
    entries = (await engine.audit.list(engine.owner)).records
    ours = [entry.action for entry in entries if entry.subject.startswith(f"#{newest.id} ")]
    assert sorted(ours) == ["admin_end", "admin_run"]
    assert engine.runs.unfinished == 0
    assert (await run(engine, "import sys\nresult = sys.stdin.read()", stdin=stdin)).value == "abc"

"""Named memory of runs, both ways: over the library and the wire, and whatever a hostile script does with it."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from served_engine import ServedEngine, served_engine, until

from engine import Engine
from engine.client.answers import EngineError
from engine.config import PolicySection, Settings
from engine.models.runs import Outcome, ReplayRequest, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.registry.runs import RUNS_BUFFER, RUNS_GET, RunBufferParams, RunParams
from engine.services.access import ServiceError
from engine.services.runs.outputs import RunOutputs
from engine.worker.buffers import MOST_MADE
from engine.worker.descendants import is_alive

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOUBLE = """
import gatewright
data = gatewright.buffers["data"]
out = gatewright.buffers.create("out", 2 * len(data))
out[:len(data)] = data
out[len(data):] = data
"""

BIG = 17 << 20
"""Bytes that the record keeps of no run: ``limits.files`` are 16 MiB."""

RAW = """
import gatewright, json, os
def make(name, size):
    return gatewright._call_with_buffers("buffers.make", None, {"name": name, "size": size})
def refusal(name, size):
    try:
        make(name, size)
    except gatewright.Error as error:
        return error.code
"""
"""What a script can do that passes over the module's own checks."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedEngine]:
    settings = Settings(policy=PolicySection(preset="practical", admin_as_root=True))
    async with served_engine(tmp_path_factory.mktemp("buffers") / "plant", settings) as served:
        yield served


@pytest.fixture
def engine(host: ServedEngine) -> Engine:
    return host.engine


def held(engine: Engine) -> tuple[int, int]:
    """Files and bytes of buffers that the engine holds."""
    return engine.buffers._all.files, engine.buffers._all.size


def make_room(engine: Engine) -> None:
    """Drop the uploads that runs have used, as ten minutes later."""
    while engine.buffers._make_room(engine.owner.identity):
        pass


async def test_bytes_go_in_and_come_out_and_nothing_is_held_after_that(engine: Engine) -> None:
    run = await engine.execute(DOUBLE, buffers={"data": b"abc"})
    assert (run.outcome, run.buffers) == (Outcome.OK, {"out": b"abcabc"}), run
    assert run.buffers["out"].readonly
    assert run.isolation != "none"
    assert held(engine) == (0, 0)


async def test_anything_with_bytes_in_one_piece_is_taken(engine: Engine) -> None:
    code = "import gatewright\nresult = [bytes(gatewright.buffers[name]).hex() for name in gatewright.buffers]"
    numbers = array.array("H", [1, 2])
    run = await engine.execute(code, buffers={"a": numbers, "b": bytearray(b"x"), "empty": b"", "c": memoryview(b"yz")})
    assert run.value == ["01000200", "78", "", "797a"]
    for wrong, sentence in ((3, "int, which has no bytes"), (memoryview(b"abcd")[::2], "in one piece")):
        with pytest.raises(TypeError, match=sentence):
            await engine.execute(code, buffers={"a": b"", "b": wrong})  # type: ignore[dict-item]
    with pytest.raises(ServiceError, match="no plain name"):
        await engine.execute(code, buffers={"a/b": b"x"})
    with pytest.raises(ServiceError, match="64 files and buffers"):
        await engine.execute(code, buffers={str(number): b"x" for number in range(65)})
    assert held(engine) == (0, 0)


async def test_inputs_cannot_be_written_to(engine: Engine) -> None:
    code = """
import gatewright, mmap
data = gatewright.buffers["data"]
try:
    data[0] = 1
except TypeError as error:
    print(error)
result = [data.readonly, gatewright.buffers["data"] is data, "data" in gatewright.buffers, len(gatewright.buffers)]
try:
    gatewright.buffers["date"]
except KeyError as error:
    print(error)
try:
    gatewright.buffers.create("data", 1)
except ValueError as error:
    print(error)
"""
    run = await engine.execute(code, buffers={"data": b"abc"})
    assert run.value == [True, True, True, 1], run
    assert "read-only" in run.stdout
    assert "there is 'data'" in run.stdout
    assert "there is a buffer 'data' already" in run.stdout


async def test_files_handed_in_are_there_by_their_names(engine: Engine) -> None:
    writer = engine.buffers.create("wrapper.log", engine.owner)
    writer.write(b"one\ntwo\n")
    code = (
        "import gatewright\nlog = gatewright.files['log']\n"
        "result = [list(gatewright.files), log.name, log.splitlines(), log is gatewright.params['log']]"
    )
    request = RunRequest(kind=RunKind.EXEC, code=code, files={"log": writer.finish().id})
    run = await engine.run(request, buffers={"data": b"x"})
    assert run.value == [["log"], "wrapper.log", ["one", "two"], True], run
    make_room(engine)


@pytest.mark.slow
async def test_buffers_lie_beside_the_memory_that_a_run_is_given(engine: Engine) -> None:
    """What a run is handed does not take of it; what it makes does."""
    await engine.scripts.save(
        "little.py",
        SaveRequest(
            text='# /// script\n# [tool.gatewright.limits]\n# memory = "64 MiB"\n# ///\n'
            "import gatewright\nown = bytearray(32 << 20)\nresult = len(gatewright.buffers['data'])\n"
            "gatewright.buffers.create('out', 200 << 20)\n",
        ),
        engine.owner,
    )
    run = await engine.call_script("little", buffers={"data": bytes(100 << 20)})
    assert run.outcome is Outcome.SCRIPT_ERROR
    assert run.error is not None
    assert "would have 200 MiB, and the run may make 64 MiB more" in run.error.message, run
    assert "limits.memory in the script's header asks for more" in run.error.message


async def test_a_run_that_does_not_end_well_leaves_none(engine: Engine) -> None:
    made = "import gatewright\ngatewright.buffers.create('out', 3)[:] = b'abc'\n"
    for ending, outcome in (("1 / 0", Outcome.SCRIPT_ERROR), ("while True: pass", Outcome.TIMEOUT)):
        run = await engine.execute(made + ending, timeout=0.3)
        assert (run.outcome, run.buffers) == (outcome, {})
    run = await engine.execute(made + "import os\nos._exit(3)")
    assert (run.outcome, run.buffers) == (Outcome.EXITED, {}), run
    assert held(engine) == (0, 0)
    assert (await engine.execute("result = 1")).value == 1


async def test_a_script_that_goes_on_writing_changes_nothing_that_is_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is gone before anything is read, so that no copy is needed."""
    monkeypatch.setattr(RunOutputs, "_copy", None)
    found: dict[str, Any] = {}
    seal, take = RunOutputs.seal, RunOutputs.take

    def sealed(self: RunOutputs) -> bool:
        found["pid"] = next(slot.pid for slot in engine.pool.info().slots if slot.run_id is not None)
        found["sealed"] = seal(self)
        return bool(found["sealed"])

    def taken(self: RunOutputs, *hide: Any) -> Any:
        found["alive"] = is_alive(found["pid"])
        return take(self, *hide)

    monkeypatch.setattr(RunOutputs, "seal", sealed)
    monkeypatch.setattr(RunOutputs, "take", taken)
    code = """
import _thread, gatewright, time
out = gatewright.buffers.create("out", 1 << 20)
def write(out):
    n = 0
    while True:
        n = (n + 1) % 256
        out[:] = bytes([n]) * len(out)
_thread.start_new_thread(write, (out,))
while not out[-1]:
    time.sleep(0.001)
result = True
"""
    run = await engine.execute(code)
    assert run.value is True, run
    assert (found["sealed"], found["alive"]) == (False, False)
    first = bytes(run.buffers["out"])
    await engine.execute("result = sum(range(1_000_000))")
    assert run.buffers["out"] == first
    mapping = run.buffers["out"].obj
    with pytest.raises(TypeError):
        mapping[0] = 1  # type: ignore[index]


async def test_what_a_script_has_let_go_of_is_sealed_with_its_result(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of its process is not waited for then: that takes as long as it has memory to give back."""
    sealed = []
    seal = RunOutputs.seal

    def looked_at(self: RunOutputs) -> bool:
        sealed.append(seal(self))
        return sealed[-1]

    monkeypatch.setattr(RunOutputs, "seal", looked_at)
    kept = "import gatewright\nout = gatewright.buffers.create('out', 4)\nview = out[1:]\nresult = 1"
    assert (await engine.execute(kept)).buffers == {"out": b"\0" * 4}
    assert (await engine.execute(f"{kept}\nimport builtins\nbuiltins.iter.__self__.view = view")).buffers == {
        "out": b"\0" * 4
    }
    assert sealed == [True, False]


async def test_the_engine_reads_what_is_sealed_against_writing(engine: Engine) -> None:
    run = await engine.runs.launch(
        RunRequest(kind=RunKind.EXEC, code="import gatewright\ngatewright.buffers.create('out', 4)[:] = b'abcd'"),
        engine.owner,
        "library",
    )
    info = await run.ended()
    assert [(buffer.name, buffer.size) for buffer in info.buffers] == [("out", 4)]
    [left] = engine.runs.left._left[info.id].values()
    assert fcntl.fcntl(left.fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    assert left.holders == 0
    engine.runs.left.take(info.id)


async def test_a_process_that_an_admin_run_leaves_changes_nothing_that_is_read(engine: Engine) -> None:
    code = """# /// script
# [tool.gatewright]
# leave_processes = true
# ///
import os, time, gatewright
out = gatewright.buffers.create("out", 1 << 20)
result = os.fork()
if not result:
    os.setsid()
    until = time.monotonic() + 60
    n = 0
    while time.monotonic() < until:
        n = (n + 1) % 256
        out[:] = bytes([n]) * len(out)
    os._exit(0)
while not out[-1]:
    time.sleep(0.001)
"""
    await engine.scripts.save("leaves.py", SaveRequest(text=code), engine.owner)
    run = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="leaves.py", mode="ADMIN"))
    try:
        first = bytes(run.buffers["out"])
        await engine.execute("result = sum(range(1_000_000))")
        assert is_alive(run.value), run
        assert run.buffers["out"] == first
        assert any(first)
    finally:
        os.kill(run.value, signal.SIGKILL)


async def test_a_run_without_the_memory_or_the_descriptors_for_a_buffer(engine: Engine) -> None:
    run = await engine.execute(
        "import gatewright\nfull = bytearray(300 << 20)\ngatewright.buffers.create('out', 250 << 20)"
    )
    assert run.outcome is Outcome.MEMORY, run
    assert "limits.memory" in (run.note or "")
    run = await engine.execute(
        "import gatewright\nkept = []\ntry:\n    while True: kept.append(open('/dev/null'))\nexcept OSError: pass\n"
        "kept.pop().close()\ngatewright.buffers.create('out', 1)"  # one is needed to ask for it
    )
    assert run.error is not None
    assert "too many open files to make a buffer" in run.error.message, run
    assert held(engine) == (0, 0)


async def test_a_replay_needs_the_same_buffer_again(engine: Engine) -> None:
    def uploaded(data: bytes) -> str:
        writer = engine.buffers.create("data.bin", engine.owner)
        writer.write(data)
        return writer.finish().id

    async def replayed(**buffers: str) -> memoryview:
        run = await engine.run_history.launch(run_id, ReplayRequest(buffers=buffers), engine.owner, "library")
        return engine.runs.left.take((await run.ended()).id)["out"]

    first = uploaded(b"abc")
    run_id = (await engine.run(RunRequest(kind=RunKind.EXEC, code=DOUBLE, buffers={"data": first}))).id
    inputs = await engine.run_history.inputs(run_id, engine.owner)
    assert [(buffer.parameter, buffer.name, buffer.size) for buffer in inputs.buffers] == [("data", "data.bin", 3)]
    assert await replayed() == b"abcabc"
    engine.buffers.forget(first, engine.owner)
    with pytest.raises(ServiceError, match="buffer 'data' of run") as refusal:
        await replayed()
    assert refusal.value.hint == "Hand it over again: --buffer data=PATH."
    with pytest.raises(ServiceError, match="is not the one that run"):
        await replayed(data=uploaded(b"abd"))
    assert await replayed(data=uploaded(b"abc")) == b"abcabc"
    engine.buffers.close()


async def test_more_buffers_than_a_run_may_make(engine: Engine) -> None:
    code = RAW + "result = [refusal(str(number), 1) for number in range(1000)]"
    run = await engine.execute(code, timeout=60)
    assert run.value == [None] * MOST_MADE + ["busy"] * (1000 - MOST_MADE), run
    assert len(run.buffers) == MOST_MADE
    assert held(engine) == (0, 0)
    assert (await engine.execute("result = 1")).value == 1


async def test_what_is_no_buffer_is_refused(engine: Engine) -> None:
    wrong = [
        ["a", 1],
        ["a", 1],
        ["a/b", 1],
        ["", 1],
        [7, 1],
        ["b", -1],
        ["b", 1.5],
        ["b", True],
        ["b", 1 << 70],
        ["b", []],
    ]
    run = await engine.execute(RAW + f"result = [refusal(*each) for each in {wrong}]\nprint(refusal(['x'], None))")
    assert run.value == [
        None,
        "buffer_exists",
        *["bad_request"] * 6,
        "buffer_too_large",
        "bad_request",
    ], run
    assert run.stdout == "bad_request\n"
    assert list(run.buffers) == ["a"]


async def test_a_descriptor_gives_a_script_no_more_than_the_buffer(engine: Engine) -> None:
    code = (
        RAW
        + """
_, [fd] = make("out", 4)
result = []
for attempt in (
    lambda: os.ftruncate(fd, 2),
    lambda: os.ftruncate(fd, 1 << 30),
    lambda: os.pwrite(fd, b"x", 4),
    lambda: os.posix_fallocate(fd, 0, 1 << 20),
):
    try:
        attempt()
        result.append(None)
    except OSError as error:
        result.append(error.errno)
os.pwrite(fd, b"abcd", 0)
os.chmod(fd, 0)
"""
    )
    run = await engine.execute(code)
    assert None not in run.value, run
    assert run.buffers == {"out": b"abcd"}


async def test_a_macro_makes_none(engine: Engine) -> None:
    await engine.scripts.save(
        "badge_of_ours.py",
        SaveRequest(
            text='# /// script\n# [tool.gatewright]\n# kind = "macro"\n# ///\n'
            "import gatewright\ngatewright.buffers.create('out', 1)\n",
        ),
        engine.owner,
    )
    run = await engine.call_script("badge_of_ours")
    assert run.error is not None
    assert "of kind macro" in run.error.message, run
    assert held(engine) == (0, 0)


async def test_over_the_wire(host: ServedEngine) -> None:
    """Uploaded, run, and read by whoever may see the run, as long as the engine holds it."""
    engine = host.engine
    data = bytes(range(256)) * (BIG // 512)
    async with host.client() as client:
        uploaded = await client.upload("data.bin", [data[: len(data) // 2], data[len(data) // 2 :]])
        request = RunRequest(kind=RunKind.EXEC, code=DOUBLE, buffers={"data": uploaded.id})
        info = await client.run_and_wait(request, 30)
        assert (info.outcome, [buffer.name for buffer in info.buffers]) == (Outcome.OK, ["out"]), info
        assert info.files == []
        assert b"".join([piece async for piece in client.download_buffer(info.id, "out")]) == data + data
        assert await client.call(RUNS_BUFFER, RunBufferParams(run_id=info.id, name="out")) == data + data
        again = await client.call(RUNS_GET, RunParams(run_id=info.id))
        assert again.buffers == info.buffers
        for name, code in (("other", "no_buffer"), ("..", "no_buffer")):
            with pytest.raises(EngineError) as refusal:
                [piece async for piece in client.download_buffer(info.id, name)]
            assert refusal.value.code == code
        replayed = await engine.run_history.launch(info.id, ReplayRequest(), engine.owner, "library")
        assert [buffer.size for buffer in (await replayed.ended()).buffers] == [2 * len(data)]
        with pytest.raises(EngineError, match="given no buffer 'x'"):
            async for _ in client.replay_and_follow(info.id, ReplayRequest(buffers={"x": uploaded.id})):
                pass
        for run_id in (info.id, replayed.info.id):
            engine.runs.left.take(run_id)
        with pytest.raises(EngineError, match="no longer held"):
            await client.call(RUNS_BUFFER, RunBufferParams(run_id=info.id, name="out"))
    make_room(engine)


async def test_a_small_one_stays_in_the_record(host: ServedEngine) -> None:
    engine = host.engine
    async with host.client() as client:
        code = "import gatewright\ngatewright.buffers.create('out', 3)[:] = b'abc'"
        info = await client.run_and_wait(RunRequest(kind=RunKind.EXEC, code=code), 30)
        assert [(file.name, file.size) for file in info.files] == [("out", 3)]
        engine.runs.left.take(info.id)  # as ten minutes later
        await until(lambda: info.id not in engine.runs._active, "its record is written")
        later = await client.call(RUNS_GET, RunParams(run_id=info.id))
        assert (later.buffers, later.files) == ([], info.files)
        assert await client.call(RUNS_BUFFER, RunBufferParams(run_id=info.id, name="out")) == b"abc"


async def test_a_secret_is_hidden_in_a_buffer_and_in_the_record_of_it(engine: Engine) -> None:
    code = "import gatewright\ngatewright.buffers.create('out', 9)[:] = b'<sesame!>'"
    run = await engine.runs.launch(RunRequest(kind=RunKind.EXEC, code=code), engine.owner, "library")
    engine.runs.hide(run.info.id, "door", "sesame!")
    info = await run.ended()
    assert engine.runs.left.take(info.id) == {"out": b"<***>"}
    assert [(file.name, bytes(file.data)) for file in run.files] == [("out", b"<***>")]
    assert info.note == "A secret was hidden in out: no longer what the script wrote."


async def test_a_caller_that_leaves_leaves_nothing_behind(engine: Engine) -> None:
    code = "import gatewright\ngatewright.buffers.create('out', 3)\nprint('made', flush=True)\nwhile True: pass"
    task = asyncio.create_task(engine.execute(code, buffers={"data": b"abc"}))
    await until(lambda: any(run.output_size for run in engine.runs._active.values()), "it has made its buffer")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not engine.runs.unfinished, "it has ended")
    make_room(engine)  # what it was handed has its lease yet
    assert held(engine) == (0, 0)

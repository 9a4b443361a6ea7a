"""Files that a script leaves: from its scratch folder through pool and engine into the run's record."""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pool_kit import ADMIN, expect_innocent, limits, plain_plans, pool_of, run

from engine import Engine
from engine.config import CeilingsSection, PolicySection, Settings
from engine.models.runs import Outcome, RunFile, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.pool.pool import Pool
from engine.services.access import Actor, Role, ServiceError
from store.state.database import Retention

WRITE = """
import os
os.makedirs("sub/deep")
with open("a.bin", "wb") as file:
    file.write(bytes(range(256)) * 1000)
kept_open = open("sub/deep/ü.txt", "w")
kept_open.write("written when the script has ended")
result = {"files": ["a.bin", "sub/deep/ü.txt"], "answer": 42}
"""
CONTENT = {"a.bin": bytes(range(256)) * 1000, "sub/deep/ü.txt": b"written when the script has ended"}

FORGE = """
import os, struct
def frame(kind, data):
    return struct.pack("<IB", len(data), kind) + data
def chunk(name, offset=0, data=b"x"):
    return frame(8, struct.pack("<HI", len(name), offset) + name + data)
def result(value=b"1"):
    return frame(7, struct.pack("<I", 0) + value)
def send(data):
    view = memoryview(data)
    while view:
        view = view[os.write(3, view):]
"""


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as made:
        yield made


async def test_files_arrive_with_the_ending(pool: Pool) -> None:
    done = await run(pool, WRITE)
    assert (done.outcome, done.value["answer"], done.ending.note) == (Outcome.OK, 42, None)
    assert {file.name: bytes(file.data) for file in done.ending.files} == CONTENT
    assert [file.sha256 for file in done.ending.files] == [hashlib.sha256(c).hexdigest() for c in CONTENT.values()]
    after = await run(pool, "import os\nresult = {'files': os.listdir()}")
    assert (after.value, after.ending.files) == ({"files": []}, ())


@pytest.mark.parametrize("kind", [RunKind.EVAL, RunKind.EXEC, RunKind.SCRIPT])
async def test_every_kind_of_run_can_leave_files(pool: Pool, kind: RunKind) -> None:
    code = {
        RunKind.EVAL: "open('f', 'w').write('x') and {'files': ['f']}",
        RunKind.EXEC: "open('f', 'w').write('x')\nresult = {'files': ('f',)}\nraise SystemExit",
        RunKind.SCRIPT: "def main():\n    open('f', 'w').write('x')\n    return {'files': ['f']}",
    }[kind]
    done = await run(pool, code, kind=kind, entrypoint="main" if kind is RunKind.SCRIPT else None)
    assert [(file.name, bytes(file.data)) for file in done.ending.files] == [("f", b"x")], done.ending


async def test_where_the_script_went_does_not_matter(pool: Pool) -> None:
    done = await run(
        pool, "import os\nopen('f', 'w').write('x')\nos.mkdir('d')\nos.chdir('d')\nresult = {'files': ['f', 'd/g']}"
    )
    assert [file.name for file in done.ending.files] == ["f"]
    assert done.ending.note == "The file 'd/g' was not kept: there is no such file."


async def test_what_is_no_ordinary_file_is_named_in_the_note_at_once(pool: Pool) -> None:
    code = """
import os
os.mkfifo("fifo")
os.symlink("/etc/hostname", "link")
os.symlink("/etc", "folder")
with open("huge", "wb") as file:
    file.truncate(60 << 20)
open("fine", "w").write("fine")
result = {"files": ["fifo", "link", "folder/hostname", "huge", "../fine", "/etc/hostname", "fine"]}
"""
    # Only ADMIN runs can make pipes.
    done = await asyncio.wait_for(run(pool, code, profile=ADMIN), 10)
    assert done.outcome is Outcome.OK
    assert [file.name for file in done.ending.files] == ["fine"]
    note = done.ending.note or ""
    assert note.count("was not kept") == 6
    assert "'fifo' was not kept: it is not an ordinary file" in note
    assert "'link' was not kept: its path goes over a symbolic link" in note
    assert "'huge' was not kept: it has 62,914,560 bytes, and the run may leave 16,777,216 more" in note


async def test_a_result_that_is_no_json_keeps_its_own_note(pool: Pool) -> None:
    done = await run(pool, "open('f', 'w').write('x')\nresult = {'files': ['f', 'g'], 'other': object()}")
    assert [file.name for file in done.ending.files] == ["f"]
    assert done.ending.note is not None
    assert done.ending.note.startswith("Changed in the result, since JSON has no such values: object to text. ")
    assert done.ending.note.endswith("The file 'g' was not kept: there is no such file.")


@pytest.mark.parametrize(
    "code",
    [
        "result = {'files': ['f']}\nraise ValueError",
        "result = {'files': ['f']}\nraise SystemExit(3)",
        "result = {'files': ['f'], 'x': 'y' * 2_000_000}",
        "result = {'files': 1}",
        "result = ['f']",
        "result = {'files': []}",
    ],
)
async def test_other_results_leave_nothing(pool: Pool, code: str) -> None:
    done = await run(pool, "open('f', 'w').write('x')\n" + code)
    assert (done.ending.files, done.ending.note) == ((), None)


async def test_sixteen_mebibytes_come_whole_and_not_one_byte_more(pool: Pool) -> None:
    code = "import os\nopen('big', 'wb').write(os.urandom(1 << 20) * 16)\nopen('more', 'w').write('x')\n"
    done = await run(pool, code + "result = {'files': ['big', 'more']}")
    assert [len(file.data) for file in done.ending.files] == [16 << 20]
    assert "'more' was not kept: it has 1 bytes, and the run may leave 0 more" in (done.ending.note or "")
    less = await run(pool, code + "result = {'files': ['big', 'more']}", limits=limits(files=1000))
    assert [file.name for file in less.ending.files] == ["more"]


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ("chunk(b'../x')", "bad name"),
        ("chunk(b'/etc/cron.d/x')", "bad name"),
        ("chunk(b'a') + chunk(b'a')", "a file twice"),
        ("chunk(b'a', 7)", "does not follow"),
        ("frame(8, b'')", "an empty CHUNK frame"),
        ("frame(8, b'x' * 65537)", "over the limit"),
        ("b''.join(chunk(b'%d' % n) for n in range(33))", "more than 32 files"),
        ("b''.join(chunk(b'a', n * 61440, bytes(61440)) for n in range(300))", "more in files than its limit"),
        ("result() + chunk(b'a')", "a CHUNK frame after its RESULT"),
        ("chunk(b'a') + frame(7, b'')", "an empty RESULT frame"),
    ],
)
async def test_forged_frames_end_the_run(pool: Pool, forged: str, said: str) -> None:
    done = await run(pool, f"{FORGE}\nsend({forged})\nimport time\ntime.sleep(5)")
    assert done.outcome is Outcome.PROTOCOL, done.ending
    assert done.ending.error is not None
    assert said in done.ending.error.message
    assert done.ending.files == ()
    await expect_innocent(pool)


async def test_a_child_that_claims_a_failure_leaves_nothing(pool: Pool) -> None:
    head = b'{"outcome": "memory"}'
    payload = struct.pack("<I", len(head)) + head
    done = await run(pool, f"{FORGE}\nsend(chunk(b'a') + frame(7, {payload!r}))\nimport time\ntime.sleep(5)")
    assert (done.outcome, done.ending.files) == (Outcome.MEMORY, ())


async def test_a_run_that_is_stopped_while_it_sends_leaves_nothing(pool: Pool) -> None:
    done = await run(pool, f"{FORGE}\nsend(chunk(b'a'))\nwhile True: pass", wall=0.3)
    assert (done.outcome, done.ending.files) == (Outcome.TIMEOUT, ())


# -- the engine ----------------------------------------------------------------------------------------------------


SETTINGS = Settings(policy=PolicySection(modules=("os",)))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=SETTINGS) as opened:
        yield opened


def described(content: dict[str, bytes]) -> list[RunFile]:
    return [RunFile(name=n, size=len(c), sha256=hashlib.sha256(c).hexdigest()) for n, c in content.items()]


async def test_the_record_lists_them_before_and_after_it_is_durable(engine: Engine) -> None:
    done = await engine.execute(WRITE)
    assert done.files == CONTENT
    for _ in range(2):
        info = await engine.runs.get(done.id, engine.owner)
        assert info.files == described(CONTENT)
        for name, content in CONTENT.items():
            assert await engine.runs.file(done.id, name, engine.owner) == content
        assert (await engine.runs.list(engine.owner)).runs[0].files == info.files
        with pytest.raises(ServiceError, match="left no file"):
            await engine.runs.file(done.id, "other", engine.owner)
        await engine.runs.recorder.flush()
    assert (await engine.execute("result = 1")).files == {}
    with pytest.raises(ServiceError, match="no run 999"):
        await engine.runs.file(999, "a", engine.owner)


async def test_they_survive_a_restart_and_go_with_retention(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=SETTINGS) as engine:
        done = await engine.execute(WRITE)
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=SETTINGS) as engine:
        assert await engine.runs.file(done.id, "a.bin", engine.owner) == CONTENT["a.bin"]
        before = await engine.execute("print('x' * 100)")
        await engine.runs.recorder.flush()
        assert await engine.state.output_bytes() == sum(map(len, CONTENT.values())) + 101
        await engine.state.prune(1.0, Retention(output_bytes=1000))
        assert (await engine.runs.get(done.id, engine.owner)).files == described(CONTENT)
        with pytest.raises(ServiceError, match="no longer kept") as refusal:
            await engine.runs.file(done.id, "a.bin", engine.owner)
        assert (refusal.value.code, refusal.value.status) == ("no_file", 404)
        assert (await engine.runs.output(before.id, engine.owner)).chunks, "the newer run's output stays"


async def test_only_authors_see_what_others_left(engine: Engine) -> None:
    await engine.scripts.save("w.py", SaveRequest(text=WRITE), engine.owner)
    done = await engine.execute(WRITE)
    operator = Actor(name="otto", uid=4243, role=Role.OPERATOR)
    viewer = Actor(name="eve", uid=4242, role=Role.VIEWER)
    author = Actor(name="ada", uid=4244, role=Role.AUTHOR)
    own = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="w.py"), operator)
    assert await engine.runs.file(own.id, "a.bin", operator) == CONTENT["a.bin"]
    assert await engine.runs.file(own.id, "a.bin", author) == CONTENT["a.bin"]
    for other in (viewer, operator):
        with pytest.raises(ServiceError, match="may not see"):
            await engine.runs.file(done.id, "a.bin", other)


async def test_the_ceiling_of_the_settings_holds(tmp_path: Path) -> None:
    settings = Settings(ceilings=CeilingsSection(files=300), policy=SETTINGS.policy)
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=settings) as engine:
        done = await engine.execute(WRITE)
    assert list(done.files) == ["sub/deep/ü.txt"]
    assert "'a.bin' was not kept" in (done.note or "")


async def test_no_name_becomes_a_path_of_the_host(engine: Engine, tmp_path: Path) -> None:
    before = {os.path.join(folder, name) for folder, _, names in os.walk(tmp_path) for name in names}
    await engine.execute("open('marker-4711', 'w').write('x')\nresult = {'files': ['marker-4711']}")
    await engine.runs.recorder.flush()
    after = {os.path.join(folder, name) for folder, _, names in os.walk(tmp_path) for name in names}
    assert not [name for name in after - before if "marker" in name]


async def test_without_namespaces_they_come_from_a_folder_on_disk() -> None:
    async with pool_of(1, **plain_plans()) as pool:
        done = await run(pool, WRITE, profile=ADMIN)  # RESTRICTED runs have no scratch on such a host
        assert {file.name: bytes(file.data) for file in done.ending.files} == CONTENT
        assert (await run(pool, "import os\nresult = os.listdir()", profile=ADMIN)).value == []

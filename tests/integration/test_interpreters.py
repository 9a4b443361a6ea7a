"""Scripts run the same on every interpreter of the host, from CPython 3.9 on.

The oldest is tried with the ordinary tests, the others with the long ones; the attacks are in
``tests/security/test_attacks_by_interpreter.py``. All tests of the pool run on another interpreter with
GATEWRIGHT_TEST_INTERPRETER in the environment.
"""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pool_kit import ADMIN, environment_on, other_interpreters, pool_of, run

from engine.models.runs import Outcome
from engine.pool.job import Environment, Profile, SharedModule
from engine.pool.pool import Pool
from engine.sandbox.interpreters import OLDEST
from engine.sandbox.processes import WORKER

INTERPRETERS = other_interpreters()
FILES = sorted(WORKER.glob("*.py"))

LEVEL = "full: userns+pidns+netns+ipcns+tmpfs+view+landlock"
RULED = Profile()

BASICS = """
import asyncio, atexit, concurrent.futures, csv, dataclasses, json, pathlib, site, sqlite3, sys
from lib.plant import double

@dataclasses.dataclass
class Reading:
    tag: str
    value: float

async def late():
    await asyncio.sleep(0)
    return 1

class Left:
    def __del__(self):
        print("deleted")

def main(count):
    global left
    left = Left()
    atexit.register(print, "at exit")
    pathlib.Path("own.txt").write_text("own")
    base = sqlite3.connect("own.db")
    base.execute("create table tags (name)")
    base.execute("insert into tags values ('a')")
    base.commit()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        threads = list(pool.map(abs, range(-count, 0)))
    return {
        "version": list(sys.version_info[:2]), "prefix": sys.prefix, "packages": site.getsitepackages(),
        "flags": [sys.flags.isolated, sys.flags.no_site], "awaited": asyncio.run(late()), "threads": threads,
        "rows": base.execute("select name from tags").fetchall(), "reading": Reading("t", 1.5), "lib": double(21),
    }
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(path, id=path.name, marks=[pytest.mark.slow] if number else [])
        for number, path in enumerate(INTERPRETERS)
    ],
)
def environment(request: pytest.FixtureRequest) -> Environment:
    return environment_on(request.param)


@pytest.fixture
async def pool(environment: Environment) -> AsyncIterator[Pool]:
    async with pool_of(1, environment=environment, profile=RULED) as made:
        yield made


def test_the_workers_code_has_the_oldest_syntax() -> None:
    for file in FILES:
        ast.parse(file.read_text("utf-8"), str(file), feature_version=OLDEST)


def test_ruff_holds_the_workers_code_to_the_oldest_version() -> None:
    settings = tomllib.loads((WORKER.parents[1] / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    assert settings["per-file-target-version"] == {"engine/worker/**": f"py{OLDEST[0]}{OLDEST[1]}"}


@pytest.mark.parametrize("interpreter", [pytest.param(path, id=path.name) for path in INTERPRETERS])
def test_every_interpreter_compiles_the_workers_code(interpreter: Path) -> None:
    code = "import pathlib, sys\nfor file in sys.argv[1:]: compile(pathlib.Path(file).read_bytes(), file, 'exec')"
    command = [interpreter, "-I", "-S", "-W", "error", "-c", code, *FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_scripts_find_what_they_find_on_the_tests_own(pool: Pool) -> None:
    slot = pool.info().slots[0]
    assert (slot.isolation or "").startswith(LEVEL)
    prefix = str(pool.settings.environment.prefix)
    shared = [SharedModule("lib", package=True), SharedModule("lib.plant", "lib/plant.py", b"double = lambda n: 2 * n")]
    for mode in (RULED, ADMIN):
        # Exit callbacks come before what the globals hold goes.
        done = await run(pool, BASICS, profile=mode, entrypoint="main", params={"count": 3}, shared=shared)
        assert done.outcome is Outcome.OK, done.ending
        assert done.sink.stdout == "at exit\ndeleted\n"
        version = done.value.pop("version")
        assert pool.settings.environment.version.startswith(f"{version[0]}.{version[1]}.")
        assert done.value == {
            "prefix": prefix, "packages": [str(pool.settings.environment.packages)], "flags": [1, 1], "awaited": 1,
            "threads": [3, 2, 1], "rows": [["a"]], "reading": {"tag": "t", "value": 1.5}, "lib": 42,
        }  # fmt: skip


FAILURES = {
    "open('/etc/passwd')": (Outcome.SCRIPT_ERROR, "RESTRICTED scripts reach none of the host's files"),
    "import os": (Outcome.IMPORT_DENIED, "may not be imported in RESTRICTED mode"),
    "import threading": (Outcome.IMPORT_DENIED, "policy.lifted"),
    "import nowhere": (Outcome.IMPORT_DENIED, "is not installed for scripts here"),
    "def f(:": (Outcome.SCRIPT_ERROR, "SyntaxError"),
    "def f():\n    return 1 / 0\nf()": (Outcome.SCRIPT_ERROR, 'File "<exec>", line 2, in f'),
    "kept = []\nwhile True: kept.append(bytes(1 << 20))": (Outcome.MEMORY, "MemoryError"),
}


async def test_failures_are_told_with_line_and_advice(pool: Pool) -> None:
    for code, (outcome, words) in FAILURES.items():
        done = await run(pool, code, profile=RULED)
        assert done.outcome is outcome, done.ending
        assert words in (done.ending.traceback or ""), done.ending
        assert "engine/worker" not in (done.ending.traceback or "")
    late = await run(pool, "import atexit\natexit.register(lambda: 1 / 0)\nresult = 1", profile=RULED)
    assert late.value == 1
    assert late.sink.stderr.count("ZeroDivisionError: ") == 1


async def test_runs_of_one_zygote_draw_other_numbers(pool: Pool) -> None:
    profile = Profile(preloads=("random",))
    drawn = [(await run(pool, "import random\nresult = random.random()", profile=profile)).value for _ in range(3)]
    assert len(set(drawn)) == 3, drawn

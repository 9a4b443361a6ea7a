"""A script starts once: with an entrypoint it is a module of its own name, without one it is ``__main__``."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pool_kit import ADMIN, FREE_IMPORTS, Done, pool_of, run

from engine.models.runs import Outcome, RunKind
from engine.pool.job import Profile
from engine.pool.outcome import from_result
from engine.pool.pool import Pool
from engine.worker.program import Program, _Stop

LIFTED = ("asyncio", "threading", "concurrent")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1, modules=("asyncio",), lifted=LIFTED) as started:
        yield started


def code(text: str) -> str:
    return textwrap.dedent(text).strip("\n") + "\n"


async def script(pool: Pool, text: str, **options: Any) -> Done:
    given: dict[str, Any] = {"kind": RunKind.SCRIPT, "filename": "plant/set_points.py", "entrypoint": "main"}
    return await run(pool, code(text), **(given | options))


TWICE = """
def main():
    print("writing setpoint as", __name__)

if __name__ == "__main__":
    main()
"""


async def test_a_guard_and_an_entrypoint_start_it_once(pool: Pool) -> None:
    done = await script(pool, TWICE)
    assert (done.outcome, done.sink.stdout) == (Outcome.OK, "writing setpoint as set_points\n")
    done = await script(pool, TWICE, entrypoint=None)
    assert done.sink.stdout == "writing setpoint as __main__\n"
    for kind in (RunKind.EXEC, RunKind.EVAL):
        assert (await run(pool, "print(__name__)", kind=kind)).sink.stdout == "__main__\n"


LOOKED_UP = """
from __future__ import annotations
import __main__, dataclasses, enum, inspect, pickle, sys, typing, unittest

@dataclasses.dataclass
class Point:
    x: int
    kind: Kind = dataclasses.field(default=None)
    note: typing.ClassVar[str] = "not a field"

class Kind(enum.Enum):
    PUMP = 1

class Tests(unittest.TestCase):
    def test_that_it_is_found(self): print("found")

def main():
    module = sys.modules[__name__]
    tests = unittest.main(argv=["x"], exit=False).result
    return {
        "module": module.Point is Point and __main__.Point is Point,
        "fields": [field.name for field in dataclasses.fields(Point)],
        "hints": typing.get_type_hints(Point)["kind"] is Kind,
        "pickled": pickle.loads(pickle.dumps(Point(3, Kind.PUMP))) == Point(3, Kind.PUMP),
        "plainly": pickle._loads(pickle._dumps(Point(4))) == Point(4),
        "source": inspect.getsource(main).startswith("def main():"),
        "source of a class": inspect.getsource(Kind).startswith("class Kind(enum.Enum):"),
        "tests": [tests.testsRun, tests.wasSuccessful()],
    }
"""


@pytest.mark.parametrize("entrypoint", ["main", None])
async def test_what_looks_a_module_up_finds_the_script(pool: Pool, entrypoint: str | None) -> None:
    done = await script(pool, LOOKED_UP + ("" if entrypoint else "result = main()\n"), entrypoint=entrypoint)
    assert done.value == {
        "module": True, "fields": ["x", "kind"], "hints": True, "pickled": True, "plainly": True, "source": True,
        "source of a class": True, "tests": [1, True],
    }, done.ending  # fmt: skip
    assert done.sink.stdout == "found\n"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("plant/set_points.py", "set_points"),
        ("07-night.shift.py", "07-night_shift"),
        ("json.py", "json_script"),  # another's name would hide that module from the script itself and the library
        ("csv.py", "csv_script"),
        ("math.py", "math_script"),
    ],
)
async def test_it_hides_no_other_module(pool: Pool, file: str, name: str) -> None:
    text = """
        import csv, json, math, sys
        def main(): return [__name__, json.dumps(1), math.pi > 3, csv.QUOTE_ALL, sys.modules[__name__].main is main]
    """
    assert (await script(pool, text, filename=file)).value == [name, "1", True, 1, True]


async def test_an_error_of_its_own_is_named_as_plainly_as_ever(pool: Pool) -> None:
    done = await script(pool, "class NoAnswer(Exception): pass\ndef main(): raise NoAnswer('plc')")
    assert done.ending.error is not None
    assert done.ending.error.type == "NoAnswer"


GENERATORS = {
    "def main():\n    print('began')\n    yield 1": "is a generator",
    "async def main():\n    print('began')\n    yield 1": "is an async generator",
    "import functools\ndef wrap(f):\n    @functools.wraps(f)\n    def call(): return f()\n    return call\n"
    "@wrap\ndef main():\n    print('began')\n    yield 1": "is a generator",
}


@pytest.mark.parametrize("text", GENERATORS)
async def test_a_generator_fails_and_says_why(pool: Pool, text: str) -> None:
    done = await script(pool, text)
    assert (done.outcome, done.sink.chunks) == (Outcome.SCRIPT_ERROR, [])
    assert done.ending.error is not None
    assert done.ending.error.type == "EntrypointError"
    assert f"The entrypoint 'main' {GENERATORS[text]}" in done.ending.error.message
    assert "in a list" in done.ending.error.message
    assert done.ending.error.filename == "plant/set_points.py"
    assert done.ending.error.line == text[: text.index("main()")].count("\n") + 1 - ("@wrap" in text)


ASYNC = """
import asyncio
async def half(value):
    await asyncio.sleep(0.01)
    return value / 2
async def main(values):
    print("began")
    return await asyncio.gather(*map(half, values))
"""


@pytest.mark.parametrize("profile", [FREE_IMPORTS, Profile(), ADMIN], ids=["free", "restricted", "admin"])
async def test_an_async_entrypoint_is_run(pool: Pool, profile: Profile) -> None:
    done = await script(pool, ASYNC, profile=profile, params={"values": [1, 2, 3]})
    assert (done.value, done.sink.stdout) == ([0.5, 1.0, 1.5], "began\n"), done.ending
    done = await script(pool, "async def main(): return 1 / 0", profile=profile)
    assert done.ending.error is not None
    assert (done.ending.error.type, done.ending.error.line) == ("ZeroDivisionError", 1)
    done = await script(pool, "async def work(): return 5\ndef main(): return work()", profile=profile)
    assert done.value == 5


class Refusing:
    """An import rule that knows one sentence."""

    def denial(self, name: str) -> str | None:
        return f"No {name} here."


async def test_where_asyncio_is_refused_an_async_entrypoint_says_so() -> None:
    async def main() -> None: ...

    program = object.__new__(Program)
    program._rule = Refusing()  # type: ignore[assignment]
    with pytest.raises(_Stop) as stop:
        program._awaited("main", main())  # type: ignore[arg-type]
    error = from_result(stop.value.result, 1000, 0.0, "").error
    assert error is not None
    assert error.message == "The entrypoint 'main' is async, and a run calls it by asyncio.run. No asyncio here."

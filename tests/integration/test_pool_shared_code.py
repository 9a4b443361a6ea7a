"""Shared code in a child: imported from the texts of its run, and as Python imports it otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pool_kit import ADMIN, FREE_IMPORTS, Done, pool_of, run

from engine.models.runs import Outcome
from engine.pool.job import Profile, SharedModule
from engine.pool.pool import Pool
from engine.worker.shared_code import CODE_HEADER, compiled

TAGS = """\
import sys
FRAMES = []
frame = sys._getframe()
while frame is not None:
    FRAMES.append(frame.f_code.co_filename)
    frame = frame.f_back

class Tag:
    pass

def fail(value):
    return 1 / value

if __name__ == "__main__":
    print("it runs")
"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as made:
        yield made


def shared(*, ahead: bool = False, **texts: str) -> list[SharedModule]:
    """Modules of ``lib`` by name, ``a_b`` for ``a/b``, compiled ahead or not."""
    made = [SharedModule("lib", package=True)]
    for key, text in texts.items():
        name = f"lib.{key.replace('_', '.')}"
        path = name.replace(".", "/") + ".py"
        made.append(SharedModule(name, path, text.encode(), code=compiled(text, path) if ahead else b""))
    return made


async def ran(pool: Pool, code: str, modules: list[SharedModule], profile: Profile = FREE_IMPORTS) -> Done:
    return await run(pool, code, shared=modules, profile=profile)


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_module_is_what_an_import_makes_of_a_file(pool: Pool, ahead: bool) -> None:
    code = """
import inspect, pickle, lib.tags
from lib import tags
from lib.tags import Tag
result = [lib.tags is tags, tags.__name__, tags.__file__, tags.__package__, repr(tags), inspect.getsource(tags.fail),
          type(pickle.loads(pickle.dumps(Tag()))) is Tag, Tag.__module__]
"""
    done = await ran(pool, code, shared(tags=TAGS, ahead=ahead))
    assert done.value == [
        True, "lib.tags", "lib/tags.py", "lib", "<module 'lib.tags' from 'lib/tags.py'>",
        "def fail(value):\n    return 1 / value\n", True, "lib.tags",
    ], done.ending  # fmt: skip
    assert done.sink.stdout == ""  # nothing ran as a main program


async def test_no_frame_of_the_finder_is_below_a_module(pool: Pool) -> None:
    done = await ran(pool, "import lib.tags\nresult = lib.tags.FRAMES", shared(tags=TAGS))
    plain = await ran(pool, "import sched\nresult = None", [])
    assert plain.outcome is Outcome.OK
    assert [name for name in done.value if "shared_code" in name] == []
    assert done.value[0] == "lib/tags.py"
    assert done.value[-2] == "<exec>"


@pytest.mark.parametrize("ahead", [False, True])
async def test_failures_show_the_files_own_lines_and_nothing_of_ours(pool: Pool, ahead: bool) -> None:
    done = await ran(pool, "from lib.tags import fail\nfail(0)", shared(tags=TAGS, ahead=ahead))
    assert done.ending.error is not None
    assert (done.ending.error.filename, done.ending.error.line) == ("lib/tags.py", 12)
    assert done.ending.traceback is not None
    assert '  File "lib/tags.py", line 12, in fail\n    return 1 / value\n' in done.ending.traceback
    printed = await ran(
        pool, "import traceback\ntry: import lib.bad\nexcept SyntaxError: traceback.print_exc()", shared(bad="x = (\n")
    )
    assert 'File "lib/bad.py", line 1' in printed.sink.stderr
    assert "importlib" not in printed.sink.stderr
    assert "shared_code" not in printed.sink.stderr


async def test_a_syntax_error_is_placed_in_its_file(pool: Pool) -> None:
    done = await ran(pool, "import lib.bad", shared(bad="x = 1\ny = (\n"))
    assert done.ending.error is not None
    assert (done.ending.error.type, done.ending.error.filename, done.ending.error.line) == (
        "SyntaxError", "lib/bad.py", 2,
    )  # fmt: skip


async def test_packages_cycles_and_relative_imports(pool: Pool) -> None:
    modules = [
        *shared(
            one="from . import two\nA = 1\n",
            two="from lib.one import *\nB = 2\n",
            area_unit="from ..one import A\nC = A + 2\n",
        ),
        SharedModule("lib.area", package=True),
        SharedModule("lib.kit", "lib/kit/__init__.py", b"from .inner import D\n", package=True),
        SharedModule("lib.kit.inner", "lib/kit/inner.py", b"D = __package__\n"),
    ]
    code = "import lib.area.unit\nfrom lib.one import two\nfrom lib.kit import D\nresult = [lib.area.unit.C, two.B, D]"
    assert (await ran(pool, code, modules)).value == [3, 2, "lib.kit"]
    cycle = shared(one="from lib.two import B\nA = 1\n", two="from lib.one import A\nB = 2\n")
    done = await ran(pool, "import lib.one", cycle)
    assert done.ending.error is not None
    assert "partially initialized module 'lib.one'" in done.ending.error.message
    assert (done.ending.error.filename, done.ending.error.line) == ("lib/two.py", 1)


async def test_what_did_not_come_along_is_not_found_wherever_it_lies(pool: Pool) -> None:
    code = """
import os, sys
os.makedirs("lib")
open("lib/planted.py", "w").write("X = 1")
open("lib/tags.py", "w").write("PLANTED = 1")
sys.path.insert(0, os.getcwd())
import lib.tags
result = [hasattr(lib.tags, "PLANTED")]
try:
    import lib.planted
except ModuleNotFoundError as error:
    result.append(str(error))
"""
    done = await ran(pool, code, shared(tags=TAGS))
    assert done.value == [False, "No module named 'lib.planted'"], done.ending


async def test_shared_code_has_the_import_rule_of_its_script(pool: Pool) -> None:
    done = await ran(pool, "import lib.net", shared(net="x = 1\nimport socket\n"), Profile())
    assert done.outcome is Outcome.IMPORT_DENIED
    assert done.ending.error is not None
    assert (done.ending.error.filename, done.ending.error.line) == ("lib/net.py", 2)
    assert done.ending.error.module == "socket"
    allowed = await ran(pool, "import lib.net\nresult = lib.net.x", shared(net="import socket\nx = 2\n"), ADMIN)
    assert allowed.value == 2, allowed.ending


async def test_files_that_shared_code_holds_open_are_written_at_the_end(pool: Pool) -> None:
    code = "import lib.log\nlib.log.file.write('kept')\nresult = {'files': ['log.txt']}"
    done = await ran(pool, code, shared(log="file = open('log.txt', 'w')\n"))
    assert [bytes(file.data) for file in done.ending.files] == [b"kept"], done.ending


async def test_code_of_another_interpreter_is_compiled_again(pool: Pool) -> None:
    modules = [
        SharedModule("lib", package=True),
        SharedModule("lib.a", "lib/a.py", b"A = 'text'\n", code=b"another" + CODE_HEADER + b"rubbish"),
    ]
    assert (await ran(pool, "from lib.a import A\nresult = A", modules)).value == "text"


async def test_the_next_run_has_nothing_of_it(pool: Pool) -> None:
    await ran(pool, "import lib.tags", shared(tags=TAGS))
    done = await ran(pool, "import sys\nresult = [n for n in sys.modules if n.startswith('lib.')]\nimport lib", [])
    assert done.ending.error is not None
    assert done.ending.error.message == "No module named 'lib'"
    again = await ran(pool, "import lib.tags", [])
    assert again.ending.error is not None

"""Keys of a header that have no effect, and limits with which no run could live: told wherever a header is judged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine import Engine
from engine.models.checks import CheckRequest
from engine.models.runs import RunInfo, RunKind, RunRequest
from engine.models.scripts import SetKeysRequest
from engine.services.access import ServiceError

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADER = """# /// script
# titel = "x"
# [tool.gatewright]
# titel = "typo"
# timeout = 5
# kind = "macros"
# cpu = 2
# [tool.gatewright.params.n]
# typ = "int"
# default = "1"
# [tool.gatewright.limits]
# memroy = "64 MiB"
# [tool.other]
# titel = "theirs"
# ///
result = 1
"""
TITLE = "The header's key titel has no effect: did you mean title?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("keys") / "plant", pool_size=1) as opened:
        yield opened


def place(engine: Engine, path: str, text: str) -> Path:
    file: Path = engine.project.scripts / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


async def run(engine: Engine, script: str) -> RunInfo:
    request = RunRequest(kind=RunKind.SCRIPT, script=script)
    return await (await engine.runs.launch(request, engine.owner, "library")).ended()


async def test_a_check_warns_of_each_with_its_line(engine: Engine) -> None:
    report = await engine.checks.check(CheckRequest(text=HEADER, path="own/a.py"), engine.owner)
    assert [(one.line, one.severity, one.message) for one in report.problems] == [
        (
            2,
            "warning",
            "The header's key titel has no effect: did you mean title? It belongs under [tool.gatewright].",
        ),
        (4, "warning", TITLE),
        (5, "warning", "The header's key timeout has no effect: timeout belongs under [tool.gatewright.limits]."),
        (6, "warning", 'The kind "macros" is unknown here: it is kept, and treated as utility. Did you mean macro?'),
        (7, "warning", "The header's key cpu is unknown here and has no effect; it is kept."),
        (9, "warning", "The header's key params.n.typ has no effect: did you mean type?"),
        (12, "warning", "The header's key limits.memroy has no effect: did you mean memory?"),
    ]


async def test_runs_and_the_list_tell_of_what_was_meant_as_another_key(engine: Engine) -> None:
    place(engine, "own/typo.py", '# /// script\n# [tool.gatewright]\n# cpu = 2\n# titel = "typo"\n# ///\nresult = 1\n')
    place(engine, "own/later.py", "# /// script\n# [tool.gatewright]\n# cpu = 2\n# ///\nresult = 1\n")
    await engine.sync.rebuild(engine.owner)
    notes = {info.path: info.note for info in (await engine.scripts.list()).scripts}
    assert (notes["own/typo.py"], notes["own/later.py"]) == (TITLE, None)
    assert (await engine.scripts.load("own/typo.py")).info.note == TITLE
    assert TITLE in ((await run(engine, "own/typo.py")).note or "")
    assert "header" not in ((await run(engine, "own/later.py")).note or "")
    unsaved = RunRequest(kind=RunKind.EXEC, code=HEADER)
    assert TITLE in ((await (await engine.runs.launch(unsaved, engine.owner, "library")).ended()).note or "")


@pytest.mark.parametrize(
    ("key", "value", "least"),
    [("memory", 12, "16 MiB"), ("scratch", 1, "4 KiB"), ("output", "1000 B", "1 KiB"), ("result", 1023, "1 KiB")],
)
async def test_a_limit_with_which_no_run_can_live_is_refused_alike(
    engine: Engine, key: str, value: int | str, least: str
) -> None:
    sentence = f"limits.{key} must be at least {least}, such as"
    written = f'"{value}"' if isinstance(value, str) else value
    text = f"# /// script\n# [tool.gatewright.limits]\n# {key} = {written}\n# ///\nresult = 1\n"
    place(engine, f"own/{key}.py", text)
    report = await engine.checks.check(CheckRequest(text=text), engine.owner)
    assert [(one.severity, one.line) for one in report.problems if sentence in one.message] == [("error", 3)]
    with pytest.raises(ServiceError, match=sentence):
        await run(engine, f"own/{key}.py")
    place(engine, "own/plain.py", "result = 1\n")
    with pytest.raises(ServiceError, match=sentence):
        await engine.frontmatter.set_keys(
            "own/plain.py", SetKeysRequest(changes={f"limits.{key}": value}), engine.owner
        )
    await engine.frontmatter.set_keys("own/plain.py", SetKeysRequest(changes={f"limits.{key}": least}), engine.owner)


async def test_a_script_called_like_the_shared_code_starts_by_its_entrypoint(engine: Engine) -> None:
    header = '# /// script\n# [tool.gatewright]\n# entrypoint = "main"\n# ///\n'
    place(engine, "own/lib.py", f"{header}def main():\n    return __name__\n")
    assert (await run(engine, "own/lib.py")).value == "lib_script"

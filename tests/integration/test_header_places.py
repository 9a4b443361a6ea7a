"""A script's header wherever it stands, and what it asks for that is not here: refused or told alike by everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import Engine
from engine.models.checks import CheckProblem, CheckRequest
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest
from engine.models.scripts import SetKeysRequest
from engine.services.access import ServiceError

PATH = "own/digest.py"
BLOCK = """\
# /// script
# [tool.gatewright]
# entrypoint = "main"
# params.hours.default = 24
# params.hours.type = "int"
# ///
"""
CODE = "def main(hours):\n    return hours\n"
ASKS = '# [tool.gatewright.permissions]\n# read = ["/srv"]\n'


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("headers") / "plant", pool_size=1) as opened:
        yield opened


pytestmark = pytest.mark.asyncio(loop_scope="module")


def place(engine: Engine, text: str, path: str = PATH) -> Path:
    file = engine.project.scripts / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


async def checked(engine: Engine, text: str) -> list[CheckProblem]:
    return (await engine.checks.check(CheckRequest(text=text, path=PATH), engine.owner)).problems


async def ran(engine: Engine, **request: object) -> RunInfo:
    run = await engine.runs.start(
        RunRequest(**{"script": PATH, "kind": RunKind.SCRIPT, **request}), engine.owner, "library"
    )  # type: ignore[arg-type]
    return await engine.runs.wait(run.id, engine.owner)


async def refusals(engine: Engine, text: str) -> set[str]:
    """The sentences of everything that would make something of the script's text."""
    place(engine, text)
    said = []
    for refused in (
        ran(engine),
        ran(engine, code=text),
        ran(engine, kind=RunKind.EXEC, script="", code=text),
        engine.permissions.review(PATH, engine.owner),
    ):
        with pytest.raises(ServiceError) as caught:
            await refused
        assert caught.value.code == "bad_script"
        said.append(caught.value.message.partition(": ")[2])
    (listed,) = [info for info in (await engine.scripts.list()).scripts if info.path == PATH]
    assert listed.problem is not None
    return {*said, listed.problem}


@pytest.mark.parametrize(
    "text",
    [
        '"""Digest."""\n' + BLOCK + CODE,
        "import re\n\nLIMIT = 3\n\n" + BLOCK + CODE,
        CODE + BLOCK,
        ("\ufeff#!/usr/bin/env python3\n" + '"""Digest."""\n' + BLOCK + CODE).replace("\n", "\r\n"),
    ],
)
async def test_a_header_counts_wherever_it_stands(engine: Engine, text: str) -> None:
    file = place(engine, text)
    run = await ran(engine)
    assert (run.outcome, run.value) == (Outcome.OK, 24)
    assert await checked(engine, text) == []
    before = file.read_bytes()
    await engine.frontmatter.set_keys(PATH, SetKeysRequest(changes={"params.hours.default": 48}), engine.owner)
    assert file.read_bytes() == before.replace(b"default = 24", b"default = 48")
    assert (await ran(engine)).value == 48


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (BLOCK + "x = 1\n" + BLOCK, 8, "two headers (# /// script), in lines 1 and 8"),
        ('"""Digest."""\n\n# /// script\n# [tool.gatewright]\n# title =\n# ///\n', 5, "(line 5)"),
        ("# /// script\n# dependencies = []\n# ///\n# /// other\n# hello\n# ///\n", 3, "(line 3, column"),
        ("x = 1\n# /// script\n# x = 1\n", 2, "no closing line"),
        (
            'x = 1\n# /// script\n# requires-python = ">=3.99"\n# ///\n',
            3,
            "It requires Python >=3.99 (requires-python), and",
        ),
        ('# /// script\n# requires-python = "new"\n# ///\n', 2, "must be a version specifier"),
        ('# /// script\n# dependencies = ["a b"]\n# ///\n', 2, "must list requirements"),
        (
            '# /// script\n# [tool.gatewright]\n# tags = ["a"]\n# entrypoint = 3\n# ///\n',
            4,
            "entrypoint must be the name",
        ),
        (
            '# /// script\n# [tool.gatewright.limits]\n# timeout = "abc"\n# ///\n',
            3,
            "timeout must be a number of seconds",
        ),
    ],
)
async def test_a_header_that_cannot_be_met_is_refused_everywhere_with_one_sentence(
    engine: Engine, text: str, line: int, reason: str
) -> None:
    text = text.replace("# ///\n", ASKS + "# ///\n", 1) if "Python" in reason else text
    said = await refusals(engine, text)
    (problem,) = await checked(engine, text)
    assert {problem.message} == said
    assert reason in problem.message
    assert (problem.line, problem.severity) == (line, "error")


async def test_packages_that_are_missing_are_named_by_run_list_and_check(engine: Engine) -> None:
    text = '# /// script\n# dependencies = ["nosuchpkg-zz>=2"]\n# ///\nprint("ran anyway")\n'
    place(engine, text)
    told = "Not installed for scripts here: nosuchpkg-zz>=2."
    run = await ran(engine, kind=RunKind.EXEC, script="", code=text)  # code gets no environment of its own
    assert (run.outcome, run.note) == (Outcome.OK, told)
    assert (await engine.runs.get(run.id, engine.owner)).note == run.note
    for request in ({}, {"code": text}):
        with pytest.raises(ServiceError, match="nosuchpkg-zz>=2") as caught:
            await ran(engine, **request)
        assert caught.value.code == "needs_approval"
    (listed,) = [info for info in (await engine.scripts.list()).scripts if info.path == PATH]
    assert listed.needs_approval
    (problem,) = await checked(engine, text)
    assert problem.message.startswith(f"{told} An administrator can approve")
    assert (problem.line, problem.severity) == (2, "warning")


async def test_code_is_told_that_its_header_makes_no_script_of_it(engine: Engine) -> None:
    run = await ran(engine, kind=RunKind.EXEC, script="", code=BLOCK + CODE)
    assert run.note is not None
    assert "only when it is run as a script" in run.note


@pytest.mark.parametrize(
    ("asked", "line", "reason"),
    [
        ('permissions.read = ["logs"]', 3, '"logs" is not absolute'),
        ('permissions.write = ["/etc/shadow"]', 3, "that is never granted"),
        ('permissions.execute = ["/srv"]', 3, "There is no permission"),
        ("limits.timeout = 10000000", 3, "limits.timeout = 10,000,000 s; the ceiling is 3,600 s"),
        ('limits.memory = "100 GiB"', 3, "the ceiling is 4 GiB"),
    ],
)
async def test_what_a_run_or_an_approval_would_refuse_is_a_problem_and_cannot_be_set(
    engine: Engine, asked: str, line: int, reason: str
) -> None:
    header = "# /// script\n# [tool.gatewright]\n"
    text = f"{header}# {asked}\n# ///\n"
    (problem,) = await checked(engine, text)
    assert reason in problem.message
    assert (problem.line, problem.severity) == (line, "error")
    place(engine, text)
    with pytest.raises(ServiceError) as run:
        await ran(engine)
    assert run.value.code in ("bad_script", "bad_permission", "bad_limit")
    assert reason in run.value.message
    key, _, value = asked.partition(" = ")
    changes = SetKeysRequest(changes={key: {"[": [value[2:-2]], '"': value[1:-1]}.get(value[0], 10_000_000)})
    file = place(engine, f"{header}# ///\n")
    judged = (await engine.frontmatter.judge(PATH, changes)).problems
    with pytest.raises(ServiceError) as refused:
        await engine.frontmatter.set_keys(PATH, changes, engine.owner)
    if "execute" not in asked:  # that is no key
        assert reason in judged[key]
        assert reason in refused.value.message
    assert file.read_text() == f"{header}# ///\n"


async def test_what_was_wrong_before_does_not_stand_in_the_way_of_another_change(engine: Engine) -> None:
    file = place(
        engine, '# /// script\n# requires-python = ">=3.99"\n# [tool.gatewright]\n# limits.timeout = 99999999\n# ///\n'
    )
    await engine.frontmatter.set_keys(PATH, SetKeysRequest(changes={"title": "Night"}), engine.owner)
    await engine.frontmatter.set_keys(PATH, SetKeysRequest(changes={"limits.timeout": 60}), engine.owner)
    assert '"Night"' in file.read_text()
    with pytest.raises(ServiceError, match="ceiling"):
        await engine.frontmatter.set_keys(PATH, SetKeysRequest(changes={"limits.timeout": 88888888}), engine.owner)

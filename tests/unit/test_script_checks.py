"""What the engine makes of the parser's findings: params, places, endings, and texts asked for twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.config import PolicySection
from engine.models.checks import CheckProblem, CheckRequest
from engine.models.runs import Mode, Outcome, Priority, RunError
from engine.pool.job import Environment
from engine.pool.outcome import Ending
from engine.pool.settings import PoolSettings
from engine.sandbox.modules import ImportPolicy
from engine.sandbox.plan import Level, Plan, PlannedLayers
from engine.sandbox.protected import ProtectedPaths
from engine.services.access import ServiceError, owner_actor
from engine.services.scripts import examiner
from engine.services.scripts.checks import ScriptChecks, _entrypoint, entrypoint_problems, hidden_problems, start_notes
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.examiner import KEPT, Examined, Examiner, NotExamined, tools_pool
from engine.services.scripts.header_rules import HeaderRules
from engine.services.scripts.limits import RunCeilings
from engine.worker.tools import examine
from store.frontmatter.read import parse

RULES = HeaderRules(Dependencies([], "3.11.9"), RunCeilings(), lambda: ProtectedPaths([]))


def findings(text: str, entrypoint: str = "") -> Examined:
    return msgspec.convert(examine(text, entrypoint), Examined)


def script(code: str, *params: str, entrypoint: str = "main") -> str:
    tables = "".join(f"# [tool.gatewright.params.{param}]\n" for param in params)
    return f'# /// script\n# [tool.gatewright]\n# entrypoint = "{entrypoint}"\n{tables}# ///\n{code}\n'


def macro(code: str, *params: str) -> str:
    """A macro whose header names no entrypoint."""
    return script(code, *params).replace('entrypoint = "main"', 'kind = "macro"')


def judged(text: str) -> list[CheckProblem]:
    front = parse(text)
    return list(entrypoint_problems(front, findings(text, _entrypoint(front)), 3))


@pytest.mark.parametrize(
    "text",
    [
        script("def main(a, b=1): pass", "a"),
        script("def main(*, a): pass", "a"),
        script("def main(**rest): pass", "a", "b"),
        script("def main(b=1, **rest): pass", "a"),
        script("def main(): pass"),
        script("@wrap\ndef main(x): pass", "a"),
        script("from lib import main", "a"),
        script("def main(" + "n" * 150 + "): pass", "n" * 150),
        script("def " + "n" * 150 + "(a): pass", "a", entrypoint="n" * 150),
        "def main(a): pass",
        script("async def main(): pass"),
        script("def main():\n  def inner(): yield 1\n  return list(inner())"),
        script("def main(): pass\nif __name__ == '__main__': main()"),
        script("def main(): pass\nif __name__ != '__main__': start()"),
        "def main(): pass\nif __name__ == '__main__': start()",
        macro("def render(params, context): pass", "a"),
        macro("def render(*both): pass"),
        macro("def render(p, c=None, /, *, more=1, **rest): pass", "a"),
        macro("from lib.all import render"),
    ],
)
def test_an_entrypoint_that_takes_its_params_is_right(text: str) -> None:
    assert judged(text) == []


@pytest.mark.parametrize(
    ("text", "said", "line", "severity"),
    [
        (script("x = 1", "a"), "defines no function main", 3, "error"),
        (script("def main(a, b): pass", "a"), "requires b", 6, "error"),
        (script("def main(*, b): pass"), "declares no params", 5, "warning"),
        (script("def main(): pass", "a"), "does not take a", 6, "error"),
        (script("def main(*a): pass", "a"), "does not take a", 6, "error"),
        (script("def main(x, /, **rest): pass", "x"), "by position only", 6, "error"),
        (script("def main(): yield 1"), "holds a yield", 5, "error"),
        (script("async def main():\n  for x in y:\n    yield x"), "holds a yield", 5, "error"),
        (macro("def main(params, context): pass"), "there is no render", 3, "error"),
        (macro("def render(a): pass", "a"), "macro is called with: render(params, context)", 6, "error"),
        (macro("def render(params, context, more): pass"), "does not take what a macro is called with", 5, "error"),
        (macro("def render(params, *, context): pass"), "does not take what a macro is called with", 5, "error"),
        (macro("async def render(params, context): pass"), "is async", 5, "error"),
        (macro("def render(params, context): yield 1"), "holds a yield", 5, "error"),
        (script("def main(): pass\nif __name__ == '__main__':\n  start()"), "leaves this block out", 6, "warning"),
        (script("def main(): pass\nif '__main__' == __name__: start()"), "calls the entrypoint main", 6, "warning"),
    ],
)
def test_what_the_call_will_fail_at_is_told(text: str, said: str, line: int, severity: str) -> None:
    (problem,) = judged(text)
    assert said in problem.message
    assert (problem.line, problem.severity) == (line, severity)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (script("def main(): pass\nif __name__ == '__main__': main()"), "leaves the block in line 6 out"),
        (script("def main(): pass"), 'ends with if __name__ == "__main__": main()'),
        (script("async def main(): pass"), 'ends with if __name__ == "__main__": asyncio.run(main())'),
        (script("def main(): yield 1"), None),
        (script("x = 1"), None),
        (macro("def render(params, context): pass"), None),
        ("def main(): pass", None),
        ("def main(): pass\nif __name__ == '__main__': main()", None),
    ],
)
def test_what_starts_the_script_is_said_where_it_is_two_things(text: str, said: str | None) -> None:
    front = parse(text)
    notes = list(start_notes(front, findings(text, front.entrypoint or "")))
    assert len(notes) == (said is not None)
    assert said is None or said in notes[0]


def ending(outcome: Outcome, duration: float = 1.0, value: object = None) -> Ending:
    return Ending(outcome, duration, "", value=value, error=RunError(type=outcome, message="The reason."))


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (ending(Outcome.TIMEOUT), r"takes longer than 1\.5 s; it was not checked\."),
        (ending(Outcome.MEMORY), "more than 512 MiB of memory"),
        (ending(Outcome.CRASHED), "broke at this text"),
        (ending(Outcome.SCRIPT_ERROR), "broke at this text"),
        (ending(Outcome.PROTOCOL), "broke at this text"),
        (ending(Outcome.OK, value=None), "broke at this text"),
        (ending(Outcome.OK, value={"problems": 5}), "broke at this text"),
        (ending(Outcome.OK, value={**examine(""), "more": 1}), "broke at this text"),
        (ending(Outcome.OK, value={**examine(""), "problems": [{"message": "x"}] * 51}), "broke at this text"),
    ],
)
def test_a_text_that_breaks_the_parser_gets_a_sentence(end: Ending, said: str) -> None:
    with pytest.raises(NotExamined, match=said):
        examiner._findings(end)


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [
        (ending(Outcome.TIMEOUT, 0.0), "busy", 429),
        (ending(Outcome.SANDBOX_UNAVAILABLE, 0.0), "sandbox_unavailable", 503),
        (ending(Outcome.INTERRUPTED), "sandbox_unavailable", 503),
    ],
)
def test_what_is_not_the_text_s_fault_is_a_refusal(end: Ending, code: str, status: int) -> None:
    with pytest.raises(ServiceError) as refusal:
        examiner._findings(end)
    assert (refusal.value.code, refusal.value.status) == (code, status)


class CountingPool:
    """Takes jobs as a pool does; a test ends them."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, asyncio.Future[Ending]]] = []
        self.asked = asyncio.Event()

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def submit(self, job: Any) -> asyncio.Future[Ending]:
        self.jobs.append((job, asyncio.get_running_loop().create_future()))
        self.asked.set()
        return self.jobs[-1][1]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> CountingPool:
    counting = CountingPool()
    monkeypatch.setattr(examiner, "Pool", lambda _: counting)
    return counting


def made(tmp_path: Path) -> Examiner:
    plan = Plan(Mode.RESTRICTED, Level.FULL, PlannedLayers())
    environment = Environment(tmp_path, tmp_path, tmp_path, "3.11.9")
    return Examiner(tools_pool(PoolSettings(environment=environment, scratch=tmp_path, restricted=plan)))


async def ask(asked: Examiner, text: bytes) -> asyncio.Task[Examined]:
    task = asyncio.create_task(asked.examine(text, "", "me", Priority.API))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_one_text_is_parsed_once_however_often_and_by_whomever_it_is_asked_for(
    pool: CountingPool, tmp_path: Path
) -> None:
    asked = made(tmp_path)
    first, second = await ask(asked, b"a"), await ask(asked, b"a")
    first.cancel()  # one who leaves takes nothing from the other
    await asyncio.sleep(0)
    pool.jobs[0][1].set_result(ending(Outcome.OK, value=examine("a")))
    assert await second == await asked.examine(b"a", "", "you", Priority.API) == findings("a")
    assert len(pool.jobs) == 1


async def test_what_failed_is_tried_again(pool: CountingPool, tmp_path: Path) -> None:
    asked = made(tmp_path)
    for outcome in (Outcome.TIMEOUT, Outcome.CRASHED):
        task = await ask(asked, b"a")
        pool.jobs[-1][1].set_result(ending(outcome))
        with pytest.raises(NotExamined):
            await task
    assert len(pool.jobs) == 2


async def test_only_so_many_texts_are_remembered(pool: CountingPool, tmp_path: Path) -> None:
    asked = made(tmp_path)
    for number in [*range(KEPT + 1), KEPT, 0]:
        task = await ask(asked, b"%d" % number)
        if not pool.jobs[-1][1].done():
            pool.jobs[-1][1].set_result(ending(Outcome.OK, value=examine("")))
        await task
    assert len(pool.jobs) == KEPT + 2
    await asked.close()
    with pytest.raises(ServiceError, match="stopping"):
        await asked.examine(b"new", "", "me", Priority.API)


async def test_the_report_has_everything_sorted_by_place(pool: CountingPool, tmp_path: Path) -> None:
    checks = ScriptChecks(made(tmp_path), ImportPolicy(PolicySection(modules=("plantlib",))), RULES)
    text = "\n" + script(
        "import plantlib, os.path, socket\nfrom os import path, sep\ndef other(): pass\n1 is 1", "a"
    ).replace("# ///\n", '# type = "colour"\n# ///\n')
    task = asyncio.create_task(checks.check(CheckRequest(text=text), owner_actor()))
    await asyncio.wait_for(pool.asked.wait(), 5)
    assert pool.jobs[0][0].args == (text, "main")
    assert pool.jobs[0][0].priority is Priority.INTERACTIVE
    pool.jobs[0][1].set_result(ending(Outcome.OK, value=examine(text, "main")))
    report = await task
    assert [(problem.line, problem.severity) for problem in report.problems] == [
        (4, "error"), (6, "error"), (8, "warning"), (9, "warning"), (11, "warning")
    ]  # fmt: skip
    assert "params.a.type" in report.problems[1].message
    assert "module socket" in report.problems[2].message
    assert "module os " in report.problems[3].message
    assert report.imports == ["os", "plantlib", "socket"]
    assert [function.name for function in report.functions] == ["other"]


async def test_a_module_is_warned_of_once_and_as_what_the_scripts_have(pool: CountingPool, tmp_path: Path) -> None:
    checks = ScriptChecks(made(tmp_path), ImportPolicy(PolicySection()), RULES)
    text = "from os import path\nimport os\nfrom os import sep\nfrom http import client\nimport no_such_package\n"
    task = asyncio.create_task(checks.check(CheckRequest(text=text), owner_actor()))
    await asyncio.wait_for(pool.asked.wait(), 5)
    pool.jobs[0][1].set_result(ending(Outcome.OK, value=examine(text)))
    problems = (await task).problems
    assert [problem.line for problem in problems] == [2, 4, 5]
    assert "http" in problems[1].message
    assert "no_such_package is not installed" in problems[2].message


class Refusing(ImportPolicy):
    """Refuses one module."""

    def verdict(self, module: str, mode: Mode, parts: Iterable[str] = (), origin: str = "") -> str | None:
        return f"{module} is refused." if (module, mode) == ("asyncio", Mode.RESTRICTED) else None


@pytest.mark.parametrize("refused", [True, False])
async def test_an_async_entrypoint_is_warned_of_where_asyncio_is_refused(
    pool: CountingPool, tmp_path: Path, refused: bool
) -> None:
    policy = (
        Refusing(PolicySection()) if refused else ImportPolicy(PolicySection(modules=("asyncio",), lifted=("asyncio",)))
    )
    checks = ScriptChecks(made(tmp_path), policy, RULES)
    text = script("\nasync def main(): pass")
    task = asyncio.create_task(checks.check(CheckRequest(text=text), owner_actor()))
    await asyncio.wait_for(pool.asked.wait(), 5)
    pool.jobs[0][1].set_result(ending(Outcome.OK, value=examine(text, "main")))
    report = await task
    told = [(problem.line, problem.severity, problem.message) for problem in report.problems]
    sentence = "The entrypoint main is async, and a run calls it by asyncio.run. asyncio is refused."
    assert told == ([(6, "warning", sentence)] if refused else [])
    assert len(report.notes) == 1


async def test_a_text_over_the_limit_is_refused_before_anybody_reads_it(pool: CountingPool, tmp_path: Path) -> None:
    checks = ScriptChecks(made(tmp_path), ImportPolicy(PolicySection()), RULES)
    with pytest.raises(ServiceError, match="at most 1 MiB") as refusal:
        await checks.check(CheckRequest(text="é" * ((1 << 19) + 1)), owner_actor())
    assert (refusal.value.code, refusal.value.status) == ("too_large", 413)
    assert not pool.jobs


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("x = 1\n", []),
        ("\ufeffx = 1\r\n\ty = 'é 漢字 שלום ⚠️ 👨‍👩‍👧 ❤️‍🔥 \u3000'\r\n", []),
        ("#!\r# every line ends so\r", []),
        (
            "a\n# \u202e b \u2066 c \u202e\nc\nd\u200b\n",
            [(2, 2, "U+202E (right-to-left override), U+2066"), (4, 1, "U+200B")],
        ),
        ("\ufeffa\u200b\n", [(1, 2, "U+200B (zero width space)")]),
        ("a\r\nb\r\n# c\x0bd\r\n", [(3, 3, "U+000B,")]),
        ("# c\rimport os\n", [(1, 3, "carriage return alone")]),
        ("\x0c\n\x1c\n\x85\n\u2028\n", [(1, 0, "U+000C"), (2, 0, "U+001C"), (3, 0, "U+0085"), (4, 0, "U+2028")]),
        ("is_ok\ufe0f = \u3164", [(1, 5, "U+FE0F (variation selector-16), U+3164 (hangul filler), which nobody sees")]),
        ("a\u200d", [(1, 1, "write it as the escape \\u200d")]),
    ],
)
def test_what_nobody_sees_is_warned_of(text: str, places: list[tuple[int, int, str]]) -> None:
    problems = list(hidden_problems(text))
    assert [(problem.line, problem.column) for problem in problems] == [place[:2] for place in places]
    for problem, (_, _, said) in zip(problems, places, strict=True):
        assert problem.severity == "warning"
        assert said in problem.message
        assert problem.message.isprintable()


def test_a_text_full_of_it_gets_some_warnings_and_no_more() -> None:
    assert len(list(hidden_problems("\u200b\n" * 100_000))) == 50
    (problem,) = hidden_problems("\u200b\u200c\u200e\u200f" * 250_000)
    assert len(problem.message) < 300

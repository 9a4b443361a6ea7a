"""What is wrong with a script's text before it runs: frontmatter, syntax, entrypoint, imports."""

from __future__ import annotations

import asyncio
import re

from engine.models import CheckProblem, CheckReport, CheckRequest, Mode, Priority
from engine.sandbox.modules import ImportPolicy
from engine.services.access import Actor, ServiceError
from engine.services.entrypoints import entrypoint_problems
from engine.services.examiner import LIMITS, Examined, Examiner, NotExamined
from engine.worker.tools import MAX_PROBLEMS
from store.frontmatter import MAX_BLOCK, Frontmatter, parse

_BLOCK = re.compile(r"^# /// script[ \t]*\r?$", re.MULTILINE)
_ENTRYPOINT = re.compile(r"^#[ \t]*entrypoint[ \t]*=", re.MULTILINE)


class ScriptChecks:
    """The only place that judges a script's text. It never runs or parses one itself; the tools child does."""

    def __init__(self, examiner: Examiner, imports: ImportPolicy) -> None:
        self._examiner = examiner
        self._imports = imports

    async def check(self, request: CheckRequest, actor: Actor, source: str = "library") -> CheckReport:
        """Everything that can be said about a text without running it.

        A text that takes too long to parse has that as its problem, an error: nobody should take it for a good one.

        Args:
            request: The text, and its path for the sentences of the frontmatter.
            actor: Who asks.
            source: ``console``, ``cli``, ``rest`` or ``library``.

        Raises:
            ServiceError: ``too_large``, ``busy`` or ``sandbox_unavailable``.
        """
        data = request.text.encode("utf-8", "surrogatepass")
        if len(data) > LIMITS.code:
            raise ServiceError(
                "too_large",
                f"The text has {len(data):,} bytes; scripts have at most {LIMITS.code >> 20} MiB.",
                hint="Hand large data to a run as a file.",
                status=413,
            )
        front = await asyncio.to_thread(parse, request.text, request.path)
        problems = _frontmatter_problems(front, request.text)
        priority = Priority.API if source == "rest" else Priority.INTERACTIVE
        try:
            findings = await self._examiner.examine(data, front.entrypoint or "", actor.name, priority)
        except NotExamined as reason:
            return CheckReport(problems=[*problems, CheckProblem(message=str(reason))])
        problems += findings.problems
        if findings.listed:
            problems += entrypoint_problems(front, findings, _line_of(_ENTRYPOINT, request.text))
            problems += self._import_problems(findings)
        problems.sort(key=lambda problem: problem.severity != "error")
        return CheckReport(
            problems=sorted(problems[:MAX_PROBLEMS], key=lambda problem: (problem.line, problem.column)),
            functions=findings.functions,
            imports=sorted({found.name.partition(".")[0] for found in findings.imports}),
        )

    def _import_problems(self, findings: Examined) -> list[CheckProblem]:
        """Warnings, not errors: the script may expect the refusal, or be meant for ADMIN mode."""
        return [
            CheckProblem(message=sentence, line=found.line, severity="warning")
            for found in findings.imports
            if (sentence := self._imports.verdict(found.name, Mode.RESTRICTED)) is not None
        ]


def _frontmatter_problems(front: Frontmatter, text: str) -> list[CheckProblem]:
    if front.problem is None:
        return []
    return [CheckProblem(message=front.problem, line=_line_of(_BLOCK, text))]


def _line_of(pattern: re.Pattern[str], text: str) -> int:
    """The line of the first match where a frontmatter can stand, 1 if there is none."""
    found = pattern.search(text, 0, 2 * MAX_BLOCK)
    return 1 if found is None else text.count("\n", 0, found.start()) + 1

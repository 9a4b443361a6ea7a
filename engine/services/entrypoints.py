"""Whether a script's entrypoint takes what its frontmatter declares: a run passes every param by keyword."""

from __future__ import annotations

from collections.abc import Iterator

from engine.models import CheckedFunction, CheckProblem
from engine.services.examiner import Examined
from engine.worker.tools import MAX_NAME, MAX_PARAMS, one_line
from store.frontmatter import Frontmatter

_BY_KEYWORD = frozenset({"positional_or_keyword", "keyword_only"})


def entrypoint_problems(front: Frontmatter, findings: Examined, line: int) -> Iterator[CheckProblem]:
    """What will go wrong when the run calls the entrypoint.

    Args:
        front: What the script says about itself.
        findings: What the parser found in it.
        line: Where the frontmatter names the entrypoint.
    """
    if front.entrypoint is None:
        return
    name = one_line(front.entrypoint, MAX_NAME)
    if findings.entrypoint == "missing":
        sentence = f"The script defines no function {name}, which its frontmatter names as the entrypoint."
        yield CheckProblem(message=sentence, line=line)
    function = next((function for function in findings.functions if function.name == name), None)
    if function is None or findings.entrypoint not in ("function", "async"):
        return
    if findings.entrypoint == "async":
        sentence = f"The entrypoint {name} is async: it is called but never awaited, so nothing in it runs."
        yield CheckProblem(message=sentence, line=function.line, severity="warning")
    if len(function.params) < MAX_PARAMS:
        yield from _param_problems(front, function)


def _param_problems(front: Frontmatter, function: CheckedFunction) -> Iterator[CheckProblem]:
    declared = {one_line(param.name, MAX_NAME) for param in front.params}
    takes = {param.name for param in function.params if param.kind in _BY_KEYWORD}
    takes_any = any(param.kind == "var_keyword" for param in function.params)
    for param in function.params:
        if not param.required:
            continue
        if param.kind == "positional_only":
            yield _wrong(function, f"takes {param.name} by position only, but params are passed by keyword")
        elif param.name not in declared and declared:
            yield _wrong(function, f"requires {param.name}, which the frontmatter does not declare as a param")
        elif param.name not in declared:
            # Without declared params a script takes whatever it is given, so this may be meant.
            yield _wrong(function, f"requires {param.name}, and the frontmatter declares no params", "warning")
    for name in sorted(declared - takes):
        if not takes_any:
            yield _wrong(function, f"does not take {name}, which the frontmatter declares as a param")


def _wrong(function: CheckedFunction, what: str, severity: str = "error") -> CheckProblem:
    return CheckProblem(message=f"The entrypoint {function.name} {what}.", line=function.line, severity=severity)

"""What the parser in the sandbox finds in a script's text."""

from __future__ import annotations

from engine.models.base import Model


class CheckRequest(Model, frozen=True):
    text: str
    path: str = ""


class CheckProblem(Model, frozen=True):
    """Something wrong with a script's text. Lines start at 1, columns at 0, in characters."""

    message: str
    line: int = 1
    column: int = 0
    end_line: int | None = None
    end_column: int | None = None
    severity: str = "error"
    """``error``: it cannot run. ``warning``: it will probably fail."""


class CheckedParam(Model, frozen=True):
    """One parameter of a function, as ``inspect`` names its kind."""

    name: str
    kind: str = "positional_or_keyword"
    required: bool = True
    annotation: str = ""
    default: str = ""


class CheckedFunction(Model, frozen=True):
    """A function at the top level of a script: it could be the entrypoint."""

    name: str
    line: int
    params: list[CheckedParam] = []
    summary: str = ""


class CheckReport(Model, frozen=True):
    """What the parser in the sandbox found."""

    problems: list[CheckProblem] = []
    functions: list[CheckedFunction] = []
    imports: list[str] = []
    hints: list[str] = []
    """What is no problem and good to know: sentences."""

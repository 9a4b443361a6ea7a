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


class ModuleVerdict(Model, frozen=True):
    """Whether scripts may import a module.

    Attributes:
        name: Its whole name, as an import has it.
        restricted: Whether RESTRICTED scripts may.
        admin: Whether ADMIN scripts may.
        origin: ``standard``, ``installed`` or ``missing`` where scripts run; of shared code, what it is and where;
            empty if nobody has looked.
        restricted_refusal: The sentence that a refused RESTRICTED script gets; empty if it may.
        admin_refusal: The same of ADMIN.
    """

    name: str
    restricted: bool
    admin: bool
    origin: str = ""
    restricted_refusal: str = ""
    admin_refusal: str = ""


class ModuleReport(Model, frozen=True):
    """What the project's policy lets scripts import.

    Attributes:
        preset: ``classic``, ``default`` or ``practical``.
        added: What the administrator allowed by name.
        lifted: What the administrator lifted by name.
        modules: The module that was asked about; else every standard one but for private halves, and whatever else the
            built-in lists or the administrator name.
    """

    preset: str
    added: list[str] = []
    lifted: list[str] = []
    modules: list[ModuleVerdict] = []


class CheckReport(Model, frozen=True):
    """What the parser in the sandbox found."""

    problems: list[CheckProblem] = []
    functions: list[CheckedFunction] = []
    imports: list[str] = []
    notes: list[str] = []
    """What to know of it beside its problems, one sentence each."""

"""Work of the engine's own that takes a while, and what comes of it."""

from __future__ import annotations

from enum import StrEnum

from engine.models.base import Model


class TaskState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskInfo(Model, frozen=True):
    """Something of the engine's own that takes a while. Events of type ``task`` carry it."""

    id: int
    kind: str
    """``rebuild``, ``diff`` (a scan), ``decisions`` (what was decided about a scan)."""
    actor: str
    started_at: float
    state: TaskState = TaskState.RUNNING
    doing: str = ""
    """What it is at: ``reading``, ``indexing``, ``deciding``, the name of a part."""
    done: int = 0
    """How many of that."""
    finished_at: float | None = None
    error: str | None = None


class TaskList(Model, frozen=True):
    """What goes on and what ended lately, newest first."""

    tasks: list[TaskInfo]


class RenamedScript(Model, frozen=True):
    old: str
    new: str


class ScriptProblem(Model, frozen=True):
    path: str
    problem: str


class RebuildPart(Model, frozen=True):
    """Something beside the index that a rebuild of everything looked through."""

    name: str
    """``history``, ``approvals``."""
    checked: int
    """How many versions, approvals."""
    problems: list[ScriptProblem] = []


class RebuildReport(Model, frozen=True):
    """What a rebuild found on disk, against what the index held before."""

    scripts: int
    """How many there are now."""
    seconds: float
    created: list[str] = []
    updated: list[str] = []
    renamed: list[RenamedScript] = []
    """Gone from one place and there at another, with the same content."""
    removed: list[str] = []
    problems: list[ScriptProblem] = []
    """Listed, but not usable as they are."""
    parts: list[RebuildPart] = []
    """Only of a rebuild of everything."""

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
    """``rebuild``."""
    actor: str
    started_at: float
    state: TaskState = TaskState.RUNNING
    doing: str = ""
    """What it is at: ``reading``, ``indexing``."""
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

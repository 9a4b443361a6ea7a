"""The index against the files: rebuild, metadata diff and what a user decides about it, and the tasks these are."""

from __future__ import annotations

from enum import StrEnum

from engine.models.base import Model


class DiffState(StrEnum):
    MISSING_FILE = "missing_file"
    """The row is there, the file is gone."""
    RENAMED = "renamed"
    """The file is gone, and another one with the same content appeared."""
    INVALID_FILE = "invalid_file"
    """The file cannot be used as it is."""
    DUPLICATE = "duplicate"
    """Another script has the same content or title, or a path that some systems cannot tell from this one."""
    VANISHED = "vanished"
    """Many files vanished at once: nothing is done before somebody says that it is meant."""


class DiffChoice(StrEnum):
    """What can become of a difference."""

    KEEP_FILE = "keep_file"
    """The invalid file stays as it is; what it was is not asked about again."""
    RESTORE = "restore"
    """The text that was last valid, or single keys of it, is saved; the invalid one goes into the history."""
    WRITE_FILE = "write_file"
    """The text that was last seen is written where it was."""
    DROP_ROW = "drop_row"
    """The script is deleted, as if it had been here: its text goes into the history."""
    FOLLOW = "follow"
    """The row and its history go to the new path."""
    KEEP_BOTH = "keep_both"
    """They are meant to be alike; not asked about again until one more is."""
    DELETE = "delete"
    """This one of them is deleted; its text goes into the history."""
    ACCEPT = "accept"
    """They are gone on purpose: each of them waits for a decision of its own then."""


class KeyDifference(Model, frozen=True):
    """A key of the frontmatter. Values are written as JSON; None where there is no such key."""

    key: str
    file: str | None = None
    database: str | None = None
    restorable: bool = False
    """It can be set to the database's value by itself."""


class DiffItem(Model, frozen=True):
    """One difference; ``state`` and ``path`` name it."""

    path: str
    """Empty for ``vanished``."""
    state: DiffState
    sentence: str
    seen: str
    """Stands for all that is told here: a decision says it back, and is refused when it is not so any more."""
    choices: list[DiffChoice] = []
    """None where there is nothing to decide: the file has to be edited."""
    file_choice: DiffChoice | None = None
    """The one by which the file is right."""
    database_choice: DiffChoice | None = None
    """The one by which the database is right."""
    others: list[str] = []
    """The new path, the scripts that it is like, or those that vanished; at most 20."""
    keys: list[KeyDifference] = []
    since: float | None = None
    """When the file went away or became invalid."""
    title: str = ""
    """As the database has it."""
    file_sha256: str | None = None
    database_sha256: str | None = None


class DiffReport(Model, frozen=True):
    """What a scan found."""

    scripts: int
    """How many there are."""
    seconds: float
    items: list[DiffItem]
    created: list[str] = []
    """Files that had no row: this scan took them in."""
    updated: list[str] = []
    """Valid files that had changed: this scan took them in."""

    @property
    def waiting(self) -> list[DiffItem]:
        """Those that wait for a decision."""
        return [item for item in self.items if item.choices]


class DiffDecision(Model, frozen=True):
    """What is to become of one item. ``keys``, only with ``restore``: these keys alone."""

    path: str
    state: DiffState
    choice: DiffChoice
    seen: str
    keys: list[str] = []


class DiffRequest(Model, frozen=True):
    """Decisions, made one after the other. With ``preview`` nothing is done: each answer tells what would be."""

    decisions: list[DiffDecision]
    preview: bool = False


class DiffOutcome(Model, frozen=True):
    """What became of one decision."""

    path: str
    state: DiffState
    choice: DiffChoice
    done: bool
    """It is so now; of a preview: it would be done."""
    sentence: str
    diff: str = ""
    """Of a preview: what would change, as a unified difference."""
    stale: bool = False
    """It is not what was shown any more: scan again."""


class DiffAnswer(Model, frozen=True):
    outcomes: list[DiffOutcome]
    cancelled: bool = False
    """Somebody stopped it: the last outcomes are of decisions that were not carried out."""


class TaskState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskInfo(Model, frozen=True):
    """Something of the engine's own that takes a while. Events of type ``task`` carry it."""

    id: int
    kind: str
    """``packages``, ``environment`` (of a script), ``rebuild``, ``diff`` (a scan), ``decisions`` (about a scan),
    ``render`` (a batch)."""
    actor: str
    started_at: float
    state: TaskState = TaskState.RUNNING
    doing: str = ""
    """What it is at: ``reading``, ``indexing``, ``deciding``, the name of a part."""
    done: int = 0
    """How many of that."""
    total: int = 0
    """Of how many; 0: not known."""
    rate: float = 0.0
    """How many a second."""
    eta: float | None = None
    """When it should be at its end, seconds since the epoch; None while that cannot be told."""
    finished_at: float | None = None
    error: str | None = None
    run_id: int | None = None
    """Its record among the runs, of a batch: cancelling that run ends the task."""


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

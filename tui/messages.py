"""What the connection and the console's mode tell the screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from engine.models.engine import EngineInfo, PoolInfo
    from engine.models.runs import Mode, RunInfo
    from engine.models.scripts import OutsideChange
    from engine.models.sync import TaskInfo


class EngineMessage(Message, bubble=False):
    """Base of the messages that the app hands to every screen."""


class EngineConnected(EngineMessage):
    """An engine answers.

    Attributes:
        info: What it says of itself.
        role: This user's, of an engine elsewhere; empty in a project's folder, whose owner may do everything.
    """

    def __init__(self, info: EngineInfo, role: str = "") -> None:
        super().__init__()
        self.info = info
        self.role = role


class EngineAway(EngineMessage):
    """No engine is connected.

    Attributes:
        refused: One answers, and does not let this client in.
    """

    def __init__(self, reason: str, hint: str | None, *, refused: bool = False) -> None:
        super().__init__()
        self.reason = reason
        self.hint = hint
        self.refused = refused


class PoolChanged(EngineMessage):
    def __init__(self, pool: PoolInfo) -> None:
        super().__init__()
        self.pool = pool


class RunChanged(EngineMessage):
    def __init__(self, run: RunInfo) -> None:
        super().__init__()
        self.run = run


class RunsMissed(EngineMessage):
    """The engine dropped events of this listener: what it knows of runs may be old."""


class ScriptsChanged(EngineMessage):
    """Scripts were made, changed or removed, here or elsewhere.

    Attributes:
        path: The one that somebody changed through the engine, if it was one.
        outside: What others than the engine changed.
    """

    def __init__(self, path: str | None = None, outside: OutsideChange | None = None) -> None:
        super().__init__()
        self.path = path
        self.outside = outside

    @property
    def problem(self) -> str | None:
        """What the user should know at once."""
        return None if self.outside is None else self.outside.problem

    @property
    def has_changes(self) -> bool:
        """False when it only tells of a problem."""
        change = self.outside
        return change is None or change.created + change.updated + change.removed + change.renamed > 0


class DocumentsChanged(EngineMessage):
    """Documents were made, changed or removed, here or elsewhere.

    Attributes:
        path: The one that was changed through the engine, as the console names it; None if it was not one.
        outside: Others than the engine changed files.
    """

    def __init__(self, path: str | None = None, *, outside: bool = False) -> None:
        super().__init__()
        self.path = path
        self.outside = outside


class GitChanged(EngineMessage):
    """Something happened in the repository."""


class TaskChanged(EngineMessage):
    """Something that the engine does for a while began, went on or ended."""

    def __init__(self, task: TaskInfo) -> None:
        super().__init__()
        self.task = task


class TaskTold(EngineMessage):
    """A task told a line of output.

    Attributes:
        number: Of the task.
        text: May hold anything.
    """

    def __init__(self, number: int, text: str) -> None:
        super().__init__()
        self.number = number
        self.text = text


class PackageWorkChanged(EngineMessage):
    """A change of packages went on or ended; ``PackageChanges`` knows how far it is.

    Attributes:
        ended: What is installed may be something else now.
    """

    def __init__(self, *, ended: bool = False) -> None:
        super().__init__()
        self.ended = ended


class RebuildEnded(EngineMessage):
    """A rebuild that was begun here has ended; ``Maintenance`` has its report."""


class OwnEditsChanged(EngineMessage):
    """This console's own edits of a script have its permissions, or not any more; also every second of it.

    Attributes:
        script: Empty when it is over.
        remaining: Seconds of it.
    """

    def __init__(self, script: str, remaining: float) -> None:
        super().__init__()
        self.script = script
        self.remaining = remaining


class ModeChanged(EngineMessage):
    """The console is in ADMIN, or not any more; also every second of it, for the time that is left.

    Attributes:
        remaining: Seconds of ADMIN.
        by_user: False when it ended by itself.
    """

    def __init__(self, mode: Mode, remaining: float, *, by_user: bool) -> None:
        super().__init__()
        self.mode = mode
        self.remaining = remaining
        self.by_user = by_user

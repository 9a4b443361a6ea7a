"""The metadata diff on real files, a real index and real state, without pool or server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from engine.models.sync import DiffChoice, DiffDecision, DiffItem, DiffOutcome, DiffReport, DiffRequest, DiffState
from engine.services.access import Actor, owner_actor
from engine.services.events import EventBus
from engine.services.scripts.changes import ScriptChanges
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.service import ScriptService
from engine.services.sync.diff import DiffService
from engine.services.sync.diff_texts import DiffTexts
from engine.services.tasks import TaskService
from engine.services.versioned_writer import VersionedWriter
from store.files.scripts import ScriptFiles
from store.index.reconcile import Reconciler
from store.state.database import StateDB

VALID = "# /// script\n# [tool.gatewright]\n# title = '{title}'\n# enabled = true\n# ///\nx = 1\n"
INVALID = "# /// script\n# [tool.gatewright]\n# title = '{title}'\n# enabled = 3\n# ///\nx = 2\n"


class Plant:
    """A project's scripts and everything that compares them."""

    def __init__(self, root: Path, state: StateDB, reconciler: Reconciler, files: ScriptFiles) -> None:
        self.scripts = root / "scripts"
        self.history = root / "history"
        self.files = files
        self.state = state
        self.reconciler = reconciler
        self.events = EventBus()
        self.tasks = TaskService(self.events)
        self.writer = VersionedWriter(files, state.versions)
        self.service = ScriptService(files, reconciler, self.writer, state.approvals, self.events, Dependencies([]))
        self.changes = ScriptChanges(self.service, files, self.writer, state.versions, self.events)
        texts = DiffTexts(files, reconciler)
        self.diff = DiffService(
            reconciler, texts, self.writer, self.changes, state.ignored_differences, self.tasks, self.events
        )
        self.owner = owner_actor()

    def write(self, path: str, text: str | bytes) -> None:
        """As any other program would."""
        file = self.scripts / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def text(self, path: str) -> str:
        return (self.scripts / path).read_text()

    async def scan(self, actor: Actor | None = None) -> DiffReport:
        return await self.diff.scan(actor or self.owner)

    async def items(self) -> dict[str, DiffItem]:
        """What a scan finds, by path."""
        return {item.path: item for item in (await self.scan()).items}

    async def states(self) -> dict[str, str]:
        return {path: str(item.state) for path, item in (await self.items()).items()}

    async def decide(
        self, choices: Iterable[tuple[DiffItem, DiffChoice]], *, keys: Iterable[str] = (), preview: bool = False
    ) -> list[DiffOutcome]:
        decisions = [
            DiffDecision(path=item.path, state=item.state, choice=choice, seen=item.seen, keys=list(keys))
            for item, choice in choices
        ]
        answer = await self.diff.apply(DiffRequest(decisions=decisions, preview=preview), self.owner)
        return answer.outcomes

    async def reasons(self, path: str) -> list[str]:
        """Why the versions of a script were replaced, newest first."""
        await self.writer.settled()
        return [row.reason for row in await self.state.versions.of(path)]


@asynccontextmanager
async def plant(root: Path) -> AsyncIterator[Plant]:
    for name in ("scripts", "history"):
        (root / name).mkdir(exist_ok=True)
    files = ScriptFiles(root / "scripts", root / "history")
    state = await StateDB.open(root / "state.db")
    reconciler = await Reconciler.open(files, root / "index.db")
    made = Plant(root, state, reconciler, files)
    try:
        yield made
    finally:
        await made.writer.settled()
        await reconciler.close()
        await state.close()


def of_state(report: DiffReport, state: DiffState) -> list[DiffItem]:
    return [item for item in report.items if item.state is state]

"""The documents of a project without an engine: files, records, index and service as the engine connects them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.services.access import Actor, Role
from engine.services.documents.index import DocumentIndex
from engine.services.documents.service import DocumentService
from engine.services.events import EventBus
from engine.services.versioned_writer import VersionedWriter
from store.files.documents import DocumentFiles
from store.state.database import StateDB

AUTHOR = Actor("author", 1000, Role.AUTHOR)
VIEWER = Actor("viewer", 1001, Role.VIEWER)


@dataclass
class Documents:
    root: Path
    files: DocumentFiles
    index: DocumentIndex
    service: DocumentService
    writer: VersionedWriter
    state: StateDB
    events: EventBus

    @property
    def folder(self) -> Path:
        return self.root / "documents"

    @property
    def history(self) -> Path:
        return self.root / "document_history"


@asynccontextmanager
async def documents_in(root: Path) -> AsyncIterator[Documents]:
    """Open what a crash may have left, as an engine does."""
    for name in ("documents", "document_history"):
        (root / name).mkdir(exist_ok=True)
    files = DocumentFiles(root / "documents", root / "document_history")
    files.recover()
    state = await StateDB.open(root / "state.db")
    try:
        index = DocumentIndex(files)
        writer = VersionedWriter(files, state.document_versions, index.outside)
        await writer.after_crash()
        events = EventBus()
        service = DocumentService(files, index, writer, state.document_versions, events)
        yield Documents(root, files, index, service, writer, state, events)
        await writer.settled()
    finally:
        await state.close()

"""Scripts renamed, copied, deleted and brought back, and the history that makes it possible."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import TypeVar

from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, ScriptInfo
from engine.models.versions import (
    DeletedScripts,
    RestoreRequest,
    ScriptHistory,
    ScriptVersion,
    VersionText,
)
from engine.registry.scripts import (
    SCRIPTS_DELETE,
    SCRIPTS_DELETED,
    SCRIPTS_DUPLICATE,
    SCRIPTS_HISTORY,
    SCRIPTS_RENAME,
    SCRIPTS_RESTORE,
    SCRIPTS_VERSION,
)
from engine.services.access import Actor, ServiceError
from engine.services.events import EventBus
from engine.services.operations import implements
from engine.services.scripts.service import ScriptService, refused
from engine.services.versioned_writer import VersionedWriter, newest_other, require_named, shown_version, version_text
from store.errors import Conflict, StoreError
from store.files.names import SUFFIX, script_path
from store.files.scripts import ScriptFiles
from store.state.rows import VersionRow
from store.state.versions import Versions

T = TypeVar("T")

MAX_COPIES = 100
"""How many names are tried for a copy that was given none."""


class ScriptChanges:
    """Each method refuses with a ``ServiceError``; then nothing was changed unless the sentence says so.

    What changes a script takes its whole path, with or without ``.py``. A change that was begun goes on when its caller
    is cancelled.
    """

    def __init__(
        self,
        scripts: ScriptService,
        files: ScriptFiles,
        writer: VersionedWriter,
        versions: Versions,
        events: EventBus,
    ) -> None:
        self._scripts = scripts
        self._files = files
        self._writer = writer
        self._versions = versions
        self._events = events

    @implements(SCRIPTS_RENAME)
    async def rename(self, path: str, request: RenameRequest, actor: Actor) -> ScriptInfo:
        """Give a script another path. Its history goes with it; an approval of its permissions does not."""
        return await asyncio.shield(_refusing(self._rename(path, request, actor)))

    @implements(SCRIPTS_DUPLICATE)
    async def duplicate(self, path: str, request: DuplicateRequest, actor: Actor) -> ScriptInfo:
        """Make a new script of what another one holds."""
        return await asyncio.shield(_refusing(self._duplicate(path, request, actor)))

    @implements(SCRIPTS_DELETE)
    async def delete(self, path: str, request: DeleteRequest, actor: Actor) -> ScriptVersion:
        """Delete a script; its history keeps what it held."""
        return await asyncio.shield(_refusing(self._delete(path, request, actor)))

    @implements(SCRIPTS_RESTORE)
    async def restore(self, path: str, request: RestoreRequest, actor: Actor) -> ScriptInfo:
        """Bring back a version, of a deleted script too. What it replaces goes to the history."""
        return await asyncio.shield(_refusing(self._restore(path, request, actor)))

    @implements(SCRIPTS_HISTORY)
    async def history(self, path: str, actor: Actor) -> ScriptHistory:
        """The versions of a script, whether it is there or deleted."""
        return await _refusing(self._history(path, actor))

    @implements(SCRIPTS_DELETED)
    async def deleted(self, actor: Actor) -> DeletedScripts:
        """Scripts that were deleted and are not there now, the last one first."""
        return await _refusing(self._deleted(actor))

    @implements(SCRIPTS_VERSION)
    async def version(self, path: str, sha256: str, actor: Actor) -> VersionText:
        """The text of one version that the script's history names."""
        return await _refusing(self._version(path, sha256, actor))

    async def _rename(self, name: str, request: RenameRequest, actor: Actor) -> ScriptInfo:
        path = await self._scripts.resolve(name, exact=True, actor=actor)
        new_path = script_path(request.new_path)
        if new_path == path:
            raise ServiceError("bad_name", f"{path} has that name already.", hint="Give another one.")
        await self._writer.rename(path, new_path, request.base_sha256, actor)
        await self._scripts.index_removed(path)
        await self._scripts.index_saved(new_path)
        self._events.publish("script", {"path": new_path, "change": "renamed", "old_path": path})
        return await self._scripts.info(new_path)

    async def _duplicate(self, name: str, request: DuplicateRequest, actor: Actor) -> ScriptInfo:
        path = await self._scripts.resolve(name, exact=True, actor=actor)
        if request.new_path is None:
            made = await self._duplicate_beside(path, actor)
        else:
            made = script_path(request.new_path)
            if made == path:
                raise ServiceError("bad_name", f"{path} cannot be its own copy.", hint="Give another name.")
            await self._writer.duplicate(path, made, actor)
        await self._scripts.index_saved(made)
        self._events.publish("script", {"path": made, "change": "created"})
        return await self._scripts.info(made)

    async def _duplicate_beside(self, path: str, actor: Actor) -> str:
        taken = {info.path for info in (await self._scripts.list()).scripts}
        for made in _copies(path):
            if made in taken:
                continue
            try:
                await self._writer.duplicate(path, made, actor)
            except Conflict:  # made by somebody else since we looked
                continue
            return made
        raise ServiceError("conflict", f"There are {MAX_COPIES} copies of {path} already.", hint="Name it.", status=409)

    async def _delete(self, name: str, request: DeleteRequest, actor: Actor) -> ScriptVersion:
        path = await self._scripts.resolve(name, exact=True, actor=actor)
        row = await self._writer.delete(path, request.base_sha256, actor)
        await self._scripts.index_removed(path)
        self._events.publish("script", {"path": path, "change": "deleted", "old_path": path})
        return shown_version(row)

    async def _restore(self, name: str, request: RestoreRequest, actor: Actor) -> ScriptInfo:
        history = await self._history(name, actor, exact=True)
        digest = request.sha256 or newest_other(history)
        require_named(history, digest, _see_history(history.path))
        was_gone = await self._writer.restore(history.path, digest, request.base_sha256, actor)
        await self._scripts.index_saved(history.path)
        self._events.publish("script", {"path": history.path, "change": "created" if was_gone else "saved"})
        return await self._scripts.info(history.path)

    async def _history(self, name: str, actor: Actor, *, exact: bool = False) -> ScriptHistory:
        path = script_path(name)
        rows = await self._versions.of(path) if actor.sees(path) else []
        now = await asyncio.to_thread(self._files.version, path) if actor.sees(path) else None
        if not rows and now is None:
            path = await self._scripts.resolve(name, exact=exact, actor=actor)
            rows = await self._versions.of(path)
            now = await asyncio.to_thread(self._files.version, path)
        rows = [row if _shows(row, actor) else replace(row, path=path, new_path=None) for row in rows]
        return ScriptHistory(
            path=path, versions=[shown_version(row) for row in rows], sha256=None if now is None else now.sha256
        )

    async def _deleted(self, actor: Actor) -> DeletedScripts:
        there = {info.path for info in (await self._scripts.list()).scripts}
        rows = await self._versions.deletions()
        gone = [row for row in rows if row.script not in there and actor.sees(row.script) and _shows(row, actor)]
        return DeletedScripts(versions=[shown_version(row) for row in gone])

    async def _version(self, name: str, sha256: str, actor: Actor) -> VersionText:
        history = await self._history(name, actor)
        require_named(history, sha256, _see_history(history.path))
        return version_text(history, sha256, await asyncio.to_thread(self._files.kept, sha256))


async def _refusing(work: Awaitable[T]) -> T:
    """``work``, with what the store refuses as a ``ServiceError``."""
    try:
        return await work
    except StoreError as error:
        raise refused(error) from None


def _copies(path: str) -> Iterable[str]:
    stem = path.removesuffix(SUFFIX)
    yield f"{stem}_copy{SUFFIX}"
    for number in range(2, MAX_COPIES + 1):
        yield f"{stem}_copy_{number}{SUFFIX}"


def _shows(row: VersionRow, actor: Actor) -> bool:
    """Whether the names that a script had in a version, and got by a rename, are such as ``actor`` may know."""
    return actor.sees(row.path) and (row.new_path is None or actor.sees(row.new_path))


def _see_history(path: str) -> str:
    return f"See gatewright history {shlex.quote(path)}"

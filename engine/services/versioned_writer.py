"""Changes of scripts and documents together with their record: announced before, settled after, one change at a time.

Whatever ends the engine in between, the bytes are in place or in the history (``store.files.versioned``), and the next
start decides by looking at the files whether what was announced has happened.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine.models.versions import ScriptHistory, ScriptVersion, VersionReason, VersionText
from engine.services.access import Actor, ServiceError, require_script
from engine.services.audit import AuditService
from engine.services.disk_space import SpaceCheck, cannot_change, cannot_save
from store.errors import BadName, Conflict, LowDisk, NotFound, NoVersion, StoreError
from store.files import leftovers
from store.files.versioned import FileVersion, VersionedFiles
from store.index.external_changes import Outside
from store.state.rows import VersionRow
from store.state.versions import Versions

log = logging.getLogger(__name__)


class VersionedWriter:
    """The only one who changes the files of one kind. Its methods raise what ``VersionedFiles`` raises.

    A token for some scripts only changes no others: that is refused here with a ``ServiceError``.

    Once begun, a change goes on to its end, whatever becomes of the task that waits for it, if that shields it.
    """

    def __init__(
        self,
        files: VersionedFiles,
        versions: Versions,
        outside: Outside[Any] | None = None,
        space: SpaceCheck | None = None,
        audit: AuditService | None = None,
    ) -> None:
        self._files = files
        self._versions = versions
        self._outside: Outside[Any] = outside or Outside()
        self._space = space
        self._audit = audit
        self._turn = asyncio.Lock()
        self._settling: asyncio.Task[None] | None = None

    async def save(self, path: str, data: bytes, base: str | None, actor: Actor) -> None:
        """Write a file; the version that it replaces gets a row."""
        async with self._turn:
            await self._save(path, data, base, actor, VersionReason.SAVED)

    async def restore(self, path: str, digest: str, base: str | None, actor: Actor) -> bool:
        """Bring a kept version back. ``base`` None: instead of whatever is there.

        Returns:
            Whether the file had been gone.
        """
        async with self._turn:
            data = await asyncio.to_thread(self._files.kept, digest)
            before = await asyncio.to_thread(self._files.version, path)
            seen = None if before is None else base or before.sha256
            await self._save(path, data, seen, actor, VersionReason.RESTORED)
            return before is None

    async def rename(self, path: str, new_path: str, base: str | None, actor: Actor) -> None:
        """Give a file another path; its versions go with it. ``base`` None: whatever it holds."""
        require_script(actor, path, "rename")
        require_script(actor, self._files.naming.path(new_path), "make")
        async with self._turn:
            self._require_writable(path)
            before = await self._there(path)
            row = _row(before, VersionReason.RENAMED, actor, new_path=self._files.naming.path(new_path))
            seen = base or before.sha256
            with self._outside.own({before.path: None, self._files.naming.path(new_path): before.sha256}):
                await self._recorded(row, seen, partial(self._files.rename, path, new_path, seen))
            self._tell(actor, "rename", path, new_path=new_path, sha256=seen)

    async def duplicate(self, path: str, new_path: str, actor: Actor) -> None:
        """Make a new file of what another one holds."""
        require_script(actor, path, "copy")
        require_script(actor, self._files.naming.path(new_path), "make")
        async with self._turn:
            self._require_space(new_path)
            digest = (await self._there(path)).sha256
            with self._outside.own({self._files.naming.path(new_path): digest}):
                await asyncio.to_thread(self._files.duplicate, path, new_path)
            self._tell(actor, "copy", self._files.naming.path(new_path), sha256=digest, of=path)

    async def delete(self, path: str, base: str | None, actor: Actor) -> VersionRow:
        """Delete a file. ``base`` None: whatever it holds. Returns what brings it back."""
        require_script(actor, path, "delete")
        async with self._turn:
            self._require_writable(path)
            row = _row(await self._there(path), VersionReason.DELETED, actor)
            seen = base or row.sha256
            with self._outside.own({row.path: None}):
                await self._recorded(row, seen, partial(self._files.delete, path, seen))
            self._tell(actor, "delete", path, sha256=seen)
            return row

    async def adopt(self, deletion: VersionRow, new_path: str, actor: Actor) -> bool:
        """Give the versions of a deleted file to the one that holds its text since, unless it is there again."""
        require_script(actor, deletion.script, "rename")
        require_script(actor, new_path, "make")
        async with self._turn:
            await self.settled()
            if await asyncio.to_thread(self._files.version, deletion.script) is not None:
                return False
            adopted = await self._versions.adopt(deletion, new_path)
            if adopted:
                self._tell(actor, "rename", deletion.script, new_path=new_path, sha256=deletion.sha256)
            return adopted

    async def put(self, path: str, data: bytes, base: str | None, actor: Actor) -> None:
        """Write what a file held before; the version that it replaces gets a row."""
        async with self._turn:
            await self._save(path, data, base, actor, VersionReason.RESTORED)

    async def gone(self, path: str, data: bytes, actor: Actor, new_path: str | None = None) -> None:
        """Record what became of a file that somebody removed or, with ``new_path``, renamed outside.

        Its last text goes into the history first, and with ``new_path`` its versions go along.

        Raises:
            Conflict: The file is there again; nothing was done.
            StoreError: There is none at the new path; nothing was done.
        """
        async with self._turn:
            self._require_writable(path)
            await self.settled()
            if (there := await asyncio.to_thread(self._files.version, path)) is not None:
                current = await asyncio.to_thread(self._files.read, path)
                raise Conflict(f"{path} is there again.", "Scan again.", current, there.sha256)
            if new_path is not None and await asyncio.to_thread(self._files.version, new_path) is None:
                raise NotFound(f"There is no {self._files.naming.noun} {new_path}.")
            reason = VersionReason.DELETED if new_path is None else VersionReason.RENAMED
            version = FileVersion(path, hashlib.sha256(data).hexdigest(), len(data))
            row = _row(version, reason, actor, new_path)
            await asyncio.to_thread(self._files.remember, data)
            await self._settle(row, await self._versions.announce(row))
            self._tell(actor, "gone_outside", path, new_path=new_path, sha256=version.sha256)

    async def replaced(self, path: str, data: bytes, actor: Actor) -> None:
        """Record what somebody replaced outside: what a file held before goes into the history."""
        async with self._turn:
            self._require_writable(path)
            await self.settled()
            version = FileVersion(path, hashlib.sha256(data).hexdigest(), len(data))
            await asyncio.to_thread(self._files.remember, data)
            row = _row(version, VersionReason.SAVED, actor)
            await self._settle(row, await self._versions.announce(row))

    async def after_crash(self) -> None:
        """Decide about what was announced when the engine ended. To be called before anybody changes anything."""
        for row in await self._versions.unsettled():
            await self._decide(row, row.id)

    async def _there(self, path: str) -> FileVersion:
        found = await asyncio.to_thread(self._files.version, path)
        if found is None:
            raise NotFound(f"There is no {self._files.naming.noun} {path}.")
        return found

    def _require_writable(self, path: str) -> None:
        if self._space is not None and self._space.read_only and (why := self._space.short()) is not None:
            raise cannot_change(path, why, self._space.hint)

    def _require_space(self, path: str) -> None:
        """Raise ``LowDisk`` while the disk is short of room. Renaming and deleting go on: they help to get some."""
        if self._space is not None and (short := self._space.short()) is not None:
            raise cannot_save(path, short, self._space.hint)

    async def _save(self, path: str, data: bytes, base: str | None, actor: Actor, reason: VersionReason) -> None:
        require_script(actor, self._files.naming.path(path), "save")
        self._require_space(path)
        before = await asyncio.to_thread(self._files.version, path)
        digest = hashlib.sha256(data).hexdigest()
        work = partial(self._files.save, path, data, base)
        try:
            with self._outside.own({self._files.naming.path(path): digest}):
                if before is None or base is None or before.sha256 == digest:  # nothing is replaced
                    await asyncio.to_thread(work)
                else:
                    await self._recorded(_row(before, reason, actor), base, work, insist=False)
        except Conflict:
            await self._note_refused(FileVersion(self._files.naming.path(path), digest, len(data)), actor)
            raise
        self._tell(actor, "restore" if reason is VersionReason.RESTORED else "save", path, sha256=digest, base=base)

    def _tell(self, actor: Actor, action: str, path: str, **detail: object) -> None:
        if self._audit is not None:
            self._audit.tell(actor, self._files.naming.folder, action, path, **detail)

    async def forget(self, script: str, kept: int) -> int:
        """Let go of a file's oldest versions above ``kept``; how many texts went with them."""
        async with self._turn:
            digests = await self._versions.forget(script, kept)
            await asyncio.to_thread(self._files.forget, digests)
            return len(digests)

    async def forget_deleted(self, script: str) -> int:
        """Let go of all versions of a file, unless somebody has made it anew; how many texts went with them."""
        try:
            gone = await asyncio.to_thread(self._files.version, script) is None
        except StoreError:  # there is something of that name
            gone = False
        return await self.forget(script, 0) if gone else 0

    async def forget_unnamed(self, history: Path, digests: Sequence[str], before: float) -> int:
        """Remove texts from the history that are older than ``before``, if no version names them; how many went."""
        async with self._turn:
            await self.settled()
            unnamed = await self._versions.unnamed(digests)
            return await asyncio.to_thread(leftovers.remove, history, unnamed, before)

    async def settled(self) -> None:
        """Wait until the last change is settled. The database must not be closed before."""
        if self._settling is not None:
            await asyncio.wait([self._settling])

    async def _recorded(self, row: VersionRow, base: str, work: Callable[[], Any], *, insist: bool = True) -> None:
        """Do ``work``, which takes the place of what ``row`` describes, if that is what the author has seen (``base``).

        Without ``insist`` a text that can be saved is saved although the database fails: the bytes of the version that
        it replaces are kept all the same.
        """
        await self.settled()
        announced = None
        if base == row.sha256:
            try:
                announced = await self._versions.announce(row, await asyncio.to_thread(self._since, row.path))
            except StoreError as error:
                if insist:
                    raise
                log.warning("no record of the version of %r that is replaced: %s", row.path, error)
        try:
            await asyncio.to_thread(work)
        except Conflict:
            await self._withdraw(row, announced)
            raise
        except BaseException:
            await self._decide(row, announced)
            raise
        # The row is there and the file too: nobody has to wait for the rest, save the next change.
        self._settling = asyncio.create_task(self._settle(row, announced))
        if row.new_path is not None:
            await self.settled()

    def _since(self, path: str) -> float | None:
        try:
            return self._files.mtime(path)
        except StoreError:
            return None

    async def _decide(self, row: VersionRow, announced: int | None) -> None:
        """Settle what has happened, and withdraw what has not."""
        if await asyncio.to_thread(_has_happened, self._files, row):
            await self._settle(row, announced)
        else:
            await self._withdraw(row, announced)

    async def _withdraw(self, row: VersionRow, announced: int | None) -> None:
        if announced is None:
            return
        try:
            await self._versions.withdraw(announced)
        except StoreError as error:
            log.warning("the record of %r is decided at the next start: %s", row.path, error)

    async def _settle(self, row: VersionRow, announced: int | None) -> None:
        if announced is None:
            return
        try:
            forgotten = await self._versions.settle(announced)
            await asyncio.to_thread(self._files.forget, forgotten)
        except StoreError as error:
            log.warning("the record of %r is settled at the next start: %s", row.path, error)

    async def _note_refused(self, text: FileVersion, actor: Actor) -> None:
        """A text that was in place for an instant, and gave way to somebody else's, is in the history: say whose."""
        try:
            await asyncio.to_thread(self._files.kept, text.sha256)
            if all(row.sha256 != text.sha256 for row in await self._versions.of(text.path)):
                row = _row(text, VersionReason.CONFLICT, actor)
                await self._settle(row, await self._versions.announce(row))
        except NoVersion:
            return
        except StoreError as error:
            log.warning("no record of the refused text of %r: %s", text.path, error)


def _row(version: FileVersion, reason: VersionReason, actor: Actor, new_path: str | None = None) -> VersionRow:
    return VersionRow(
        script=version.path,
        path=version.path,
        new_path=new_path,
        sha256=version.sha256,
        size=version.size,
        reason=reason.value,
        uid=actor.uid,
        name=actor.name,
        at=time.time(),
    )


def _has_happened(files: VersionedFiles, row: VersionRow) -> bool:
    """Whether something took the place of a version that is kept. Where that cannot be told, its row stays."""
    try:
        files.kept(row.sha256)
        now = files.version(row.path)
        if row.new_path is not None:
            return now is None and files.version(row.new_path) is not None
    except NoVersion:
        return False
    except StoreError:
        return True
    return now is None or now.sha256 != row.sha256 or row.reason == VersionReason.CONFLICT


def conflict(path: str, base: str | None) -> ServiceError:
    """Return the refusal of a save over what its author has not seen; ``base`` None: over what is there already."""
    if base is None:
        sentence = f"{path} exists already; nothing was written."
        return ServiceError("conflict", sentence, hint="Open it, or choose another name.", status=409)
    return ServiceError(
        "conflict",
        f"{path} changed on disk while you edited it; nothing was written.",
        hint="Load it again to see both versions, then decide which one to keep.",
        status=409,
    )


def refusal(error: StoreError, missing: str) -> ServiceError:
    """Return what the store refused, as every surface says it; ``missing`` is the code where there is no such file."""
    answers: tuple[tuple[type[StoreError], str, int], ...] = (
        (BadName, "bad_name", 400),
        (Conflict, "conflict", 409),
        (NotFound, missing, 404),
        (NoVersion, "no_version", 404),
        (LowDisk, "low_disk", 507),
    )
    code, status = next(((code, status) for kind, code, status in answers if isinstance(error, kind)), ("store", 422))
    return ServiceError(code, error.sentence, hint=error.hint, status=status)


def shown_version(row: VersionRow) -> ScriptVersion:
    """Return a version as a history shows it."""
    return ScriptVersion(
        path=row.path,
        sha256=row.sha256,
        size=row.size,
        reason=VersionReason(row.reason),
        at=row.at,
        uid=row.uid,
        name=row.name,
        new_path=row.new_path,
    )


def newest_other(history: ScriptHistory) -> str:
    """Return the newest version that differs from what is there; raises ``no_version``."""
    for version in history.versions:
        if version.sha256 != history.sha256:
            return version.sha256
    raise ServiceError("no_version", f"{history.path} has no other version to go back to.", status=404)


def require_named(history: ScriptHistory, sha256: str, hint: str) -> None:
    """Refuse another file's version: they lie in one place for all, and each gives out its own only.

    Raises:
        ServiceError: ``no_version``.
    """
    if all(version.sha256 != sha256 for version in history.versions):
        sentence = f"The history of {history.path} has no version {sha256[:12]!r}."
        raise ServiceError("no_version", sentence, hint=hint, status=404)


def version_text(history: ScriptHistory, sha256: str, data: bytes) -> VersionText:
    """Return what a version held; raises ``unreadable`` where that is no text."""
    try:
        return VersionText(path=history.path, sha256=sha256, text=data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ServiceError(
            "unreadable", f"This version of {history.path} is not UTF-8 text (byte {error.start}).", status=422
        ) from None

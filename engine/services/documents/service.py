"""The project's documents as every surface sees them: listed, loaded, saved, renamed, deleted, brought back, found."""

from __future__ import annotations

import asyncio
import difflib
import re
import shlex
import unicodedata
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from engine.models.documents import (
    DocumentInfo,
    DocumentList,
    DocumentSearchResult,
    DocumentText,
    FoundDocument,
    ImageList,
    SaveDocumentRequest,
    TagCounts,
)
from engine.models.scripts import DeleteRequest, RenameRequest
from engine.models.versions import DeletedScripts, RestoreRequest, ScriptHistory, ScriptVersion, VersionText
from engine.registry.documents import (
    DOCUMENTS_DELETE,
    DOCUMENTS_DELETED,
    DOCUMENTS_HISTORY,
    DOCUMENTS_IMAGES,
    DOCUMENTS_LIST,
    DOCUMENTS_LOAD,
    DOCUMENTS_RENAME,
    DOCUMENTS_RESTORE,
    DOCUMENTS_SAVE,
    DOCUMENTS_SEARCH,
    DOCUMENTS_TAGS,
    DOCUMENTS_VERSION,
    ImageParams,
)
from engine.services.access import Actor, ServiceError
from engine.services.documents.collection import DocumentCollection
from engine.services.documents.index import DocumentIndex, read_document, text_of
from engine.services.events import EventBus, outside_change
from engine.services.operations import implements
from engine.services.versioned_writer import (
    VersionedWriter,
    conflict,
    newest_other,
    refusal,
    require_named,
    shown_version,
    version_text,
)
from store.errors import Conflict, NotFound, StoreError
from store.files.documents import DocumentFiles, FoundFile
from store.files.names import DOCUMENT_NAMES, shown
from store.index.external_changes import ExternalChanges
from store.state.versions import Versions

T = TypeVar("T")

MAX_WORDS = 10
MAX_LINE = 200
"""Characters of a found line that are shown."""


class DocumentService:
    """Each method refuses with a ``ServiceError``; then nothing was changed unless the sentence says so.

    A change that was begun goes on when its caller is cancelled.
    """

    def __init__(
        self,
        files: DocumentFiles,
        index: DocumentIndex,
        writer: VersionedWriter,
        versions: Versions,
        events: EventBus,
    ) -> None:
        self._files = files
        self._index = index
        self._writer = writer
        self._versions = versions
        self._events = events
        self._searching = asyncio.Lock()
        index.outside.heard = self._heard

    async def collection(self) -> DocumentCollection:
        """Return the documents as they are on disk now, as one collection that changes no more."""
        return await _refusing(self._index.collection())

    async def info(self, path: str) -> DocumentInfo:
        """Return what is known of one document, which alone is read; its images are those of the last look.

        Raises:
            ServiceError: ``no_document`` or ``bad_name``.
        """
        return await self._info(await self._read(path))

    async def look(self) -> None:
        """Look for what others changed, if a client has ever asked for documents. For the watch."""
        if self._index.used:
            await self._index.collection()

    @implements(DOCUMENTS_LIST)
    async def list(self, status: str | None = None, tag: str | None = None) -> DocumentList:
        """List every document as it is on disk now, by path. One that cannot be used says why in ``problem``."""
        return DocumentList(documents=(await self.collection()).listed(status, tag))

    @implements(DOCUMENTS_TAGS)
    async def tags(self, status: str | None = None) -> TagCounts:
        """Count the documents that have each tag."""
        return TagCounts(tags=(await self.collection()).tags(status))

    @implements(DOCUMENTS_IMAGES)
    async def images(
        self, document: str | None = None, year: int | None = None, month: int | None = None, months: int | None = None
    ) -> ImageList:
        """List the images below the documents folder, newest first."""
        wanted = ImageParams(document=document, year=year, month=month, months=months)
        return ImageList(images=(await self.collection()).images_of(wanted))

    @implements(DOCUMENTS_SEARCH)
    async def search(self, text: str, limit: int = 50) -> DocumentSearchResult:
        """Find the documents that have every word of ``text``, those first that have them in name, title and tags.

        The texts are read when they are searched: there is no index of words to be kept in memory, and ten thousand
        documents take a fraction of a second.
        """
        collection = await self.collection()
        async with self._searching:  # each reads every text
            found = await asyncio.to_thread(_search, self._files, collection.documents, text, limit + 1)
        return DocumentSearchResult(documents=found[:limit], more=len(found) > limit)

    @implements(DOCUMENTS_LOAD)
    async def load(self, path: str) -> DocumentText:
        """Return a document with its text; raises ``no_document``, ``bad_name``, or ``unreadable`` where it is none."""
        file = await self._read(path)
        text, problem = text_of(file.data or b"")
        if problem is not None:
            hint = "Convert it to UTF-8, for example with iconv, and open it again."
            sentence = f"{file.path} cannot be opened. {problem}"
            raise ServiceError("unreadable", sentence, hint=hint, status=422)
        return DocumentText(info=await self._info(file), text=text)

    @implements(DOCUMENTS_SAVE)
    async def save(self, path: str, request: SaveDocumentRequest, actor: Actor) -> DocumentInfo:
        """Write a document's text durably; it is on disk when this returns.

        Raises:
            ServiceError: ``conflict`` when the file is not what the author loaded. Nothing was written.
        """
        try:
            data = request.text.encode("utf-8")
        except UnicodeEncodeError:
            raise ServiceError("bad_text", "The text holds a lone surrogate, which UTF-8 cannot carry.") from None
        if "\0" in request.text:
            raise ServiceError("bad_text", "The text holds a NUL, so it would be no text to open again.", status=422)
        return await asyncio.shield(self._save(path, data, request.base_sha256, actor))

    @implements(DOCUMENTS_RENAME)
    async def rename(self, path: str, request: RenameRequest, actor: Actor) -> DocumentInfo:
        """Give a document another path. Its history goes with it; links to it stay as they are written."""
        return await asyncio.shield(_refusing(self._rename(path, request, actor)))

    @implements(DOCUMENTS_DELETE)
    async def delete(self, path: str, request: DeleteRequest, actor: Actor) -> ScriptVersion:
        """Delete a document; its history keeps what it held."""
        return await asyncio.shield(_refusing(self._delete(path, request, actor)))

    @implements(DOCUMENTS_DELETED)
    async def deleted(self, actor: Actor) -> DeletedScripts:  # noqa: ARG002 - its role is checked
        """List the documents that were deleted and are not there now, the last one first."""
        return await _refusing(self._deleted())

    @implements(DOCUMENTS_HISTORY)
    async def history(self, path: str, actor: Actor) -> ScriptHistory:  # noqa: ARG002 - its role is checked
        """List the versions of a document, be it there or deleted."""
        return await _refusing(self._history(path))

    @implements(DOCUMENTS_VERSION)
    async def version(self, path: str, sha256: str, actor: Actor) -> VersionText:  # noqa: ARG002 - as above
        """Return the text of one version that the document's history names."""
        return await _refusing(self._version(path, sha256))

    @implements(DOCUMENTS_RESTORE)
    async def restore(self, path: str, request: RestoreRequest, actor: Actor) -> DocumentInfo:
        """Bring back a version, of a deleted document too. What it replaces goes to the history."""
        return await asyncio.shield(_refusing(self._restore(path, request, actor)))

    async def _read(self, name: str) -> FoundFile:
        try:
            return await asyncio.to_thread(self._look_for, name)
        except NotFound:
            raise await self._unknown(name) from None
        except StoreError as error:
            raise refused(error) from None

    def _look_for(self, name: str) -> FoundFile:
        """Read the document that ``name`` means: its path, with or without the suffix."""
        return self._files.look(self._path_of(name))

    def _path_of(self, name: str) -> str:
        path = DOCUMENT_NAMES.path(name)
        if path == unicodedata.normalize("NFC", name) or self._files.there(path):
            return path
        named = (DOCUMENT_NAMES.path(name + suffix) for suffix in DOCUMENT_NAMES.suffixes)
        return next((other for other in named if self._files.there(other)), path)

    async def _unknown(self, name: str) -> ServiceError:
        collection = await self.collection()
        near = await asyncio.to_thread(_near, name, [info.path for info in collection.documents])
        hint = f"Did you mean {' or '.join(near)}?" if near else "See gatewright documents list."
        return ServiceError("no_document", f"There is no document {shown(name[:200])!r}.", hint=hint, status=404)

    async def _info(self, file: FoundFile) -> DocumentInfo:
        """Return what there is to know of a file that was just read."""
        read = await asyncio.to_thread(read_document, file)
        return await _refusing(self._index.info_of(read))

    async def _written(self, path: str, data: bytes) -> DocumentInfo:
        """Return what was saved. It may be gone or another text by now: that is for the next who asks."""
        try:
            file = await asyncio.to_thread(self._files.look, path)
        except StoreError:
            file = FoundFile(path, len(data), data=data)
        try:
            return await self._info(file)
        except ServiceError as error:  # the folder cannot be listed; the document is saved all the same
            read = await asyncio.to_thread(read_document, file)
            info = DocumentCollection([read], ()).documents[0]
            return replace(info, problem=info.problem or error.message)

    async def _save(self, path: str, data: bytes, base: str | None, actor: Actor) -> DocumentInfo:
        try:
            path = self._files.naming.path(path)
            await self._writer.save(path, data, base, actor)
        except Conflict:
            raise conflict(path, base) from None
        except StoreError as error:
            raise refused(error) from None
        self._events.publish("document", {"path": path, "change": "created" if base is None else "saved"})
        return await self._written(path, data)

    async def _rename(self, name: str, request: RenameRequest, actor: Actor) -> DocumentInfo:
        path = (await self._read(name)).path
        new_path = self._files.naming.path(request.new_path)
        if new_path == path:
            raise ServiceError("bad_name", f"{path} has that name already.", hint="Give another one.")
        await self._writer.rename(path, new_path, request.base_sha256, actor)
        self._events.publish("document", {"path": new_path, "change": "renamed", "old_path": path})
        return await self._info(await self._read(new_path))

    async def _delete(self, name: str, request: DeleteRequest, actor: Actor) -> ScriptVersion:
        path = (await self._read(name)).path
        row = await self._writer.delete(path, request.base_sha256, actor)
        self._events.publish("document", {"path": path, "change": "deleted", "old_path": path})
        return shown_version(row)

    async def _deleted(self) -> DeletedScripts:
        there = {info.path for info in (await self.collection()).documents}
        rows = await self._versions.deletions()
        return DeletedScripts(versions=[shown_version(row) for row in rows if row.script not in there])

    async def _history(self, name: str) -> ScriptHistory:
        path = await asyncio.to_thread(self._path_of, name)
        rows = await self._versions.of(path)
        now = await asyncio.to_thread(self._files.version, path)
        if not rows and now is None:
            raise await self._unknown(name)
        return ScriptHistory(
            path=path, versions=[shown_version(row) for row in rows], sha256=None if now is None else now.sha256
        )

    async def _version(self, name: str, sha256: str) -> VersionText:
        history = await self._history(name)
        require_named(history, sha256, _see_history(history.path))
        return version_text(history, sha256, await asyncio.to_thread(self._files.kept, sha256))

    async def _restore(self, name: str, request: RestoreRequest, actor: Actor) -> DocumentInfo:
        history = await self._history(name)
        digest = request.sha256 or newest_other(history)
        require_named(history, digest, _see_history(history.path))
        was_gone = await self._writer.restore(history.path, digest, request.base_sha256, actor)
        self._events.publish("document", {"path": history.path, "change": "created" if was_gone else "saved"})
        return await self._info(await self._read(history.path))

    def _heard(self, found: ExternalChanges) -> None:
        self._events.publish("document", outside_change(found))


async def _refusing(work: Awaitable[T]) -> T:
    """Return what ``work`` does; what the store refuses is raised as a ``ServiceError``."""
    try:
        return await work
    except StoreError as error:
        raise refused(error) from None


def refused(error: StoreError) -> ServiceError:
    """Return what the store refused of documents, as every surface says it."""
    return refusal(error, "no_document")


def _see_history(path: str) -> str:
    return f"See gatewright documents history {shlex.quote(path)}"


def _near(name: str, paths: Sequence[str]) -> list[str]:
    """Return up to three paths that ``name`` could be meant for: by the whole path or by the file name alone."""
    if len(name) > 500:
        return []
    spellings = {
        spelling: path
        for path in paths
        for last in [path.rpartition("/")[2]]
        for spelling in (path, last, last.rpartition(".")[0])
        if spelling
    }
    return list(dict.fromkeys(spellings[match] for match in difflib.get_close_matches(name, spellings, n=3)))


def _search(files: DocumentFiles, documents: Iterable[DocumentInfo], text: str, limit: int) -> list[FoundDocument]:
    words = [_folded(word) for word in text.split()[:MAX_WORDS]]
    if not words:
        return []
    patterns = [_pattern(word, whole=number < len(words) - 1) for number, word in enumerate(words)]
    heads = [(info, _folded(f"{info.path} {info.title} {' '.join(info.tags)}")) for info in documents]
    first = [info for info, head in heads if all(pattern.search(head) for pattern in patterns)][:limit]
    found = [_found(info, _body(files, info), patterns) for info in first]
    chosen = {info.path for info in first}
    for info, head in heads:
        if len(found) >= limit:
            break
        if info.path in chosen or not info.sha256:
            continue
        body = _body(files, info)
        folded = _folded(body)
        if all(pattern.search(folded) or pattern.search(head) for pattern in patterns):
            found.append(_found(info, body, patterns))
    return found


def _body(files: DocumentFiles, info: DocumentInfo) -> str:
    """Return its text as it is now; nothing where it has gone, or is none."""
    try:
        return text_of(files.read(info.path))[0] if info.sha256 else ""
    except StoreError:
        return ""


def _found(info: DocumentInfo, body: str, patterns: Sequence[re.Pattern[str]]) -> FoundDocument:
    for number, line in enumerate(body.splitlines(), 1):
        if any(pattern.search(_folded(line)) for pattern in patterns):
            return FoundDocument(path=info.path, title=info.title, line=number, text=line.strip()[:MAX_LINE])
    return FoundDocument(path=info.path, title=info.title)


def _pattern(word: str, *, whole: bool) -> re.Pattern[str]:
    """Match a word, or what begins with it; what is no word is looked for as it stands."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    behind = r"(?!\w)" if whole and re.search(r"\w\Z", word) else ""
    return re.compile(before + re.escape(word) + behind)


def _folded(text: str) -> str:
    """Return ``text`` without case and accents, as the search over scripts reads it."""
    if text.isascii():
        return text.lower()
    return "".join(one for one in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(one))

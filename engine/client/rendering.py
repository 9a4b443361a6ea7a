"""Render a tree of documents: read it, have the engine expand what changed, write the result, all but the middle here.

Everything outside of the project is read and written by this process, with its caller's rights. The engine gets the
metadata of all documents once, for what macros ask of them, and the texts of those that have to be expanded.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.render_manifest import VERSION, Entry, Head, Manifest, Question, question
from engine.client.render_tree import (
    MANIFEST,
    MAX_DOCUMENT,
    MAX_SIDECAR,
    DiskFullError,
    Found,
    RenderFolderError,
    ResultFolder,
    SourceFolder,
    TreeFile,
    reason,
    source_and_result,
)
from engine.document_text import DOCUMENT_SUFFIXES, SIDECAR_SUFFIX, front_matter_of, image_links
from engine.models.base import Model
from engine.models.macros import (
    BatchRequest,
    DocumentInput,
    MacroUse,
    Read,
    ReadsRequest,
    RenderedDocument,
    RenderRequest,
    RenderWarning,
    SourceDocument,
    SourceImage,
)
from engine.registry.macros import (
    MACROS_LIST,
    RENDER_BEGIN,
    RENDER_DOCUMENTS,
    RENDER_END,
    RENDER_READS,
    BatchParams,
    RenderEndParams,
)

TAG = "[["
"""A document without it has nothing to expand."""

REQUEST_DOCUMENTS = 250
REQUEST_SIZE = 1 << 20
"""Documents, or characters of documents or questions, of one request; a larger document goes alone."""

FIRST_REQUEST = 16
"""Documents of the first requests: the first progress is there at once, also where macros are slow."""

REQUEST_TIME = 3.0
"""Seconds that a request may take before the next ones are smaller; in half of that, the next ones are larger. Those
under way at once share the engine: one of them ends about every second."""

IN_FLIGHT = 3
"""Requests that the engine has at once: one to work at, one to come next, one on its way back."""

LARGEST_REQUEST = 15 << 20
"""Bytes of a request as JSON: the engine takes 16 MiB."""

KEPT_TEXT = 64 << 20
"""Bytes of texts that are kept from the first look to the request; others are read again."""

READS = 2_000
"""Questions in one request."""

ATTEMPTS = 4
"""Engines that may be lost one after the other without a document in between."""

LOST = frozenset({"no_batch", "stopping"})
"""Codes of an engine that no longer has our batch, though it was not cancelled."""

ERRORS = frozenset({"error", "unknown", "parameter", "syntax"})
"""Kinds of warnings that --strict makes errors."""

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

Reconnect = Callable[[], Awaitable[EngineClient]]


class FileProblem(Model, frozen=True):
    """A file of the source that is not in the result, or not as it could be."""

    path: str
    problem: str
    failed: bool = True
    """It is not there as it should be; else it was copied, although its name is that of a document."""


class RenderSummary(Model, frozen=True, omit_defaults=False):
    """What a render did. ``warnings`` are those of all documents, also of those that were left as they were."""

    documents: int
    rendered: int
    unchanged: int
    copied: int
    removed: int
    seconds: float
    warnings: list[RenderWarning] = []  # noqa: RUF012 - msgspec copies it
    problems: list[FileProblem] = []  # noqa: RUF012
    skipped: list[FileProblem] = []  # noqa: RUF012
    """Left out on purpose: links, devices."""
    complete: bool = True
    """False: it stopped before its end; what is there is noted, and the next one goes on behind it."""

    @property
    def errors(self) -> int:
        """How many tags were not expanded, or not as they are written."""
        return sum(warning.kind in ERRORS for warning in self.warnings)

    @property
    def failed(self) -> bool:
        """Whether something of the source is not in the result."""
        return not self.complete or any(one.failed for one in self.problems)


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What a caller wants.

    Attributes:
        workers: Processes for each macro.
        language: Of documents that name none.
        force: Render everything, and write over files that no render has written.
        progress: Told how many of how many documents are done, and that the engine is connected to again.
    """

    workers: int = 1
    language: str = ""
    force: bool = False
    progress: Callable[[int, int], None] | None = None
    resumed: Callable[[str], None] | None = None


class LostBatchError(Exception):
    """The engine with our batch is gone."""


@dataclass(slots=True)
class _Document:
    """A document of the source. ``text`` is None where it is read again when its turn comes."""

    file: TreeFile
    sha256: str
    has_tags: bool
    source: SourceDocument
    text: str | None = None


@dataclass(slots=True)
class _Scan:
    """The source folder as it was looked at."""

    found: Found
    documents: dict[str, _Document] = field(default_factory=dict)
    images: list[SourceImage] = field(default_factory=list)
    others: list[TreeFile] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)


async def render(
    client: EngineClient, source: str, out: str, options: RenderOptions, reconnect: Reconnect
) -> RenderSummary:
    """Render the folder ``source`` into the folder ``out``.

    When it is cancelled, what is there is noted, and the batch is ended.

    Args:
        client: Of the engine; stays the caller's.
        source: A folder.
        out: Another one, made if need be.
        options: What else.
        reconnect: Gets a client when the engine was lost; we close it.

    Raises:
        RenderFolderError: One of the folders cannot be used; nothing was written.
        EngineError: The engine refused.
        EngineUnreachable: It was lost, and so were those that came after it.
    """
    with source_and_result(source, out, force=options.force) as (source_fd, out_fd):
        result = ResultFolder(out_fd)
        manifest = Manifest(out_fd, Head(version=VERSION, language=options.language))
        with ThreadPoolExecutor(1, "render") as files:
            rendering = _Rendering(client, SourceFolder(source_fd), result, manifest, options, reconnect, files)
            try:
                return await rendering.run()
            finally:
                # Not cancelled: what is written must be noted.
                await asyncio.shield(rendering.in_files(rendering.close))


class _Rendering:
    """One render. Files are read and written by one thread, in the order in which that is asked for."""

    def __init__(
        self,
        client: EngineClient,
        source: SourceFolder,
        result: ResultFolder,
        manifest: Manifest,
        options: RenderOptions,
        reconnect: Reconnect,
        files: ThreadPoolExecutor,
    ) -> None:
        self._client = client
        self._own_client: EngineClient | None = None
        self._source = source
        self._result = result
        self._manifest = manifest
        self._options = options
        self._reconnect = reconnect
        self._files = files
        self._done: set[str] = set()
        """Documents that this render made, whatever engine did it."""
        self._rendered = self._copied = self._removed = 0
        self._full = False
        self._problems: list[FileProblem] = []

    async def in_files(
        self, work: Callable[Arguments, Answer], *arguments: Arguments.args, **options: Arguments.kwargs
    ) -> Answer:
        """Do ``work`` in the thread that reads and writes files."""
        return await asyncio.get_running_loop().run_in_executor(self._files, partial(work, *arguments, **options))

    def close(self) -> None:
        self._manifest.close(sync=bool(self._rendered or self._copied))
        self._result.close()

    async def run(self) -> RenderSummary:
        begun = time.monotonic()
        scan = _Scan(Found())
        try:
            await self.in_files(self._begin)
            await self.in_files(self._look, scan)
            await self.in_files(self._remove_stale, scan)
            await self.in_files(self._write_plain, scan)
            await self._to_end(scan)
            await self.in_files(self._copy_others, scan)
        except DiskFullError:
            self._full = True
        finally:
            if self._own_client is not None:
                await self._own_client.close()
        return self._summary(scan, time.monotonic() - begun)

    def _begin(self) -> None:
        try:
            self._result.clear_temps()
            self._manifest.load()
        except OSError as error:
            raise RenderFolderError(
                f"the folder that --out names cannot be used, by its file {MANIFEST}: {reason(error)}",
                "Name another folder, or have this one opened to your account.",
            ) from None

    # -- the source --------------------------------------------------------------------------------------------------

    def _look(self, scan: _Scan) -> None:
        """Read every document and sidecar."""
        scan.found = self._source.find()
        self._result.modes = scan.found.folders
        scan.problems += [FileProblem(path=one.path, problem=one.reason) for one in scan.found.skipped if one.failed]
        kept = 0
        paths = {file.path: file for file in scan.found.files}
        for file in scan.found.files:
            if file.is_document:
                kept += self._look_at(file, scan, keep=kept < KEPT_TEXT)
                continue
            scan.others.append(file)
            if file.is_image:
                sidecar = paths.get(file.path + SIDECAR_SUFFIX)
                scan.images.append(
                    SourceImage(
                        path=file.path,
                        size=file.size,
                        modified=file.modified,
                        sidecar="" if sidecar is None else self._sidecar(sidecar),
                    )
                )
            elif file.path.lower().endswith(DOCUMENT_SUFFIXES):
                sentence = "its name is not UTF-8, so its tags are not expanded; it was copied"
                if file.has_plain_name:
                    sentence = f"it has more than {MAX_DOCUMENT >> 20} MiB, so its tags are not expanded; it was copied"
                scan.problems.append(FileProblem(path=file.path, problem=sentence, failed=False))

    def _look_at(self, file: TreeFile, scan: _Scan, *, keep: bool) -> int:
        """Take a document in, or a file that only has the name of one; return the bytes that are kept."""
        try:
            data = self._source.read(file.path, MAX_DOCUMENT + 1)
        except OSError as error:
            scan.problems.append(FileProblem(path=file.path, problem=reason(error)))
            return 0
        text = _text(data)
        if text is None or len(data) > MAX_DOCUMENT:
            scan.others.append(file)
            scan.problems.append(
                FileProblem(path=file.path, problem="it is not UTF-8 text; it was copied as it is", failed=False)
            )
            return 0
        place = front_matter_of(text)
        sha256 = hashlib.sha256(data).hexdigest()
        scan.documents[file.path] = _Document(
            file,
            sha256,
            TAG in text,
            SourceDocument(
                path=file.path,
                sha256=sha256,
                size=len(data),
                modified=file.modified,
                front_matter="" if place is None else place.yaml,
                links=image_links(text),
            ),
            text if keep else None,
        )
        return len(data) if keep else 0

    def _sidecar(self, file: TreeFile) -> str:
        try:
            return _text(self._source.read(file.path, MAX_SIDECAR)) or ""
        except OSError:  # it is told of when it is copied
            return ""

    # -- the engine --------------------------------------------------------------------------------------------------

    async def _to_end(self, scan: _Scan) -> None:
        """Render what has changed, with one engine after the other if need be."""
        lost = 0
        while True:
            before = len(self._done)
            try:
                return await self._with_engine(scan)
            except (LostBatchError, EngineUnreachable) as error:
                lost = lost + 1 if len(self._done) == before else 1
                if lost >= ATTEMPTS:
                    if isinstance(error, EngineUnreachable):
                        raise
                    raise EngineUnreachable("The engine ends again and again before the render does.") from None
                if self._options.resumed is not None:
                    self._options.resumed(str(error))
                await self._connect_again()

    async def _connect_again(self) -> None:
        if self._own_client is not None:
            await self._own_client.close()
            self._own_client = None
        self._client = self._own_client = await self._reconnect()

    async def _with_engine(self, scan: _Scan) -> None:
        if not any(document.has_tags for document in scan.documents.values()):
            return
        with _lost():
            listed = (await self._client.call(MACROS_LIST)).macros
        macros = {info.name: MacroUse(name=info.name, script=info.script, sha256=info.sha256) for info in listed}
        if not await self.in_files(self._changed, scan, macros) and not self._asked(scan, ()):
            return
        request = BatchRequest(
            documents=[document.source for document in scan.documents.values()],
            images=scan.images,
            workers=self._options.workers,
            language=self._options.language,
        )
        if len(msgspec.json.encode(request)) > LARGEST_REQUEST:
            raise RenderFolderError(
                "what the engine has to know of all documents is more than it takes at once",
                "Render the folders below it one by one.",
            )
        with _lost():
            batch = await self._client.call(RENDER_BEGIN, body=request)
        ended_well = False
        try:
            with _lost():
                # A macro may have been saved since they were listed.
                todo = await self.in_files(self._changed, scan, {use.name: use for use in batch.macros})
                todo += await self._outdated(batch.id, scan, todo)
                await self._render_all(batch.id, sorted(todo, key=lambda one: one.file.path))
            ended_well = True
        finally:
            with suppress(EngineError, EngineUnreachable):
                params = RenderEndParams(batch_id=batch.id, cancelled=not ended_well)
                await asyncio.shield(self._client.call(RENDER_END, params))

    def _changed(self, scan: _Scan, macros: Mapping[str, MacroUse]) -> list[_Document]:
        """Return the documents with tags whose text or macros are not those that their files were made of."""
        return [
            document
            for document in scan.documents.values()
            if document.has_tags and not self._is_made(document, macros)
        ]

    def _is_made(self, document: _Document, macros: Mapping[str, MacroUse]) -> bool:
        entry = self._manifest.entries.get(document.file.path)
        if entry is None or entry.sha256 != document.sha256 or not entry.made_with(macros):
            return False
        if document.file.path not in self._done and (self._options.force or entry.failed):
            return False
        if entry.source_mode != document.file.mode:  # it may have been closed to other accounts
            return False
        return self._result.is_as_written(document.file.path, entry.written)

    def _asked(self, scan: _Scan, but: Sequence[_Document]) -> dict[Question, Read]:
        """Return what macros asked before for documents that are still the same, each question once."""
        left_out = {document.file.path for document in but}
        return {
            question(read): read
            for path in scan.documents.keys() - left_out
            if (entry := self._manifest.entries.get(path)) is not None
            for read in entry.reads
        }

    async def _outdated(self, batch_id: str, scan: _Scan, todo: Sequence[_Document]) -> list[_Document]:
        """Return the other documents whose macros would be told something else now."""
        answers: dict[Question, str] = {}
        for portion in _questions(self._asked(scan, todo)):
            request = ReadsRequest(reads=[read for _, read in portion])
            answer = await self._client.call(RENDER_READS, BatchParams(batch_id=batch_id), request)
            answers.update((key, sha256) for (key, _), sha256 in zip(portion, answer.sha256, strict=True))
        known = {document.file.path for document in todo}
        return [
            document
            for path, document in scan.documents.items()
            if path not in known and (entry := self._manifest.entries.get(path)) is not None
            if any(answers.get(question(read)) != read.sha256 for read in entry.reads)
        ]

    async def _render_all(self, batch_id: str, todo: Sequence[_Document]) -> None:
        """Send the documents in portions, several on their way at once."""
        portions = _Portions(todo)
        done = 0
        self._tell(done, len(todo))

        async def one_after_the_other() -> None:
            nonlocal done
            while portion := portions.take():
                begun = time.monotonic()
                await self._render(batch_id, portion, len(todo))
                portions.took(time.monotonic() - begun)
                done += len(portion)
                self._tell(done, len(todo))

        tasks = [asyncio.ensure_future(one_after_the_other()) for _ in range(min(IN_FLIGHT, len(todo)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, done: int, total: int) -> None:
        if self._options.progress is not None and total:
            self._options.progress(done, total)

    async def _render(self, batch_id: str, portion: Sequence[_Document], total: int) -> None:
        left = await self.in_files(self._texts, portion)
        while left:
            request = RenderRequest(documents=[one for _, one in left], total=total)
            answer = await self._client.call(RENDER_DOCUMENTS, BatchParams(batch_id=batch_id), request)
            if not answer.documents:
                raise EngineUnreachable("The engine's answer makes no sense to this version.")
            # An answer may have fewer documents than were sent: the rest has found no room.
            await asyncio.shield(self.in_files(self._write_rendered, left, answer.documents))
            left = left[len(answer.documents) :]

    def _texts(self, portion: Sequence[_Document]) -> list[tuple[_Document, DocumentInput]]:
        """The documents with their texts, those read again that were not kept. What cannot be sent is copied."""
        found = []
        for document in portion:
            text = self._text_of(document)
            if text is not None:
                found.append((document, DocumentInput(path=document.file.path, text=text)))
        return found

    def _text_of(self, document: _Document) -> str | None:
        """The text of a document, read again where it was not kept; None if there is nothing to be done with it."""
        path, text = document.file.path, document.text
        document.text = None
        if text is None:
            try:
                data = self._source.read(path, MAX_DOCUMENT + 1)
            except OSError as error:
                self._problems.append(FileProblem(path=path, problem=reason(error)))
                return None
            text = _text(data) if len(data) <= MAX_DOCUMENT else None  # else it was not read to its end
            document.sha256 = hashlib.sha256(data).hexdigest()
        if text is None or _is_too_large(text):
            sentence = "it is no document that the engine takes, so its tags are not expanded; it was copied"
            self._problems.append(FileProblem(path=path, problem=sentence, failed=False))
            self._note(self._copied_file(document.file))
            return None
        return text

    # -- the result --------------------------------------------------------------------------------------------------

    def _write_rendered(
        self, sent: Sequence[tuple[_Document, DocumentInput]], rendered: Sequence[RenderedDocument]
    ) -> None:
        entries: list[Entry] = []
        try:
            for (document, _), one in zip(sent, rendered, strict=False):
                entry = self._written(document, one)
                if entry is not None:
                    entries.append(entry)
        finally:  # also when the disk is full: those that stand are done
            self._manifest.add(entries)

    def _write_plain(self, scan: _Scan) -> None:
        """Write the documents that have changed and hold nothing to expand."""
        entries: list[Entry] = []
        try:
            for document in scan.documents.values():
                if document.has_tags or self._is_made(document, {}):
                    continue
                text = self._text_of(document)
                if text is None:
                    continue
                if TAG in text:  # it was changed since it was looked at
                    document.text, document.has_tags = text, True
                    continue
                entry = self._written(document, RenderedDocument(path=document.file.path, text=text))
                if entry is not None:
                    entries.append(entry)
        finally:
            self._manifest.add(entries)

    def _written(self, document: _Document, one: RenderedDocument) -> Entry | None:
        file = document.file
        try:
            written = self._result.write(file.path, one.text.encode(), file.mode)
        except OSError as error:
            self._problems.append(FileProblem(path=file.path, problem=f"it cannot be written: {reason(error)}"))
            return None
        self._rendered += file.path not in self._done
        self._done.add(file.path)
        return Entry(
            path=file.path,
            sha256=document.sha256,
            size=written.size,
            modified_ns=written.modified_ns,
            source_size=file.size,
            source_ns=file.modified_ns,
            source_mode=file.mode,
            macros=one.macros,
            reads=one.reads,
            warnings=one.warnings,
        )

    def _copy_others(self, scan: _Scan) -> None:
        for start in range(0, len(scan.others), REQUEST_DOCUMENTS):
            entries: list[Entry] = []
            try:
                for file in scan.others[start : start + REQUEST_DOCUMENTS]:
                    entry = None if self._is_copied(file) else self._copied_file(file)
                    if entry is not None:
                        entries.append(entry)
            finally:
                self._manifest.add(entries)

    def _is_copied(self, file: TreeFile) -> bool:
        entry = self._manifest.entries.get(file.path)
        return (
            entry is not None
            and not entry.sha256
            and not self._options.force
            and (entry.source_size, entry.source_ns, entry.source_mode) == (file.size, file.modified_ns, file.mode)
            and self._result.is_as_written(file.path, entry.written)
        )

    def _copied_file(self, file: TreeFile) -> Entry | None:
        try:
            with self._source.opened(file.path) as source:
                written = self._result.copy(source, file.path, file.mode)
        except OSError as error:
            self._problems.append(FileProblem(path=file.path, problem=f"it was not copied: {reason(error)}"))
            return None
        self._copied += 1
        if not file.has_plain_name:  # it cannot be noted, so it is copied each time
            return None
        return Entry(
            path=file.path,
            size=written.size,
            modified_ns=written.modified_ns,
            source_size=file.size,
            source_ns=file.modified_ns,
            source_mode=file.mode,
        )

    def _note(self, entry: Entry | None) -> None:
        if entry is not None:
            self._manifest.add([entry])

    def _remove_stale(self, scan: _Scan) -> None:
        """Remove what a render wrote whose source is gone, unless others have changed it since."""
        gone: list[Entry] = []
        for entry in self._manifest.stale(file.path for file in scan.found.files):
            if scan.found.is_unseen(entry.path):
                continue
            gone.append(Entry(path=entry.path, removed=True))
            if not self._result.is_as_written(entry.path, entry.written):
                continue
            try:
                self._result.remove(entry.path)
                self._removed += 1
            except OSError as error:
                problem = f"its source is gone, and it cannot be removed: {reason(error)}"
                self._problems.append(FileProblem(path=entry.path, problem=problem))
        self._manifest.add(gone)

    def _summary(self, scan: _Scan, seconds: float) -> RenderSummary:
        warnings, unchanged = [], 0
        for path, document in scan.documents.items():
            entry = self._manifest.entries.get(path)
            if entry is not None and entry.sha256 == document.sha256:
                warnings += entry.warnings
                unchanged += path not in self._done
        return RenderSummary(
            documents=len(scan.documents),
            rendered=self._rendered,
            unchanged=unchanged,
            copied=self._copied,
            removed=self._removed,
            seconds=seconds,
            warnings=warnings,
            problems=[msgspec.structs.replace(one, path=_shown(one.path)) for one in self._all_problems(scan)],
            skipped=[
                FileProblem(path=_shown(one.path), problem=one.reason) for one in scan.found.skipped if not one.failed
            ],
            complete=not self._full,
        )

    def _all_problems(self, scan: _Scan) -> Iterator[FileProblem]:
        yield from scan.problems
        yield from self._problems
        if self._full:
            yield FileProblem(path="", problem="the disk of the result is full; free some room and render again")


@contextmanager
def _lost() -> Iterator[None]:
    """Count an engine that no longer has our batch as lost, like one that does not answer."""
    try:
        yield
    except EngineError as error:
        if error.code in LOST:
            raise LostBatchError(error.message) from None
        raise


def _text(data: bytes) -> str | None:
    """Return the text of a document, byte for byte; None for what is no text."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _is_too_large(text: str) -> bool:
    """Tell whether a text alone is more than a request takes: JSON can need six bytes for one."""
    return len(text) > LARGEST_REQUEST // 6 and len(msgspec.json.encode(text)) > LARGEST_REQUEST


class _Portions:
    """Documents of one request each: few at first, and more as long as they are made quickly."""

    def __init__(self, documents: Iterable[_Document]) -> None:
        self._documents = deque(documents)
        self._most = min(FIRST_REQUEST, REQUEST_DOCUMENTS)

    def take(self) -> list[_Document]:
        """Return the documents of the next request; none when all were taken."""
        portion: list[_Document] = []
        size = 0
        while self._documents and len(portion) < self._most:
            size += self._documents[0].file.size
            if portion and size > REQUEST_SIZE:
                break
            portion.append(self._documents.popleft())
        return portion

    def took(self, seconds: float) -> None:
        """Choose the size of the next requests by the time that one took."""
        if seconds > REQUEST_TIME:
            self._most = max(1, self._most // 2)
        elif seconds < REQUEST_TIME / 2:
            self._most = min(REQUEST_DOCUMENTS, self._most * 2)


def _questions(asked: Mapping[Question, Read]) -> Iterator[list[tuple[Question, Read]]]:
    """What one request after the other asks. A question that is too long for any is not asked."""
    portion: list[tuple[Question, Read]] = []
    size = 0
    for key, read in asked.items():
        length = len(key[0]) + len(key[1])
        if length > REQUEST_SIZE:
            continue
        if portion and (len(portion) == READS or size + length > REQUEST_SIZE):
            yield portion
            portion, size = [], 0
        portion.append((key, read))
        size += length
    if portion:
        yield portion


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()

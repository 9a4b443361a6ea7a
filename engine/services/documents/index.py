"""What is known of the project's documents, in memory: filled by the first look, then only what changed is read."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.document_text import FRONT_MATTER_LINE, MAX_FRONT_MATTER, front_matter_of, image_links
from engine.models.documents import DocumentInfo
from engine.services.documents.collection import DocumentCollection, ReadDocument, ReadImage
from store.files.documents import SIDECAR_SUFFIX, DocumentFiles, FoundFile
from store.files.front_matter import FrontMatter, read_front_matter
from store.files.listing import Stamp
from store.index.external_changes import Outside
from store.index.scan import MANY, QUIET_NS, settle_objects, without_collector

TOO_LONG = f"Its front matter is longer than {MAX_FRONT_MATTER:,} characters."


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document as a look found it.

    Attributes:
        seen_ns: When it was read, in ns since the epoch.
    """

    read: ReadDocument
    stamp: Stamp | None
    seen_ns: int

    @property
    def path(self) -> str:
        return self.read.path

    @property
    def sha256(self) -> str:
        return self.read.sha256

    def same(self, other: DocumentRow) -> bool:
        return (self.read.sha256, self.read.problem) == (other.read.sha256, other.read.problem)


@dataclass(frozen=True, slots=True)
class _Sidecar:
    front: FrontMatter
    stamp: Stamp | None
    seen_ns: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What one look found. Never changed."""

    rows: Mapping[str, DocumentRow] = field(default_factory=dict)
    images: Mapping[str, FoundFile] = field(default_factory=dict)
    sidecars: Mapping[str, _Sidecar] = field(default_factory=dict)
    collection: DocumentCollection = field(default_factory=lambda: DocumentCollection((), ()))
    problems: tuple[str, ...] = ()


class DocumentIndex:
    """The documents of one project as their files say. Use it from the event loop."""

    def __init__(self, files: DocumentFiles) -> None:
        self.outside: Outside[DocumentRow] = Outside()
        self._files = files
        self._turn = asyncio.Lock()
        self._known: _Known | None = None
        self._begun = 0
        """Looks that were begun."""

    @property
    def used(self) -> bool:
        """Whether a look was ever asked for. Before that, changes concern no client."""
        return self._known is not None

    @property
    def problems(self) -> tuple[str, ...]:
        """What the last look left out, one sentence each."""
        return () if self._known is None else self._known.problems

    async def collection(self) -> DocumentCollection:
        """Return the documents as they are on disk now. Only what changed is read.

        Raises:
            StoreError: The folder cannot be read.
        """
        return await asyncio.shield(self._look())

    async def info_of(self, read: ReadDocument) -> DocumentInfo:
        """Return what there is to know of one document, with the images of the last look.

        Raises:
            StoreError: There was none yet, and the folder cannot be read.
        """
        if self._known is None:
            await self.collection()
        known = self._known or _Known()
        return await asyncio.to_thread(lambda: DocumentCollection([read], _images(known)).documents[0])

    async def _look(self) -> DocumentCollection:
        asked = self._begun
        async with self._turn:
            if self._known is not None and self._begun > asked:  # a look that began since then says it all
                return self._known.collection
            self._begun += 1
            began = self.outside.serial
            before = self._known or _Known()
            self._known = known = await asyncio.to_thread(_looked, self._files, before)
            rows = list(known.rows.values())
            self.outside.tell(await asyncio.to_thread(self.outside.compare, rows, began))
            return known.collection


def read_document(file: FoundFile) -> ReadDocument:
    """Return what a document's bytes say. Never fails: what is wrong with them is in ``problem``."""
    if file.data is None:
        return ReadDocument(file.path, size=file.size, modified=file.modified, problem=file.problem)
    digest = hashlib.sha256(file.data).hexdigest()
    text, problem = text_of(file.data)
    place = front_matter_of(text)
    front = FrontMatter() if place is None else read_front_matter(place.yaml, FRONT_MATTER_LINE)
    if problem is not None:
        front = FrontMatter()
    elif place is not None and place.too_long:
        problem = TOO_LONG
    links = image_links(text[place.body if place else 0 :]) if problem is None else []
    return ReadDocument(file.path, digest, len(file.data), file.modified, front, links, problem)


def text_of(data: bytes) -> tuple[str, str | None]:
    """Return the text of a document, and one sentence when it is none."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return "", f"It is not UTF-8 text (byte {error.start})."
    if (place := data.find(b"\0")) >= 0:
        return "", f"It is not text: it holds a NUL (byte {place})."
    return text, None


def _looked(files: DocumentFiles, before: _Known) -> _Known:
    with without_collector():
        known = _look(files, before)
        if sum(path not in before.rows for path in known.rows) >= MANY:
            settle_objects()
        return known


def _look(files: DocumentFiles, before: _Known) -> _Known:
    now = time.time_ns()
    stamps = {path: row.stamp for path, row in before.rows.items() if _settled(row.stamp, row.seen_ns)}
    stamps |= {path: one.stamp for path, one in before.sidecars.items() if _settled(one.stamp, one.seen_ns)}
    found = files.scan({path: stamp for path, stamp in stamps.items() if stamp})
    rows: dict[str, DocumentRow] = {}
    for file in sorted(found.documents, key=lambda file: file.path):
        known = before.rows.get(file.path)
        if file.data is None and file.problem is None and known is not None:
            rows[file.path] = known
            continue
        row = DocumentRow(read_document(file), file.stamp, now)
        # The same object for the same content, so that it is seen at once that nothing has changed.
        rows[file.path] = replace(row, read=known.read) if known is not None and known.read == row.read else row
    sidecars: dict[str, _Sidecar] = {}
    for file in sorted(found.sidecars, key=lambda file: file.path):
        if file.data is None:
            sidecars[file.path] = before.sidecars[file.path]
        else:
            front = read_front_matter(file.data.decode("utf-8", "replace"))
            sidecars[file.path] = _Sidecar(front, file.stamp, now)
    images = {file.path: file for file in sorted(found.images, key=lambda file: file.path)}
    collection = before.collection
    if (
        [row.read for row in rows.values()] != [row.read for row in before.rows.values()]
        or images != before.images
        or [one.front for one in sidecars.values()] != [one.front for one in before.sidecars.values()]
    ):
        known_images = _images(_Known(images=images, sidecars=sidecars))
        collection = DocumentCollection([row.read for row in rows.values()], known_images)
    return _Known(rows, images, sidecars, collection, tuple(found.problems))


def _images(known: _Known) -> list[ReadImage]:
    none = _Sidecar(FrontMatter(), None, 0)
    return [
        ReadImage(file.path, file.size, file.modified, known.sidecars.get(file.path + SIDECAR_SUFFIX, none).front)
        for file in known.images.values()
    ]


def _settled(stamp: Stamp | None, seen_ns: int) -> bool:
    """Tell whether a file had been quiet when it was read (``store.index.scan``)."""
    return stamp is not None and seen_ns - max(stamp[0], stamp[1]) > QUIET_NS

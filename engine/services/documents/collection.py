"""What is known of one tree of documents and its images, and the answers to what macros ask of it.

It is made once, of the project's files or of what a client sent of the tree that it renders, and changes no more. So
equal questions have equal answers as long as a batch goes on, whatever happens to the files meanwhile.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec

from engine.document_text import FRONT_MATTER_LINE, linked_path
from engine.models.documents import DocumentInfo, DocumentList, ImageInfo, ImageList, TagCount, TagCounts
from engine.models.macros import SourceDocument, SourceImage
from engine.registry.documents import (
    DOCUMENTS_IMAGES,
    DOCUMENTS_LIST,
    DOCUMENTS_TAGS,
    DocumentListParams,
    DocumentParams,
    ImageParams,
    TagsParams,
)
from engine.services.access import ServiceError
from store.files.front_matter import FrontMatter, read_front_matter
from store.index.scan import without_collector

P = TypeVar("P", bound=msgspec.Struct)

DOCUMENTS_GET = "documents.get"
"""The question for one document without its text."""

Answer = DocumentList | DocumentInfo | TagCounts | ImageList


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document as it was read: its front matter, and the links to images as they are written.

    Attributes:
        problem: One sentence when it cannot be used as it is; else that of its front matter counts.
    """

    path: str
    sha256: str = ""
    size: int = 0
    modified: float = 0.0
    front: FrontMatter = field(default_factory=FrontMatter)
    links: Sequence[str] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ReadImage:
    """An image as it was found, with what its sidecar says."""

    path: str
    size: int = 0
    modified: float = 0.0
    sidecar: FrontMatter = field(default_factory=FrontMatter)


class ProjectDocuments(Protocol):
    """What knows the documents of a project: its service."""

    async def collection(self) -> DocumentCollection: ...


class DocumentCollection:
    """The documents of one tree. Nothing of it may be changed by those who get answers."""

    def __init__(self, documents: Iterable[ReadDocument], images: Iterable[ReadImage]) -> None:
        read = sorted(documents, key=lambda document: document.path)
        by_path = {image.path: image for image in sorted(images, key=lambda image: image.path)}
        links = {document.path: dict.fromkeys(_linked(document, by_path)) for document in read}
        self._belongs: dict[str, dict[str, None]] = {path: {} for path in by_path}
        for path, targets in links.items():
            for target in targets:
                self._belongs[target][path] = None
        for _, image in sorted(by_path.items()):  # in whatever order they were sent
            for path in _named_by_sidecar(image, links):
                links[path][image.path] = None
                self._belongs[image.path][path] = None
        self.documents = [_document_info(document, list(links[document.path])) for document in read]
        """By path."""
        self.images = [_image_info(image, sorted(self._belongs[image.path])) for image in by_path.values()]
        """Newest first, those of one time by path."""
        self.images.sort(key=lambda image: (-image.created, image.path))
        self._documents = {info.path: info for info in self.documents}
        self._places = {info.path: place for place, info in enumerate(self.images)}
        self._months = {info.path: _month(info.created) for info in self.images}
        self._tags: dict[str | None, list[TagCount]] = {}

    @classmethod
    def of_sources(cls, documents: Iterable[SourceDocument], images: Iterable[SourceImage]) -> DocumentCollection:
        """Return the collection of a tree that a client reads itself."""
        known: dict[str, FrontMatter] = {}

        def read(text: str) -> FrontMatter:
            front = known.get(text)
            if front is None:
                front = known[text] = read_front_matter(text, FRONT_MATTER_LINE)
            return front

        with without_collector():
            return cls(
                (
                    ReadDocument(one.path, one.sha256, one.size, one.modified, read(one.front_matter), one.links)
                    for one in documents
                ),
                (ReadImage(one.path, one.size, one.modified, read_front_matter(one.sidecar)) for one in images),
            )

    @staticmethod
    async def of_project(project: ProjectDocuments) -> DocumentCollection:
        """Return the collection of the project's documents as they are on disk now.

        Raises:
            ServiceError: They cannot be read.
        """
        return await project.collection()

    def get(self, path: str) -> DocumentInfo | None:
        """Return what is known of one document."""
        return self._documents.get(path)

    def answer(self, operation: str, params: Mapping[str, Any]) -> Answer:
        """Answer ``documents.list``, ``documents.get``, ``documents.tags`` or ``documents.images``.

        Raises:
            ServiceError: ``no_document``, ``bad_request`` for parameters that the operation has not, ``no_operation``
                for another one.
        """
        if operation == DOCUMENTS_LIST.name:
            wanted = _params(operation, params, DocumentListParams)
            return DocumentList(documents=self.listed(wanted.status, wanted.tag))
        if operation == DOCUMENTS_TAGS.name:
            return TagCounts(tags=self.tags(_params(operation, params, TagsParams).status))
        if operation == DOCUMENTS_IMAGES.name:
            return ImageList(images=self.images_of(_params(operation, params, ImageParams)))
        if operation == DOCUMENTS_GET:
            path = _params(operation, params, DocumentParams).path
            info = self.get(path)
            if info is None:
                raise ServiceError("no_document", f"There is no document {path!r}.", status=404)
            return info
        raise ServiceError("no_operation", f"The documents cannot be asked for {operation!r}.", status=404)

    def listed(self, status: str | None = None, tag: str | None = None) -> list[DocumentInfo]:
        """Return the documents with a status and a tag, by path."""
        if status is None and tag is None:
            return self.documents
        return [
            info
            for info in self.documents
            if (status is None or info.status == status) and (tag is None or tag in info.tags)
        ]

    def tags(self, status: str | None = None) -> list[TagCount]:
        """Return how many documents have each tag, the most used one first."""
        if status not in self._tags:
            counts = Counter(tag for info in self.listed(status) for tag in info.tags)
            if len(self._tags) > 100:
                self._tags.clear()
            self._tags[status] = [
                TagCount(name=name, count=count)
                for name, count in sorted(counts.items(), key=lambda both: (-both[1], both[0]))
            ]
        return self._tags[status]

    def images_of(self, wanted: ImageParams) -> list[ImageInfo]:
        """Return images, newest first: of one document, of a year or a month, of the newest months.

        Raises:
            ServiceError: ``bad_request``: a month without a year.
        """
        if wanted.month is not None and wanted.year is None:
            raise ServiceError("bad_request", "month needs a year, too.", hint="For example year=2024 month=5.")
        found: Iterable[ImageInfo] = self.images
        if wanted.document is not None:
            info = self._documents.get(wanted.document)
            found = (
                []
                if info is None
                else [self.images[place] for place in sorted(map(self._places.__getitem__, info.images))]
            )
        if wanted.year is not None:
            found = [image for image in found if self._is_of(image, wanted.year, wanted.month)]
        if wanted.months is not None:
            found = self._newest_months(found, wanted.months)
        return list(found)

    def _is_of(self, image: ImageInfo, year: int, month: int | None) -> bool:
        of_year, of_month = self._months[image.path]
        return of_year == year and month in (None, of_month)

    def _newest_months(self, images: Iterable[ImageInfo], months: int) -> Iterator[ImageInfo]:
        seen: set[tuple[int, int]] = set()
        for image in images:
            month = self._months[image.path]
            if month not in seen and len(seen) == months:
                return  # they come newest first
            seen.add(month)
            yield image


def _params(operation: str, params: Mapping[str, Any], kind: type[P]) -> P:
    known = {one.encode_name for one in msgspec.structs.fields(kind)}
    if strange := sorted(set(params) - known):
        raise ServiceError("bad_request", f"{operation} has no parameter {strange[0][:80]!r}.")
    try:
        return msgspec.convert(dict(params), kind)
    except msgspec.ValidationError as error:
        raise ServiceError("bad_request", f"{operation}: {error}.") from None


def _linked(document: ReadDocument, images: Mapping[str, ReadImage]) -> Iterator[str]:
    """Yield the paths of the images that a document names, links before ``images:``."""
    for link in (*document.links, *document.front.images):
        target = linked_path(document.path, link)
        if target is not None and target in images:
            yield target
    for link in document.front.images:
        target = linked_path("", link)  # from the root, as a tree's own settings name files
        if target is not None and target in images:
            yield target


def _named_by_sidecar(image: ReadImage, documents: Collection[str]) -> Iterator[str]:
    """Yield the paths of the documents that a sidecar names, from beside its image or from the root."""
    names = image.sidecar.values.get("documents")
    for name in [names] if isinstance(names, str) else names if isinstance(names, list) else []:
        if isinstance(name, str):
            places = (linked_path(image.path, name), linked_path("", name))
            found = next((place for place in places if place is not None and place in documents), None)
            if found is not None:
                yield found


def _document_info(document: ReadDocument, images: list[str]) -> DocumentInfo:
    front = document.front
    return DocumentInfo(
        path=document.path,
        title=front.title or title_of(document.path),
        date=front.date,
        status=front.status,
        tags=list(front.tags),
        language=front.language,
        meta=front.values,
        images=images,
        sha256=document.sha256,
        size=document.size,
        modified=document.modified,
        problem=document.problem or front.problem,
    )


def title_of(path: str) -> str:
    """Return the title of a document that says none: its file's name without the suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _image_info(image: ReadImage, documents: list[str]) -> ImageInfo:
    said = image.sidecar.values
    created = _seconds(said.get("created")) or _seconds(said.get("date")) or image.modified
    title, alt, caption = (_line_of(said.get(key)) for key in ("title", "alt", "caption"))
    return ImageInfo(
        path=image.path,
        size=image.size,
        created=created if math.isfinite(created) else 0.0,
        title=title,
        alt=alt,
        caption=caption,
        documents=documents,
    )


def _line_of(value: object) -> str:
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else ""


def _seconds(value: object) -> float | None:
    """Return a day or a moment of YAML in seconds since the epoch, without a zone in UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _month(created: float) -> tuple[int, int]:
    """Return year and month in UTC; zeros for what no calendar has."""
    try:
        moment = datetime.fromtimestamp(created, UTC)
    except (ValueError, OverflowError, OSError):
        return 0, 0
    return moment.year, moment.month

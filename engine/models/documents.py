"""Documents of the project: text files below ``documents/``, their front matter, and the images that go with them."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model


class DocumentInfo(Model, frozen=True):
    """A document without its text. ``path`` is POSIX and relative to the root that it was found below."""

    path: str
    title: str = ""
    """Of the front matter; else the file's name without its suffix."""
    date: str | None = None
    """ISO 8601, a day or a moment."""
    status: str = ""
    tags: list[str] = []
    language: str = ""
    meta: dict[str, Any] = {}
    """The whole front matter, unknown keys included; dates as ISO 8601 text."""
    images: list[str] = []
    """Paths of its images relative to the root: linked from the text, by ``images:``, or by a sidecar."""
    sha256: str = ""
    size: int = 0
    modified: float = 0.0
    problem: str | None = None
    """One sentence when its front matter or text cannot be used as it is; the rest of the list works on."""


class ImageInfo(Model, frozen=True):
    """An image below the root."""

    path: str
    size: int = 0
    created: float = 0.0
    """From the sidecar, else the file's modification time."""
    title: str = ""
    alt: str = ""
    caption: str = ""
    documents: list[str] = []
    """Paths of the documents that it belongs to."""


class DocumentText(Model, frozen=True):
    info: DocumentInfo
    text: str


class DocumentList(Model, frozen=True):
    documents: list[DocumentInfo]
    """By path."""


class ImageList(Model, frozen=True):
    images: list[ImageInfo]
    """Newest first."""


class TagCount(Model, frozen=True):
    name: str
    count: int


class TagCounts(Model, frozen=True):
    tags: list[TagCount]
    """Most used first, then by name."""


class SaveDocumentRequest(Model, frozen=True):
    """``base_sha256`` is the hash of the text the author loaded; None means "this is a new document"."""

    text: str
    base_sha256: str | None = None


class FoundDocument(Model, frozen=True):
    path: str
    title: str
    line: int = 0
    """Where its text has one of the words, from 1; 0 when they are in its name, title or tags only."""
    text: str = ""
    """That line."""


class DocumentSearchResult(Model, frozen=True):
    documents: list[FoundDocument]
    more: bool = False
    """There were more than were asked for."""

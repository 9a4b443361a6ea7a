"""Documents expanded by macros: what is asked for, what came of it, and the problems by document and line."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model

ENTRYPOINT = "render"
"""The function of a macro that is called for each tag, where its header names no other."""


class SourceDocument(Model, frozen=True):
    """A document of the tree that is rendered, as the client found it. The engine never opens it."""

    path: str
    """POSIX, relative to the source folder."""
    sha256: str
    size: int = 0
    modified: float = 0.0
    front_matter: str = ""
    """The YAML between the first two ``---`` lines, as it is written."""
    links: list[str] = []
    """Images that its text links to, as written."""


class SourceImage(Model, frozen=True):
    path: str
    size: int = 0
    modified: float = 0.0
    sidecar: str = ""
    """The text of ``IMAGE.meta``, YAML."""


class Read(Model, frozen=True):
    """A question that a macro asked of the documents, and the SHA-256 of the answer's canonical JSON."""

    operation: str
    params: dict[str, Any] = {}
    sha256: str = ""


class MacroUse(Model, frozen=True):
    """A macro that a document's tags name, with the identity of what ran: its text and shared code."""

    name: str
    """Normalised: lower case, ``_`` for ``-``."""
    script: str = ""
    """Path of the script; empty when the project has no such macro."""
    sha256: str = ""


class RenderWarning(Model, frozen=True):
    """Something about one tag. ``line`` is that of the tag, from 1; ``column`` counts characters, from 0."""

    document: str
    line: int
    macro: str
    message: str
    kind: str
    """``warning`` (the macro said it), ``unknown`` (no such), ``parameter``, ``error`` (it failed), or ``syntax``."""
    traceback: str | None = None
    column: int = 0


class RenderedDocument(Model, frozen=True):
    path: str
    text: str
    tags: int = 0
    macros: list[MacroUse] = []
    reads: list[Read] = []
    warnings: list[RenderWarning] = []


class BatchRequest(Model, frozen=True):
    """Begin a batch over a tree of documents. Without ``documents`` the project's own are meant."""

    documents: list[SourceDocument] | None = None
    images: list[SourceImage] = []
    workers: int = 1
    """Children for each macro script."""
    timeout: float | None = None
    """Seconds for the whole batch."""
    language: str = ""
    total: int = 0
    """Documents that the client means to have rendered, for progress; 0: not known."""


class BatchInfo(Model, frozen=True):
    """A batch that goes on."""

    id: str
    run_id: int
    """Its record among the runs."""
    task_id: int
    macros: list[MacroUse] = []
    """All that the project has, with the identities that this batch uses."""


class DocumentInput(Model, frozen=True):
    path: str
    text: str


class RenderRequest(Model, frozen=True):
    documents: list[DocumentInput]
    total: int = 0
    """Documents that the client means to have rendered in this batch, once it knows; for progress."""


class RenderAnswer(Model, frozen=True):
    documents: list[RenderedDocument]
    """In the order of the request; fewer where an answer has no room for all: the first of them."""


class ReadsRequest(Model, frozen=True):
    reads: list[Read]


class ReadsAnswer(Model, frozen=True):
    sha256: list[str]
    """Of the answers as they are now, in the order of the request."""


class MacroInfo(Model, frozen=True):
    """A macro of the project: a script of kind macro that is enabled."""

    name: str
    script: str
    title: str = ""
    description: str = ""
    sha256: str = ""
    problem: str | None = None


class MacroList(Model, frozen=True):
    macros: list[MacroInfo]


class PreviewRequest(Model, frozen=True):
    """Expand a text as a batch would, with errors shown in place.

    Attributes:
        text: Of the document, saved or not.
        path: Of the document; decides what "its images" are.
        macro: Path of a macro script whose text is given, saved or not, in ``macro_text``; it stands in for the saved
            one.
        check: Only say what is wrong with the tags: no macro is called, nothing goes on record and the text stays.
    """

    text: str
    path: str = ""
    macro: str = ""
    macro_text: str | None = None
    check: bool = False

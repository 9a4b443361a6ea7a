"""Operations on the project's documents and their history."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from engine.models.base import Model
from engine.models.documents import (
    DocumentInfo,
    DocumentList,
    DocumentSearchResult,
    DocumentText,
    ImageList,
    SaveDocumentRequest,
    TagCounts,
)
from engine.models.scripts import DeleteRequest, RenameRequest
from engine.models.versions import DeletedScripts, RestoreRequest, ScriptHistory, ScriptVersion, VersionText
from engine.registry.operation import Operation

PATH = Meta(min_length=1, max_length=4096, description="Relative to the documents folder.")


class DocumentParams(Model, frozen=True):
    path: Annotated[str, PATH]


class DocumentListParams(Model, frozen=True):
    status: Annotated[str, Meta(max_length=100, description="Only documents with this status.")] | None = None
    tag: Annotated[str, Meta(max_length=200, description="Only documents with this tag.")] | None = None


class TagsParams(Model, frozen=True):
    status: Annotated[str, Meta(max_length=100, description="Count documents with this status only.")] | None = None


class ImageParams(Model, frozen=True):
    document: Annotated[str, Meta(max_length=4096, description="Only images of this document.")] | None = None
    year: Annotated[int, Meta(ge=1, le=9999)] | None = None
    month: Annotated[int, Meta(ge=1, le=12, description="With a year only.")] | None = None
    months: Annotated[int, Meta(ge=1, le=1200, description="Only so many months, the newest that have any.")] | None = (
        None
    )


class DocumentSearchParams(Model, frozen=True):
    text: Annotated[str, Meta(max_length=1000, description="Words; the last one may be a beginning.")] = field(name="q")
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class DocumentVersionParams(Model, frozen=True):
    path: Annotated[str, PATH]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="As the document's history names it.")]


DOCUMENTS_LIST = Operation(
    "documents.list",
    "GET",
    "/documents",
    DocumentList,
    "viewer",
    "List the project's documents",
    params=DocumentListParams,
    kinds=("utility", "macro"),
)
DOCUMENTS_TAGS = Operation(
    "documents.tags",
    "GET",
    "/documents/tags",
    TagCounts,
    "viewer",
    "Count the documents' tags",
    params=TagsParams,
    kinds=("utility", "macro"),
)
DOCUMENTS_IMAGES = Operation(
    "documents.images",
    "GET",
    "/documents/images",
    ImageList,
    "viewer",
    "List the documents' images",
    params=ImageParams,
    kinds=("utility", "macro"),
)
DOCUMENTS_SEARCH = Operation(
    "documents.search",
    "GET",
    "/documents/search",
    DocumentSearchResult,
    "viewer",
    "Search documents: every word in name, title, tags or text",
    params=DocumentSearchParams,
    kinds=("utility",),
)
DOCUMENTS_LOAD = Operation(
    "documents.load",
    "GET",
    "/documents/text/{path:path}",
    DocumentText,
    "viewer",
    "Read a document with its text",
    params=DocumentParams,
    kinds=("utility",),
)
DOCUMENTS_SAVE = Operation(
    "documents.save",
    "PUT",
    "/documents/text/{path:path}",
    DocumentInfo,
    "author",
    "Save documents: write a text durably",
    params=DocumentParams,
    body=SaveDocumentRequest,
)
DOCUMENTS_RENAME = Operation(
    "documents.rename",
    "POST",
    "/documents/rename/{path:path}",
    DocumentInfo,
    "author",
    "Rename documents: give one another name, or move it to another folder",
    params=DocumentParams,
    body=RenameRequest,
)
DOCUMENTS_DELETE = Operation(
    "documents.delete",
    "POST",
    "/documents/delete/{path:path}",
    ScriptVersion,
    "author",
    "Delete documents; the answer names what brings one back",
    params=DocumentParams,
    body=DeleteRequest,
)
DOCUMENTS_DELETED = Operation(
    "documents.deleted",
    "GET",
    "/documents/deleted",
    DeletedScripts,
    "author",
    "See deleted documents that can be restored, the last one first",
)
DOCUMENTS_HISTORY = Operation(
    "documents.history",
    "GET",
    "/documents/history/{path:path}",
    ScriptHistory,
    "author",
    "See the history of documents, newest version first",
    params=DocumentParams,
)
DOCUMENTS_VERSION = Operation(
    "documents.version",
    "GET",
    "/documents/versions/{sha256}/{path:path}",
    VersionText,
    "author",
    "Read what a document held before",
    params=DocumentVersionParams,
)
DOCUMENTS_RESTORE = Operation(
    "documents.restore",
    "POST",
    "/documents/restore/{path:path}",
    DocumentInfo,
    "author",
    "Restore documents: save an earlier version again",
    params=DocumentParams,
    body=RestoreRequest,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    DOCUMENTS_LIST,
    DOCUMENTS_TAGS,
    DOCUMENTS_IMAGES,
    DOCUMENTS_SEARCH,
    DOCUMENTS_LOAD,
    DOCUMENTS_SAVE,
    DOCUMENTS_RENAME,
    DOCUMENTS_DELETE,
    DOCUMENTS_DELETED,
    DOCUMENTS_HISTORY,
    DOCUMENTS_VERSION,
    DOCUMENTS_RESTORE,
)

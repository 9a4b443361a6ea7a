"""Operations on macros: their list, preview, and rendering in batches."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.macros import (
    BatchInfo,
    BatchRequest,
    MacroList,
    PreviewRequest,
    ReadsAnswer,
    ReadsRequest,
    RenderAnswer,
    RenderedDocument,
    RenderRequest,
)
from engine.models.runs import RunInfo
from engine.registry.operation import TRANSFER_TIMEOUT, Operation


class BatchParams(Model, frozen=True):
    batch_id: Annotated[str, Meta(min_length=1, max_length=100)]


class RenderEndParams(Model, frozen=True):
    batch_id: Annotated[str, Meta(min_length=1, max_length=100)]
    cancelled: Annotated[bool, Meta(description="It was given up: its record says so.")] = False


MACROS_LIST = Operation("macros.list", "GET", "/macros", MacroList, "viewer", "List the project's macros")
MACROS_PREVIEW = Operation(
    "macros.preview",
    "POST",
    "/macros/preview",
    RenderedDocument,
    "author",
    "Preview a text: expand its tags, with errors shown in place",
    body=PreviewRequest,
    cancels=True,
)
RENDER_BEGIN = Operation(
    "render.begin",
    "POST",
    "/render",
    BatchInfo,
    "operator",
    "Render documents: begin a batch",
    body=BatchRequest,
    status=201,
    patience=TRANSFER_TIMEOUT,
)
RENDER_DOCUMENTS = Operation(
    "render.documents",
    "POST",
    "/render/{batch_id}",
    RenderAnswer,
    "operator",
    "Render documents of a batch",
    params=BatchParams,
    body=RenderRequest,
    cancels=True,
    patience=TRANSFER_TIMEOUT,
)
RENDER_READS = Operation(
    "render.reads",
    "POST",
    "/render/{batch_id}/reads",
    ReadsAnswer,
    "operator",
    "Render documents: ask whether what macros read before has changed",
    params=BatchParams,
    body=ReadsRequest,
    patience=TRANSFER_TIMEOUT,
)
RENDER_END = Operation(
    "render.end",
    "DELETE",
    "/render/{batch_id}",
    RunInfo,
    "operator",
    "Render documents: end a batch; the answer is its record",
    params=RenderEndParams,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    MACROS_LIST,
    MACROS_PREVIEW,
    RENDER_BEGIN,
    RENDER_DOCUMENTS,
    RENDER_READS,
    RENDER_END,
)

"""What runs may ask beside the registry's rows, as far as no other service adds it."""

from __future__ import annotations

from typing import Any, Never

from engine.models.base import Model
from engine.models.documents import DocumentInfo
from engine.registry.documents import DocumentParams
from engine.services.access import ServiceError
from engine.services.documents.collection import DOCUMENTS_GET
from engine.services.documents.service import DocumentService
from engine.services.script_api.dispatcher import CallingRun, RunOperation, ScriptApi, WithDescriptors


class BufferAsked(Model, frozen=True):
    """As a script sends it; ``RunOutputs`` says what is wrong with it."""

    name: Any = None
    size: Any = None


class ReadTags(Model, frozen=True):
    paths: list[str]


class WriteTag(Model, frozen=True):
    path: str
    value: Any = None


def add_usual(api: ScriptApi, documents: DocumentService) -> None:
    """Let scripts ask for one document and make buffers, and have a sentence where there are no tags."""

    async def document(run: CallingRun, asked: DocumentParams) -> DocumentInfo:  # noqa: ARG001 - every run's are the same
        return await documents.info(asked.path)

    api.add(DOCUMENTS_GET, RunOperation(("utility", "macro"), DocumentParams, document))
    api.add("buffers.make", RunOperation(("utility",), BufferAsked, _buffer))
    api.add("tags.read", RunOperation(("utility",), ReadTags, _no_tags))
    api.add("tags.write", RunOperation(("utility",), WriteTag, _no_tags))


def _no_tags(run: CallingRun, asked: object) -> Never:  # noqa: ARG001 - whatever is asked
    raise ServiceError(
        "unavailable",
        "This engine is connected to no tags.",
        hint="Hand their values to the script as parameters, or let it read a file that the gateway writes.",
    )


def _buffer(run: CallingRun, asked: BufferAsked) -> WithDescriptors:
    """Make memory for the run alone and hand it over, for ``gatewright.buffers.create``.

    Raises:
        ServiceError: As ``RunOutputs.create`` does, or the run can make none.
    """
    if run.outputs is None:
        raise ServiceError("unavailable", "This run cannot make buffers.")
    return WithDescriptors(None, (run.outputs.create(asked.name, asked.size),))

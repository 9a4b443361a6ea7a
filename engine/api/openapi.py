"""The API's OpenAPI 3.1 document, made from the table of operations and the structs it names."""

from __future__ import annotations

import functools
from importlib import metadata
from typing import Any

import msgspec

from engine import registry
from engine.api.host import Call
from engine.models import ErrorBody
from engine.registry import OPERATIONS, Operation

REF = "#/components/schemas/{name}"
BINARY: dict[str, Any] = {"application/octet-stream": {}}
"""Raw bytes: OpenAPI 3.1 leaves their schema out."""


async def document(call: Call) -> msgspec.Raw:  # noqa: ARG001 - the same for everybody
    return encoded_document()


@functools.cache
def encoded_document() -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(build()))


def build() -> dict[str, Any]:
    """The document as plain data."""
    types = [type_ for op in OPERATIONS for type_ in (op.params, op.request, op.response) if type_ is not None]
    found, components = msgspec.json.schema_components([*types, ErrorBody], ref_template=REF)
    schemas = dict(zip(map(repr, [*types, ErrorBody]), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        path = operation.path.replace(":path}", "}")
        paths.setdefault(path, {})[operation.method.lower()] = _describe(operation, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gatewright engine", "version": metadata.version("gatewright")},
        "servers": [{"url": registry.BASE}, {"url": registry.COMPAT_BASE}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _describe(operation: Operation, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    error = {"description": "Refused", "content": {"application/json": {"schema": schemas[repr(ErrorBody)]}}}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the role {operation.role}.",
        "parameters": _parameters(operation, components[operation.params.__name__]),
        "responses": {
            str(operation.status): {"description": "Done", "content": _answer(operation, schemas)},
            "default": error,
        },
    }
    if operation.request is not None:
        body = {"application/json": {"schema": schemas[repr(operation.request)]}}
        described["requestBody"] = {"required": True, "content": body}
    elif operation.raw_body:
        described["requestBody"] = {"required": True, "content": BINARY}
    return described


def _answer(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    """The answer by its media type."""
    if operation.raw_answer:
        return BINARY
    kind = "text/event-stream" if operation.stream else "application/json"
    return {kind: {"schema": schemas[repr(operation.response)]}}


def _parameters(operation: Operation, schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "path" if name in operation.path_names else "query",
            "required": name in required,
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]


HANDLERS = {registry.OPENAPI: document}

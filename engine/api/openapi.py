"""The API's OpenAPI 3.1 document, made from the table of operations and the structs it names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.api.idempotency import MAX_KEY
from engine.models.base import VERSION, ErrorBody
from engine.registry import OPERATIONS
from engine.registry.engine import OPENAPI
from engine.registry.operation import BASE
from engine.services.operations import Row, implements

REF = "#/components/schemas/{name}"
BINARY: dict[str, Any] = {"application/octet-stream": {}}
"""Raw bytes: OpenAPI 3.1 leaves their schema out."""

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeat with the same key and body within ten minutes gets the first answer; it is done once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the operations of one base have in common beyond their rows.

    Attributes:
        refusal: The type of a refusal's body, by operation.
        lenient: Refusals can have status 200, and an empty body stands for one without fields.
    """

    refusal: Callable[[Row], type] = lambda _: ErrorBody
    lenient: bool = False


OURS = Dialect()


class Document:
    """The document of a table of operations, made when it is first asked for."""

    def __init__(self, operations: Iterable[Row]) -> None:
        self._operations = tuple(operations)

    @implements(OPENAPI)
    def document(self) -> msgspec.Raw:
        return self._encoded

    @functools.cached_property
    def _encoded(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(build(self._operations)))


def build(operations: Iterable[Row] = OPERATIONS, base: str = BASE, dialect: Dialect = OURS) -> dict[str, Any]:
    """Return the document as plain data.

    Args:
        operations: The table.
        base: Where it is served.
        dialect: How refusals and bodies are there.
    """
    operations = tuple(operations)
    types = [type_ for op in operations for type_ in (op.params, op.body, op.answer) if type_ is not None]
    types += dict.fromkeys(map(dialect.refusal, operations))
    found, components = msgspec.json.schema_components(types, ref_template=REF)
    schemas = dict(zip(map(repr, types), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = operation.path.replace(":path}", "}")
        paths.setdefault(path, {})[operation.method.lower()] = _describe(operation, schemas, components, dialect)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gatewright engine", "version": VERSION},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _describe(operation: Row, schemas: dict[str, Any], components: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    refused = schemas[repr(dialect.refusal(operation))]
    error = {"description": "Refused", "content": {"application/json": {"schema": refused}}}
    answer = _answer(operation, schemas)
    if dialect.lenient and operation.texts:
        answer = {**answer, "application/json": {"schema": refused}}
    elif dialect.lenient and not operation.raw_answer:
        answer = {kind: {"schema": {"anyOf": [said["schema"], refused]}} for kind, said in answer.items()}
    done = [(operation.status, "Done")] if operation.status < 400 else []
    if "wait" in operation.params.__struct_fields__:
        done = [(200, "Ended"), (operation.status, "Not ended yet")]
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the role {operation.role}.",
        "parameters": _parameters(operation, components[operation.params.__name__]),
        "responses": {
            **{str(status): {"description": what, "content": answer} for status, what in done},
            "default": error,
        },
    }
    if operation.body is not None:
        body = {"application/json": {"schema": schemas[repr(operation.body)]}}
        needed = components[operation.body.__name__].get("required")
        described["requestBody"] = {"required": not dialect.lenient or bool(needed), "content": body}
    elif operation.raw_body:
        described["requestBody"] = {"required": True, "content": BINARY}
    return described


def _answer(operation: Row, schemas: dict[str, Any]) -> dict[str, Any]:
    """The answer by its media type."""
    if operation.raw_answer:
        return BINARY
    if operation.texts:
        return {kind: {"schema": {"type": "string"}} for kind in operation.texts}
    kind = "text/event-stream" if operation.stream else "application/json"
    return {kind: {"schema": schemas[repr(operation.answer)]}}


def _parameters(operation: Row, schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    headers = [IDEMPOTENCY_KEY] if operation.idempotent else []
    return headers + [
        {
            "name": name,
            "in": "path" if name in operation.path_names else "query",
            "required": name in required,
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]

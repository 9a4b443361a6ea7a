"""The OpenAPI document of the routes that the module's clients ask for."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import msgspec

from engine.api import openapi
from engine.api.compat.endpoint import Refusal, RunAnswer, RunRefusal
from engine.registry.engine import OPENAPI
from engine.registry.operation import COMPAT_BASE, Operation
from engine.services.operations import Row, implements

DOCUMENT = Operation(
    "compat.openapi",
    "GET",
    "/api/v1/openapi.json",
    dict[str, Any],
    OPENAPI.role,
    "Read these routes as an OpenAPI 3.1 document",
    scoped=True,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (DOCUMENT,)


def refusal_of(operation: Row) -> type[Refusal]:
    """Return the type of what an operation says when it refuses."""
    return RunRefusal if operation.answer is RunAnswer else Refusal


class CompatDocument:
    """The document of a table of operations, made when it is first asked for."""

    def __init__(self, operations: Iterable[Row]) -> None:
        self._operations = tuple(operations)

    @implements(DOCUMENT)
    def document(self) -> msgspec.Raw:
        return self._encoded

    @functools.cached_property
    def _encoded(self) -> msgspec.Raw:
        dialect = openapi.Dialect(refusal_of, lenient=True)
        return msgspec.Raw(msgspec.json.encode(openapi.build(self._operations, COMPAT_BASE, dialect)))

"""What an operation is.

Its ``params`` struct holds both what stands in its path and what may follow the question mark: fields named in the path
template belong to the path, the others to the query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from engine.models import Model

BASE = "/api/v1"

COMPAT_BASE = "/data/python3integration/api/v1"
"""Where clients of the Ignition module expect the API; the same routes as under ``BASE``."""

CLIENT_HEADER = "x-gatewright-client"
"""``console`` or ``cli``; absent means a REST client."""

MAX_ID = 2**63 - 1
"""The largest integer that SQLite stores."""

Method = Literal["GET", "POST", "PUT"]
RoleName = Literal["viewer", "operator", "author", "admin"]
Id = Annotated[int, Meta(ge=0, le=MAX_ID)]


class NoParams(Model, frozen=True):
    """Of an operation without parameters."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a client can ask for.

    Attributes:
        name: Its name everywhere: handlers, OpenAPI's ``operationId``, audit.
        path: Relative to a base path. ``{name}`` is one segment, ``{name:path}`` may hold slashes.
        response: Type of the answer; of a stream, the type of one event's data.
        role: The least role that may ask (checked again, with more knowledge, by the service).
        stream: Answers with server-sent events (``runs.start`` only with ``follow``).
        raw_body: The body is a file's content, not JSON.
        raw_answer: The answer is a file's content, not JSON.
    """

    name: str
    method: Method
    path: str
    response: Any
    role: RoleName
    summary: str
    params: type[Model] = NoParams
    request: type[Model] | None = None
    status: int = 200
    stream: bool = False
    raw_body: bool = False
    raw_answer: bool = False

    @property
    def path_names(self) -> frozenset[str]:
        """Fields of ``params`` that stand in the path."""
        return frozenset(re.findall(r"{(\w+)(?::path)?}", self.path))

    def target(self, params: Model | None = None, base: str = BASE) -> str:
        """The request target for ``params``: path and query, escaped."""
        if params is None:
            return base + self.path
        values = {key: value for key, value in msgspec.to_builtins(params).items() if value is not None}
        path = self.path
        for name in self.path_names:
            value = str(values.pop(name))
            path = path.replace(f"{{{name}}}", quote(value, safe="")).replace(
                f"{{{name}:path}}", quote(value, safe="/")
            )
        query = urlencode({key: _query_text(value) for key, value in values.items()}, quote_via=quote)
        return f"{base}{path}?{query}" if query else base + path


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""Define what an operation is: one row of the table that API, client and OpenAPI document are made from.

Its ``params`` struct holds both what stands in its path and what may follow the question mark: fields named in the path
template belong to the path, the others to the query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from engine.models.base import Model

if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:
    from typing import TypeVar

BASE = "/api/v1"

COMPAT_BASE = "/data/python3integration"
"""Where clients of the "Python 3 Integration" module expect its routes: its own and none of ours."""

CLIENT_HEADER = "x-gatewright-client"
"""``console`` or ``cli``; absent means a REST client."""

MAX_ID = 2**63 - 1
"""The largest integer that SQLite stores."""

ANSWER_TIMEOUT = 60.0
"""Seconds for a whole answer. A durable save on a slow disk takes long; a stopped engine never answers."""

TRANSFER_TIMEOUT = 600.0
"""Seconds for a file, up or down, and for a task."""

Method = Literal["GET", "POST", "PUT", "DELETE"]
ScriptKind = Literal["utility", "macro"]
RoleName = Literal["viewer", "operator", "author", "admin"]
Id = Annotated[int, Meta(ge=0, le=MAX_ID)]


class NoParams(Model, frozen=True):
    """Of an operation without parameters."""


_NO_PARAMS: Any = NoParams
_NO_BODY: Any = None

if TYPE_CHECKING:
    Answer = TypeVar("Answer", covariant=True)
    Params = TypeVar("Params", bound=Model, default=NoParams)
    Body = TypeVar("Body", default=None)
else:  # typing knows defaults from Python 3.13 on (PEP 696), and nothing needs them here but the type checker
    Answer = TypeVar("Answer")
    Params = TypeVar("Params")
    Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Operation(Generic[Answer, Params, Body]):
    """One thing a client can ask for.

    Attributes:
        name: Its name everywhere: OpenAPI's ``operationId``, audit.
        path: Relative to ``BASE``, or to ``COMPAT_BASE``. ``{name}`` is one segment, ``{name:path}`` may hold slashes.
        answer: Type of the answer; of a stream, the type of one event's data.
        role: The least role that may ask. It is said here and nowhere else.
        parts: What of it needs which role, where not all needs the same; follows ``role`` in a refusal.
        summary: What it does, as an imperative that completes "alice may not …".
        stream: Answers with server-sent events (``runs.start`` only with ``follow``).
        raw_body: The body is a file's content, not JSON.
        raw_answer: The answer is a file's content, named by the parameter ``name``, not JSON.
        texts: Media types of an answer that is a text, not JSON; the first one for a client that asks for none.
        cancels: A client that closes its connection cancels it.
        idempotent: A client may send it again with the same ``Idempotency-Key``: it is done once.
        scoped: A token for some scripts only may ask, too: its answer holds nothing of other scripts, and it changes
            none. All else is refused to such tokens.
        kinds: Kinds of scripts whose runs may ask by ``import gatewright``; none where it is empty. What a run may is
            never more than what its actor may.
        patience: Seconds that a client waits for the answer.
    """

    name: str
    method: Method
    path: str
    answer: type[Answer]
    role: RoleName
    summary: str
    params: type[Params] = _NO_PARAMS
    body: type[Body] = _NO_BODY
    status: int = 200
    stream: bool = False
    raw_body: bool = False
    raw_answer: bool = False
    texts: tuple[str, ...] = ()
    cancels: bool = False
    idempotent: bool = False
    scoped: bool = False
    kinds: tuple[ScriptKind, ...] = ()
    parts: str = ""
    patience: float = ANSWER_TIMEOUT

    @property
    def path_names(self) -> frozenset[str]:
        """Fields of ``params`` that stand in the path."""
        return frozenset(re.findall(r"{(\w+)(?::path)?}", self.path))

    def target(self, params: Params | None = None, base: str = BASE) -> str:
        """Return the request target for ``params``: path and query, escaped."""
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

"""One route of the module's clients: its quirks on the way in and out, our services between."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import Scope, Send

from engine.api import errors
from engine.api.endpoint import Endpoint, refusal_headers, respond_json
from engine.models.base import ErrorBody, Model
from engine.registry.operation import COMPAT_BASE
from engine.services.access import ServiceError

REAL_STATUSES = frozenset({401, 403, 410, 413, 415, 429})
"""Refusals that keep their status. With any other one than 200 these clients lose the sentence, so the rest is 200."""

TRACEBACK_HEADER = b"x-gatewright-traceback"
"""With ``1``, a failure's traceback comes as a field of its own as well."""

_PLACE = re.compile(r"\(byte (\d+)\)$")
"""Where the JSON decoder stopped, at the end of its message."""

_NO_NUMBERS = ("NaN", "Infinity")
"""What Python, Jython and JavaScript write for numbers that JSON does not have."""


class Refusal(Model, frozen=True):
    """Body of every answer that is not a success. Nothing in it is null: these clients read a null as a failure."""

    success: bool
    error: str
    code: str
    message: str
    """The same sentence: some read only this one."""
    hint: str | None = None


class RunRefusal(Refusal, frozen=True, kw_only=True, rename="camel"):
    """What a call says that did not come to a run: the fields that its answer always has."""

    output: str
    stderr: str
    execution_time_ms: int
    timestamp: int


class RunAnswer(Model, frozen=True, rename="camel"):
    """What became of a run. ``result`` is a text whatever the value is; ``value`` is the value itself.

    Attributes:
        success: It ended without an error.
        result: The value as text, without one what was printed; left out when there is neither.
        value: Left out when there is none.
        error: With the traceback: most of these clients show nothing else.
        traceback: Only when it is asked for by a header.
        code: How it ended, where that is not well.
        timestamp: Milliseconds since the epoch.
        note: What is to say beside the result: what could not be sent as it was, what was not kept.
    """

    success: bool
    output: str
    stderr: str
    execution_time_ms: int
    timestamp: int
    run_id: int
    isolation: str
    result: str | None = None
    value: Any = None
    error: str | None = None
    traceback: str | None = None
    code: str | None = None
    note: str | None = None


class CompatEndpoint(Endpoint):
    """Answers a failure with status 200 and ``success: false``, as the module does."""

    async def _refuse(self, send: Send, error: Exception) -> None:
        status, body = errors.answer_to(error, self._operation)
        status = status if status in REAL_STATUSES else 200
        refusal = self._refusal(body)
        await respond_json(send, status, msgspec.json.encode(refusal), refusal_headers(error))

    def _refusal(self, body: ErrorBody) -> Refusal:
        told = compat_refusal(body)
        if self._operation.answer is not RunAnswer:
            return told
        fields = msgspec.structs.asdict(told)
        return RunRefusal(**fields, output="", stderr="", execution_time_ms=0, timestamp=now_ms())

    def _params(self, scope: Scope) -> Any:  # noqa: ANN401 - the operation's own params struct
        names = self._operation.path_names
        if names:
            scope["path_params"] = {name: self._name_in_path(scope, name) for name in names}
        params = super()._params(scope)
        if dict(scope["headers"]).get(TRACEBACK_HEADER) == b"1" and hasattr(params, "traceback"):
            params = msgspec.structs.replace(params, traceback=True)
        return params

    def _name_in_path(self, scope: Scope, name: str) -> str:
        """Return the name that ends the path, as ``java.net.URLEncoder`` and browsers write it: ``+`` is a blank.

        The decoded path does not tell a blank from a plus sign, which is ``%2B`` there.
        """
        start = (COMPAT_BASE + self._operation.path.partition("{")[0]).encode()
        raw: bytes = scope.get("raw_path", b"").partition(b"?")[0]
        if not raw.startswith(start):  # a client that escapes what needs no escape
            return str(scope["path_params"][name])
        try:
            return unquote_to_bytes(raw[len(start) :].replace(b"+", b" ")).decode()
        except UnicodeDecodeError:
            raise ServiceError("bad_name", "The name in the path is not UTF-8.") from None

    def _parsed(self, data: bytes) -> Any:  # noqa: ANN401 - the operation's own body struct
        """The body: none at all is an empty one, and a field that is null is one that was left out."""
        if self._operation.body is None:
            return None
        given = _decoded(data) if data.strip() else {}
        if not isinstance(given, dict):
            raise ServiceError("bad_request", "The body must be a JSON object.")
        fields = self._operation.body.__struct_encode_fields__
        told = {name if name in fields else camel(name): value for name, value in given.items() if value is not None}
        return msgspec.convert(told, self._operation.body)


def compat_refusal(body: ErrorBody) -> Refusal:
    """Return what these clients read of a refusal: one sentence, under both of its names."""
    sentence = f"{body.error} {body.hint}" if body.hint else body.error
    return Refusal(success=False, error=sentence, code=body.code, message=sentence, hint=body.hint)


def _decoded(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        place = _PLACE.search(str(error))
        around = data[max(0, int(place[1]) - 1) :][:10] if place else b""
        literal = next((name for name in _NO_NUMBERS if name.encode() in around), None)
        if literal is None:
            raise
        raise ServiceError(
            "bad_request", f"The body holds {literal}, which JSON does not have.", hint="Send null instead."
        ) from None


def camel(name: str) -> str:
    """Return the name of a field in camelCase, as newer clients write it."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def both_spellings(answer: Model) -> msgspec.Raw:
    """Encode ``answer`` with each field under its own name and in camelCase."""
    fields = msgspec.to_builtins(answer)
    return msgspec.Raw(msgspec.json.encode(fields | {camel(name): value for name, value in fields.items()}))


def now_ms() -> int:
    """Return the time in whole milliseconds since the epoch, as these clients read it."""
    return int(time.time() * 1000)

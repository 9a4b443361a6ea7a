"""One operation as an ASGI application: who asks, may they, what do they ask, what is the answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from engine import registry
from engine.api import body, content, errors, sse
from engine.api.content import Content
from engine.api.host import Call, Host
from engine.api.peer import actor_of
from engine.api.sse import EventStream
from engine.models import Model
from engine.registry import Operation
from engine.services.access import Role, ServiceError, require

log = logging.getLogger("engine.api")

Answer = Model | EventStream | msgspec.Raw | Content
Handler = Callable[[Call], Awaitable[Answer]]

JSON = b"application/json"
SOURCES = frozenset({"console", "cli"})


class Endpoint:
    """Calls ``handler`` for every request to ``operation`` that passes the checks."""

    def __init__(self, operation: Operation, handler: Handler, host: Host) -> None:
        self._operation = operation
        self._handler = handler
        self._host = host
        self._role = Role[operation.role.upper()]
        self._body = msgspec.json.Decoder(operation.request) if operation.request else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = await self._call(scope, receive)
            answer = await self._handler(call)
            if isinstance(answer, EventStream):
                await sse.respond(answer, receive, send, self._host.stopping)
            elif isinstance(answer, Content):
                await content.respond(send, self._operation.status, answer)
            else:
                await respond_json(send, self._operation.status, msgspec.json.encode(answer))
        except body.ClientGone:
            log.debug("%s: the client left before its request was complete", self._operation.name)
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes a sentence, unexpected ones a log line
            status, error_body = errors.answer_to(error, self._operation.name)
            await respond_json(send, status, msgspec.json.encode(error_body))

    async def _call(self, scope: Scope, receive: Receive) -> Call:
        headers = dict(scope["headers"])
        actor = actor_of(scope, self._host.engine.owner)
        require(actor, self._role, f"use {self._operation.name}")
        client = headers.get(registry.CLIENT_HEADER.encode(), b"").decode("latin-1")
        return Call(
            host=self._host,
            actor=actor,
            source=client if client in SOURCES else "rest",
            params=self._params(scope),
            body=await self._decoded(receive, headers),
            last_event_id=headers.get(b"last-event-id", b"").decode("latin-1"),
            receive=receive,
        )

    def _params(self, scope: Scope) -> Any:  # noqa: ANN401 - the operation's own params struct
        given: dict[str, Any] = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        given.update(scope["path_params"])
        return msgspec.convert(given, self._operation.params, strict=False)

    async def _decoded(self, receive: Receive, headers: dict[bytes, bytes]) -> Any:  # noqa: ANN401 - its request struct
        if self._body is None:
            return None
        kind = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
        if kind != JSON:
            raise ServiceError("bad_request", "The body must be JSON (Content-Type: application/json).", status=415)
        length = headers.get(b"content-length")
        return self._body.decode(await body.read(receive, None if length is None else int(length)))


async def respond_json(send: Send, status: int, data: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send a whole JSON answer."""
    sent = [(b"content-type", JSON), (b"content-length", str(len(data)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": data})

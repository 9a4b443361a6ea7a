"""One operation as an ASGI application: who asks, may they, what do they ask, what is the answer."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from engine.api import body, content, errors, idempotency, sse
from engine.api.content import Content
from engine.api.exposition import Text
from engine.api.host import EngineHost
from engine.api.idempotency import Repeats
from engine.api.leaving import while_asked
from engine.api.load import RequestLoad, RequestShare
from engine.api.sse import EventStream
from engine.models.runs import OutputChunk, RunInfo, RunState
from engine.registry.operation import CLIENT_HEADER
from engine.services.access import Actor, ServiceError
from engine.services.callers import Callers, unauthorized
from engine.services.operations import BoundOperation, Request, may
from engine.sockets import Peer

log = logging.getLogger("engine.api")

JSON = b"application/json"
SOURCES = frozenset({"console", "cli"})

CHALLENGE = (b"www-authenticate", b'Bearer realm="gatewright"')
"""What an answer 401 must carry (RFC 9110, 11.6.1); Java 11's client fails without it."""


class Endpoint:
    """Calls ``bound`` for every request to its operation that passes the checks, and sends what it answers."""

    def __init__(self, bound: BoundOperation, host: EngineHost, repeats: Repeats, load: RequestLoad) -> None:
        self._bound = bound
        self._operation = bound.operation
        self._host = host
        self._repeats = repeats
        self._load = load
        self._body = None if self._operation.body is None else msgspec.json.Decoder(self._operation.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._load.request() as share:
            await self._serve(scope, receive, send, share)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, share: RequestShare) -> None:
        try:
            request = await self._request(scope, receive, share)
            answer = await self._answer(scope, request, receive)
            share.answered()
            await self._respond(request, answer, receive, send)
        except body.ClientGone:
            log.debug("%s: the client left before its request was complete", self._operation.name)
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes a sentence, unexpected ones a log line
            if isinstance(error, ServiceError) and error.denied is not None:
                source = _source(error.denied, dict(scope["headers"]))
                self._host.engine.callers.denied(error, source, self._operation)
            await self._refuse(send, errors.as_refusal(error))

    async def _answer(self, scope: Scope, request: Request, receive: Receive) -> Any:  # noqa: ANN401 - the operation's
        cancels = self._cancels(request)
        if self._operation.idempotent and (key := idempotency.key_of(scope)) is not None:
            work = partial(self._bound, request)
            once = self._repeats.once(self._operation, key, request, work, cancels=cancels)
            return await while_asked(receive, once)
        answer = self._bound(request)
        if inspect.isawaitable(answer):
            return await (while_asked(receive, answer) if cancels else answer)
        return answer

    def _cancels(self, request: Request) -> bool:
        """Whether a client that leaves cancels what it asked for."""
        return self._operation.cancels or getattr(request.params, "wait", None) is not None

    async def _refuse(self, send: Send, error: Exception) -> None:
        status, error_body = errors.answer_to(error, self._operation)
        await respond_json(send, status, msgspec.json.encode(error_body), refusal_headers(error))

    async def _request(self, scope: Scope, receive: Receive, share: RequestShare) -> Request:
        headers = dict(scope["headers"])
        actor = await _actor_of(scope, headers, self._host.engine.callers)
        await share.count(actor)
        may(actor, self._operation)
        return Request(
            actor=actor,
            source=_source(actor, headers),
            params=self._params(scope),
            body=await self._decoded(receive, headers, share),
            chunks=body.chunks(receive, headers) if self._operation.raw_body else None,
            last_event_id=headers.get(b"last-event-id", b"").decode("latin-1"),
            accept=headers.get(b"accept", b"").decode("latin-1"),
        )

    def _params(self, scope: Scope) -> Any:  # noqa: ANN401 - the operation's own params struct
        given: dict[str, Any] = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        given.update(scope["path_params"])
        params = msgspec.convert(given, self._operation.params, strict=False)
        if getattr(params, "follow", False) and getattr(params, "wait", None) is not None:
            raise ServiceError(
                "bad_request",
                "follow and wait exclude each other: one answers with the run's event stream, the other with its end.",
                hint="Leave one of them out.",
            )
        return params

    async def _decoded(self, receive: Receive, headers: dict[bytes, bytes], share: RequestShare) -> Any:  # noqa: ANN401
        if self._body is None:
            return None
        kind = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
        if kind != JSON:
            raise ServiceError("bad_request", "The body must be JSON (Content-Type: application/json).", status=415)
        data = await body.read(receive, headers, share)
        with body.many_values(data):
            return self._parsed(data)

    def _parsed(self, data: bytes) -> Any:  # noqa: ANN401 - the operation's own body struct
        return None if self._body is None else self._body.decode(data)

    async def _respond(self, request: Request, answer: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        if self._operation.raw_answer:
            await content.respond(send, self._operation.status, Content(request.params.name, answer))
        elif isinstance(answer, Text):
            await _respond(send, 200, answer.media_type.encode(), answer.data)
        elif (stream := self._stream(request, answer)) is not None:
            counts = self._host.engine.callers.while_counts(request.actor)
            if counts is not None:
                stream = EventStream(_while(counts, stream.events))
            await sse.respond(stream, receive, send, self._host.stopping, counts)
        else:
            await respond_json(send, self._status(request, answer), msgspec.json.encode(answer))

    def _status(self, request: Request, answer: object) -> int:
        """Return the operation's status; 200 for a run that was waited for and has ended, which 202 is not for."""
        waited = getattr(request.params, "wait", None) is not None
        ended = isinstance(answer, RunInfo) and answer.state is RunState.FINISHED
        return 200 if waited and ended else self._operation.status

    def _stream(self, request: Request, answer: object) -> EventStream | None:
        """Return the events to send, if the operation answers with them or the caller wants to follow its run."""
        if isinstance(answer, EventStream):
            return answer
        if isinstance(answer, RunInfo) and getattr(request.params, "follow", False):
            kept = getattr(request.params, "kept", False)
            return EventStream(run_events(self._host.engine.runs.follow(answer.id, request.actor, kept=kept)))
        return EventStream(run_events(answer)) if isinstance(answer, AsyncIterator) else None


async def _actor_of(scope: Scope, headers: Mapping[bytes, bytes], callers: Callers) -> Actor:
    """Return the caller's actor. A token that is sent counts, whatever it came by; else the account of the peer.

    Raises:
        ServiceError: ``unauthorized`` or ``forbidden``.
    """
    peer: Peer | None = scope["state"].get("peer")
    scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer":
        address = scope["client"][0] if scope.get("client") else ""
        actor = callers.by_token(text.strip(), address, peer)
        if (connection := scope["state"].get("connection")) is not None:
            connection.has_credential()
        return actor
    if peer is None:
        raise unauthorized("This needs a token.")
    if not callers.knows(peer):
        await callers.learn(peer)
    return callers.by_peer(peer)


def _source(actor: Actor, headers: Mapping[bytes, bytes]) -> str:
    """Return what a run is recorded to come from, which also says who is served first.

    What a token's caller says of itself does not count: any program could say that a person waits for it.
    """
    client = headers.get(CLIENT_HEADER.encode(), b"").decode("latin-1")
    return client if client in SOURCES and not actor.token else "rest"


async def _while(counts: Callable[[], bool], events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """What a stream sends, up to the end of its caller's right to it."""
    async with aclosing(events):
        async for chunk in events:
            if not counts():
                return
            yield chunk


async def run_events(items: AsyncIterator[list[OutputChunk] | RunInfo]) -> AsyncGenerator[bytes, None]:
    """Encode what a run's followers are told: events ``output``, ``run`` and, last, ``finished``."""
    async for item in items:
        if not isinstance(item, RunInfo):
            yield sse.encode("output", msgspec.json.encode(item))
        elif item.state is RunState.FINISHED:
            yield sse.encode("finished", msgspec.json.encode(item))
        else:
            yield sse.encode("run", msgspec.json.encode(item))


def refusal_headers(error: Exception) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of a refusal: how to log in, when to come again (RFC 9110, 10.2.3 and 11.6.1)."""
    if not isinstance(error, ServiceError):
        return ()
    if error.status == 401:
        return (CHALLENGE,)
    return () if error.retry_after is None else ((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))),)


async def respond_json(send: Send, status: int, data: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send a whole JSON answer."""
    await _respond(send, status, JSON, data, headers)


async def _respond(
    send: Send, status: int, kind: bytes, data: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    sent = [(b"content-type", kind), (b"content-length", str(len(data)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": data})

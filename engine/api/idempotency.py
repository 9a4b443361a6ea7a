"""A request that is sent again with the same ``Idempotency-Key`` is done once.

The header is the one of draft-ietf-httpapi-idempotency-key-header; its text is taken as it is, quoted or not.

A key counts for one caller and one operation, for ten minutes from the end of the first request on. Until that end a
repeat waits for it; after it a repeat gets the same answer; with another body it is refused. A request that was refused
did nothing, so its repeat is a new attempt. An engine that was started since knows no key.

What is kept has bounds: ``KEYS`` and ``CALLER_BYTES`` of each caller, ``ALL_BYTES`` in all, as JSON. Above these the
oldest answers go first, and a repeat is told that its answer has gone rather than done again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.types import Scope

from engine.services.access import Actor, ServiceError
from engine.services.operations import Request, Row

HEADER = b"idempotency-key"
MAX_KEY = 255
LIFETIME = 600.0
"""Seconds for which an answer is kept."""

KEYS = 10_000
CALLER_BYTES = 16 << 20
ALL_BYTES = 64 << 20
OVERHEAD = 512
"""Bytes that a key takes beside its answer."""

RETURN = 5.0
"""Seconds for which work goes on whose last client left: a client that gives a key means to come again."""

HOW_TO_ANSWER = ("follow", "kept", "wait")
"""Parameters that a repeat may give another value: they are not part of what is done."""

Key = tuple[str, str]
"""Of an operation, and what the client calls its request."""


def key_of(scope: Scope) -> str | None:
    """Return the request's key; None without one.

    Raises:
        ServiceError: It cannot be one.
    """
    found = [value for name, value in scope["headers"] if name == HEADER]
    if not found:
        return None
    text: str = found[0].decode("latin-1").strip()
    if len(found) > 1 or not 0 < len(text) <= MAX_KEY or not text.isascii() or not text.isprintable():
        raise ServiceError(
            "bad_request",
            f"An Idempotency-Key is one line of 1 to {MAX_KEY} printable ASCII characters.",
            hint="Use a new UUID for each request that is not a repeat.",
        )
    return text


def digest_of(request: Request) -> bytes:
    """Hash what a request asks for: a repeat must ask for the same."""
    params = {name: getattr(request.params, name) for name in request.params.__struct_fields__}
    for name in HOW_TO_ANSWER:
        params.pop(name, None)
    return hashlib.sha256(msgspec.json.encode((params, request.body), order="deterministic")).digest()


@dataclass(slots=True)
class GoingOn:
    """The work of a first request, and how many wait for it."""

    digest: bytes
    task: asyncio.Task[Any]
    waiting: int = 0
    ending: asyncio.TimerHandle | None = None
    """Ends it when no client has come again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A first answer. ``data`` is None where there is none to give again, ``why`` then says why."""

    digest: bytes
    until: float
    kind: type
    data: bytes | None
    why: str = ""

    @property
    def size(self) -> int:
        return OVERHEAD + len(self.data or b"")

    def answer(self) -> Any:  # noqa: ANN401 - what the operation answers
        """Return the first answer again.

        Raises:
            ServiceError: It is not there.
        """
        if self.data is not None:
            return msgspec.json.decode(self.data, type=self.kind)
        raise ServiceError(
            "idempotency_no_answer",
            f"A request with this Idempotency-Key was made before: {self.why}",
            hint="Look at the list of runs, then send it with a new key if it is to be done again.",
            status=409,
        )


@dataclass(slots=True)
class CallersKeys:
    """What one caller asked for; both tables oldest first."""

    going: dict[Key, GoingOn] = field(default_factory=dict)
    kept: dict[Key, Kept] = field(default_factory=dict)
    size: int = 0


class Repeats:
    """First requests and their answers, of every caller."""

    def __init__(self) -> None:
        self._callers: defaultdict[str, CallersKeys] = defaultdict(CallersKeys)
        self._sweeping: asyncio.TimerHandle | None = None

    async def once(
        self, operation: Row, key: str, request: Request, work: Callable[[], Awaitable[Any]], *, cancels: bool
    ) -> Any:  # noqa: ANN401 - what the operation answers
        """Return the answer of ``work``, or the first answer under this key.

        Args:
            operation: What is asked for.
            key: The client's name of the request.
            request: What the caller asks.
            work: Does it; called once.
            cancels: Clients that leave, all of them, end the work.

        Raises:
            ServiceError: ``idempotency_mismatch`` for another request under a known key, or what ``work`` raises.
        """
        caller = self._callers[request.actor.identity]
        place, digest = (operation.name, key), digest_of(request)
        known = caller.going.get(place) or caller.kept.get(place)
        if known is not None and known.digest != digest:
            raise ServiceError(
                "idempotency_mismatch",
                "This Idempotency-Key was used for another request within the last ten minutes.",
                hint="Use a new key for a new request.",
                status=422,
            )
        if isinstance(known, Kept):
            return known.answer()
        going = known or self._begin(caller, place, digest, request.actor, work)
        return await self._wait(going, cancels=cancels)

    def _begin(
        self, caller: CallersKeys, place: Key, digest: bytes, actor: Actor, work: Callable[[], Awaitable[Any]]
    ) -> GoingOn:
        if len(caller.going) >= KEYS:
            sentence = f"{len(caller.going)} requests with an Idempotency-Key go on already, as many as may."
            raise ServiceError("busy", sentence, hint="Try again later.", status=429, retry_after=RETURN)
        going = GoingOn(digest, asyncio.ensure_future(work()))
        caller.going[place] = going
        going.task.add_done_callback(lambda task: self._ended(actor.identity, place, task))
        return going

    async def _wait(self, going: GoingOn, *, cancels: bool) -> Any:  # noqa: ANN401 - what the operation answers
        if going.ending is not None:
            going.ending.cancel()
            going.ending = None
        going.waiting += 1
        try:
            await asyncio.wait((going.task,))
        finally:
            going.waiting -= 1
            if cancels and not going.waiting and not going.task.done():
                going.ending = asyncio.get_running_loop().call_later(RETURN, going.task.cancel)
        if going.task.cancelled():
            raise ServiceError("cancelled", "What was asked for was ended: its client had left.", status=409)
        return going.task.result()

    def _ended(self, identity: str, place: Key, task: asyncio.Task[Any]) -> None:
        caller = self._callers[identity]
        going = caller.going.pop(place)
        if going.ending is not None:
            going.ending.cancel()
        until = asyncio.get_running_loop().time() + LIFETIME
        data, kind, why = None, object, ""
        if task.cancelled():
            why = "it was ended, because its client had left."
        elif (failure := task.exception()) is None:
            kind, data = type(task.result()), msgspec.json.encode(task.result())
        elif isinstance(failure, ServiceError):
            self._forget(identity)
            return
        else:
            why = "the engine failed at it, so what of it was done is not known."
        self._keep(identity, place, Kept(going.digest, until, kind, data, why))

    def _keep(self, identity: str, place: Key, kept: Kept) -> None:
        caller = self._callers[identity]
        caller.kept[place] = kept
        caller.size += kept.size
        while len(caller.kept) > KEYS:
            caller.size -= caller.kept.pop(next(iter(caller.kept))).size
        _without_data(caller, CALLER_BYTES)
        excess = sum(each.size for each in self._callers.values()) - ALL_BYTES
        if excess > 0:
            largest = max(self._callers.values(), key=lambda each: each.size)
            _without_data(largest, largest.size - excess)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_at(kept.until, self._sweep)

    def _sweep(self) -> None:
        """Forget what is older than ten minutes, and come again when the next is."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        now, following = loop.time(), float("inf")
        for identity, caller in list(self._callers.items()):
            for place, kept in list(caller.kept.items()):
                if kept.until > now:
                    following = min(following, kept.until)
                    break
                caller.size -= caller.kept.pop(place).size
            self._forget(identity)
        if following != float("inf"):
            self._sweeping = loop.call_at(following, self._sweep)

    def _forget(self, identity: str) -> None:
        """A caller of whom nothing is kept takes no room."""
        caller = self._callers[identity]
        if not caller.going and not caller.kept:
            del self._callers[identity]


def _without_data(caller: CallersKeys, limit: int) -> None:
    """Leave the oldest answers out until what is kept of a caller is within ``limit`` bytes; the keys stay known."""
    if caller.size <= limit:
        return
    for place, kept in caller.kept.items():
        if kept.data is not None:
            caller.kept[place] = Kept(kept.digest, kept.until, kept.kind, None, "its answer was too much to be kept.")
            caller.size -= len(kept.data)
        if caller.size <= limit:
            return

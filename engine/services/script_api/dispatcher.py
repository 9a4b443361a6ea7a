"""The scripts' own API: what a run asks by ``import gatewright`` is the same operation that every other surface asks.

A run is never given more than its actor would be, and of that only what the registry opens to its kind of script.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from engine.models.runs import RunInfo
from engine.pool.calls import error
from engine.pool.job import HostCalls, Reply
from engine.registry.operation import ScriptKind
from engine.services.access import Actor, Role, ServiceError
from engine.services.audit import AuditService
from engine.services.callers import Callers
from engine.services.operations import BoundOperation, Request, Row, UnboundOperation, bind, may

SOURCE = "script"
"""What audit and services call this surface."""

PER_SECOND = 1_000
"""Calls of one run that are answered in a second. What comes faster is answered later, and the script waits."""

BURST = 1_000
"""Calls that a run begins with and may save up."""

log = logging.getLogger(__name__)


class _Asked(msgspec.Struct, frozen=True):
    """A call, its params and body not decoded yet."""

    op: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    body: msgspec.Raw | None = None
    of: int = 0
    """Which of its calls a batch's child makes it for."""


_ASKED = msgspec.json.Decoder(_Asked)


class ScriptApi:
    """One table of what runs may ask, made from the registry's rows and the engine's services."""

    def __init__(self, audit: AuditService, callers: Callers | None = None) -> None:
        self.audit = audit
        self.callers = callers
        self.operations: Mapping[str, BoundOperation] = {}

    def serve(self, parts: Iterable[object]) -> None:
        """Take every operation of ``parts`` that is open to a kind of script.

        Raises:
            UnboundOperation: One of them has another answer than JSON.
        """
        bound = {row.name: operation for row, operation in bind(parts).items() if row.kinds}
        for name, operation in bound.items():
            row: Row = operation.operation
            if row.stream or row.raw_answer or row.raw_body:
                raise UnboundOperation(f"Scripts are given JSON alone, so that none may ask {name}.")
        self.operations = bound

    def for_run(self, info: RunInfo, kind: ScriptKind, actor: Actor) -> RunApi:
        """Return what answers the calls of one run.

        Args:
            info: Its record.
            kind: Of its script; code that is no script counts as a utility.
            actor: Who started it.
        """
        return RunApi(self, info, kind, actor)


class RunApi(HostCalls):
    """What one run may ask."""

    def __init__(self, api: ScriptApi, info: RunInfo, kind: ScriptKind, actor: Actor) -> None:
        self._api = api
        self._run_id = info.id
        self._name = info.name
        self._kind = kind
        self._actor = actor
        self._loop = asyncio.get_running_loop()
        self._tokens = float(BURST)
        self._at = self._loop.time()
        self._waiting: set[asyncio.Handle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        """By operation and the code of its refusal, empty for what was done."""
        self._ended = False

    def call(self, payload: bytes, reply: Reply) -> None:
        """Answer a call, later if the run has made too many of them within a second."""
        now = self._loop.time()
        self._tokens = min(BURST, self._tokens + (now - self._at) * PER_SECOND) - 1
        self._at = now
        if self._tokens >= 0:
            self._answer(payload, reply)
            return

        def later() -> None:
            self._waiting.discard(handle)
            self._answer(payload, reply)

        handle = self._loop.call_later(-self._tokens / PER_SECOND, later)
        self._waiting.add(handle)

    def end(self) -> None:
        """Give up what is under way, and put on record what was asked."""
        if self._ended:
            return
        self._ended = True
        for handle in self._waiting:
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        self._tell_audit()

    def _tell_audit(self) -> None:
        """One record for each operation and how it was answered, with the number of calls."""
        subject = f"#{self._run_id} {self._name}"
        for (operation, code), count in self._counts.items():
            told = {"refused": code} if code else {}
            self._api.audit.tell(self._actor, SOURCE, f"call {operation}", subject, calls=count, **told)

    def _answer(self, payload: bytes, reply: Reply) -> None:
        name = "?"
        try:
            asked = _ASKED.decode(payload)
            bound = self._allowed(asked.op)
            name = asked.op
            answer = bound(self._request(bound.operation, asked))
        except Exception as problem:  # noqa: BLE001 - whatever a script sends, and whatever becomes of it
            self._refuse(name, problem, reply)
            return
        if isinstance(answer, Awaitable):
            task = self._loop.create_task(self._finish(name, answer, reply), name=f"call of run {self._run_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._succeed(name, answer, reply)

    async def _finish(self, name: str, answer: Awaitable[object], reply: Reply) -> None:
        try:
            done = await answer
        except Exception as problem:  # noqa: BLE001 - as above
            self._refuse(name, problem, reply)
        else:
            self._succeed(name, done, reply)

    def _succeed(self, name: str, answer: object, reply: Reply) -> None:
        try:
            encoded = msgspec.json.encode({"ok": _whole(answer)})
        except Exception as problem:  # noqa: BLE001 - as above
            self._refuse(name, problem, reply)
            return
        self._counts[name, ""] += 1
        reply(encoded, ())

    def _refuse(self, name: str, problem: Exception, reply: Reply) -> None:
        refusal = self._refusal(name, problem)
        self._counts[name, refusal.code] += 1
        operation = self._api.operations.get(name)
        if refusal.denied is not None and operation is not None and self._api.callers is not None:
            self._api.callers.denied(refusal, SOURCE, operation.operation)
        reply(error(refusal.code, refusal.message, refusal.hint), ())

    def _refusal(self, name: str, problem: Exception) -> ServiceError:
        if isinstance(problem, ServiceError):
            return problem
        if isinstance(problem, msgspec.MsgspecError):
            return ServiceError("bad_request", f"The call cannot be read: {problem}.")
        if isinstance(problem, RecursionError):
            return ServiceError("bad_request", "The call is nested too deeply.")
        log.error("run %d called %s", self._run_id, name, exc_info=problem)
        return ServiceError("internal", "The engine failed at this call; its log says why.", status=500)

    def _allowed(self, name: str) -> BoundOperation:
        """Find the operation that a script names, if its kind may ask it and its actor, too."""
        bound = self._api.operations.get(name)
        if bound is None:
            raise ServiceError(
                "no_operation", f"Scripts cannot call {name[:100]!r}.", hint="See gatewright help scripts-api."
            )
        if self._kind not in bound.operation.kinds:
            kinds = " and ".join(f"scripts of kind {kind}" for kind in bound.operation.kinds)
            raise ServiceError("not_for_kind", f"A script of kind {self._kind} cannot call {name}; only {kinds} can.")
        may(self._actor, bound.operation)
        return bound

    def _request(self, row: Row, asked: _Asked) -> Request:
        actor = self._actor
        if row.name.startswith("runs."):
            # Its own alone: whose role shows it everybody's has not been asked for by a script of theirs.
            actor = replace(actor, role=min(actor.role, Role.OPERATOR))
        if "run_id" in row.path_names:
            params = msgspec.json.decode(asked.params, type=dict[str, Any])
            params.setdefault("run_id", self._run_id)
            decoded = msgspec.convert(params, row.params)
        else:
            decoded = msgspec.json.decode(asked.params, type=row.params)
        body = None
        if row.body is not None:
            body = msgspec.json.decode(asked.body or b"{}", type=row.body)
        return Request(actor, SOURCE, decoded, body)


def _whole(answer: object) -> object:
    """``answer`` with every field of its structs: over the wire those are left out that have their defaults."""
    if isinstance(answer, msgspec.Struct):
        return {name: _whole(getattr(answer, name)) for name in answer.__struct_fields__}
    if isinstance(answer, (list, tuple)):
        return [_whole(each) for each in answer]
    if isinstance(answer, dict):
        return {key: _whole(value) for key, value in answer.items()}
    if isinstance(answer, AsyncIterator):
        raise TypeError("a stream is no answer to a script")
    return answer

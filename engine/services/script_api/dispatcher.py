"""The scripts' own API: what a run asks by ``import gatewright`` is the same operation that every other surface asks.

A run is never given more than its actor would be, and of that only what the registry opens to its kind of script.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from engine.models.runs import RunInfo
from engine.pool.calls import error, is_long, whole
from engine.pool.job import Reply
from engine.registry.operation import ScriptKind
from engine.registry.runs import RUNS_PROGRESS
from engine.services.access import FROM_RUNS, Actor, Role, ServiceError
from engine.services.audit import AuditService
from engine.services.callers import Callers
from engine.services.operations import BoundOperation, Request, Row, UnboundOperation, bind, may
from engine.services.runs.outputs import RunOutputs

PER_SECOND = 1_000
"""Calls of one run that are answered in a second. What comes faster is answered later, and the script waits."""

BURST = 1_000
"""Calls that a run begins with and may save up."""

UNREAD = "?"
"""Stands on record for the name of an operation that could not be read, or is none."""

OF_ITS_SCRIPT = ("state.",)
"""Beginnings of the names of operations on what a script has: a run asks them for its own script, whatever it names."""

KEEPS_NOTHING = frozenset({"runs.progress", "secrets.get"})
"""Operations that keep and hand on nothing of what they are asked, or hide secrets in it. To every other one a run may
not give a secret that it was given: it would stand in a record, or leave the host."""

log = logging.getLogger(__name__)


class _Asked(msgspec.Struct, frozen=True):
    """A call, its params and body not decoded yet."""

    op: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    body: msgspec.Raw = msgspec.Raw(b"{}")
    of: int = 0
    """Which of its calls a batch's child makes it for."""


_ASKED = msgspec.json.Decoder(_Asked)


@dataclass(frozen=True, slots=True)
class CallingRun:
    """The run that calls.

    Attributes:
        info: Its record when it began.
        kind: Of its script; code that is no script counts as a utility.
        actor: Who started it.
        script: The script's path, empty for code that is no script.
        outputs: Makes its buffers; None: it can make none.
    """

    info: RunInfo
    kind: ScriptKind
    actor: Actor
    script: str
    outputs: RunOutputs | None = None


class RunOperation(NamedTuple):
    """What a run alone may ask, and no other surface: it is about what that run has."""

    kinds: tuple[ScriptKind, ...]
    params: type[Any]
    """A struct; what a script sends is held against it."""
    method: Callable[[CallingRun, Any], Any]
    """Takes the run and the params; returns a struct, plain values or ``WithDescriptors``, or an awaitable of such. It
    raises ``ServiceError``."""


class WithDescriptors(NamedTuple):
    """An answer with open files. They stay their owner's, who keeps them open until the run has ended."""

    answer: object
    descriptors: Sequence[int]


class ScriptApi:
    """One table of what runs may ask, made from the registry's rows and the engine's services."""

    def __init__(self, audit: AuditService, callers: Callers | None = None) -> None:
        self.audit = audit
        self.callers = callers
        self.operations: Mapping[str, BoundOperation] = {}
        self.run_operations: dict[str, RunOperation] = {}
        self.writing = asyncio.Lock()
        """Held while a long answer is written in a thread: many of these keep the event loop from its turn."""
        self.tells_secret: Callable[[int, str], bool] = lambda _run_id, _text: False
        """Whether a text has a secret that a run was given."""

    def add(self, name: str, operation: RunOperation) -> None:
        """Let runs ask what only they may.

        Raises:
            UnboundOperation: There is one of that name.
        """
        if name in self.run_operations or name in self.operations:
            raise UnboundOperation(f"Two methods carry out {name}.")
        self.run_operations[name] = operation

    def replace(self, name: str, operation: RunOperation) -> None:
        """Answer one of these in another way: for an embedder of the engine, as one that has tags."""
        self.run_operations[name] = operation

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
        if both := bound.keys() & self.run_operations.keys():
            raise UnboundOperation(f"Two methods carry out {', '.join(both)}.")
        self.operations = bound

    def for_run(
        self, info: RunInfo, kind: ScriptKind, actor: Actor, script: str = "", outputs: RunOutputs | None = None
    ) -> RunApi:
        """Return what answers the calls of one run, as ``CallingRun`` describes it."""
        return RunApi(self, (info, kind, actor, script, outputs))


class RunApi:
    """What one run may ask. Implements ``HostCalls``. For a run that asks nothing, nothing is made."""

    __slots__ = ("_answers", "_api", "_run")

    def __init__(self, api: ScriptApi, run: tuple[RunInfo, ScriptKind, Actor, str, RunOutputs | None]) -> None:
        """``run`` has the fields of ``CallingRun``."""
        self._api = api
        self._run = run
        self._answers: _Answers | None = None

    def call(self, payload: bytes, reply: Reply) -> None:
        """Answer a call, later if the run has made too many of them within a second."""
        if self._answers is None:
            self._answers = _Answers(self._api, CallingRun(*self._run))
        self._answers.call(payload, reply)

    def end(self) -> None:
        """Give up what is under way, and put on record what was asked."""
        if self._answers is not None:
            self._answers.end()


class _Answers:
    """The answers to the calls of one run."""

    def __init__(self, api: ScriptApi, run: CallingRun) -> None:
        self._api = api
        self._run = run
        # Of runs its actor's own alone: whose role shows him everybody's did not mean them for a script.
        self._humble = replace(run.actor, role=min(run.actor.role, Role.OPERATOR))
        # A token's only: what changes about an account, its next run hears of.
        by_token = api.callers if run.actor.token else None
        self._still_counts = None if by_token is None else by_token.while_counts(run.actor)
        self._loop = asyncio.get_running_loop()
        self._tokens = float(BURST)
        self._at = self._loop.time()
        self._waiting: set[asyncio.Handle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        """By operation and the code of its refusal, empty for what was done."""
        self._ended = False

    def call(self, payload: bytes, reply: Reply) -> None:
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
        if self._ended:
            return
        self._ended = True
        for handle in self._waiting:
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        self._tell_audit()

    def _tell_audit(self) -> None:
        """Make one record for each operation and how it was answered, with the number of calls."""
        info = self._run.info
        subject = f"#{info.id} {info.name}"
        for (operation, code), count in self._counts.items():
            if operation == RUNS_PROGRESS.name:
                continue  # it is about the run itself, and many tell it
            told = {"refused": code} if code else {}
            self._api.audit.tell(self._run.actor, FROM_RUNS, f"call {operation}", subject, calls=count, **told)

    def _answer(self, payload: bytes, reply: Reply) -> None:
        name = UNREAD
        try:
            asked = _ASKED.decode(payload)
            if asked.op in self._api.run_operations or asked.op in self._api.operations:
                name = asked.op  # else it is any text of the script's, which the audit is to be spared
            found = self._allowed(asked.op)
            self._require_no_secret(name, payload)
            if isinstance(found, RunOperation):
                answer = found.method(self._run, msgspec.json.decode(asked.params, type=found.params))
            else:
                answer = found(self._request(found.operation, asked))
        except Exception as problem:  # noqa: BLE001 - whatever a script sends, and whatever becomes of it
            self._refuse(name, problem, reply)
            return
        if isinstance(answer, Awaitable):
            self._begin(self._finish(name, answer, reply))
        else:
            self._succeed(name, answer, reply)

    async def _finish(self, name: str, answer: Awaitable[object], reply: Reply) -> None:
        try:
            done = await answer
        except Exception as problem:  # noqa: BLE001 - as above
            self._refuse(name, problem, reply)
        else:
            self._succeed(name, done, reply)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=f"call of run {self._run.info.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _succeed(self, name: str, answer: object, reply: Reply) -> None:
        if is_long(answer):
            self._begin(self._succeed_later(name, answer, reply))
            return
        answer, descriptors = answer if isinstance(answer, WithDescriptors) else (answer, ())
        try:
            encoded = _encoded(answer)
        except Exception as problem:  # noqa: BLE001 - as above
            self._refuse(name, problem, reply)
            return
        self._counts[name, ""] += 1
        reply(encoded, descriptors)

    async def _succeed_later(self, name: str, answer: object, reply: Reply) -> None:
        """Write a long answer beside the event loop: ten thousand scripts take it a tenth of a second."""
        try:
            async with self._api.writing:
                encoded = await asyncio.to_thread(_encoded, answer)
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
            self._api.callers.denied(refusal, FROM_RUNS, operation.operation)
        reply(error(refusal.code, refusal.message, refusal.hint), ())

    def _refusal(self, name: str, problem: Exception) -> ServiceError:
        if isinstance(problem, ServiceError):
            return problem
        if isinstance(problem, msgspec.MsgspecError | UnicodeDecodeError):
            given = "The call" if name == UNREAD else f"What {name} is given"
            return ServiceError("bad_request", f"{given} does not fit: {str(problem).rstrip('.')}.")
        if isinstance(problem, RecursionError):
            return ServiceError("bad_request", "The call is nested too deeply.")
        log.error("run %d called %s", self._run.info.id, name, exc_info=problem)
        return ServiceError("internal", "The engine failed at this call; its log says why.", status=500)

    def _allowed(self, name: str) -> BoundOperation | RunOperation:
        """Find the operation that a script names, if its kind may ask it and its actor, too."""
        found = self._api.run_operations.get(name) or self._api.operations.get(name)
        if found is None:
            sentence = f"Scripts cannot call {name[:100]!r}."
            raise ServiceError("no_operation", sentence, hint="See gatewright help scripts-api.")
        kinds = found.kinds if isinstance(found, RunOperation) else found.operation.kinds
        if self._run.kind not in kinds:
            others = " and ".join(f"scripts of kind {kind}" for kind in kinds)
            raise ServiceError(
                "not_for_kind", f"A script of kind {self._run.kind} cannot call {name}; only {others} can."
            )
        if self._still_counts is not None and not self._still_counts():
            sentence = f"{self._run.actor.name} has lost the access by which it started this run."
            raise ServiceError("forbidden", sentence, hint="Have it run by a caller whose access counts.", status=403)
        if isinstance(found, BoundOperation):
            may(self._run.actor, found.operation)
        return found

    def _require_no_secret(self, name: str, payload: bytes) -> None:
        if name not in KEEPS_NOTHING and self._api.tells_secret(self._run.info.id, payload.decode("utf-8", "replace")):
            sentence = f"{name} was not called: what it was given has a secret, which would be kept or handed on."
            raise ServiceError("tells_secret", sentence, hint="Leave the secret out of it.", status=422)

    def _request(self, row: Row, asked: _Asked) -> Request:
        """Return what the operation is asked. What is a run's own, its number and its state, it need not name."""
        if row.name.startswith(OF_ITS_SCRIPT) or "run_id" in row.params.__struct_fields__:
            params = msgspec.json.decode(asked.params, type=dict[str, Any])
            if row.name.startswith(OF_ITS_SCRIPT):
                params["path"] = self._own_script(row)
            else:
                params.setdefault("run_id", self._run.info.id)
            decoded = msgspec.convert(params, row.params)
        else:
            decoded = msgspec.json.decode(asked.params, type=row.params)
        body = None if row.body is None else msgspec.json.decode(asked.body, type=row.body)
        actor = self._humble if row.name.startswith("runs.") else self._run.actor
        return Request(actor, FROM_RUNS, decoded, body)

    def _own_script(self, row: Row) -> str:
        if not self._run.script:
            sentence = f"Only a saved script can call {row.name}, and this run is of code that is none."
            raise ServiceError("no_script", sentence, hint="Save it as a script of the project, and run that.")
        return self._run.script


def _encoded(answer: object) -> bytes:
    return msgspec.json.encode({"ok": whole(answer)})

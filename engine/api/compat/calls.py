"""Run code, module functions and scripts, and answer with what became of them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from engine.api.compat.endpoint import RunAnswer, now_ms
from engine.api.compat.script_python import NO_PYTHON, ChosenPython, ScriptPython
from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest
from engine.registry.operation import Operation
from engine.registry.runs import RUNS_START
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements

WAIT = 25.0
"""Seconds that a run may take with its time in the queue. These clients give up after 30."""

_OF_THE_SCRIPT = frozenset({Outcome.SCRIPT_ERROR, Outcome.IMPORT_DENIED, Outcome.MEMORY})
"""Ends with an exception of the script."""


class CallParams(Model, frozen=True):
    traceback: Annotated[bool, Meta(description="The header X-Gatewright-Traceback: 1 says the same.")] = False


class Wishes(Model, frozen=True, rename="camel"):
    """What every call may ask for. ``mode`` left out is the caller's own default, ``version`` what
    scripts run with anyway.

    Attributes:
        security_mode: Another name of ``mode``: the module's functions call it so.
    """

    mode: str | None = None
    security_mode: str | None = None
    timeout: float | None = None
    params: dict[str, Any] = {}
    version: str = ""


class ExecRequest(Wishes, frozen=True, kw_only=True, rename="camel"):
    code: str
    variables: dict[str, Any] = {}


class EvalRequest(Wishes, frozen=True, kw_only=True, rename="camel"):
    expression: str
    variables: dict[str, Any] = {}


class CallModuleRequest(Wishes, frozen=True, kw_only=True, rename="camel"):
    module: str
    function: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


class CallScriptRequest(Wishes, frozen=True, kw_only=True, rename="camel"):
    script_path: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


EXEC = Operation(
    "compat.exec",
    "POST",
    "/api/v1/exec",
    RunAnswer,
    "author",
    "Run code of their own",
    params=CallParams,
    body=ExecRequest,
    cancels=True,
    idempotent=True,
)
EVAL = Operation(
    "compat.eval",
    "POST",
    "/api/v1/eval",
    RunAnswer,
    "author",
    "Evaluate expressions of their own",
    params=CallParams,
    body=EvalRequest,
    cancels=True,
    idempotent=True,
)
CALL_MODULE = Operation(
    "compat.call_module",
    "POST",
    "/api/v1/call-module",
    RunAnswer,
    "author",
    "Call module functions",
    params=CallParams,
    body=CallModuleRequest,
    cancels=True,
    idempotent=True,
)
CALL_SCRIPT = Operation(
    "compat.call_script",
    "POST",
    "/api/v1/call-script",
    RunAnswer,
    RUNS_START.role,
    "Run scripts by their titles or paths",
    params=CallParams,
    body=CallScriptRequest,
    cancels=True,
    idempotent=True,
    scoped=RUNS_START.scoped,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (EXEC, EVAL, CALL_MODULE, CALL_SCRIPT)


class CompatCalls:
    def __init__(self, host: EngineHost, pythons: ScriptPython) -> None:
        self._host = host
        self._pythons = pythons

    @implements(EXEC)
    async def exec(self, request: ExecRequest, traceback: bool, actor: Actor, source: str) -> RunAnswer:
        """Run a text; what it leaves in ``result`` is the answer, else what it prints."""
        run = RunRequest(kind=RunKind.EXEC, code=request.code, variables=request.variables, params=request.params)
        return await self._answer(run, request, traceback, actor, source)

    @implements(EVAL)
    async def eval(self, request: EvalRequest, traceback: bool, actor: Actor, source: str) -> RunAnswer:
        """Evaluate an expression."""
        code = request.expression
        run = RunRequest(kind=RunKind.EVAL, code=code, variables=request.variables, params=request.params)
        return await self._answer(run, request, traceback, actor, source)

    @implements(CALL_MODULE)
    async def call_module(self, request: CallModuleRequest, traceback: bool, actor: Actor, source: str) -> RunAnswer:
        """Call a function of a module."""
        run = RunRequest(
            kind=RunKind.CALL,
            module=request.module,
            function=request.function,
            args=request.args,
            kwargs=request.kwargs,
            params=request.params,
        )
        return await self._answer(run, request, traceback, actor, source)

    @implements(CALL_SCRIPT)
    async def call_script(self, request: CallScriptRequest, traceback: bool, actor: Actor, source: str) -> RunAnswer:
        """Run a saved script. It finds ``args`` and ``kwargs`` as globals.

        Those of ``kwargs`` that it declares as params are also given as such, and all of them to a script that declares
        none; ``params`` go before them.
        """
        info = await self._host.engine.titled_scripts.found(request.script_path, actor)
        declared = {param.name for param in info.params}
        given = {name: value for name, value in request.kwargs.items() if not declared or name in declared}
        run = RunRequest(
            kind=RunKind.SCRIPT,
            script=info.path,
            args=request.args,
            kwargs=request.kwargs,
            params={**given, **request.params},
        )
        return await self._answer(run, request, traceback, actor, source)

    async def _answer(self, run: RunRequest, wishes: Wishes, traceback: bool, actor: Actor, source: str) -> RunAnswer:
        place = await self._pythons.chosen(wishes.version)
        if run.kind is RunKind.SCRIPT and place != ChosenPython():
            raise ServiceError(
                NO_PYTHON,
                f"A script runs on the Python that its header asks for, not on {wishes.version.strip()[:40]!r}.",
                hint="Leave the version out, or say requires-python in its header.",
            )
        request = replace(run, mode=wished_mode(wishes), timeout=wishes.timeout, **place._asdict())
        info = await self._host.engine.runs.run_within(request, actor, source, seconds=WAIT)
        return answer_of(info, traceback=traceback)


def wished_mode(wishes: Wishes) -> str:
    """Return the mode that a call asks for, under either name; empty for the caller's own default.

    Raises:
        ServiceError: ``bad_mode``: the two names say different things.
    """
    named = {mode.strip().upper() for mode in (wishes.mode, wishes.security_mode) if mode is not None} - {""}
    if len(named) > 1:
        raise ServiceError(
            "bad_mode", "mode and securityMode are two names of one field, and say different things.", hint="Send one."
        )
    return next(iter(named), "")


def answer_of(info: RunInfo, *, traceback: bool) -> RunAnswer:
    """Say what became of a run, which has ended."""
    success = info.outcome is Outcome.OK
    # JSON has null for NaN, and these clients would show the word: the note says what became of the value.
    lost = info.has_value and info.value is None
    text = None if lost else info.output if info.result is None else info.result
    return RunAnswer(
        success=success,
        output=info.output or "",
        stderr=info.stderr or "",
        execution_time_ms=round((info.duration or 0.0) * 1000),
        timestamp=now_ms(),
        run_id=info.id,
        isolation=info.isolation,
        result=text if success else None,
        value=info.value if success and info.has_value else None,
        error=None if success else error_of(info),
        traceback=info.traceback if traceback else None,
        code=None if success else str(info.outcome),
        note=info.note,
    )


def error_of(info: RunInfo) -> str:
    """Return what went wrong in a run as one text, with the script's traceback where there is one."""
    error = info.error
    if error is None:
        return f"The run ended without a result ({info.outcome})."
    if info.outcome not in _OF_THE_SCRIPT:
        return error.message or str(info.outcome)
    what = f"{error.type}: {error.message}" if error.message else error.type
    said = [f"Python error: {what}", *filter(None, (error.hint, info.traceback))]
    return "\n".join(said)

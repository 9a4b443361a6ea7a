"""From what a client asks for to what the pool can run: kind, mode, code, parameters and limits, every check made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from engine.models import Mode, RunKind, RunRequest
from engine.pool import Limits
from engine.services.access import Actor, Role, ServiceError, require
from engine.services.params import bind
from engine.services.scripts import ScriptService, ScriptSource

MAX_NAME = 255
"""Characters of a run's name, as of a file's."""


@dataclass(frozen=True, slots=True)
class RunCeilings:
    """What the settings allow; ``limits`` are the defaults of a run."""

    limits: Limits = field(default_factory=Limits)
    max_timeout: float = 3600.0
    max_memory: int = 4 << 30


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request after every check, ready to become a job."""

    mode: Mode
    name: str
    filename: str
    source: bytes
    limits: Limits
    params: dict[str, Any]
    entrypoint: str | None = None


class RequestChecks:
    """Knows the scripts and the ceilings; holds no run."""

    def __init__(self, scripts: ScriptService, ceilings: RunCeilings) -> None:
        self._scripts = scripts
        self._ceilings = ceilings

    async def prepare(self, request: RunRequest, actor: Actor) -> Prepared:
        """Everything a run of ``request`` needs.

        Raises:
            ServiceError: The request is wrong, or ``actor`` may not make it.
        """
        mode = _mode(request.mode, actor)
        match request.kind:
            case RunKind.SCRIPT:
                return await self._script(request, actor, mode)
            case RunKind.CALL:
                require(actor, Role.AUTHOR, "call module functions")
                return self._call(request, mode)
            case RunKind.EXEC | RunKind.EVAL:
                require(actor, Role.AUTHOR, "run code of their own")
                return self._code(request, mode)

    async def _script(self, request: RunRequest, actor: Actor, mode: Mode) -> Prepared:
        """A saved script, or the unsaved text of one when ``code`` is given."""
        if request.code:
            require(actor, Role.AUTHOR, "run code of their own")
            script = self._scripts.source_of(request.script, request.code)
        else:
            require(actor, Role.OPERATOR, "run scripts")
            script = await self._scripts.source(request.script)
        return Prepared(
            mode=mode,
            name=script.info.path,
            filename=script.info.path,
            source=script.data,
            limits=self._limits(request.timeout, script),
            params=bind(script.info.params, request.params, request.files),
            entrypoint=request.entrypoint or script.info.entrypoint,
        )

    def _call(self, request: RunRequest, mode: Mode) -> Prepared:
        for part in (*request.module.split("."), request.function):
            if not part.isidentifier():
                raise ServiceError("bad_request", f"{part!r} is not a name of a module or a function.")
        target = _shown(f"{request.module}.{request.function}")
        limits = self._limits(request.timeout)
        return Prepared(
            mode=mode, name=target, filename=f"<{target}>", source=b"", limits=limits, params=dict(request.params)
        )

    def _code(self, request: RunRequest, mode: Mode) -> Prepared:
        if not request.code.strip():
            raise ServiceError("bad_request", "There is no code to run.")
        name = _shown(request.name or f"<{request.kind}>")
        return Prepared(
            mode=mode,
            name=name,
            filename=name,
            source=_encode(request.code),
            limits=self._limits(request.timeout),
            params=dict(request.params),
            entrypoint=request.entrypoint,
        )

    def _limits(self, timeout: float | None, script: ScriptSource | None = None) -> Limits:
        base = self._ceilings.limits
        declared = script.info.timeout if script else None
        memory = (script.info.memory if script else None) or base.memory
        wall = timeout if timeout is not None else declared if declared is not None else base.wall
        if not math.isfinite(wall) or not 0 < wall <= self._ceilings.max_timeout:
            raise ServiceError(
                "bad_timeout", f"The timeout must be above 0 and at most {self._ceilings.max_timeout:g} seconds."
            )
        if memory > self._ceilings.max_memory:
            raise ServiceError(
                "bad_limit",
                f"This script asks for {memory >> 20} MiB of memory; the ceiling is {self._ceilings.max_memory >> 20}.",
                hint="Lower limits.memory in the script, or raise the ceiling in the settings.",
            )
        if wall == base.wall and memory == base.memory:
            return base
        return replace(base, wall=wall, memory=memory)


def _shown(name: str) -> str:
    """``name``, if lists and tracebacks can show it."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise ServiceError(
            "bad_name", f"The name of a run must be printable and at most {MAX_NAME} characters long."
        )
    return name


def _mode(text: str, actor: Actor) -> Mode:
    """The mode a request names; nothing is ever silently lowered or raised."""
    if text == Mode.RESTRICTED:
        return Mode.RESTRICTED
    if text == Mode.ADMIN:
        require(actor, Role.ADMIN, "run in ADMIN mode")
        raise ServiceError(
            "mode_unavailable",
            "This version runs scripts in RESTRICTED mode only.",
            hint="Leave the mode out.",
            status=403,
        )
    raise ServiceError("bad_mode", f"There is no mode {text!r}; the modes are RESTRICTED and ADMIN.")


def _encode(code: str) -> bytes:
    try:
        return code.encode()
    except UnicodeEncodeError:
        raise ServiceError("bad_request", "The code holds a lone surrogate, which UTF-8 cannot carry.") from None

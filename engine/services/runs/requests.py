"""From what a client asks for to what the pool can run: kind, mode, code, parameters and limits, every check made.

The refusals of runs stand here as well, as every surface says them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.models.runs import Mode, RunKind, RunRequest
from engine.models.scripts import ScriptInfo
from engine.pool.job import (
    Environment,
    JobRejected,
    Limits,
    NotEnoughMemory,
    PoolClosed,
    QueueFull,
    SandboxUnavailable,
    SharedModule,
)
from engine.registry.operation import ScriptKind
from engine.services.access import Actor, Role, ServiceError, require, require_every_script
from engine.services.packages.script_environments import Building, ScriptEnvironments
from engine.services.runs.ahead import Ahead
from engine.services.runs.modes import Modes, sandbox_unavailable
from engine.services.runs.params import CallMade, bind
from engine.services.scripts.limits import DECLARABLE, RunCeilings, above_ceiling
from engine.services.scripts.own_edits import OwnEdit
from engine.services.scripts.permissions import PermissionService, RunGrants, hosted_of
from engine.services.scripts.service import ScriptService, ScriptSource
from engine.services.scripts.shared_code import SharedCode, not_run, shared_files
from store.files.names import is_shared
from store.frontmatter.coding import coding_problem
from store.frontmatter.locate import BEGINS

MAX_NAME = 255
"""Characters of a run's name, as of a file's."""

FULL_FOR = 5.0
"""Seconds after which a run that found no room may be asked for again."""

_FIELDS = {"timeout": "wall"}
"""What the pool calls them, where that is something else."""

Modules = tuple[SharedModule, ...]


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
    parallel: int | None = None
    """How many runs of this name may go on at once."""
    preloads: tuple[str, ...] = ()
    grants: RunGrants = field(default_factory=RunGrants)
    shared: Modules = ()
    leaves: bool = False
    """What detaches itself from the run goes on after it."""
    secret: Mapping[str, bool] = field(default_factory=dict)
    """Whether each declared parameter is secret; others are by their names."""
    script_kind: ScriptKind = "utility"
    """Decides what it may ask the engine; code that is no script may ask what a utility may."""
    note: str | None = None
    """What of its header is not as it asks for, and does not keep it from running."""
    environment: Environment | None = None
    """Of its own; None: the pool's usual one, unless one is being built."""
    building: Building | None = None
    """What it has to wait for before it can run; ``RequestChecks.built`` then says the rest."""
    preload: tuple[str, ...] = ()
    """What its header names, to be judged when the environment is there."""


class RequestChecks:
    """Knows the scripts, their permissions and shared code, the modes and the ceilings; holds no run."""

    def __init__(
        self,
        scripts: ScriptService,
        permissions: PermissionService,
        shared: SharedCode,
        modes: Modes,
        ceilings: RunCeilings,
        environments: ScriptEnvironments | None = None,
    ) -> None:
        self._environments = environments
        self._scripts = scripts
        self._permissions = permissions
        self._shared_code = shared
        self._modes = modes
        self._ceilings = ceilings
        self.ahead = Ahead(modes.imports)
        """Knows what a run should find imported ahead."""

    async def prepare(
        self, request: RunRequest, actor: Actor, kept: Modules | None = None, source: str = ""
    ) -> Prepared:
        """Everything a run of ``request`` needs.

        Args:
            request: What to run.
            actor: Who asks.
            kept: The shared code of the run that is repeated; None for what the project has now.
            source: As in ``RunService.start``; refusals say what to do there.

        Raises:
            ServiceError: The request is wrong, or ``actor`` may not make it.
        """
        mode = self._modes.choose(request.mode, actor)
        if request.kind is RunKind.SCRIPT and (request.environment or request.python):
            raise ServiceError(
                "bad_request",
                "A script runs where its header says: environment under [tool.gatewright], or requires-python.",
                hint="Leave environment and python out.",
            )
        match request.kind:
            case RunKind.SCRIPT:
                call = CallMade(source == "cli", tuple(request.kwargs), len(request.args))
                prepared = await self._script(request, actor, mode, kept, call)
            case RunKind.CALL:
                require(actor, Role.AUTHOR, "call module functions")
                require_every_script(actor, "call module functions")
                prepared = await self._placed(await self._call(request, mode, kept), request, actor)
            case RunKind.EXEC | RunKind.EVAL:
                require(actor, Role.AUTHOR, "run code of their own")
                require_every_script(actor, "run code of their own")
                prepared = await self._placed(await self._code(request, mode, kept), request, actor)
            case RunKind.RENDER:
                hint = "Render documents with gatewright render."
                raise ServiceError("bad_request", "A batch is begun by rendering documents, not as a run.", hint=hint)
        return replace(prepared, shared=self._shared_code.with_code(prepared.shared)) if prepared.shared else prepared

    def built(self, prepared: Prepared, environment: Environment) -> Prepared:
        """Return a request that waited for its environment, with that.

        Raises:
            ServiceError: What its header preloads may not be imported.
        """
        preloads = self._modes.preloads(prepared.preload, prepared.mode, environment.modules)
        return replace(prepared, environment=environment, building=None, preloads=preloads)

    async def macro(self, script: ScriptSource, actor: Actor | None = None, *, wait: bool = False) -> Prepared:
        """What a script needs as a macro of a batch: RESTRICTED, without approved permissions, its own limits.

        Args:
            script: The macro.
            actor: In whose name an environment that it needs is built; None: none is.
            wait: Wait until that is built.

        Raises:
            ServiceError: It cannot be used, or this host cannot hold a RESTRICTED run. ``building`` or ``not_built``
                when its environment is not there.
        """
        info = script.info
        if self._modes.restricted.refusal is not None:
            raise sandbox_unavailable(self._modes.restricted.refusal)
        if info.problem is not None:
            raise ServiceError("bad_script", f"{info.path} cannot run: {info.problem}", status=422)
        environment = await self._environment(info, actor)
        if isinstance(environment, Building):
            if not wait:
                raise _still_building(info, environment)
            environment = await environment.wait()
        opened = () if environment is None else environment.modules
        return Prepared(
            mode=Mode.RESTRICTED,
            name=info.path,
            filename=info.path,
            source=script.data,
            limits=self._limits(None, info),
            params={},
            preloads=self._modes.preloads(info.preload, Mode.RESTRICTED, opened),
            environment=environment,
            shared=self._shared_code.with_code(await self._shared(script.data, None)),
        )

    async def _shared(self, data: bytes, kept: Modules | None, module: str = "") -> Modules:
        return await self._shared_code.used_by(data, module) if kept is None else kept

    async def _script(
        self, request: RunRequest, actor: Actor, mode: Mode, kept: Modules | None, call: CallMade
    ) -> Prepared:
        """A saved script, or the unsaved text of one when ``code`` is given."""
        if request.code:
            require(actor, Role.AUTHOR, "run code of their own")
            require_every_script(actor, "run a text that is not saved")
            script = await asyncio.to_thread(self._scripts.source_of, request.script, request.code)
        else:
            require(actor, Role.OPERATOR, "run scripts")
            script = await self._scripts.source(request.script, actor=actor)
        if is_shared(script.info.path):
            raise not_run(script.info.path)
        if script.info.leave_processes and mode is not Mode.ADMIN:
            raise ServiceError(
                "needs_admin",
                f"{script.info.path} is to leave processes running (leave_processes in its header), and only an ADMIN "
                "run starts any.",
                hint="Run it with --mode admin, or F8 in the console; or take leave_processes out of its header.",
                status=403,
            )
        shared = await self._shared(script.data, kept)
        environment = await self._environment(script.info, actor)
        building = environment if isinstance(environment, Building) else None
        ready = None if isinstance(environment, Building) else environment
        opened = () if ready is None else ready.modules
        return Prepared(
            mode=mode,
            name=script.info.path,
            filename=script.info.path,
            source=script.data,
            leaves=script.info.leave_processes,
            limits=self._limits(request.timeout, script.info),
            params=bind(script.info.params, request.params, request.files, call),
            entrypoint=request.entrypoint or script.info.entrypoint,
            parallel=script.info.parallel,
            preloads=() if building is not None else self._modes.preloads(script.info.preload, mode, opened),
            preload=tuple(script.info.preload),
            environment=ready,
            building=building,
            grants=await self._grants(script, mode, request.entrypoint, shared, OwnEdit(request.own_edits, actor)),
            shared=shared,
            secret={param.name: param.secret for param in script.info.params},
            script_kind="macro" if script.info.kind == "macro" else "utility",
            note=script.told,
        )

    async def _placed(self, prepared: Prepared, request: RunRequest, actor: Actor) -> Prepared:
        """Give code the environment or the Python that its request names, judged as a header that names them."""
        if not (request.environment or request.python):
            return prepared
        exactly = request.python if request.python.count(".") == 2 else f"{request.python}.*"
        info = ScriptInfo(
            path=prepared.name,
            title=prepared.name,
            environment=request.environment,
            requires_python=f"=={exactly}" if request.python else None,
        )
        found = await self._environment(info, actor)
        if isinstance(found, Building):
            return replace(prepared, building=found)
        return replace(prepared, environment=found)

    async def _environment(self, info: ScriptInfo, actor: Actor | None) -> Environment | Building | None:
        """Return what a script runs with, by its header; None: the usual environment."""
        return None if self._environments is None else await self._environments.choose(info, actor)

    async def _grants(
        self, script: ScriptSource, mode: Mode, entrypoint: str | None, shared: Modules, edit: OwnEdit
    ) -> RunGrants:
        """What an administrator approved for exactly these texts; an ADMIN run has the account's rights without it."""
        if mode is Mode.ADMIN:
            return RunGrants(hosted=hosted_of(script.info))
        grants = await self._permissions.grants_for(script.info, script.info.sha256, shared_files(shared), edit)
        if grants != RunGrants() and entrypoint not in (None, script.info.entrypoint):
            raise ServiceError(
                "bad_request",
                f"{script.info.path} runs with approved permissions, so only by the entrypoint that it declares.",
                hint="Leave the entrypoint out.",
            )
        return grants

    async def _call(self, request: RunRequest, mode: Mode, kept: Modules | None) -> Prepared:
        for part in (*request.module.split("."), request.function):
            if not part.isidentifier():
                raise ServiceError("bad_request", f"{part!r} is not a name of a module or a function.")
        target = _shown(f"{request.module}.{request.function}")
        limits = self._limits(request.timeout)
        return Prepared(
            mode=mode,
            name=target,
            filename=f"<{target}>",
            source=b"",
            limits=limits,
            params=dict(request.params),
            shared=await self._shared(b"", kept, request.module),
        )

    async def _code(self, request: RunRequest, mode: Mode, kept: Modules | None) -> Prepared:
        if not request.code.strip():
            raise ServiceError("bad_request", "There is no code to run.")
        name = _shown(request.name or f"<{request.kind}>")
        source = _source(request.code)
        return Prepared(
            mode=mode,
            name=name,
            filename=name,
            source=source,
            shared=await self._shared(source, kept),
            limits=self._limits(request.timeout),
            params=dict(request.params),
            entrypoint=request.entrypoint,
            # A header that code brings along is told of, never left out without a word.
            note=await asyncio.to_thread(self._scripts.code_note, request.code) if BEGINS in request.code else None,
        )

    def _limits(self, timeout: float | None, script: ScriptInfo | None = None) -> Limits:
        """The defaults, with what the script declares and, above that, the timeout of the request itself."""
        limits = self._ceilings.limits
        if script is not None:
            asked = _asked(script, without_timeout=timeout is not None)
            if asked:
                limits = self._declared(limits, asked)
            if script.output_stop:
                limits = replace(limits, output_stop=True)
        wall = limits.wall if timeout is None else timeout
        if not math.isfinite(wall) or not 0 < wall <= self._ceilings.timeout:
            raise ServiceError(
                "bad_timeout", f"The timeout must be above 0 and at most {self._ceilings.timeout:g} seconds."
            )
        return limits if wall == limits.wall else replace(limits, wall=wall)

    def _declared(self, limits: Limits, asked: dict[str, Any]) -> Limits:
        """``limits`` with what a script asks for, none of it above its ceiling."""
        above = above_ceiling(self._ceilings, asked)
        if above is not None:
            raise ServiceError("bad_limit", above.sentence, hint=above.hint)
        return replace(limits, **{_FIELDS.get(key, key): value for key, value in asked.items()})


def _asked(script: ScriptInfo, *, without_timeout: bool) -> dict[str, Any]:
    """The limits that a script declares, by key."""
    asked = {key: getattr(script, key) for key in DECLARABLE if getattr(script, key) is not None}
    if without_timeout:
        asked.pop("timeout", None)
    return asked


def _shown(name: str) -> str:
    """``name``, if lists and tracebacks can show it."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise ServiceError("bad_name", f"The name of a run must be printable and at most {MAX_NAME} characters long.")
    return name


def _source(code: str) -> bytes:
    """Code that is no script's, as it runs: what is not allowed in a script's text is not here either."""
    try:
        data = code.encode()
    except UnicodeEncodeError:
        raise ServiceError("bad_request", "The code holds a lone surrogate, which UTF-8 cannot carry.") from None
    if (problem := coding_problem(data)) is not None:
        raise ServiceError("bad_script", f"The code cannot run: {problem}", status=422)
    return data


def refused_run(refusal: QueueFull | JobRejected) -> ServiceError:
    if isinstance(refusal, SandboxUnavailable):
        return sandbox_unavailable(str(refusal))
    if isinstance(refusal, NotEnoughMemory):
        hint = "Free memory on the host, or let the script ask for less: memory in its header, else in [limits]."
        return ServiceError("no_memory", str(refusal), hint=hint, status=429, retry_after=FULL_FOR)
    if isinstance(refusal, QueueFull):
        hint = "Try again when some runs have ended."
        return ServiceError("queue_full", str(refusal), hint=hint, status=429, retry_after=FULL_FOR)
    if isinstance(refusal, PoolClosed):
        hint = "Try again when an engine runs again: nothing of this was run."
        return ServiceError("stopping", str(refusal), hint=hint, status=503)
    return ServiceError("bad_request", str(refusal))


def _still_building(info: ScriptInfo, building: Building) -> ServiceError:
    sentence = f"{info.path} waits for its packages ({building.sentence})."
    return ServiceError("building", sentence, hint="Try again when they are there.", status=503, retry_after=5.0)


def no_buffer(run_id: int, name: str) -> ServiceError:
    return ServiceError(
        "no_buffer",
        f"Run {run_id} left no buffer {name!r}, or it is no longer held: that is for ten minutes.",
        hint=f"See gatewright runs show {run_id}, or run the script again.",
        status=404,
    )


def no_file(run_id: int, name: str, *, removed: bool = False) -> ServiceError:
    if removed:
        sentence, hint = f"The file {name!r} of run {run_id} is no longer kept.", "Run the script again."
    else:
        sentence, hint = f"Run {run_id} left no file {name!r}.", f"See gatewright runs files {run_id}."
    return ServiceError("no_file", sentence, hint=hint, status=404)

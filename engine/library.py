"""The engine as a library: store, pool and services put together, without server or sockets.

    async with Engine.open(project, pool_size=3) as engine:
        run = await engine.execute("result = 1 + 1", timeout=5.0)
        assert run.outcome == "ok" and run.value == 2

The daemon is this plus an HTTP surface, so benchmarks, embedders and clients all run the same code.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from default_scripts import Bundle
from engine.config import Settings
from engine.keeping import disk_floor, retention
from engine.lifetime import LifetimeLock
from engine.models import Grant, Model, Outcome, RunError, RunInfo, RunKind, RunRequest, Stream
from engine.paths import EnginePaths
from engine.pool import Pool
from engine.pool.environment import ensure_environment
from engine.pool_start import run_limits, start_pool
from engine.sandbox.modules import ImportPolicy
from engine.sandbox.plan import Level
from engine.sandbox.protected import HostProtection
from engine.services.access import Actor, owner_actor
from engine.services.active import ActiveRun
from engine.services.audit import AuditService
from engine.services.buffers import BufferService
from engine.services.checks import ScriptChecks
from engine.services.default_scripts import DefaultScriptService
from engine.services.dependencies import Dependencies
from engine.services.diff import DiffService
from engine.services.diff_texts import Texts
from engine.services.events import EventBus
from engine.services.examiner import Examiner, tools_pool
from engine.services.git import GitService
from engine.services.housekeeping import keep_house
from engine.services.metrics import RunMetrics
from engine.services.modes import Modes
from engine.services.permissions import PermissionService
from engine.services.pool import PoolService
from engine.services.rebuild_parts import ApprovalPart, HistoryPart
from engine.services.replay import ReplayService
from engine.services.requests import RequestChecks, RunCeilings
from engine.services.retention import RetentionService
from engine.services.room import Room, short_of_room
from engine.services.runs import RunService
from engine.services.script_changes import ScriptChanges
from engine.services.script_keys import ScriptKeyService
from engine.services.scripts import ScriptService
from engine.services.sync import SyncService
from engine.services.tasks import TaskService
from engine.services.versions import VersionKeeper
from engine.services.watching import WatchService
from engine.sockets import check_private
from store.files import ScriptFiles
from store.git_trust import TrustFile
from store.project import Project
from store.read_only import CANNOT_WRITE, ReadOnlyProject
from store.reconcile import Reconciler
from store.room import DiskRoom, NoRoom
from store.state import StateDB
from store.watched import Watched


class Run(Model, frozen=True):
    """A finished run with its output."""

    id: int
    outcome: Outcome
    value: Any
    result: str | None
    stdout: str
    stderr: str
    error: RunError | None
    traceback: str | None
    note: str | None
    isolation: str
    duration: float
    files: dict[str, bytes]
    """What it wrote in its scratch folder and named in its result, by name."""
    grants: list[Grant]
    """The approved permissions it ran with, by their canonical paths."""


class Engine:
    """One project's engine. Make it with ``Engine.open``."""

    def __init__(
        self,
        project: Project,
        pool: Pool,
        runs: RunService,
        run_history: ReplayService,
        scripts: ScriptService,
        changes: ScriptChanges,
        defaults: DefaultScriptService,
        permissions: PermissionService,
        checks: ScriptChecks,
        sync: SyncService,
        diff: DiffService,
        tasks: TaskService,
        git: GitService,
        buffers: BufferService,
        pool_service: PoolService,
        events: EventBus,
        modes: Modes,
        state: StateDB,
        room: Room,
        retention: RetentionService,
        audit: AuditService,
    ) -> None:
        self.project = project
        self.pool = pool
        self.runs = runs
        self.run_history = run_history
        self.scripts = scripts
        self.script_keys = ScriptKeyService(scripts)
        self.changes = changes
        self.defaults = defaults
        self.permissions = permissions
        self.checks = checks
        self.sync = sync
        self.diff = diff
        self.tasks = tasks
        self.git = git
        self.buffers = buffers
        self.pool_service = pool_service
        self.events = events
        self.modes = modes
        self.owner = owner_actor()
        self._state = state
        self._room = room
        self.retention = retention
        self.audit = audit

    @property
    def problems(self) -> list[str]:
        """What the user should know, one sentence each."""
        recorder = self.runs.recorder.problem
        short = self._room.short()
        problems = [
            *self.project.problems,
            *self._state.problems,
            *self.sync.problems,
            *self.defaults.problems,
            *([recorder] if recorder else []),
            *([self.audit.problem] if self.audit.problem else []),
            *([short_of_room(short, self._room.hint)] if short else []),
        ]
        restricted = self.modes.restricted
        if restricted.refusal is not None:
            problems.append(f"{restricted.refusal} See gatewright doctor.")
        elif restricted.level is Level.DEGRADED:
            problems.append(f"RESTRICTED runs are not held as promised: {'; '.join(restricted.missing)}.")
        return problems

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        project: Path | str,
        *,
        pool_size: int | None = None,
        settings: Settings | None = None,
        lock: LifetimeLock | None = None,
        bundle: Bundle | None = None,
    ) -> AsyncIterator[Engine]:
        """Open a project, made first if it does not exist, and start its pool.

        Args:
            project: The project's folder.
            pool_size: Overrides the settings.
            settings: Overrides the project's own ``settings.toml``.
            lock: The project's lifetime lock, if the caller holds it already.
            bundle: Default scripts instead of those that come with this package.

        Raises:
            AlreadyRunning: Another engine has this project.
            StoreError: The folder cannot be used; the sentence says why.
            ConfigError: ``settings.toml`` cannot be used.
        """
        async with AsyncExitStack() as stack:
            yield await _compose(cls, stack, Path(project), pool_size, settings, lock, bundle or Bundle())

    async def execute(
        self,
        code: str,
        *,
        mode: str = "RESTRICTED",
        variables: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the run's own wall limit, enforced by the pool
    ) -> Run:
        """Run ``code`` in a clean process and wait for its end."""
        request = RunRequest(
            kind=RunKind.EXEC,
            code=code,
            mode=mode,
            variables=dict(variables or {}),
            params=dict(params or {}),
            timeout=timeout,
        )
        return await self.run(request)

    async def call_script(
        self,
        script: str,
        *,
        params: Mapping[str, Any] | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - see execute
    ) -> Run:
        """Run a saved script by its path."""
        request = RunRequest(
            kind=RunKind.SCRIPT,
            script=script,
            params=dict(params or {}),
            args=list(args),
            kwargs=dict(kwargs or {}),
            timeout=timeout,
        )
        return await self.run(request)

    async def run(self, request: RunRequest, actor: Actor | None = None) -> Run:
        """Run any request and wait for its end.

        Raises:
            ServiceError: The request was refused; nothing ran.
        """
        active = await self.runs.launch(request, actor or self.owner, "library")
        try:
            info = await active.ended()
        except asyncio.CancelledError:
            self.pool.cancel(active.info.id)
            raise
        return _run(info, active)


async def _compose(
    make: type[Engine],
    stack: AsyncExitStack,
    root: Path,
    pool_size: int | None,
    settings: Settings | None,
    lock: LifetimeLock | None,
    bundle: Bundle,
) -> Engine:
    """Build every part and leave its undoing on ``stack``, so that a failure half way takes down what stands."""
    project = await asyncio.to_thread(_project, root, bundle)
    if lock is None:
        lock = LifetimeLock(project.lock_file)
        lock.acquire()
        stack.callback(lock.release)
    settings = settings or Settings.load(project.settings_file)
    files = ScriptFiles(project.scripts, project.history)
    if isinstance(project, ReadOnlyProject):
        stack.callback(project.clear)
    else:
        await asyncio.to_thread(files.recover)
    state = await StateDB.open(project.state_db)
    stack.push_async_callback(state.close)
    await state.interrupt_unfinished(time.time())
    reconciler = await Reconciler.open(files, project.index_db)
    stack.push_async_callback(reconciler.close)
    interpreter = await ensure_environment(project.environments / "default")

    events = EventBus()
    stack.callback(events.close)
    watch = WatchService(Watched(project.root), reconciler, events)
    stack.push_async_callback(watch.gone)
    buffers = BufferService(max_buffer=settings.ceilings.upload)
    stack.callback(buffers.close)
    metrics = RunMetrics()
    pool = await start_pool(project, settings, interpreter, pool_size)
    stack.push_async_callback(pool.close)
    imports = ImportPolicy(settings.policy)
    admin = pool.settings.admin
    if isinstance(project, ReadOnlyProject):
        admin = replace(admin, level=Level.REFUSED, missing=(f"they cannot be recorded, since {CANNOT_WRITE}",))
    modes = Modes(pool.settings.restricted, admin, imports)
    room = _room(project, settings)
    audit = AuditService(state.audit, None if isinstance(project, ReadOnlyProject) else state.audit_export)
    await audit.start(owner_actor())
    stack.push_async_callback(audit.stop, owner_actor())
    telling = asyncio.create_task(audit.run(), name="audit")
    stack.push_async_callback(_cancelled, telling)
    keeper = VersionKeeper(files, state.versions, reconciler.outside, room, audit)
    stack.push_async_callback(keeper.settled)
    await keeper.after_crash()
    scripts = ScriptService(
        files, reconciler, keeper, state.approvals, events, Dependencies.of(project.environments / "default")
    )
    changes = ScriptChanges(scripts, files, keeper, state.versions, events)
    defaults = DefaultScriptService(bundle, project, files, scripts, state.seeded)
    if not isinstance(project, ReadOnlyProject):
        await defaults.bring_up_to_date()
    tasks = TaskService(events)
    stack.push_async_callback(tasks.close)
    parts = (HistoryPart(files, state.versions), ApprovalPart(state.approvals, reconciler))
    sync = SyncService(reconciler, parts, tasks, events, watch, audit)
    diff = DiffService(reconciler, Texts(files, reconciler), keeper, changes, state.kept, tasks, events)
    protection = HostProtection(project.root, interpreter)
    permissions = PermissionService(scripts, state.approvals, events, protection.now, audit)
    request_checks = RequestChecks(scripts, permissions, modes, _ceilings(settings))
    runs = RunService(pool, state, request_checks, buffers, events, metrics, room, audit)
    run_history = ReplayService(runs, state, scripts, buffers)
    examiner = Examiner(tools_pool(pool.settings))
    stack.push_async_callback(examiner.close)
    checks = ScriptChecks(examiner, imports)
    runs.recorder.start()
    stack.push_async_callback(runs.close)
    pool_service = PoolService(pool, metrics, events, audit)
    stack.callback(pool_service.close)
    stack.push_async_callback(pool.close)  # once more: runs end with it, and their records are written after that
    housekeeping = asyncio.create_task(keep_house(buffers), name="housekeeping")
    stack.push_async_callback(_cancelled, housekeeping)
    kept = RetentionService(state, keeper, reconciler, project.history, retention(settings))
    if not isinstance(project, ReadOnlyProject):  # its history can perhaps be written to, but its records are a copy
        looking = asyncio.create_task(kept.run(), name="retention")
        stack.push_async_callback(_cancelled, looking)
    # Lists and searches wait for its first look, the engine does not: it may have ten thousand scripts to read.
    watching = asyncio.create_task(watch.run(), name="watch over the scripts")
    stack.push_async_callback(_cancelled, watching)
    git = GitService(project.root, TrustFile(project.private), state.authors, audit)
    return make(
        project,
        pool,
        runs,
        run_history,
        scripts,
        changes,
        defaults,
        permissions,
        checks,
        sync,
        diff,
        tasks,
        git,
        buffers,
        pool_service,
        events,
        modes,
        state,
        room,
        kept,
        audit,
    )


def _project(root: Path, bundle: Bundle) -> Project:
    """Made or completed first if need be, and where it can only be read, read."""
    paths = EnginePaths(root.expanduser().resolve())
    if not paths.read_only:
        return Project.create(root, bundle.files)
    paths.private.mkdir(mode=0o700, exist_ok=True)
    check_private(paths.private, os.geteuid())
    return ReadOnlyProject.at(root, paths.private)


def _room(project: Project, settings: Settings) -> Room:
    if isinstance(project, ReadOnlyProject):
        return NoRoom(CANNOT_WRITE)
    return DiskRoom(project.root, disk_floor(settings))


def _ceilings(settings: Settings) -> RunCeilings:
    ceilings = settings.ceilings
    _, own = resource.getrlimit(resource.RLIMIT_NOFILE)
    return RunCeilings(
        limits=run_limits(settings),
        timeout=ceilings.timeout,
        memory=ceilings.memory,
        output=ceilings.output,
        result=ceilings.result,
        scratch=ceilings.scratch,
        # No child can be given more than the engine itself may have.
        open_files=ceilings.open_files if own == resource.RLIM_INFINITY else min(ceilings.open_files, own),
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _run(info: RunInfo, active: ActiveRun) -> Run:
    return Run(
        id=info.id,
        outcome=info.outcome or Outcome.INTERRUPTED,
        value=info.value,
        result=info.result,
        stdout="".join(chunk.text for chunk in active.chunks if chunk.stream is Stream.STDOUT),
        stderr="".join(chunk.text for chunk in active.chunks if chunk.stream is Stream.STDERR),
        error=info.error,
        traceback=info.traceback,
        note=info.note,
        isolation=info.isolation,
        duration=info.duration or 0.0,
        grants=info.grants,
        files={file.name: bytes(file.data) for file in active.files},
    )

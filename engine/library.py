"""The engine as a library: store, pool and services put together, without server or sockets.

    async with Engine.open(project, pool_size=3) as engine:
        run = await engine.execute("result = 1 + 1", timeout=5.0)
        assert run.outcome == "ok" and run.value == 2

The daemon is this plus an HTTP surface, so benchmarks, embedders and clients all run the same code.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from default_scripts import bundle
from engine.config import Settings
from engine.models import Model, Outcome, RunError, RunInfo, RunKind, RunRequest, Stream
from engine.pool import Limits, Pool, PoolSettings
from engine.pool.environment import ensure_environment
from engine.services.access import Actor, owner_actor
from engine.services.active import ActiveRun
from engine.services.buffers import BufferService
from engine.services.events import EventBus
from engine.services.git import GitService
from engine.services.metrics import RunMetrics
from engine.services.pool import PoolService
from engine.services.runs import RunCeilings, RunService
from engine.services.scripts import ScriptService
from store.files import ScriptFiles
from store.git import GitRepo
from store.project import Project
from store.state import StateDB


class Run(Model):
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


class Engine:
    """One project's engine. Make it with ``Engine.open``."""

    def __init__(
        self,
        project: Project,
        pool: Pool,
        runs: RunService,
        scripts: ScriptService,
        git: GitService,
        buffers: BufferService,
        pool_service: PoolService,
        events: EventBus,
    ) -> None:
        self.project = project
        self.pool = pool
        self.runs = runs
        self.scripts = scripts
        self.git = git
        self.buffers = buffers
        self.pool_service = pool_service
        self.events = events
        self.owner = owner_actor()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, project: Path | str, *, pool_size: int | None = None, settings: Settings | None = None
    ) -> AsyncIterator[Engine]:
        """Open a project, made first if it does not exist, and start its pool.

        Args:
            project: The project's folder.
            pool_size: Overrides the settings.
            settings: Overrides the project's own ``settings.toml``.

        Raises:
            StoreError: The folder cannot be used; the sentence says why.
            ConfigError: ``settings.toml`` cannot be used.
        """
        async with AsyncExitStack() as stack:
            yield await _compose(cls, stack, Path(project), pool_size, settings)

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
            info = await asyncio.shield(active.done)
        except asyncio.CancelledError:
            self.pool.cancel(active.info.id)
            raise
        return _run(info, active)


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
    )

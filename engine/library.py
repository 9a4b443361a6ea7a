"""The engine as a library: store, pool and services put together, without server or sockets.

    async with Engine.open(project, pool_size=3) as engine:
        run = await engine.execute("result = 1 + 1", timeout=5.0)
        assert run.outcome == "ok" and run.value == 2

The daemon is this plus an HTTP surface, so benchmarks, embedders and clients all run the same code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from default_scripts import Bundle
from engine.compose import EngineParts, compose
from engine.config import Settings
from engine.lock import LifetimeLock
from engine.models.base import Model
from engine.models.permissions import Grant
from engine.models.runs import Outcome, RunError, RunInfo, RunKind, RunRequest, Stream
from engine.models.shared import SharedFile
from engine.sandbox.plan import DOCTOR, Level
from engine.services.access import Actor
from engine.services.disk_space import short_of_space
from engine.services.macros.many import render_many
from engine.services.runs.active import ActiveRun

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on (PEP 688)


class Run(Model, frozen=True):
    """A finished run with its output."""

    id: int
    outcome: Outcome
    exit_status: int | None
    """What a shell would see of its end; None where the script came to no end of its own."""
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
    buffers: dict[str, memoryview]
    """What it made by ``gatewright.buffers.create``, read-only: the memory that the script wrote to, not a copy."""
    grants: list[Grant]
    """The approved permissions it ran with, by their canonical paths."""
    shared: list[SharedFile]
    """The shared code that its text imports."""


class Engine(EngineParts):
    """One project's engine. Make it with ``Engine.open``."""

    @property
    def problems(self) -> list[str]:
        """What the user should know, one sentence each."""
        recorder = self.runs.recorder.problem
        short = self.space.short()
        problems = [
            *self.project.problems,
            *self.state.problems,
            *self.sync.problems,
            *self.defaults.problems,
            *self.policy.problems,
            *self.yielding.problems,
            *([recorder] if recorder else []),
            *([self.audit.problem] if self.audit.problem else []),
            *([short_of_space(short, self.space.hint)] if short else []),
        ]
        restricted = self.modes.restricted
        if restricted.refusal is not None:
            problems.append(f"{restricted.refusal} See gatewright doctor.")
        elif restricted.level is Level.DEGRADED:
            problems.append(f"RESTRICTED runs are not held as promised: {'; '.join(restricted.missing)}. {DOCTOR}")
        elif restricted.note is not None:
            problems.append(restricted.note)
        if self.modes.admin.note is not None:
            problems.append(self.modes.admin.note)
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
        settings_file: Path | None = None,
    ) -> AsyncIterator[Engine]:
        """Open a project, made first if it does not exist, and start its pool.

        Args:
            project: The project's folder.
            pool_size: Overrides the settings.
            settings: Overrides the project's own ``settings.toml``.
            lock: The project's lifetime lock, if the caller holds it already.
            bundle: Default scripts instead of those that come with this package.
            settings_file: Where the settings are, and are looked at for changes; else in the project.

        Raises:
            AlreadyRunning: Another engine has this project.
            StoreError: The folder cannot be used; the sentence says why.
            ConfigError: ``settings.toml`` cannot be used.
        """
        async with AsyncExitStack() as stack:
            parts = await compose(stack, Path(project), pool_size, settings, lock, bundle or Bundle(), settings_file)
            yield cls(**vars(parts))

    async def execute(
        self,
        code: str,
        *,
        mode: str = "RESTRICTED",
        variables: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        argv: Sequence[str] = (),
        timeout: float | None = None,  # noqa: ASYNC109 - the run's own wall limit, enforced by the pool
        buffers: Mapping[str, Buffer] | None = None,
    ) -> Run:
        """Run ``code`` in a clean process, ``argv`` behind ``sys.argv[0]``, and wait for its end.

        ``buffers`` are copied once and read by the script as ``gatewright.buffers["NAME"]``, without another copy.
        """
        request = RunRequest(
            kind=RunKind.EXEC,
            code=code,
            mode=mode,
            variables=dict(variables or {}),
            params=dict(params or {}),
            argv=list(argv),
            timeout=timeout,
        )
        return await self.run(request, buffers=buffers)

    async def call_script(
        self,
        script: str,
        *,
        params: Mapping[str, Any] | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        argv: Sequence[str] = (),
        timeout: float | None = None,  # noqa: ASYNC109 - see execute
        buffers: Mapping[str, Buffer] | None = None,
    ) -> Run:
        """Run a saved script by its path; ``buffers`` as in ``execute``."""
        request = RunRequest(
            kind=RunKind.SCRIPT,
            script=script,
            params=dict(params or {}),
            args=list(args),
            kwargs=dict(kwargs or {}),
            argv=list(argv),
            timeout=timeout,
        )
        return await self.run(request, buffers=buffers)

    async def render_many(
        self,
        source: str | bytes,
        params_list: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
        workers: int = 1,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - see execute
    ) -> list[str]:
        """Call ``render(params, context)`` of a text for each of ``params_list``; return what it returns, in order.

        All calls share a process, or ``workers`` of them, in RESTRICTED mode. Each gets arguments of its own. With a
        ``timeout`` up to a run's usual limit the first process is one that waits already; else one is made for it,
        which takes some milliseconds: processor time that a process may have is never raised.

        Raises:
            CallFailed: A call failed; it names the index and the reason.
        """
        return await render_many(self.runs, self.pool, self.owner, source, params_list, context or {}, workers, timeout)

    async def run(
        self, request: RunRequest, actor: Actor | None = None, *, buffers: Mapping[str, Buffer] | None = None
    ) -> Run:
        """Run any request, with ``buffers`` beside those it names, and wait for its end.

        Raises:
            TypeError: A buffer is none, or its bytes do not lie in one piece.
            ServiceError: The request was refused; nothing ran.
        """
        actor = actor or self.owner
        if not buffers:
            return await self._run_to_end(request, actor)
        views = {name: _in_one_piece(name, data) for name, data in buffers.items()}
        ids: dict[str, str] = {}
        try:
            for name, view in views.items():
                ids[name] = (await self.buffers.take(name, view, actor)).id
            return await self._run_to_end(replace(request, buffers=request.buffers | ids), actor)
        finally:
            for buffer_id in ids.values():
                self.buffers.forget(buffer_id, actor)

    async def _run_to_end(self, request: RunRequest, actor: Actor) -> Run:
        active = await self.runs.launch(request, actor, "library")
        try:
            info = await active.ended()
        except asyncio.CancelledError:
            self.pool.cancel(active.info.id)
            raise
        return _run(info, active, self.runs.left.take(info.id))


def _in_one_piece(name: str, data: Buffer) -> memoryview:
    """Return the bytes of anything that has some in one piece, uncopied.

    Raises:
        TypeError: It has none, or not in one piece.
    """
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"buffers[{name!r}] is {type(data).__name__}, which has no bytes to share.") from None
    if not view.c_contiguous:
        raise TypeError(f"The bytes of buffers[{name!r}] do not lie in one piece: pass a contiguous copy.")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _run(info: RunInfo, active: ActiveRun, buffers: dict[str, memoryview]) -> Run:
    chunks = active.chunks()
    return Run(
        id=info.id,
        outcome=info.outcome or Outcome.INTERRUPTED,
        exit_status=info.exit_status,
        value=info.value,
        result=info.result,
        stdout="".join(chunk.text for chunk in chunks if chunk.stream is Stream.STDOUT),
        stderr="".join(chunk.text for chunk in chunks if chunk.stream is Stream.STDERR),
        error=info.error,
        traceback=info.traceback,
        note=info.note,
        isolation=info.isolation,
        duration=info.duration or 0.0,
        grants=info.grants,
        shared=info.shared,
        files={file.name: bytes(file.data) for file in active.files},
        buffers=buffers,
    )

"""Follows one run at a time for the output tab, over lost connections and new engines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from msgspec.structs import replace

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.runs import RunEvent
from engine.models.runs import Outcome, OutputChunk, RunInfo, RunRequest, RunState
from engine.registry.runs import RUNS_GET, RunParams
from tui.connection import EngineConnection


class RunView(Protocol):
    """What shows the followed run."""

    def begin(self) -> None:
        """Another run is followed, from its first chunk."""

    def show_run(self, run: RunInfo) -> None:
        """The run's record changed; the last one is finished."""

    def show_output(self, chunks: list[OutputChunk]) -> None:
        """More of its output, in order."""

    def show_problem(self, sentence: str) -> None:
        """The run can be followed no further."""


class RunFollower:
    """Hands a run's records and output to a view until the run ends or another one is followed.

    Attributes:
        run: The followed run as last heard of; None before the first one.
    """

    def __init__(self, connection: EngineConnection, view: RunView) -> None:
        self._connection = connection
        self._view = view
        self._next_chunk = 0
        self._task: asyncio.Task[None] | None = None
        self.run: RunInfo | None = None

    @property
    def is_running(self) -> bool:
        """Whether the followed run has not ended."""
        return self.run is not None and self.run.state != "finished"

    async def start(self, request: RunRequest) -> None:
        """Start a run and follow it from now on.

        Raises:
            EngineError: The engine refuses the run; what was followed before still is.
            EngineUnreachable: There is no engine; nothing was started.
        """
        events = self._connection.client.run_and_follow(request)
        first = await anext(events)
        await self._switch_to(first, events)

    async def follow(self, run_id: int) -> None:
        """Show a run from its beginning, and follow it if it goes on.

        Raises:
            EngineError: The engine does not show this run.
            EngineUnreachable: There is no engine.
        """
        client = self._connection.client
        run = await client.call(RUNS_GET, RunParams(run_id=run_id))
        await self._switch_to(run, client.follow_run(run_id), ending_follows=run.state == "finished")

    async def close(self) -> None:
        """Follow no further."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _switch_to(
        self, first: RunEvent, events: AsyncGenerator[RunEvent, None], *, ending_follows: bool = False
    ) -> None:
        """``ending_follows``: a final record comes again behind the output, which is where the view shows it."""
        await self.close()
        self.run, self._next_chunk = None, 0
        self._view.begin()
        if ending_follows and isinstance(first, RunInfo):
            self.run = first
        else:
            self._take(first)
        self._task = asyncio.create_task(self._follow_to_the_end(events))

    async def _follow_to_the_end(self, events: AsyncGenerator[RunEvent, None]) -> None:
        """Also after a lost connection: the run goes on in the engine, or a new engine knows that it ended."""
        while True:
            try:
                async with aclosing(events):
                    async for event in events:
                        self._take(event)
            except EngineUnreachable:
                pass
            except EngineError as error:
                self._give_up(error)
                return
            if self.run is None or not self.is_running:
                return
            await self._connection.connected.wait()
            events = self._connection.client.follow_run(self.run.id, self._next_chunk, known=True)

    def _give_up(self, error: EngineError) -> None:
        """Say that no more can be heard of the run. One whose engine is gone does not go on."""
        if error.code == "run_lost" and self.run is not None:
            ended = replace(self.run, state=RunState.FINISHED, outcome=Outcome.INTERRUPTED, note=error.message)
            self._take(ended)
        else:
            self._view.show_problem(error.message)

    def _take(self, event: RunEvent) -> None:
        if isinstance(event, RunInfo):
            self.run = event
            self._view.show_run(event)
        elif event:
            self._next_chunk = event[-1].seq + 1
            self._view.show_output(event)

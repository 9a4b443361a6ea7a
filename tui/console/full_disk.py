"""A project whose disk is full: what can go is offered, and the engine is started again when there is room."""

from __future__ import annotations

import asyncio

from engine.models.engine import EngineInfo, PruneRequest, StopRequest
from engine.registry.engine import ENGINE_STOP, RETENTION, RETENTION_PRUNE
from tui.connection import EngineConnection, problems_told
from tui.host import Host
from tui.screens.dialogs import Choice, ChoiceScreen
from tui.text.formats import removed, size

OFFERED = {
    "o": ("remove the output of runs that is older than a day", PruneRequest(output_days=1)),
    "a": ("remove all output of runs that have ended", PruneRequest(output_days=0)),
    "r": ("remove runs older than a week, with their output", PruneRequest(output_days=7, run_days=7)),
    "v": ("remove all but the newest 5 versions of each script", PruneRequest(versions=5)),
}

ELSEWHERE = (
    "The disk of that gateway is full, so its project can only be read. gatewright retention frees some of it; then "
    "the engine must be started again there."
)

LEAVING = 20.0
"""Seconds within which a stopped engine is gone from this console's view."""


class FullDisk:
    """Offers to make room, once for each engine that found none.

    Args:
        host: Asks and tells.
        connection: Knows the engine.
    """

    def __init__(self, host: Host, connection: EngineConnection) -> None:
        self._host = host
        self._connection = connection
        self._offered: tuple[int, float] | None = None

    async def offer(self, info: EngineInfo) -> None:
        """Ask what shall go, again and again until the user has enough; nothing where the disk is not full."""
        engine = info.pid, info.started_at
        if not info.disk_full or self._offered == engine:
            return
        self._offered = engine
        if self._connection.is_elsewhere:
            self._host.notify_error(ELSEWHERE)
            return
        with problems_told(self._host.notify_error):
            done: str | None = "The disk is full."
            while done is not None:
                done = await self._ask(done)

    async def _ask(self, before: str) -> str | None:
        """Ask once, after a sentence on what was before; what was done, if there may be more to do."""
        client = self._connection.client
        held = await client.call(RETENTION)
        question = (
            f"{before} Kept are: runs {held.runs}, their output {size(held.output_bytes)}, "
            f"versions {held.versions}, {size(held.history_bytes)}"
        )
        # First what removes nothing: Enter chooses it.
        choices = [Choice("s", "there is room again: start the engine again")]
        choices += [Choice(key, text) for key, (text, _) in OFFERED.items()]
        answer = await self._host.push_screen_wait(ChoiceScreen(question, choices, "go on with a full disk"))
        if answer == "s":
            await self._start_again()
        elif answer in OFFERED:
            result = await client.call(RETENTION_PRUNE, body=OFFERED[answer][1])
            return f"Removed {removed(result.removed)}: {size(result.freed)} are free that were not."
        return None

    async def _start_again(self) -> None:
        await self._connection.client.call(ENGINE_STOP, body=StopRequest())
        # An engine that says that it stops is not started again by itself; only after that the wish counts.
        async with asyncio.timeout(LEAVING):
            while self._connection.connected.is_set():  # noqa: ASYNC110 - there is an event for its coming only
                await asyncio.sleep(0.05)
        self._connection.retry()

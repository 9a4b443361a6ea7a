"""The past is kept as long as the settings say: looked at when the engine starts, and every hour after that.

Everything that goes, goes in small pieces with pauses in between, so that it can be cancelled anywhere and nobody who
saves or runs waits for it. Of what is in use nothing goes: output of a run that goes on, the last text that the index
saw of a script, a version that a row names.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from engine.models.engine import RetentionInfo, RetentionLimits, RetentionPass
from engine.registry.engine import RETENTION
from engine.services.operations import implements
from engine.services.scripts.versions import ScriptWriter
from store.errors import StoreError
from store.files import leftovers
from store.index.reconcile import Reconciler
from store.state.database import StateDB
from store.state.pruning import DAY, Pruned, Retention

log = logging.getLogger(__name__)

EVERY = 3600.0
"""Seconds between two looks, by the loop's clock, which is monotonic."""

BATCH = 50
"""Texts that are removed at a time."""

PAUSE = 0.01


class RetentionService:
    def __init__(
        self,
        state: StateDB,
        writer: ScriptWriter,
        reconciler: Reconciler,
        history: Path,
        keep: Retention,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._writer = writer
        self._reconciler = reconciler
        self._history = history
        self._keep = keep
        self._clock = clock
        self._last: RetentionPass | None = None
        state.versions.kept = keep.versions

    async def run(self) -> None:
        """Look now and every hour, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> RetentionPass:
        """Remove what is older than the settings allow. Never fails: what did not go now, goes the next time."""
        at, began = self._clock(), time.monotonic()
        pruned, versions, unnamed, problem = Pruned(), 0, 0, None
        try:
            pruned = await self._state.prune(at, self._keep)
            versions = await self._forget_versions(at)
            unnamed = await self._forget_unnamed(at - self._keep.unnamed_age)
        except StoreError as error:
            problem = f"Old records could not all be removed: {error}"
            log.warning("old records could not all be removed: %s", error)
        self._last = RetentionPass(
            at=at,
            seconds=time.monotonic() - began,
            outputs=pruned.outputs,
            runs=pruned.runs,
            versions=versions,
            leftovers=unnamed,
            problem=problem,
        )
        return self._last

    @implements(RETENTION)
    async def info(self) -> RetentionInfo:
        """What there is now, and what the last look removed."""
        amount = await self._state.amount()
        size = await asyncio.to_thread(leftovers.size_of, self._history)
        return RetentionInfo(
            limits=_limits(self._keep),
            runs=amount.runs,
            output_bytes=amount.output_bytes,
            oldest_run=amount.oldest_run,
            versions=await self._state.versions.count(),
            history_bytes=size,
            last=self._last,
        )

    async def _forget_versions(self, at: float) -> int:
        """The oldest above the limit of each script, and all of scripts that were deleted long ago."""
        count = 0
        for script in await self._state.versions.above(self._keep.versions):
            count += await self._writer.forget(script, self._keep.versions)
            await asyncio.sleep(PAUSE)
        for script in await self._state.versions.deleted_before(at - self._keep.deleted_age):
            count += await self._writer.forget_deleted(script)
            await asyncio.sleep(PAUSE)
        return count

    async def _forget_unnamed(self, before: float) -> int:
        if self._state.began > before:  # records that were begun anew cannot say which texts nobody needs
            return 0
        old = await asyncio.to_thread(leftovers.older_than, self._history, before)
        if not old:
            return 0
        seen, count = await self._reconciler.last_seen(), 0
        for batch in leftovers.batches([digest for digest in old if digest not in seen], BATCH):
            count += await self._writer.forget_unnamed(self._history, batch, before)
            await asyncio.sleep(PAUSE)
        return count


def _limits(keep: Retention) -> RetentionLimits:
    return RetentionLimits(
        output_days=keep.output_age / DAY,
        output_size=keep.output_bytes,
        run_days=keep.run_age / DAY,
        versions=keep.versions,
        deleted_days=keep.deleted_age / DAY,
        unnamed_days=keep.unnamed_age / DAY,
    )

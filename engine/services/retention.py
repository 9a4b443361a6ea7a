"""The past is kept as long as the settings say: looked at when the engine starts, and every hour after that.

Everything that goes, goes in small pieces with pauses in between, so that it can be cancelled anywhere and nobody who
saves or runs waits for it. Of what is in use nothing goes: output of a run that goes on, the last text that the index
saw of a script, a version that a row names.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from engine.models.engine import PruneRequest, PruneResult, RetentionInfo, RetentionLimits, RetentionPass
from engine.registry.engine import RETENTION, RETENTION_PRUNE
from engine.services.access import Actor, ServiceError
from engine.services.audit import event
from engine.services.operations import implements
from engine.services.versioned_writer import VersionedWriter
from store.disk_space import Reserve, has_room
from store.errors import StoreError
from store.files import leftovers
from store.index.reconcile import Reconciler
from store.state.database import StateDB
from store.state.pruning import DAY, Pruned, Retention
from store.state.versions import Versions

log = logging.getLogger(__name__)

EVERY = 3600.0
"""Seconds between two looks, by the loop's clock, which is monotonic."""

TIGHT = 512 << 10
"""Bytes of room below which the log of the database must stay small, and the reserve is given up."""

NO_ROOM_AT_ALL = "Remove or move away some file on that disk, about 1 MiB, then try again."

BATCH = 50
"""Texts that are removed at a time."""

PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class VersionHistory:
    """The versions of files of one kind: who writes them, their rows, the folder of their bytes."""

    writer: VersionedWriter
    versions: Versions
    folder: Path


class RetentionService:
    def __init__(
        self,
        state: StateDB,
        writer: VersionedWriter,
        reconciler: Reconciler,
        history: Path,
        keep: Retention,
        clock: Callable[[], float] = time.time,
        *,
        reserve: Reserve | None = None,
        on_disk: Callable[[], AbstractAsyncContextManager[RetentionService]] | None = None,
        documents: VersionHistory | None = None,
    ) -> None:
        self._state = state
        scripts = VersionHistory(writer, state.versions, history)
        self._histories = [scripts] if documents is None else [scripts, documents]
        self._reconciler = reconciler
        self._history = history
        self._keep = keep
        self._clock = clock
        self._reserve = reserve
        self._on_disk = on_disk
        self._pruning = asyncio.Lock()
        self._last: RetentionPass | None = None
        for each in self._histories:
            each.versions.kept = keep.versions

    async def run(self) -> None:
        """Look now and every hour, until cancelled."""
        while True:
            await self.look()
            await self._keep_reserve()
            await asyncio.sleep(EVERY)

    async def look(self, keep: Retention | None = None, *, tight: bool = False) -> RetentionPass:
        """Remove what is older than the settings, or ``keep``, allow.

        Never fails: what did not go now, goes the next time.
        """
        keep = keep or self._keep
        at, began = self._clock(), time.monotonic()
        pruned, versions, unnamed, problem = Pruned(), 0, 0, None
        try:
            pruned = await self._state.prune(at, keep, tight=tight)
            versions = await self._forget_versions(at, keep)
            unnamed = await self._forget_unnamed(at - keep.unnamed_age)
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
        sizes = [await asyncio.to_thread(leftovers.size_of, each.folder) for each in self._histories]
        return RetentionInfo(
            limits=_limits(self._keep),
            runs=amount.runs,
            output_bytes=amount.output_bytes,
            oldest_run=amount.oldest_run,
            versions=sum([await each.versions.count() for each in self._histories]),
            history_bytes=sum(sizes),
            last=self._last,
        )

    @implements(RETENTION_PRUNE)
    async def prune(self, request: PruneRequest, actor: Actor) -> PruneResult:
        """Remove old records now, down to what the request keeps where that is less than the settings.

        Raises:
            ServiceError: ``low_disk``: the disk is so full that not even that is possible.
        """
        async with self._pruning:
            before = await asyncio.to_thread(_free, self._history)
            tight = not await asyncio.to_thread(has_room, self._history, TIGHT)
            if tight and self._reserve is not None:
                await asyncio.to_thread(self._reserve.release)
            try:
                removed = await self._pruned(_kept(self._keep, request), actor, tight=tight)
            finally:
                await self._keep_reserve()
            freed = await asyncio.to_thread(_free, self._history) - before
        return PruneResult(removed=removed, freed=max(0, freed), restart=self._on_disk is not None)

    async def _keep_reserve(self) -> None:
        """Take the reserve again, where that leaves as much."""
        if self._reserve is not None and await asyncio.to_thread(has_room, self._history, 2 * Reserve.SIZE):
            await asyncio.to_thread(self._reserve.keep)

    async def _pruned(self, keep: Retention, actor: Actor, *, tight: bool) -> RetentionPass:
        async with AsyncExitStack() as stack:
            service = self
            if self._on_disk is not None:
                try:
                    service = await stack.enter_async_context(self._on_disk())
                except StoreError as error:
                    sentence = f"The disk is so full that not even old records can be removed: {error.sentence}"
                    raise ServiceError("low_disk", sentence, hint=NO_ROOM_AT_ALL, status=507) from None
            removed = await service.look(keep, tight=tight)
            if removed.problem is not None and tight:
                raise ServiceError("low_disk", removed.problem, hint=NO_ROOM_AT_ALL, status=507)
            told = event(
                actor, "engine", "prune", outputs=removed.outputs, runs=removed.runs, versions=removed.versions
            )
            try:
                await service._state.audit.append([told])
            except StoreError as error:  # the records are gone all the same
                log.warning("%s removed old records, which cannot be put on record: %s", actor.name, error)
        if service is not self:
            await self.look(keep)  # what this engine shows is a copy
        return removed

    async def _forget_versions(self, at: float, keep: Retention) -> int:
        """The oldest above the limit of each file, and all of files that were deleted long ago."""
        count = 0
        for history in self._histories:
            for path in await history.versions.above(keep.versions):
                count += await history.writer.forget(path, keep.versions)
                await asyncio.sleep(PAUSE)
            for path in await history.versions.deleted_before(at - keep.deleted_age):
                count += await history.writer.forget_deleted(path)
                await asyncio.sleep(PAUSE)
        return count

    async def _forget_unnamed(self, before: float) -> int:
        if self._state.began > before:  # records that were begun anew cannot say which texts nobody needs
            return 0
        count = 0
        for history in self._histories:
            old = await asyncio.to_thread(leftovers.older_than, history.folder, before)
            if not old:
                continue
            seen = await self._reconciler.last_seen()
            for batch in leftovers.batches([digest for digest in old if digest not in seen], BATCH):
                count += await history.writer.forget_unnamed(history.folder, batch, before)
                await asyncio.sleep(PAUSE)
        return count


def _kept(keep: Retention, request: PruneRequest) -> Retention:
    """The settings, and less where the request says so."""
    asked = {
        "output_age": None if request.output_days is None else request.output_days * DAY,
        "run_age": None if request.run_days is None else request.run_days * DAY,
        "versions": request.versions,
    }
    return replace(keep, **{key: min(getattr(keep, key), value) for key, value in asked.items() if value is not None})


def _free(folder: Path) -> int:
    """Bytes that the disk has free."""
    found = os.statvfs(folder)
    return found.f_bfree * found.f_frsize


def _limits(keep: Retention) -> RetentionLimits:
    return RetentionLimits(
        output_days=keep.output_age / DAY,
        output_size=keep.output_bytes,
        run_days=keep.run_age / DAY,
        versions=keep.versions,
        deleted_days=keep.deleted_age / DAY,
        unnamed_days=keep.unnamed_age / DAY,
    )

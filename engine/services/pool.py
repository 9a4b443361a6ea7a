"""The pool as surfaces see it: its slots and queue beside the figures of the last minute, and the hands on it."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from engine.models.engine import PoolInfo
from engine.models.metrics import ImpactLevel, Judgement
from engine.pool.pool import Pool
from engine.registry.engine import POOL_INFO, POOL_RESIZE, POOL_RESTART
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.events import EventBus
from engine.services.operations import implements
from engine.services.runs.metrics import RunMetrics, milliseconds

ANNOUNCE_AFTER = 0.05
"""Seconds in which changes of the pool become one event: a slot changes four times a run."""


class PoolService:
    def __init__(self, pool: Pool, metrics: RunMetrics, events: EventBus, audit: AuditService | None = None) -> None:
        self._pool = pool
        self._metrics = metrics
        self._events = events
        self._audit = audit
        self._loop = asyncio.get_running_loop()
        self._announcement: asyncio.TimerHandle | None = None
        self._judgement: Judgement | None = None
        pool.on_change = self._changed

    @implements(POOL_INFO)
    def info(self) -> PoolInfo:
        percentiles, judgement = self._metrics.percentiles(), self._judgement
        return replace(
            self._pool.info(),
            impact=ImpactLevel.UNKNOWN if judgement is None else judgement.impact,
            health=None if judgement is None else judgement.health,
            runs_last_minute=self._metrics.runs_last_minute(),
            p50_ms=milliseconds(percentiles.p50),
            p99_ms=milliseconds(percentiles.p99),
        )

    @implements(POOL_RESIZE)
    def resize(self, size: int, actor: Actor) -> PoolInfo:
        """Change the number of slots at once; a busy slot leaves when its run has ended."""
        try:
            self._pool.resize(size)
        except ValueError as error:
            raise ServiceError("bad_size", str(error)) from None
        if self._audit is not None:
            self._audit.tell(actor, "pool", "resize", size=size)
        return self.info()

    @implements(POOL_RESTART)
    def restart_slot(self, slot: int, actor: Actor) -> PoolInfo:
        """Give a slot a new zygote; what runs there ends as cancelled."""
        try:
            self._pool.restart_slot(slot)
        except (KeyError, ValueError):
            raise ServiceError("no_slot", f"There is no slot {slot}.", status=404) from None
        if self._audit is not None:
            self._audit.tell(actor, "pool", "restart_slot", slot=slot)
        return self.info()

    def judged(self, judgement: Judgement) -> None:
        """Take what the latest sample means, and tell it if that is something else."""
        before, self._judgement = self._judgement, judgement
        if before is None or (before.impact, before.health) != (judgement.impact, judgement.health):
            self._changed()

    def close(self) -> None:
        if self._announcement is not None:
            self._announcement.cancel()

    def _changed(self) -> None:
        if self._announcement is None:
            self._announcement = self._loop.call_later(ANNOUNCE_AFTER, self._announce)

    def _announce(self) -> None:
        self._announcement = None
        self._events.publish("pool", self.info())

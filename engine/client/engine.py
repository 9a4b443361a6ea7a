"""Calls about the engine and its pool."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from engine import registry
from engine.client.answers import EngineUnreachable, decode
from engine.client.calls import TRANSFER_TIMEOUT, Calls, Retry
from engine.client.transport import Headers
from engine.models import (
    AuditCheck,
    AuditList,
    EngineInfo,
    Event,
    PoolInfo,
    ResizeRequest,
    RetentionInfo,
    StopRequest,
)


class EngineCalls(Calls):
    """Ask and steer the engine itself, and hear what happens in it."""

    async def engine_info(self) -> EngineInfo:
        return await self.call(registry.ENGINE_INFO, EngineInfo)

    async def stop_engine(self, force: bool = False) -> EngineInfo:
        """Ask the engine to leave; it refuses with ``busy`` while runs go on, unless ``force``."""
        return await self.call(registry.ENGINE_STOP, EngineInfo, body=StopRequest(force=force))

    async def pool(self) -> PoolInfo:
        return await self.call(registry.POOL_INFO, PoolInfo)

    async def resize_pool(self, size: int) -> PoolInfo:
        return await self.call(registry.POOL_RESIZE, PoolInfo, body=ResizeRequest(size=size))

    async def restart_slot(self, slot: int) -> PoolInfo:
        return await self.call(registry.POOL_RESTART, PoolInfo, registry.SlotParams(slot=slot))

    async def retention(self) -> RetentionInfo:
        """What is kept of the past, and when old records went."""
        return await self.call(registry.RETENTION, RetentionInfo)

    async def audit(self, limit: int = 50, before: int | None = None) -> AuditList:
        """Who did what, newest first."""
        return await self.call(registry.AUDIT_LIST, AuditList, registry.AuditParams(limit=limit, before=before))

    async def verify_audit(self) -> AuditCheck:
        """Have every audit record looked at."""
        return await self.call(registry.AUDIT_VERIFY, AuditCheck, patience=TRANSFER_TIMEOUT)

    async def events(self, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Everything that happens in the engine, from event ``after`` on or from now.

        A broken connection is resumed where it broke. An event of type ``lagged`` tells that some are missing: this
        reader was too slow, or another engine answers now. Read again what you show.
        """
        target = registry.EVENTS.target(registry.EventsParams(after=after))
        resume: Headers = ()
        retry = Retry(self.transport)
        while True:
            try:
                async with aclosing(self.stream(registry.EVENTS, target, headers=resume)) as stream:
                    async for event in stream:
                        retry.reset()
                        resume = [("Last-Event-ID", event.id)]
                        yield decode(event.data, Event)
            except EngineUnreachable as error:
                await retry.pause(error)

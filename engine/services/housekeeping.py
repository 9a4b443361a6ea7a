"""What has to be done now and then beside the records: unused uploads go."""

from __future__ import annotations

import asyncio

from engine.services.buffers import BufferService

EVERY = 60.0


async def keep_house(buffers: BufferService) -> None:
    """Run until cancelled."""
    while True:
        buffers.expire()
        await asyncio.sleep(EVERY)

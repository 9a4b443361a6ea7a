"""What has to be done now and then: old records go, unused uploads go."""

from __future__ import annotations

import asyncio
import logging
import time

from engine.services.buffers import BufferService
from store.errors import StoreError
from store.state import Retention, StateDB

log = logging.getLogger(__name__)

EVERY = 60.0
PRUNE_EVERY = 60
"""Rounds between two looks at the records: once an hour."""


async def keep_house(state: StateDB, buffers: BufferService, keep: Retention) -> None:
    """Run until cancelled."""
    rounds = 0
    while True:
        buffers.expire()
        if rounds % PRUNE_EVERY == 0:
            try:
                await state.prune(time.time(), keep)
            except StoreError as error:
                log.warning("old records could not be removed: %s", error)
        rounds += 1
        await asyncio.sleep(EVERY)

"""Keys in the order in which they were typed.

Textual hands text to the focused widget at once, but runs a key's binding only when the key has bubbled up to the app.
Over a slow line keys arrive in bunches, and then text overtakes the movements typed before it: it lands in the wrong
place. Here the next key waits until the one before has done what it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual import events
from textual.dom import DOMNode

PATIENCE = 0.5
"""Seconds for one key; a widget that is busy for longer must not make the keyboard seem dead."""


class KeyQueue:
    """Handles keys and pasted text one after the other.

    Args:
        handle: What Textual does with an event.
        target: Where keys go now.
    """

    def __init__(self, handle: Callable[[events.Event], Awaitable[None]], target: Callable[[], DOMNode | None]) -> None:
        self._handle = handle
        self._target = target
        self._waiting: asyncio.Queue[events.Event] = asyncio.Queue()

    def put(self, event: events.Event) -> None:
        """Handle an event after those that came before it."""
        self._waiting.put_nowait(event)

    async def run(self) -> None:
        """Handle events until cancelled."""
        while True:
            event = await self._waiting.get()
            target = self._target()
            await self._handle(event)
            if target is not None:
                await self._settle(target)

    async def _settle(self, target: DOMNode) -> None:
        """Wait until the event has passed the target and everything above it, where bindings run."""
        try:
            async with asyncio.timeout(PATIENCE):
                for node in target.ancestors_with_self:
                    passed = asyncio.Event()
                    if node.call_later(passed.set):
                        await passed.wait()
        except TimeoutError:
            return

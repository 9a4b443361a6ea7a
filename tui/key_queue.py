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
from textual.widgets import Input, TextArea

from tui.keymap import keys_of
from tui.terminal.bursts import KeyBurst

PATIENCE = 0.5
"""Seconds for one key; a widget that is busy for longer must not make the keyboard seem dead."""

OPEN_A_FIELD = frozenset({*keys_of("filter"), *keys_of("search_runs")})
"""Keys that what is typed right behind them belongs to already."""


class KeyQueue:
    """Handles keys and pasted text one after the other.

    Text that came at once goes into text fields only: elsewhere letters kill runs and delete scripts, and what was
    copied on a web page must not do that.

    Args:
        handle: What Textual does with an event.
        target: Where keys go now.
        refuse: Tells the user that text that came at once was left alone.
    """

    def __init__(
        self,
        handle: Callable[[events.Event], Awaitable[None]],
        target: Callable[[], DOMNode | None],
        refuse: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._target = target
        self._refuse = refuse
        self._waiting: asyncio.Queue[events.Event] = asyncio.Queue()

    def put(self, event: events.Event) -> None:
        """Handle an event after those that came before it."""
        self._waiting.put_nowait(event)

    async def run(self) -> None:
        """Handle events until cancelled."""
        while True:
            event = await self._waiting.get()
            if isinstance(event, KeyBurst):
                await self._do_burst(event)
            elif isinstance(event, events.Paste) and not _takes_text(self._target()):
                self._refuse()
            else:
                await self._do(event)

    async def _do(self, event: events.Event) -> None:
        target = self._target()
        await self._handle(event)
        if target is not None:
            await self._settle(target)

    async def _do_burst(self, burst: KeyBurst) -> None:
        """Type the keys into the text field that has the focus, or that the first of them opens."""
        for number, key in enumerate(burst.keys):
            if _takes_text(self._target()) or (number == 0 and key.key in OPEN_A_FIELD):
                await self._do(key)
            else:
                self._refuse()
                return

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


def _takes_text(target: DOMNode | None) -> bool:
    return isinstance(target, Input) or (isinstance(target, TextArea) and not target.read_only)

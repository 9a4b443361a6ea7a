"""Work on the latest text: after a pause in the typing, one piece at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual.dom import DOMNode

from tui.background import in_background


class LatestText:
    """Does ``work`` once more when the text changed while it was done, as the text is then.

    Args:
        node: Must run, else nothing is done; the work ends with it.
        group: Name of the work.
        after: Seconds of pause in the typing.
        work: Reads the text itself.
    """

    def __init__(self, node: DOMNode, group: str, after: float, work: Callable[[], Awaitable[None]]) -> None:
        self._node = node
        self._group = group
        self._after = after
        self._work = work
        self._due: asyncio.TimerHandle | None = None
        self._working = False
        self._again = False

    def later(self) -> None:
        """Begin after a pause; for every key, so only a timer is set."""
        self._forget_due()
        self._due = asyncio.get_running_loop().call_later(self._after, self.soon)

    def soon(self) -> None:
        """Begin, after the work that goes on."""
        self._forget_due()
        self._again = True
        if not self._working and self._node.is_running:
            self._working = True
            in_background(self._node, self._group, self._to_the_latest)

    async def _to_the_latest(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._work()
        finally:
            self._working = False

    def _forget_due(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

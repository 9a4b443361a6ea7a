"""Rebuilds that were begun in this console: begun, told of, their last report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.message import Message

from engine.models import RebuildReport
from tui.connection import EngineConnection, problems_told
from tui.messages import RebuildEnded


class Maintenance:
    """Begins rebuilds, which go on whatever screen is shown.

    Args:
        connection: To the engine, which does the work.
        publish: Tells every screen.
        begin: Starts work in the background.
        complain: Tells the user what did not work.
    """

    def __init__(
        self,
        connection: EngineConnection,
        publish: Callable[[Message], None],
        begin: Callable[[Callable[[], Awaitable[None]]], None],
        complain: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._publish = publish
        self._begin = begin
        self._complain = complain
        self.report: RebuildReport | None = None
        """Of the last rebuild that was begun here and came to its end."""

    def rebuild(self, *, everything: bool = False) -> None:
        """Begin a rebuild; ``RebuildEnded`` tells its end."""

        async def work() -> None:
            with problems_told(self._complain):
                self.report = await self._connection.client.rebuild(everything=everything)
            self._publish(RebuildEnded())

        self._begin(work)

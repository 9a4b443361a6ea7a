"""What the engine lets this console's own edits have, and the time that is left of it.

The engine decides when it is over. Here it is renewed, shown, sent with saves and runs, and given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from textual.message import Message

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.permissions import ApproveRequest, EditsToken, Grant, OwnEdits, PermissionReview
from engine.registry.scripts import (
    PERMISSIONS_BEGIN_EDITS,
    PERMISSIONS_END_EDITS,
    PERMISSIONS_RENEW_EDITS,
    ScriptParams,
)
from tui.connection import EngineConnection
from tui.host import Host
from tui.messages import OwnEditsChanged

RENEW_EVERY = 3.0
"""Seconds; the engine waits for a few of them."""


class OwnEditing:
    """One script at a time. Every second of it, and its end, is published as ``OwnEditsChanged``.

    Args:
        host: Tells.
        connection: May be away; then it is over.
        publish: Hands a message to every screen.
        start: Starts work that goes on while the user types.
        now: A clock that nobody can set.
    """

    def __init__(
        self,
        host: Host,
        connection: EngineConnection,
        publish: Callable[[Message], None],
        start: Callable[[Callable[[], Awaitable[None]]], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._connection = connection
        self._publish = publish
        self._start = start
        self._now = now
        self._edits: OwnEdits | None = None
        self._until = 0.0
        self._wake = asyncio.Event()

    @property
    def script(self) -> str:
        """Whose own edits have its permissions; empty for none."""
        return "" if self._edits is None else self._edits.script

    def token(self, path: str) -> str:
        """What a save or a run of a script shows to the engine; empty for none."""
        return self._edits.token if self._edits is not None and self._edits.script == path else ""

    def left(self, path: str) -> float:
        """Seconds for which own edits of a script have its permissions; 0 where they have none."""
        return max(0.0, self._until - self._now()) if self.token(path) else 0.0

    async def begin(self, review: PermissionReview) -> None:
        """Ask the engine for it, for exactly what was shown.

        Raises:
            EngineError: It says no, or the script has changed.
            EngineUnreachable: There is no engine.
        """
        await self.end()
        grants = [Grant(access=one.access, path=one.canonical) for one in review.asked if one.canonical is not None]
        edits = await self._connection.client.call(
            PERMISSIONS_BEGIN_EDITS,
            ScriptParams(path=review.script),
            ApproveRequest(sha256=review.sha256, grants=grants),
        )
        self._edits, self._until = edits, self._now() + edits.remaining
        minutes = f"{edits.remaining / 60:.0f} minutes"
        self._host.notify(f"own edits run in this console only, for {minutes}")
        self._start(self._keep)

    async def end(self) -> bool:
        """Give it up; False if there is none. The engine is told if it answers: it would find out by itself."""
        edits, self._edits = self._edits, None
        if edits is None:
            return False
        self._tell()
        with contextlib.suppress(EngineError, EngineUnreachable):
            await self._connection.client.call(PERMISSIONS_END_EDITS, body=EditsToken(token=edits.token))
        return True

    async def give_up(self) -> bool:
        """As ``end``, and say so: the user wants it."""
        ended = await self.end()
        if ended:
            self._host.notify("your own edits need an approval again")
        return ended

    def look(self) -> None:
        """Something happened to scripts: ask soon whether it is over."""
        self._wake.set()

    def engine_away(self) -> None:
        """An engine that cannot be reached is not asked again: it may be another one next time."""
        if self._edits is not None:
            self._over("the engine is away")

    async def _keep(self) -> None:
        """Renew it as long as this console is there, and show the time once a second."""
        edits, renewed = self._edits, self._now()
        while edits is not None and self._edits is not None and self._edits.token == edits.token:
            self._tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._wake.wait()
            if self._wake.is_set() or self._now() - renewed >= RENEW_EVERY:
                self._wake.clear()
                renewed = self._now()
                await self._renew(edits.token)

    async def _renew(self, token: str) -> None:
        try:
            edits = await self._connection.client.call(PERMISSIONS_RENEW_EDITS, body=EditsToken(token=token))
        except EngineUnreachable:
            if self._edits is not None and self._edits.token == token:
                self._over("the engine is away")
        except EngineError as error:
            if self._edits is not None and self._edits.token == token:
                self._over(error.message)
        else:
            if self._edits is not None and self._edits.token == token:
                self._edits, self._until = edits, self._now() + edits.remaining

    def _over(self, why: str) -> None:
        sentence = why if why.endswith(".") else f"Your own edits no longer have permissions: {why}."
        script, self._edits = self.script, None
        self._tell()
        self._host.notify_error(f"{script}: {sentence}")

    def _tell(self) -> None:
        self._publish(OwnEditsChanged(self.script, self.left(self.script)))

"""F8: asks whether runs shall be ADMIN, counts the minutes, and falls back to RESTRICTED."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from textual.message import Message

from engine.models import EngineInfo, Mode
from tui.connection import EngineConnection
from tui.messages import ModeChanged
from tui.screens.admin import AdminScreen
from tui.step_up import StepUp

TIME_IS_OVER = "ADMIN is over: runs are RESTRICTED again"


class AdminHost(Protocol):
    """The screen that asks and tells."""

    async def push_screen_wait(self, screen: AdminScreen) -> bool | None:
        """Show the question and wait for its answer."""

    def say(self, text: str) -> None:
        """Tell the user what happened."""

    def complain(self, text: str) -> None:
        """Tell the user what did not work."""


class AdminMode:
    """The console's mode. Every change of it, and every second of ADMIN, is published as ``ModeChanged``.

    Args:
        host: Asks and tells.
        connection: Knows whether there are ADMIN runs, and whose account they have.
        publish: Hands a message to every screen.
        start: Starts work that goes on while the user types, and that no dialog's end ends.
        step_up: The choice and its clock.
    """

    def __init__(
        self,
        host: AdminHost,
        connection: EngineConnection,
        publish: Callable[[Message], None],
        start: Callable[[Callable[[], Awaitable[None]]], None],
        step_up: StepUp | None = None,
    ) -> None:
        self._host = host
        self._connection = connection
        self._publish = publish
        self._start = start
        self._step_up = step_up or StepUp()
        self._left = asyncio.Event()
        self._asking = False

    @property
    def mode(self) -> Mode:
        """What a run that is sent now is."""
        return self._step_up.mode

    @property
    def just_ended(self) -> bool:
        """Whether a key that is pressed now was most likely meant for ADMIN, which is over."""
        return self._step_up.just_ended

    def switch(self) -> None:
        """Into ADMIN if the user confirms, and then until the time is over; out of it at once."""
        if self.mode is Mode.ADMIN:
            self._leave("runs are RESTRICTED again", by_user=True)
        elif not self._asking:
            self._asking = True
            self._start(self._enter)

    async def _enter(self) -> None:
        try:
            confirmed = await self._ask()
        finally:
            self._asking = False
        if confirmed:
            self._step_up.begin()
            await self._count_down()

    def engine_changed(self, info: EngineInfo) -> None:
        """Another engine answers: it may have no ADMIN runs."""
        if info.admin and self.mode is Mode.ADMIN:
            self._leave(info.admin, by_user=False)

    async def _ask(self) -> bool:
        info = self._connection.info
        if info is None or not self._connection.connected.is_set():
            self._host.complain("ADMIN runs need the engine, and it is away.")
            return False
        if info.admin:
            self._host.complain(info.admin)
            return False
        return bool(await self._host.push_screen_wait(AdminScreen(info.owner)))

    async def _count_down(self) -> None:
        """Tell the time once a second; at the end, that it is over, unless the user left before."""
        left = self._left = asyncio.Event()
        while self.mode is Mode.ADMIN and not left.is_set():
            self._tell(by_user=True)
            remaining = self._step_up.remaining
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(left.wait(), remaining % 1 or min(1.0, remaining))
        if not left.is_set():
            self._leave(TIME_IS_OVER, by_user=False)

    def _leave(self, remark: str, *, by_user: bool) -> None:
        self._step_up.end(by_user=by_user)
        self._left.set()
        self._tell(by_user=by_user)
        self._host.say(remark)

    def _tell(self, *, by_user: bool) -> None:
        self._publish(ModeChanged(self.mode, self._step_up.remaining, by_user=by_user))

"""F8: asks whether runs shall be ADMIN, counts the minutes, and falls back to RESTRICTED."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from engine.models.engine import EngineInfo
from engine.models.runs import Mode
from tui.connection import EngineConnection
from tui.host import Host
from tui.messages import ModeChanged
from tui.screens.dialogs import Dialog
from tui.text.sanitise import sanitise_line

STEP_UP = 300.0
"""Seconds after which the console falls back to RESTRICTED."""

TIME_IS_OVER = "ADMIN is over: runs are RESTRICTED again"

STILL_MEANT = 1.0
"""Seconds after ADMIN ended by itself in which no run is sent: its key was on its way before the user could know."""


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
        host: Host,
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
            self.end()
        elif not self._asking:
            self._asking = True
            self._start(self._enter)

    def end(self) -> None:
        """Leave ADMIN, if that is the mode: the user goes away from here."""
        if self.mode is Mode.ADMIN:
            self._leave("runs are RESTRICTED again", by_user=True)

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
            self._host.notify_error("ADMIN runs need the engine, and it is away.")
            return False
        if info.admin:
            self._host.notify_error(info.admin)
            return False
        return await self._host.push_screen_wait(AdminScreen(info.owner)) is True

    async def _count_down(self) -> None:
        """Tell the time once a second; at the end, that it is over, unless the user left before."""
        left = self._left = asyncio.Event()
        while self.mode is Mode.ADMIN and not left.is_set():
            self._tell(by_user=True)
            remaining = self._step_up.remaining
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining % 1 or min(1.0, remaining)):
                    await left.wait()
        if not left.is_set():
            self._leave(TIME_IS_OVER, by_user=False)

    def _leave(self, remark: str, *, by_user: bool) -> None:
        self._step_up.end(by_user=by_user)
        self._left.set()
        self._tell(by_user=by_user)
        self._host.notify(remark)

    def _tell(self, *, by_user: bool) -> None:
        self._publish(ModeChanged(self.mode, self._step_up.remaining, by_user=by_user))


class StepUp:
    """The choice and its end.

    Args:
        now: A clock that nobody can set.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until = 0.0

    @property
    def mode(self) -> Mode:
        """What runs that start now are."""
        return Mode.ADMIN if self.remaining > 0 else Mode.RESTRICTED

    @property
    def remaining(self) -> float:
        """Seconds until the fall back; 0 when not in ADMIN."""
        return max(0.0, self._until - self._now())

    @property
    def just_ended(self) -> bool:
        """Whether ADMIN ended a moment ago, and not because the user left it."""
        return 0 < self._until <= self._now() < self._until + STILL_MEANT

    def begin(self) -> None:
        self._until = self._now() + STEP_UP

    def end(self, *, by_user: bool) -> None:
        self._until = 0.0 if by_user else min(self._until, self._now())


class AdminScreen(Dialog[bool]):
    """True for yes, None for Esc.

    Args:
        account: The account that the engine runs as.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,y", "confirm", "Yes", show=False)]

    def __init__(self, account: str) -> None:
        super().__init__()
        self._account = sanitise_line(account)

    def compose(self) -> ComposeResult:
        minutes = f"{STEP_UP / 60:g} minutes"
        with Vertical(classes="dialog--box -danger"):
            yield Static("ADMIN", classes="dialog--title", markup=False)
            yield Static(
                f"ADMIN runs are a shell as the engine's account {self._account}: no sandbox; time and memory are "
                f"watched. Runs you start in the next {minutes} are ADMIN.",
                markup=False,
            )
            yield Static("Enter or y goes on   Esc back", classes="dialog--keys", markup=False)

    def action_confirm(self) -> None:
        self.dismiss(True)

"""A project with a real engine, and the console on it, driven by keys; waits for states, never for times.

Textual's own pilot waits after every key until this process has taken no processor time for a while: that is a time,
long on a quiet machine and too short on a busy one. Here a key is dealt with when no message waits for a widget, no
call to the engine and no thread is under way, and the event loop has nothing to do.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from quiet import unread
from textual import events
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.pilot import Pilot

from engine.client import launch
from engine.client.calls import Calls
from tui.app import GatewrightApp
from tui.editing.recovery import RecoveryJournal

PATIENCE = 20.0
"""Seconds until a state that does not come fails the test."""

DEALT_WITH = 1.0
"""Seconds after which keys count as dealt with whatever is under way, as a call that waits for something else."""

POLL = 0.01


def allow_admin(root: Path) -> None:
    """Let a new project have ADMIN runs also where the tests run as root; before its engine starts."""
    set_policy(root, "admin_as_root = true")


def set_policy(root: Path, policy: str) -> None:
    """Settings of a new project, before its engine starts."""
    write_settings(root, f"[policy]\n{policy}\n")


def write_settings(root: Path, text: str) -> None:
    """Give a new project settings of its own, before its engine starts."""
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    settings = root / ".gatewright/settings.toml"
    settings.write_text(text)
    settings.chmod(0o600)


@contextmanager
def engine_project(root: Path, *, admin: bool = False, policy: str = "", settings: str = "") -> Iterator[Path]:
    """A new project with its engine running; the engine is gone afterwards."""
    root.mkdir(parents=True)
    if admin:
        policy = "admin_as_root = true"
    if policy:
        set_policy(root, policy)
    if settings:
        write_settings(root, settings)

    async def start() -> None:
        await (await launch.connect(root, client="console")).close()

    asyncio.run(start())
    try:
        yield root
    finally:
        asyncio.run(launch.stop(root, client="cli", force=True))


def write_script(project: Path, path: str, text: str) -> None:
    """Put a script where the engine finds it."""
    file = project / "scripts" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def screen_text(app: GatewrightApp) -> str:
    """What the terminal would show now, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


class UnderWay:
    """Counts the calls to engines and the threads that are not done yet."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Meanwhile whatever begins is counted, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Calls, "call", self._counted(Calls.call))
            patch.setattr(asyncio, "to_thread", self._counted(asyncio.to_thread))
            yield

    def _counted(self, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(work)
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            try:
                return await work(*args, **kwargs)
            finally:
                self.count -= 1

        return counted


class Console:
    """The console under test."""

    def __init__(self, app: GatewrightApp, pilot: Pilot[int], under_way: UnderWay) -> None:
        self.app = app
        self.pilot = pilot
        self._under_way = under_way

    @property
    def text(self) -> str:
        return screen_text(self.app)

    async def press(self, *keys: str) -> None:
        """One key after the other, each when the one before is dealt with."""
        for key in keys:
            self._send(_key_event(key))
            await self.settled()

    async def type(self, text: str) -> None:
        """All of it at once, as a fast typist on a slow line."""
        for character in text:
            self._send(events.Key("enter", "\r") if character == "\n" else events.Key(character, character))
        await self.settled()

    def _send(self, event: events.Key) -> None:
        driver = self.app._driver
        assert driver is not None
        event.set_sender(self.app)
        driver.send_message(event)

    async def settled(self) -> None:
        """Wait until all that was asked of the console is done, and shown."""
        deadline = time.monotonic() + DEALT_WITH
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
            if self._busy():
                quiet = 0
            else:
                quiet += 1
                await self.pilot._wait_for_screen()
                self._draw()

    def _draw(self) -> None:
        """Have what changed on the screen now, not at the next tick."""
        if self.app.is_running:
            self.app.screen._on_timer_update()

    def _busy(self) -> bool:
        """Whether an answer is outstanding, some widget has something to read, or the event loop something to do."""
        if self._under_way.count or asyncio.get_running_loop()._ready:
            return True
        return unread(self.app)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a state."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}\n{self.text}")
            await asyncio.sleep(POLL)
            self._draw()

    async def shows(self, *texts: str) -> None:
        """Wait until the screen shows all of these."""
        await self.until(lambda: all(text in self.text for text in texts), f"the screen shows {texts}")

    async def hides(self, text: str) -> None:
        """Wait until the screen does not show this."""
        await self.until(lambda: text not in self.text, f"the screen is without {text!r}")

    async def told(self, text: str) -> None:
        """Wait until a message says this, however it is wrapped."""
        messages = self.app._notifications
        await self.until(lambda: any(text in one.message for one in messages), f"a message says {text!r}")

    async def lists(self, path: str) -> None:
        """Wait until the list of scripts has this one, wherever the list is scrolled to."""
        scripts = self.app._console.script_list
        await self.until(lambda: scripts.info(path) is not None, f"{path} is listed")

    async def open(self, path: str) -> None:
        """Open a script by quick open."""
        await self.press("ctrl+o")
        await self.shows("open a script")
        await self.type(path)
        await self.press("enter")
        await self.until(lambda: path in self.text.splitlines()[0], f"{path} is open")


@asynccontextmanager
async def console(
    project: Path, state: Path, *, size: tuple[int, int] = (80, 24), open_script: str | None = None
) -> AsyncIterator[Console]:
    """The console on a project, connected."""
    journal = RecoveryJournal(str(project), state / "recovery")
    app = GatewrightApp(project, open_script, journal, place="gw-01:/srv/plant-a")
    under_way = UnderWay()
    with under_way.counting():
        async with app.run_test(size=size, notifications=True) as pilot:
            yield Console(app, pilot, under_way)


def _key_event(key: str) -> events.Key:
    """The event for a key by Textual's name for it."""
    if len(key) == 1 and not key.isalnum():
        key = _character_to_key(key)
    name = _get_unicode_name_from_key(REPLACED_KEYS.get(key, key))
    try:
        return events.Key(key, unicodedata.lookup(name))
    except KeyError:
        return events.Key(key, key if len(key) == 1 else None)

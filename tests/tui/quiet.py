"""Tells when an application has dealt with everything that it was given, and shows it.

Textual's own pilot waits after every key until the process has taken no processor time for a while: that is a time,
long on a quiet machine and too short on a busy one. Here a key is dealt with when every widget has read its messages
and the event loop has nothing to do. To whoever sits at its terminal an application says so by the title, which arrives
after whatever it painted before.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import Iterator
from itertools import count
from typing import Any

from textual import events
from textual.app import App
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.message_pump import MessagePump
from textual.pilot import Pilot

from tui.widgets.editor.editor import Editor

DEALT_WITH = 1.0
"""Seconds after which keys count as dealt with whatever is under way, as a call that waits for something else."""

TITLE = "\x1b]2;quiet %d\x07"
_numbers = count(1)


def pumps(app: App[Any]) -> Iterator[MessagePump]:
    """The application and every widget of every screen."""
    yield app
    for screen in app.screen_stack if app.is_running else ():
        yield from screen.walk_children(with_self=True)


def unread(app: App[Any]) -> bool:
    """Whether some widget still has something to read."""
    return any(not pump._message_queue.empty() or pump._next_callbacks for pump in pumps(app))


class QuietPilot(Pilot[Any]):
    """Presses each key when the one before is dealt with."""

    async def press(self, *keys: str) -> None:
        for key in keys:
            self.send(_key_event(key))
            await self.settled()

    def send(self, event: events.Key) -> None:
        """Type a key and wait for nothing."""
        driver = self.app._driver
        assert driver is not None
        event.set_sender(self.app)
        driver.send_message(event)

    async def pause(self, delay: float | None = None) -> None:
        if delay is None:
            await self.settled()
        else:
            await super().pause(delay)

    async def settled(self) -> None:
        """Wait until all that was asked of the application is done, and shown."""
        deadline = time.monotonic() + DEALT_WITH
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
            if self.busy():
                quiet = 0
            else:
                quiet += 1
                await self._wait_for_screen()
                self.draw()

    def draw(self) -> None:
        """Have what changed on the screen now, not at the next tick."""
        if self.app.is_running:
            self.app.screen._on_timer_update()

    def busy(self) -> bool:
        """Whether some widget still has something to read, or the event loop something to do."""
        return bool(asyncio.get_running_loop()._ready) or unread(self.app)


def _key_event(key: str) -> events.Key:
    """The event for a key by Textual's name for it."""
    if len(key) == 1 and not key.isalnum():
        key = _character_to_key(key)
    name = _get_unicode_name_from_key(REPLACED_KEYS.get(key, key))
    try:
        return events.Key(key, unicodedata.lookup(name))
    except KeyError:
        return events.Key(key, key if len(key) == 1 else None)


def say_when_quiet(app: App[Any]) -> None:
    """Set the terminal's title once nothing is to be read, highlighted or taken away any more."""
    app.run_worker(_say_when_quiet(app), group="quiet")


async def _say_when_quiet(app: App[Any]) -> None:
    quiet = 0
    while quiet < 3:
        await asyncio.sleep(0.01)
        await Pilot(app)._wait_for_screen()
        due = len(app._notifications) or any(editor._parse_timer is not None for editor in _editors(app))
        quiet = 0 if due or unread(app) else quiet + 1
    driver = app._driver
    assert driver is not None
    driver.write(TITLE % next(_numbers))
    driver.flush()


def _editors(app: App[Any]) -> list[Editor]:
    return [pump for pump in pumps(app) if isinstance(pump, Editor)]

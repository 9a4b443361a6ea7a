"""Tells when an application has dealt with everything that it was given, and shows it.

Inside: every widget has read its messages and no timer that paints is due. To whoever sits at its terminal the
application says so by the title, which arrives after whatever it painted before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

from textual.app import App
from textual.message_pump import MessagePump
from textual.pilot import Pilot

from tui.widgets.editor import Editor

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

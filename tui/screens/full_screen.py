"""What the screens that fill the terminal have in common: they say what did not work, and when nothing fits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from textual import events
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Static

from tui.text.sanitise import sanitise_line

LEAST_WIDTH = 40
LEAST_HEIGHT = 10

Result = TypeVar("Result")


class TooSmall(Static):
    """Covers the screen with a sentence while the terminal is too small; keys and text below it are left alone."""

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self.display = False

    def judge(self, size: Size) -> None:
        """Show or hide, for this size of the terminal."""
        self.display = size.width < LEAST_WIDTH or size.height < LEAST_HEIGHT
        self.update(f"Terminal too small: {size.width}x{size.height}. {LEAST_WIDTH}x{LEAST_HEIGHT} is the least.")


class FullScreen(Screen[Result]):
    """A screen that says when the terminal is too small for it; its ``compose`` yields ``self.too_small`` last."""

    def __init__(self) -> None:
        super().__init__()
        self.too_small = TooSmall()

    def notify_error(self, text: str) -> None:
        """Tell the user what did not work."""
        self.notify(sanitise_line(text), severity="error", timeout=8, markup=False)

    async def told(self, work: Callable[..., Awaitable[object]], *args: object) -> None:
        """Do ``work``; what the engine refuses, or that it is away, is told to the user."""
        from tui.connection import problems_told  # not for the first picture

        with problems_told(self.notify_error):
            await work(*args)

    def on_resize(self, event: events.Resize) -> None:
        self.too_small.judge(event.size)

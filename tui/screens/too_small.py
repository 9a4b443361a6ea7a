"""What is shown in a terminal that nothing fits into."""

from __future__ import annotations

from textual import events
from textual.widgets import Static

LEAST_WIDTH = 40
LEAST_HEIGHT = 10


class TooSmall(Static):
    """Covers the screen with a sentence while the terminal is too small; keys and text below it are left alone."""

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self.display = False

    def on_mount(self) -> None:
        self.watch(self.app, "size", self._judge)

    def _judge(self) -> None:
        size = self.app.size
        self.display = size.width < LEAST_WIDTH or size.height < LEAST_HEIGHT
        self.update(f"Terminal too small: {size.width}x{size.height}. {LEAST_WIDTH}x{LEAST_HEIGHT} is the least.")

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        self._judge()

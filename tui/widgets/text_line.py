"""A text that costs nothing while it stays the same."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static


class TextLine(Static):
    """One line or several, of fixed height; drawn again only when the text is another one, and laid out never."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__("", id=id, classes=classes, markup=False)
        self._text = Text()

    def show(self, text: Text | str) -> None:
        """Show this; ``text`` is free of control characters."""
        shown = Text(text, no_wrap=True, overflow="ellipsis") if isinstance(text, str) else text
        if shown != self._text:
            self._text = shown
            self.update(shown, layout=False)

"""One line above the editor that stays until what it says is settled."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive
from textual.widget import Widget

from tui.text.sanitise import sanitise_line


class Banner(Widget):
    """Takes no room while it has nothing to say."""

    DEFAULT_CSS = """
    Banner {
        height: 1;
        display: none;
        color: $warning;
        text-style: bold;
        &.-shown { display: block; }
    }
    """

    sentence: reactive[str] = reactive("")

    def watch_sentence(self, sentence: str) -> None:
        self.set_class(bool(sentence), "-shown")

    def render(self) -> Text:
        return Text(f" {sanitise_line(self.sentence)}", no_wrap=True, overflow="ellipsis")

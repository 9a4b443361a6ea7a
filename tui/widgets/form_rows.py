"""The lines of a form that may be longer than the screen."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll


class FormRows(VerticalScroll, inherit_bindings=False, can_focus=False):
    """Scrolls to the line that has the focus; Up and Down go from line to line instead of scrolling."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", "Up", show=False),
        Binding("down,enter", "app.focus_next", "Down", show=False),
    ]

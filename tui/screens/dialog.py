"""What all dialogs share: a box of modest size, Esc gives up, and they still work in a small terminal."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

T = TypeVar("T")


class Dialog(ModalScreen[T | None]):
    """A modal screen that answers None when the user gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Back", show=False)]

    def action_give_up(self) -> None:
        self.dismiss(None)

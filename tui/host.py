"""The screen that asks the user and tells them: all that dialogs and actions know of it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from textual.screen import Screen

Result = TypeVar("Result")


class Host(Protocol):
    """The screen that the user is on."""

    async def push_screen_wait(self, screen: Screen[Result]) -> Result:
        """Show a dialog and wait for its answer."""

    def notify(self, text: str) -> None:
        """Tell the user what happened."""

    def notify_error(self, text: str) -> None:
        """Tell the user what did not work."""

"""What dialogs about scripts share: the screen that shows them, and the questions that come again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from textual.screen import Screen

from engine.client import EngineError
from tui.desk import Desk
from tui.screens.ask import AskScreen
from tui.screens.choice import Answer, ChoiceScreen

Result = TypeVar("Result")

SUFFIX = ".py"


class Host(Protocol):
    """The screen that the user is on."""

    async def push_screen_wait(self, screen: Screen[Result]) -> Result:
        """Show a dialog and wait for its answer."""

    def say(self, text: str) -> None:
        """Tell the user what happened."""

    def complain(self, text: str) -> None:
        """Tell the user what did not work."""


async def under_a_name(
    host: Host, question: str, value: str, work: Callable[[str], Awaitable[Result]]
) -> Result | None:
    """Ask for a script's path until ``work`` can be done under it; None if the user gives up.

    Args:
        host: Shows the dialog.
        question: What the path is for.
        value: What the line holds at first.
        work: Gets the path, with its ``.py``. What the engine says no to is shown in the dialog.
    """
    path, problem = value, ""
    while (answer := await host.push_screen_wait(AskScreen(question, path, problem))) is not None:
        path = answer if answer.endswith(SUFFIX) else f"{answer}{SUFFIX}"
        try:
            return await work(path)
        except EngineError as error:
            problem = f"{error.message} {error.hint or ''}".strip()
    return None


async def safe_to_write(host: Host, desk: Desk, path: str, then: str) -> bool:
    """Whether a script's file may be written past the editor: unsaved text of it is saved first, or nothing happens.

    Args:
        host: Asks.
        desk: Knows which script is open.
        path: Of the script.
        then: What is about to be done, in the words of the answer: "open its frontmatter".
    """
    if path != desk.path or not desk.dirty:
        return True
    answer = await host.push_screen_wait(
        ChoiceScreen(
            f"{path} has unsaved text, and this changes its file",
            [Answer("s", f"save the text, then {then}")],
            "back, nothing done",
        )
    )
    return answer == "s" and await desk.save()

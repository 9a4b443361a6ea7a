"""Asks for the path of a script or document, again and again until it will do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.client.answers import EngineError
from tui.host import Host
from tui.screens.dialogs import AskScreen
from tui.text.script_names import script_path

Result = TypeVar("Result")

SUFFIX = ".py"


async def under_a_name(
    host: Host,
    question: str,
    value: str,
    work: Callable[[str], Awaitable[Result]],
    *,
    meaning: Callable[[str], str] = script_path,
) -> Result | None:
    """Ask for a path until ``work`` can be done under it; None if the user gives up.

    Args:
        host: Shows the dialog.
        question: What the path is for.
        value: What the line holds at first.
        work: Gets the path, as the engine understands the name. What the engine says no to is shown in the dialog.
        meaning: Makes the path of the typed name.
    """
    path, problem = value, ""
    while (answer := await host.push_screen_wait(AskScreen(question, path, problem))) is not None:
        path = meaning(answer)
        try:
            return await work(path)
        except EngineError as error:
            problem = f"{error.message} {error.hint or ''}".strip()
    return None

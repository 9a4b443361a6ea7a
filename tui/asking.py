"""What dialogs about scripts share: the screen that shows them, and the questions that come again and again."""

from __future__ import annotations

from tui.desk import Desk
from tui.host import Host
from tui.screens.choice import Answer, ChoiceScreen


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

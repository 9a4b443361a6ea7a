"""Two versions of a text and one that both grew from: put them before the user, with what merging would make."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from engine.client.answers import EngineError
from engine.models.versions import VersionReason
from tui.editing.texts import LoadedText, Texts
from tui.host import Host
from tui.screens.conflict import Comparison, ConflictScreen, Side
from tui.screens.dialogs import Choice
from tui.text.formats import clock
from tui.text.merge import Merged, merge
from tui.widgets.editor.lineage import Version

AT_ONCE = 2.0
"""Seconds between a file's time and a record of its version that both are of one save."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the user wants.

    Attributes:
        side: None to go back to editing.
        merged: What merging makes; None if the version that both grew from is not known.
    """

    side: Side | None
    merged: Merged | None


class ConflictResolver:
    """Asks what to do about a text that changed on disk while it was edited."""

    def __init__(self, host: Host, texts: Texts) -> None:
        self._host = host
        self._texts = texts

    async def ask(self, base: Version, mine: str, theirs: LoadedText) -> Resolution:
        """Show what each answer would do. Nothing is changed here."""
        path = theirs.info.path
        base_text = await self._text_of(base, theirs)
        merged = None if base_text is None else await asyncio.to_thread(merge, base_text, mine, theirs.text)
        question = f"{path} changed on disk while you edited it ({await self._by_whom(theirs)})"
        screen = ConflictScreen(question, _answers(merged), _comparisons(mine, theirs.text, merged))
        return Resolution(await self._host.push_screen_wait(screen), merged)

    async def _text_of(self, base: Version, theirs: LoadedText) -> str | None:
        """The text that both grew from, if it is known here or in the script's history."""
        if base.text is not None or base.sha256 is None:
            return base.text
        if base.sha256 == theirs.info.sha256:
            return theirs.text
        try:
            return await self._texts.version(theirs.info.path, base.sha256)
        except EngineError:
            return None

    async def _by_whom(self, theirs: LoadedText) -> str:
        """Who changed the file and when; a change that left no record came from another program."""
        info = theirs.info
        try:
            versions = (await self._texts.history(info.path)).versions
        except EngineError:
            versions = []
        last = next((one for one in versions if one.reason is not VersionReason.CONFLICT), None)
        known = last is not None and abs(last.at - info.modified) < AT_ONCE
        who = last.name if last is not None and known else "by another program"
        return f"{who}, {clock(info.modified)}"


def _answers(merged: Merged | None) -> list[Choice]:
    answers = [
        Choice(Side.MINE, "keep mine; theirs goes into history", risky=True),
        Choice(Side.THEIRS, "take theirs; mine goes into recovery", risky=True),
    ]
    if merged is None:
        return answers
    count = f"{merged.conflicts} conflict{'' if merged.conflicts == 1 else 's'}"
    rest = " to settle in the editor" if merged.conflicts else ""
    return [Choice(Side.MERGE, f"merge: both changes, {count}{rest}"), *answers]


def _comparisons(mine: str, theirs: str, merged: Merged | None) -> list[Comparison]:
    between = Comparison("on disk", theirs, "mine, unsaved", mine)
    if merged is None:
        return [between]
    return [
        Comparison("on disk", theirs, "after the merge", merged.text),
        Comparison("mine, unsaved", mine, "after the merge", merged.text),
        between,
    ]

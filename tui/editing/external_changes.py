"""Notices that the open script changed on disk by somebody else's hand, and never lets that cost an edit.

A text without unsaved edits takes the new version in, as one edit that can be undone. One with unsaved edits is left
alone: a line above the editor says so until it is settled. A change is told from our own saves by its hash, and what a
list says is only a reason to look: the list may be older than the last save.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from enum import Enum, auto

from engine.client.answers import EngineError, EngineUnreachable
from tui.actions import action
from tui.editing.open_script import OpenScript
from tui.editing.texts import LoadedText, TextInfo
from tui.host import Host
from tui.widgets.banner import Banner
from tui.widgets.editor.editor import Editor

COUNT_AFTER = 0.3
"""Seconds after the last key: the marks of conflicts are counted when the user pauses."""


class Standing(Enum):
    """What is known of the open script's file."""

    THERE = auto()
    CHANGED = auto()
    GONE = auto()
    RENAMED = auto()
    UNREADABLE = auto()


class OutsideChanges:
    """Watches one script, the open one.

    Args:
        host: Tells the user.
        open_script: Has the text.
        editor: Shows it.
        banner: Says what is not settled.
        in_turn: Does work after all other that may ask the user about the text.
    """

    def __init__(
        self,
        host: Host,
        open_script: OpenScript,
        editor: Editor,
        banner: Banner,
        in_turn: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self._host = host
        self._open_script = open_script
        self._editor = editor
        self._banner = banner
        self._in_turn = in_turn
        self._listed: dict[str, TextInfo] = {}
        self._came: list[TextInfo] = []
        self._known: tuple[str, TextInfo | None] = ("", None)
        self._standing = Standing.THERE
        self._sha256: str | None = None
        self._sentence = ""
        self._marks = 0
        self._about_to_look = False
        self._count_due: asyncio.TimerHandle | None = None

    # What happens.

    def texts_listed(self, texts: Iterable[TextInfo]) -> None:
        """The engine told what scripts and documents there are: look closer if the open one is not what it was."""
        before, self._listed = self._listed, {info.path: info for info in texts}
        if before:
            came = [script for path, script in self._listed.items() if path not in before]
            self._came = came or self._came
        open_script = self._open_script
        if not open_script.path or open_script.base.sha256 is None:
            return
        listed = self._listed.get(open_script.path)
        if self._standing is not Standing.THERE or listed is None or listed.sha256 != open_script.base.sha256:
            self._look_soon()

    def open_script_changed(self) -> None:
        """Another script may be open, or this one may be saved."""
        known = (self._open_script.path, self._open_script.info)
        if known[0] != self._known[0] or known[1] is not self._known[1]:
            self._known = known
            self._set(Standing.THERE, None if known[1] is None else known[1].sha256)
        self._marks = len(self._open_script.unsettled)
        self._show()

    def text_changed(self) -> None:
        """A key: nothing is compared here but two hashes, and lines only after a pause, while marks stand."""
        if self._count_due is not None:
            self._count_due.cancel()
            self._count_due = None
        if self._marks:
            self._count_due = asyncio.get_running_loop().call_later(COUNT_AFTER, self._count)
        self._show()

    def _look_soon(self) -> None:
        """Once, however often lists come while the user is asked something."""
        if not self._about_to_look:
            self._about_to_look = True
            self._in_turn(self.look)

    async def look(self) -> None:
        """Compare with what is on disk now, and take that in if no edit is in the way."""
        self._about_to_look = False
        open_script = self._open_script
        if not open_script.path or open_script.base.sha256 is None:
            return
        with suppress(EngineUnreachable):  # the console says so already, and looks again when it is back
            await self._compare()

    async def _compare(self) -> LoadedText | None:
        """Take in, or note, what is on disk; that, if there is anything to read."""
        found = None
        try:
            found = await self._open_script.on_disk(self._open_script.path)
        except EngineError as error:
            self._set(Standing.UNREADABLE, None, error.message)
        else:
            self._judge(found)
        self._show()
        return found

    async def merge(self) -> None:
        """What the user can do about it now: to the next conflict, into the merge, or along with a rename."""
        if self._go_to_conflict():
            return
        if not self._open_script.path or self._open_script.base.sha256 is None:
            self._host.notify("nothing to merge: this text was never saved")
            return
        found = await self._compare()
        if found is not None and self._outdated:
            await self._open_script.merge_with(found)
        elif self._standing is Standing.RENAMED:
            await self._follow()
        elif self._standing is Standing.THERE:
            self._host.notify("nothing to merge: on disk is the version that this text grew from")

    # What it means.

    @property
    def _outdated(self) -> bool:
        """Another version than the text grew from is on disk."""
        return self._standing is Standing.THERE and self._sha256 not in (None, self._open_script.base.sha256)

    def _judge(self, found: LoadedText | None) -> None:
        open_script = self._open_script
        if found is None:
            self._is_gone()
            return
        if open_script.gone:
            open_script.found_again()
        self._set(Standing.THERE, found.info.sha256)
        if self._outdated and not open_script.dirty:
            kept = open_script.take_in(found)
            undo = "^Z takes it back" if kept else "its line ends are others, so undo begins anew"
            self._host.notify(f"{open_script.path} changed on disk and was loaded; {undo}")

    def _is_gone(self) -> None:
        renamed = self._renamed() is not None
        if not self._open_script.gone or not (renamed or self._open_script.dirty):
            self._open_script.lost(unsaved=not renamed)
        self._set(Standing.RENAMED if renamed else Standing.GONE, None)

    def _renamed(self) -> TextInfo | None:
        """The script that came with exactly the text that is gone, if there is one such."""
        wanted = self._open_script.base.sha256
        same = [script for script in self._came if script.sha256 == wanted and script.path in self._listed]
        return same[0] if len(same) == 1 else None

    async def _follow(self) -> None:
        script = self._renamed()
        if script is not None:
            await self._open_script.follow(script)
            self._host.notify(f"this is {script.path} now")

    def _set(self, standing: Standing, sha256: str | None, sentence: str = "") -> None:
        self._standing, self._sha256, self._sentence = standing, sha256, sentence

    # What the user sees.

    def _go_to_conflict(self) -> bool:
        """To the next place with marks, around the end; False if there is none."""
        rows = self._open_script.unsettled
        if rows:
            here = self._editor.cursor_location[0]
            self._editor.go_to_line(next((row for row in rows if row > here), rows[0]) + 1)
            self._editor.focus()
        return bool(rows)

    def _count(self) -> None:
        self._count_due = None
        self._marks = len(self._open_script.unsettled)
        self._show()

    def _show(self) -> None:
        self._banner.sentence = self._told()

    def _told(self) -> str:
        if not self._marks and self._standing is Standing.THERE and not self._outdated:
            return ""
        merge, save = action("merge").key, action("save").key
        if self._marks:
            return f"conflicts to settle: {self._marks}; {merge} next, then remove the marks"
        match self._standing:
            case Standing.GONE:
                return f"deleted on disk; the text stays here, {save} writes it again"
            case Standing.RENAMED if (script := self._renamed()) is not None:
                return f"renamed on disk; {merge} follows it to {script.path}"
            case Standing.UNREADABLE:
                return f"changed on disk: {self._sentence}"
        return f"changed on disk; {merge} merge, edit on and decide when saving"

"""The desk: the script being edited, and everything that may happen to its text between opening and saving.

The desk decides; the editor shows, the engine stores, the journal keeps what was not saved. Text is never thrown away
without a question that names what would happen to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from textual.screen import Screen

from engine.client import EngineError, EngineUnreachable
from engine.models import SaveRequest, ScriptInfo, ScriptText
from tui.connection import EngineConnection, problems_told
from tui.formats import clock
from tui.new_script import skeleton
from tui.recovery import RecoveryError, RecoveryJournal, UnsavedText
from tui.screens.ask import AskScreen
from tui.screens.choice import Answer, ChoiceScreen
from tui.widgets.editor import Editor

JOURNAL_AFTER = 1.0
"""Seconds after the last key."""

JOURNAL_AT_LEAST = 5.0
"""Seconds after which the text is journaled although somebody types without a pause."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class DeskHost(Protocol):
    """The screen that the desk stands on."""

    async def push_screen_wait(self, screen: Screen[Result]) -> Result:
        """Show a dialog and wait for its answer."""

    def say(self, text: str) -> None:
        """Tell the user what happened."""

    def complain(self, text: str) -> None:
        """Tell the user what did not work."""

    def desk_changed(self) -> None:
        """Another script is open, or its text is unsaved now, or saved."""


class Desk:
    """One script at a time.

    Attributes:
        path: Of the open script, empty for a text without a name.
        info: What the engine said of it when it was loaded or saved last; None if it was never saved.
    """

    def __init__(self, host: DeskHost, editor: Editor, connection: EngineConnection, journal: RecoveryJournal) -> None:
        self._host = host
        self._editor = editor
        self._connection = connection
        self._journal = journal
        self._base_sha256: str | None = None
        self._disk = asyncio.Lock()
        self._due: asyncio.TimerHandle | None = None
        self._unwritten_since: float | None = None
        self._edits = 0
        self._journaling: set[asyncio.Task[None]] = set()
        self.path = ""
        self.info: ScriptInfo | None = None

    @property
    def dirty(self) -> bool:
        return self._editor.dirty

    @property
    def text(self) -> str:
        return self._editor.text

    @property
    def untouched(self) -> bool:
        """Nothing is open and nothing was typed: the state right after the start."""
        return not self.path and not self.dirty

    # Opening.

    async def open(self, path: str) -> None:
        """Show a script, after the text on the desk is safe, and offer what was not saved of it."""
        with problems_told(self._host.complain):
            if path != self.path and await self.may_leave():
                edits = self._edits
                loaded = await self._connection.client.load_script(path)
                if edits == self._edits or await self.may_leave():  # else somebody typed while it was being loaded
                    await self._show(loaded)
            if path == self.path and not self.dirty:
                await self.offer_left_behind(path)
        self._editor.screen.set_focus(self._editor)

    async def open_at_start(self, path: str, place: tuple[int, int] = (0, 0)) -> None:
        """Show a script that nobody asked for just now: typing and moving about go before it."""
        with problems_told(self._host.complain):
            loaded = await self._connection.client.load_script(path)
            if self.untouched:
                await self._show(loaded)
                self._go_to(place)

    async def make_new(self) -> None:
        """Ask for a name and make a script that runs as it is."""
        if await self.may_leave():
            await self._under_a_name("Name of the new script, like folder/name", self._make)

    async def _make(self, path: str) -> None:
        text = skeleton(path)
        try:
            info = await self._connection.client.save_script(path, SaveRequest(text=text))
        except EngineUnreachable:
            await self._put(path, None, text, None)
            self._editor.compare_with("")
            self._host.say(f"{path} is not saved yet: the engine is away")
        else:
            await self._put(info.path, info, text, info.sha256)
            self._host.say(f"made {info.path}")

    async def may_leave(self) -> bool:
        """Whether the text on the desk may go; asks if it is unsaved. It stays until something takes its place."""
        if not self.dirty:
            return True
        name = self.path or "The text without a name"
        answer = await self._host.push_screen_wait(
            ChoiceScreen(
                f"{name} has unsaved text",
                [Answer("s", "save it and go on"), Answer("x", "throw the unsaved text away and go on")],
                "back to editing",
            )
        )
        return await self.save() if answer == "s" else answer == "x"

    async def clear(self) -> None:
        """The user leaves: what they did not save they gave up."""
        await self._forget(self.path)

    # Saving.

    async def save(self) -> bool:
        """Save the text; True when it is on the engine's disk."""
        if not self.path:
            return await self._save_as()
        return await self._save_to(self.path, self._base_sha256)

    async def _save_as(self) -> bool:
        return await self._under_a_name("Save as, like folder/name", lambda path: self._write(path, None))

    async def _under_a_name(self, question: str, work: Callable[[str], Awaitable[None]]) -> bool:
        """Ask for a name until ``work`` can be done under it; False if the user gives up."""
        path, problem = "", ""
        while (answer := await self._host.push_screen_wait(AskScreen(question, path, problem))) is not None:
            path = answer if answer.endswith(".py") else f"{answer}.py"
            try:
                await work(path)
            except EngineError as error:
                problem = error.message
            else:
                return True
        return False

    async def _save_to(self, path: str, base: str | None) -> bool:
        try:
            await self._write(path, base)
        except EngineError as error:
            if error.code == "conflict":
                return await self._resolve_conflict(path)
            self._host.complain(f"{error.message} {error.hint or ''}")
        except EngineUnreachable as error:
            self._host.complain(f"Not saved. {error.message} The text is kept in the recovery journal.")
            self._journal_soon(0)
        else:
            return True
        return False

    async def _write(self, path: str, base: str | None) -> None:
        text = self.text
        info = await self._connection.client.save_script(path, SaveRequest(text=text, base_sha256=base))
        was, self.path, self.info, self._base_sha256 = self.path, info.path, info, info.sha256
        if self.text == text:
            self._editor.mark_saved()
        else:
            self._editor.compare_with(text)  # somebody typed while it was being saved
        await self._forget(was)
        self._host.say(f"saved {info.path}")
        self._host.desk_changed()

    async def _resolve_conflict(self, path: str) -> bool:
        """Both versions are there: show them and do what the user chooses."""
        theirs = await self._theirs(path)
        mine = self.text
        if theirs is None:
            question, base, theirs_text = f"{path} is no longer on disk", None, ""
            answers = [Answer("k", "keep mine: write it again")]
        else:
            question, base, theirs_text = f"{path} changed on disk while you edited it", theirs.info.sha256, theirs.text
            answers = [
                Answer("k", "keep mine; theirs goes into history"),
                Answer("t", "take theirs; mine goes into recovery"),
            ]
        answer = await self._host.push_screen_wait(
            ChoiceScreen(question, answers, "back to editing, nothing written", lambda: (theirs_text, mine))
        )
        if answer == "k":
            return await self._save_to(path, base)
        if answer == "t" and theirs is not None and await self._on_disk(self._journal.set_aside):
            await self._show(theirs)
            self._host.say("took the version on disk; yours is offered when the script is opened next")
        return False

    async def _theirs(self, path: str) -> ScriptText | None:
        """The version on disk; None if there is none any more."""
        try:
            return await self._connection.client.load_script(path)
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    # Recovery.

    def text_changed(self) -> None:
        """The user typed: the text goes into the journal when they pause."""
        self._edits += 1
        now = time.monotonic()
        if self._unwritten_since is None:
            self._unwritten_since = now
        waited = now - self._unwritten_since
        self._journal_soon(min(JOURNAL_AFTER, max(0.0, JOURNAL_AT_LEAST - waited)))

    def journal_now(self) -> None:
        """Put unsaved text on disk before this returns: the console is about to die."""
        if self.dirty:
            self._journal.keep(self._unsaved())

    async def offer_left_behind(self, path: str | None = None) -> None:
        """Offer unsaved texts that earlier consoles left: of one script, or the newest of all."""
        entries = await asyncio.to_thread(self._journal.left_behind)
        entry = next((item for item in entries if path is None or item.path == path), None)
        if entry is not None:
            await self._offer(entry)

    async def left_behind_paths(self) -> set[str]:
        """Scripts with unsaved text of earlier consoles."""
        return {entry.path for entry in await asyncio.to_thread(self._journal.left_behind)}

    async def _offer(self, entry: UnsavedText) -> None:
        saved = await self._saved_version(entry.path)
        saved_text = "" if saved is None else saved.text
        if saved is not None and saved.text == entry.text:
            await self._told(self._journal.discard, entry)
            return
        name = f"Unsaved text of {entry.path}" if entry.path else "Unsaved text without a name"
        answer = await self._host.push_screen_wait(
            ChoiceScreen(
                f"{name}, kept at {clock(entry.at)}",
                [Answer("r", "restore it into the editor"), Answer("x", "discard it")],
                "decide later",
                lambda: (saved_text, entry.text),
            )
        )
        if answer == "x":
            await self._told(self._journal.discard, entry)
        elif answer == "r" and await self.may_leave():
            await self._restore(entry, saved)
        self._host.desk_changed()

    async def _restore(self, entry: UnsavedText, saved: ScriptText | None) -> None:
        """Put the text back as unsaved, with the version that it grew from: saving notices what happened meanwhile."""
        await self._put(entry.path, saved.info if saved else None, entry.text, entry.base_sha256)
        self._editor.compare_with(saved.text if saved else "")
        self._go_to((entry.row, entry.column))
        if await self._keep():
            await self._told(self._journal.discard, entry)

    async def _saved_version(self, path: str) -> ScriptText | None:
        if not path:
            return None
        try:
            return await self._connection.client.load_script(path)
        except (EngineError, EngineUnreachable):
            return None

    def _journal_soon(self, seconds: float) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = asyncio.get_running_loop().call_later(seconds, self._start_journaling)

    def _start_journaling(self) -> None:
        self._due = self._unwritten_since = None
        task = asyncio.create_task(self._bring_up_to_date())
        self._journaling.add(task)
        task.add_done_callback(self._journaling.discard)

    async def _bring_up_to_date(self) -> None:
        if self.dirty:
            await self._keep()
        else:
            await self._forget(self.path)

    async def _keep(self) -> bool:
        return await self._on_disk(self._journal.keep)

    async def _on_disk(self, write: Callable[[UnsavedText], None]) -> bool:
        """Journal the text if it is unsaved; False, and the user told, if the disk did not take it."""
        async with self._disk:
            return not self.dirty or await self._told(write, self._unsaved())

    async def _forget(self, path: str) -> None:
        async with self._disk:
            await self._told(self._journal.forget, path)

    async def _told(self, work: Callable[[Argument], None], argument: Argument) -> bool:
        """Do the journal's work in a thread; False, and the user told, if the disk did not take it."""
        try:
            await asyncio.to_thread(work, argument)
        except RecoveryError as error:
            self._host.complain(str(error))
            return False
        return True

    def _unsaved(self) -> UnsavedText:
        row, column = self._editor.cursor_location
        return UnsavedText(self.path, self.text, self._base_sha256, row, column)

    def _go_to(self, place: tuple[int, int]) -> None:
        """Put the cursor on a row and column, in the middle of the editor, once the text has its size there."""
        self._editor.call_after_refresh(self._editor.move_cursor, place, center=True)

    async def _show(self, loaded: ScriptText) -> None:
        await self._put(loaded.info.path, loaded.info, loaded.text, loaded.info.sha256)

    async def _put(self, path: str, info: ScriptInfo | None, text: str, base: str | None) -> None:
        """Put a text on the desk in place of the one there, which was saved, set aside or given up."""
        await self._forget(self.path)
        self.path, self.info, self._base_sha256 = path, info, base
        self._editor.load(text)
        self._host.desk_changed()

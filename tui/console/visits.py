"""The gateways that the console has been to: one is on the screen, the others wait with their texts.

Each has a console screen of its own, with editor, lists and output, a line to its engine and a recovery journal, so
nothing of one is ever shown or sent as another's. Leaving closes the line; runs go on in the engine, ADMIN ends, and
the text stays in its editor and in its journal. Coming back opens the line again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from textual.app import App
from textual.message import Message
from textual.worker import Worker, WorkerCancelled

from tui.console.screen import ConsoleScreen
from tui.editing.recovery import RecoveryError, RecoveryJournal

if TYPE_CHECKING:
    from engine.client.target import Target
    from tui.connection import EngineConnection

LEFT_WITHIN = 5.0
"""Seconds that a save or a question's work has to end before the line of a gateway that was left is closed."""


class Visit:
    """One gateway: its console and its line.

    Args:
        app: Shows one console at a time.
        target: Its engine.
        journal: Keeps its unsaved texts.
        name: Of it, as the header shows it.
        open_first: Script to open in place of the last one.
        fast_editor: How to draw the editor.
    """

    def __init__(
        self,
        app: App[int],
        target: Target,
        journal: RecoveryJournal,
        name: str,
        *,
        open_first: str | None = None,
        fast_editor: bool = True,
    ) -> None:
        self._app = app
        self._open_first = open_first
        self._line: Worker[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()
        self.target = target
        self.journal = journal
        self.name = name
        self.console = ConsoleScreen(name, fast_editor=fast_editor)
        self.connection: EngineConnection | None = None

    def reached_by(self, target: Target) -> None:
        """Take what the user's file says by now of an engine elsewhere, such as other authorities."""
        if target.folder is None and target != self.target:
            self.target = target
            if self.connection is not None:
                self.connection.aim(target)

    def publish(self, message: Message) -> None:
        """Hand what happens at this gateway to its screens."""
        shown = self.console in self._app.screen_stack
        for screen in self._app.screen_stack if shown else [self.console]:
            screen.post_message(message)

    async def begin(self) -> None:
        """Build what needs the engine, the first time, and open the line if it is closed and the user still here."""
        async with self._beginning:
            if self._leaving is not None:
                self._leaving.cancel()
                await asyncio.wait({self._leaving})
                self._leaving = None
            if self.connection is None:
                from tui.connection import EngineConnection

                connection = EngineConnection(self.target, self.publish)
                await self.console.attach(connection, self.journal, self._open_first, self.publish)
                self.connection = connection
            if not self.console.is_left and (self._line is None or self._line.is_finished):
                self._line = self._app.run_worker(self.connection.run(), group="connection")

    def leave(self) -> None:
        """Let the user go to another gateway: what is no longer to be asked here ends now, the line soon."""
        self.console.leave()
        self._leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEFT_WITHIN):
                await self.console.finish()
        if self._line is not None:
            self._line.cancel()
            with contextlib.suppress(WorkerCancelled):
                await self._line.wait()


class Visits:
    """All of them; ``current`` is on the screen.

    Args:
        app: Shows one console at a time.
        first: What the console was opened with.
        new: Makes the visit of a gateway where the user was not before, and which one in number that is.
    """

    def __init__(self, app: App[int], first: Visit, new: Callable[[Target, str, int], Visit]) -> None:
        self._app = app
        self._new = new
        self._all = [first]
        self.first = first
        self.current = first

    def __iter__(self) -> Iterator[Visit]:
        return iter(self._all)

    @property
    def waiting(self) -> list[Visit]:
        """Those that are not on the screen and have unsaved text."""
        return [visit for visit in self if visit is not self.current and visit.console.unsaved is not None]

    def unsaved(self, target: Target) -> list[str]:
        """Return the paths of the unsaved texts of a gateway: in its editor, and those that earlier consoles left.

        Reads files.
        """
        visit = self._of(target)
        path = None if visit is None else visit.console.unsaved
        left = {entry.path for entry in self.first.journal.of(target.key).left_behind()}
        return sorted(left if path is None else left | {path})

    async def go(self, target: Target, name: str) -> None:
        """Show the console of a gateway, in place of the one on the screen."""
        visit = self._of(target)
        if self._app.screen is not self.current.console:
            return
        if visit is self.current:
            visit.reached_by(target)
            return
        if visit is None:
            visit = self._new(target, name, len(self._all))
            self._app.install_screen(visit.console, f"visit-{len(self._all)}")
            self._all.append(visit)
        else:
            visit.reached_by(target)
        left, self.current = self.current, visit
        left.leave()
        visit.console.arrive()
        await self._app.switch_screen(visit.console)
        self._app.call_after_refresh(visit.begin)

    def _of(self, target: Target) -> Visit | None:
        """Return the visit of this engine as this caller, if there was one."""
        asked = (target.key, target.token_file)
        return next((visit for visit in self if (visit.target.key, visit.target.token_file) == asked), None)

    async def may_quit(self) -> bool:
        """Tell whether all texts are safe or given up; ask if not."""
        decision = await self._asked_about_others()
        if decision is None or not await self.current.console.may_quit():
            return False
        kept = [await visit.console.put_aside(keep=decision) for visit in self.waiting]
        return all(kept)

    async def _asked_about_others(self) -> bool | None:
        """Ask whether the unsaved texts of other gateways are kept or given up; None where the user stays."""
        if not (waiting := self.waiting):
            return True
        from tui.screens.dialogs import Choice, ChoiceScreen

        named = ", ".join(f"{visit.console.unsaved or 'a text without a name'} at {visit.name}" for visit in waiting)
        answers = [
            Choice("k", "quit; the text is kept here and offered when you go there"),
            Choice("g", f"go to {waiting[0].name}"),
            Choice("x", "throw it away and quit", risky=True),
        ]
        screen = ChoiceScreen(f"Unsaved text at other gateways: {named}", answers, "back to editing")
        answer = await self.current.console.push_screen_wait(screen)
        if answer == "g":
            await self.go(waiting[0].target, waiting[0].name)
        return {"k": True, "x": False}.get(answer or "")

    def hang_up(self) -> None:
        """Put everything on disk that only this process knows, of every gateway."""
        for visit in self:
            with contextlib.suppress(RecoveryError):  # the user is not there to be told
                visit.console.hang_up()

"""The open script or document: what is edited, and all that may happen to its text between opening and saving.

It decides; the editor shows, the engine stores, the journal keeps what was not saved. Text is never thrown away
without a question that names what would happen to it.
"""

from __future__ import annotations

from typing import Protocol

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.scripts import ScriptInfo
from tui.actions import action
from tui.connection import EngineConnection, problems_told
from tui.editing.ask_path import under_a_name
from tui.editing.autosave import Autosave
from tui.editing.conflict import ConflictResolver
from tui.editing.own_edits import OwnEditing
from tui.editing.recovery import RecoveryJournal, UnsavedText
from tui.editing.texts import MISSING, LoadedText, TextInfo, Texts
from tui.host import Host
from tui.screens.conflict import BACK, Side
from tui.screens.dialogs import Choice, ChoiceScreen
from tui.text.document_names import document_path, is_document
from tui.text.formats import clock
from tui.text.merge import Merged, marked_rows
from tui.text.new_document import document_skeleton, title_of
from tui.text.new_script import skeleton
from tui.text.script_names import script_path
from tui.widgets.editor.editor import Editor
from tui.widgets.editor.lineage import Version


class OpenScriptHost(Host, Protocol):
    """The screen that the editor stands on."""

    def open_script_changed(self) -> None:
        """Another script is open, or its text is unsaved now, or saved."""


class OpenScript:
    """One script or document at a time.

    Attributes:
        path: Of what is open, empty for a text without a name. A document's begins with ``documents/``.
        info: What the engine said of it when it was loaded or saved last; None if it was never saved.
        gone: It is not on disk any more: saving writes it again.
        own_edits: What the user's own edits of a script are approved for.
    """

    def __init__(
        self,
        host: OpenScriptHost,
        editor: Editor,
        connection: EngineConnection,
        texts: Texts,
        journal: RecoveryJournal,
        own_edits: OwnEditing,
    ) -> None:
        self._host = host
        self._editor = editor
        self._connection = connection
        self._texts = texts
        self._journal = Autosave(journal, self._text_now, host.notify_error)
        self._conflict = ConflictResolver(host, texts)
        self._edits = 0
        self._refused = False
        self.own_edits = own_edits
        self.path = ""
        self.info: TextInfo | None = None
        self.gone = False

    @property
    def dirty(self) -> bool:
        return self._editor.dirty

    @property
    def is_document(self) -> bool:
        return is_document(self.path)

    @property
    def script(self) -> ScriptInfo | None:
        """What the engine said of the open script; None of a document or of what was never saved."""
        return self.info if isinstance(self.info, ScriptInfo) else None

    @property
    def text(self) -> str:
        return self._editor.text

    @property
    def base(self) -> Version:
        """The saved version that the text grew from; saving replaces that one and no other."""
        return self._editor.lineage.version

    @property
    def unsettled(self) -> list[int]:
        """Rows of the text with the marks of conflicts that nobody settled yet."""
        return marked_rows(self._editor.document.lines)

    @property
    def untouched(self) -> bool:
        """Nothing is open and nothing was typed: the state right after the start."""
        return not self.path and not self.dirty

    # Opening.

    async def open(self, path: str, line: int = 0) -> None:
        """Show a script or document, after the text in the editor is safe, and offer what was not saved of it.

        Args:
            path: Of it.
            line: Where the cursor goes, from 1; 0 leaves it.
        """
        path = script_path(path)
        with problems_told(self._host.notify_error):
            if path != self.path and await self.may_leave():
                edits = self._edits
                loaded = await self._texts.load(path)
                path = loaded.info.path
                if edits == self._edits or await self.may_leave():  # else somebody typed while it was being loaded
                    await self._show(loaded)
            if path == self.path and not self.dirty:
                await self.offer_left_behind(path)
            if line and path == self.path:
                self._go_to((min(line, self._editor.document.line_count) - 1, 0))
        self._editor.screen.set_focus(self._editor)

    async def open_at_start(self, path: str, place: tuple[int, int] = (0, 0)) -> None:
        """Show a script that nobody asked for just now: typing and moving about go before it."""
        with problems_told(self._host.notify_error):
            loaded = await self._texts.load(path)
            if self.untouched:
                await self._show(loaded)
                self._go_to(place)

    async def make_new(self) -> None:
        """Ask for a name and make a script that runs as it is."""
        if await self.may_leave():
            await under_a_name(self._host, "Name of the new script, like folder/name", "", self._make)

    async def make_document(self, folder: str = "") -> None:
        """Ask for a name and make a document with front matter.

        Args:
            folder: Below ``documents``, where the name begins; with a slash at its end, or empty.
        """
        if await self.may_leave():
            question = "Name of the new document, like folder/name"
            if await under_a_name(self._host, question, folder, self._make, meaning=document_path):
                self._editor.action_text_end()
                self._editor.screen.set_focus(self._editor)

    async def _make(self, path: str) -> str:
        text = document_skeleton(title_of(path)) if is_document(path) else skeleton(path)
        try:
            info = await self._texts.save(path, text, None)
        except EngineUnreachable:
            await self._put(path, None, text, Version())
            self._editor.compare_with("")
            self._host.notify(f"{path} is not saved yet: the engine is away")
        else:
            await self._put(info.path, info, text, Version(info.sha256, text))
            self._host.notify(f"made {info.path}")
        return self.path

    async def may_leave(self) -> bool:
        """Whether the text in the editor may go; asks if it is unsaved. It stays until something takes its place."""
        if not self.dirty:
            return True
        name = self.path or "The text without a name"
        answer = await self._host.push_screen_wait(
            ChoiceScreen(
                f"{name} has unsaved text",
                [
                    Choice("s", "save it and go on"),
                    Choice("x", "throw the unsaved text away and go on", risky=True),
                ],
                "back to editing",
            )
        )
        return await self.save() if answer == "s" else answer == "x"

    async def may_quit(self) -> bool:
        """Whether the console may end, as ``may_leave``; text that cannot be saved may stay in the journal."""
        if not self._refused and self._connection.connected.is_set():
            if await self.may_leave():
                return True
            if not (self.dirty and self._refused):
                return False
        elif not self.dirty:
            return True
        name = self.path or "The text without a name"
        answer = await self._host.push_screen_wait(
            ChoiceScreen(
                f"{name} has unsaved text that the engine does not take now",
                [
                    Choice("k", "quit; the text is kept here and offered next time"),
                    Choice("s", "try to save it and quit"),
                    Choice("x", "throw the unsaved text away and quit", risky=True),
                ],
                "back to editing",
            )
        )
        if answer == "k":
            return await self._journal.set_aside()
        return await self.save() if answer == "s" else answer == "x"

    # What is done to the open script from elsewhere in the console.

    async def renamed(self, old: str, info: TextInfo) -> None:
        """A script has another path now. If it is the open one, its text goes with it, saved or not."""
        await self._journal.move(old, info.path)
        if old == self.path:
            await self.follow(info)

    async def closed(self, path: str) -> None:
        """A script is gone. If it is the open one the editor is empty; unsaved text is offered when it is back."""
        if path == self.path and await self._journal.set_aside():
            await self._put("", None, "", Version())

    async def renewed(self, path: str) -> None:
        """A script's file was written. If it is open, show that as one edit that can be undone; unsaved text stays."""
        if path != self.path or self.dirty:
            return
        loaded = await self._texts.load(path)
        if path == self.path and not self.dirty:
            self.take_in(loaded)

    async def clear(self) -> None:
        """The user leaves: what they did not save they gave up."""
        await self._journal.forget(self.path)

    # Saving.

    async def save(self) -> bool:
        """Save the text; True when it is on the engine's disk."""
        if marks := self.unsettled:
            count = f"{len(marks)} conflict{' stands' if len(marks) == 1 else 's stand'}"
            key = action("merge").key
            self._host.notify_error(
                f"Not saved: {count} in the text; {key} goes there, choose lines and remove the marks."
            )
            return False
        if not self.path:
            return await self._save_as()
        return await self._save_to(self.path, None if self.gone else self.base.sha256)

    async def _save_as(self) -> bool:
        saved = await under_a_name(self._host, "Save as, like folder/name", "", lambda path: self._write(path, None))
        return saved is not None

    async def _save_to(self, path: str, base: str | None) -> bool:
        try:
            await self._write(path, base)
        except EngineError as error:
            if error.code == "conflict":
                return await self._resolve_conflict(path)
            self._not_saved(f"{error.message} {error.hint or ''}".rstrip())
        except EngineUnreachable as error:
            self._not_saved(f"Not saved. {error.message}")
        else:
            return True
        return False

    def _not_saved(self, why: str) -> None:
        self._refused = True
        self._host.notify_error(f"{why} The text is kept in the recovery journal.")
        self._journal.soon()

    async def _write(self, path: str, base: str | None) -> TextInfo:
        text, grown_from = self.text, self.base
        info = await self._texts.save(path, text, base, self.own_edits.token(path))
        was, self.path, self.info, self.gone = self.path, info.path, info, False
        self._refused = False
        if self.base is grown_from:  # else undo led to another version meanwhile, which is not what was saved
            self._editor.lineage.saved(Version(info.sha256, text))
        if self.text == text:
            self._editor.mark_saved()
        else:
            self._editor.compare_with(text)  # somebody typed while it was being saved
        await self._journal.forget(was)
        self._host.notify(f"saved {info.path}")
        self._host.open_script_changed()
        return info

    async def _resolve_conflict(self, path: str) -> bool:
        """Somebody else changed the script: have the user decide, and save what comes of it."""
        theirs = await self.on_disk(path)
        if theirs is None:
            return await self._ask_to_write_again(path)
        return await self._decide(theirs) is not None and await self._save_to(path, theirs.info.sha256)

    async def merge_with(self, theirs: LoadedText) -> None:
        """Have the user decide about a script that changed on disk; what merging makes is in the editor, unsaved."""
        match await self._decide(theirs):
            case Side.MINE:
                await self._save_to(self.path, theirs.info.sha256)
            case Side.MERGE:
                self._host.notify(f"both changes are in the text, unsaved; {action('save').key} saves it")

    async def _ask_to_write_again(self, path: str) -> bool:
        answers = [Choice(Side.MINE, "keep mine: write it again")]
        screen = ChoiceScreen(f"{path} is no longer on disk", answers, BACK)
        return await self._host.push_screen_wait(screen) == Side.MINE and await self._save_to(path, None)

    async def _decide(self, theirs: LoadedText) -> Side | None:
        """Ask and do what is chosen; the answer if the text may now take the place of theirs, else None."""
        mine = self.text
        decision = await self._conflict.ask(self.base, mine, theirs)
        if decision.side is not None and self.text != mine:
            return await self._decide(theirs)  # somebody typed before the question was there
        match decision.side:
            case Side.THEIRS if await self._journal.set_aside():
                await self._show(theirs)
                self._host.notify("took the version on disk; yours is offered when the script is opened next")
            case Side.MERGE if decision.merged is not None:
                self._take_merged(decision.merged, theirs)
                return None if decision.merged.conflicts else Side.MERGE
        return decision.side if decision.side is Side.MINE else None

    def _take_merged(self, merged: Merged, theirs: LoadedText) -> None:
        """Both changes into the editor; from now on saving replaces their version, unless the merge is undone."""
        self.info = theirs.info
        self._editor.change_to(merged.text, Version(theirs.info.sha256, theirs.text))
        self._editor.compare_with(theirs.text)
        self._host.open_script_changed()
        if merged.conflicts:
            self._editor.go_to_line(self.unsettled[0] + 1)

    # Changes from outside.

    async def on_disk(self, path: str) -> LoadedText | None:
        """The version on disk; None if there is none any more. A name that now means another script is not it."""
        try:
            found = await self._texts.load(path)
        except EngineError as error:
            if error.code in MISSING:
                return None
            raise
        return found if found.info.path == path else None

    def take_in(self, loaded: LoadedText) -> bool:
        """Show the version on disk in place of a text that has nothing of its own; False if undo begins anew."""
        self.info, self.gone = loaded.info, False
        kept = self._editor.change_to(loaded.text, Version(loaded.info.sha256, loaded.text))
        self._editor.mark_saved()
        self._host.open_script_changed()
        return kept

    def lost(self, *, unsaved: bool) -> None:
        """The file is gone: the text stays, and counts as unsaved if it is nowhere else."""
        self.gone = True
        if unsaved:
            self._editor.mark_lost()
            self.text_changed()

    def found_again(self) -> None:
        """The file is there again."""
        self.gone = False
        if self.base.text is not None:
            self._editor.compare_with(self.base.text)

    async def follow(self, info: TextInfo) -> None:
        """The script has another path now, with the text that this one grew from."""
        was, self.path, self.info = self.path, info.path, info
        self.found_again()
        if await self._journal.keep():
            await self._journal.forget(was)
        self._host.open_script_changed()

    # Recovery.

    def text_changed(self) -> None:
        """The user typed: the text goes into the journal when they pause."""
        self._edits += 1
        self._journal.text_changed()

    def journal_now(self) -> None:
        """Put unsaved text on disk before this returns: the console is about to die."""
        self._journal.now()

    async def keep(self) -> bool:
        """Put unsaved text into the journal now; False, and the user told, if the disk did not take it."""
        return await self._journal.keep()

    async def set_aside(self) -> bool:
        """Put unsaved text where it is offered next time; False, and the user told, if the disk did not take it."""
        return await self._journal.set_aside()

    async def offer_left_behind(self, path: str | None = None) -> None:
        """Offer unsaved texts that earlier consoles left: of the script that ``path`` means, or the newest of all."""
        entries = await self._journal.left_behind()
        wanted = None if path is None else await self._meant(path, {item.path for item in entries})
        entry = next((item for item in entries if wanted is None or item.path == wanted), None)
        if entry is not None:
            await self._offer(entry)

    async def _meant(self, name: str, kept: set[str]) -> str:
        """The path that ``name`` means: as the engine says; without it, that of a kept text with this file name."""
        path = script_path(name)
        if path in kept:
            return path
        saved = await self._saved_version(name)
        if saved is not None:
            return saved.info.path
        alike = [other for other in kept if other.rpartition("/")[2] == path]
        return alike[0] if len(alike) == 1 else path

    async def left_behind_paths(self) -> set[str]:
        """Scripts with unsaved text of earlier consoles."""
        return {entry.path for entry in await self._journal.left_behind()}

    async def _offer(self, entry: UnsavedText) -> None:
        saved = await self._saved_version(entry.path)
        saved_text = "" if saved is None else saved.text
        if saved is not None and saved.text == entry.text:
            await self._journal.discard(entry)
            return
        name = f"Unsaved text of {entry.path}" if entry.path else "Unsaved text without a name"
        answer = await self._host.push_screen_wait(
            ChoiceScreen(
                f"{name}, kept at {clock(entry.at)}",
                [Choice("r", "restore it into the editor"), Choice("x", "discard it", risky=True)],
                "decide later",
                lambda: (saved_text, entry.text),
            )
        )
        if answer == "x":
            await self._journal.discard(entry)
        elif answer == "r" and await self.may_leave():
            await self._restore(entry, saved)
        self._host.open_script_changed()

    async def _restore(self, entry: UnsavedText, saved: LoadedText | None) -> None:
        """Put the text back as unsaved, with the version that it grew from: saving notices what happened meanwhile."""
        known = saved is not None and saved.info.sha256 == entry.base_sha256
        base = Version(entry.base_sha256, saved.text if saved is not None and known else None)
        await self._put(entry.path, saved.info if saved else None, entry.text, base)
        self._editor.compare_with(saved.text if saved else "")
        self._go_to((entry.row, entry.column))
        if await self._journal.keep():
            await self._journal.discard(entry)

    async def _saved_version(self, path: str) -> LoadedText | None:
        if not path:
            return None
        try:
            return await self._texts.load(path)
        except (EngineError, EngineUnreachable):
            return None

    def _text_now(self) -> tuple[UnsavedText, bool]:
        row, column = self._editor.cursor_location
        return UnsavedText(self.path, self.text, self.base.sha256, row, column), self.dirty

    def _go_to(self, place: tuple[int, int]) -> None:
        """Put the cursor on a row and column, in the middle of the editor, once the text has its size there."""
        self._editor.call_after_refresh(self._editor.move_cursor, place, center=True)

    async def _show(self, loaded: LoadedText) -> None:
        await self._put(loaded.info.path, loaded.info, loaded.text, Version(loaded.info.sha256, loaded.text))

    async def _put(self, path: str, info: TextInfo | None, text: str, base: Version) -> None:
        """Put a text in the editor in place of the one there, which was saved, set aside or given up."""
        await self._journal.forget(self.path)
        self.path, self.info, self.gone = path, info, False
        self._refused = False
        self._editor.load(text, version=base, prose=is_document(path))
        self._host.open_script_changed()


async def safe_to_write(host: Host, open_script: OpenScript, path: str, then: str) -> bool:
    """Whether a script's file may be written past the editor: unsaved text of it is saved first, or nothing happens.

    Args:
        host: Asks.
        open_script: Knows which script is open.
        path: Of the script.
        then: What is about to be done, in the words of the answer: "open its frontmatter".
    """
    if path != open_script.path or not open_script.dirty:
        return True
    answer = await host.push_screen_wait(
        ChoiceScreen(
            f"{path} has unsaved text, and this changes its file",
            [Choice("s", f"save the text, then {then}")],
            "back, nothing done",
        )
    )
    return answer == "s" and await open_script.save()

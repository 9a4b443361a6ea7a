"""Does what the user wants of the repository: asks what must be asked, tells the engine, shows the answer."""

from __future__ import annotations

import asyncio

from engine.client.answers import EngineError
from engine.models.git import GitAuthor, GitCommitRequest, GitPaths, GitTrust, GitTrustRequest
from engine.registry.git import (
    GIT_AUTHOR,
    GIT_AUTHOR_SET,
    GIT_COMMIT,
    GIT_DIFF,
    GIT_LOG,
    GIT_PROGRAMS,
    GIT_SHOW,
    GIT_STAGE,
    GIT_TRUST,
    GIT_UNSTAGE,
    GitDiffParams,
    GitLogParams,
    GitShowParams,
)
from tui.connection import EngineConnection, problems_told
from tui.console.refresh import GIT_COMMITS, Refresh
from tui.editing.open_script import OpenScript
from tui.host import Host
from tui.screens.dialogs import AskScreen, Choice, ChoiceScreen
from tui.widgets.editor.editor import Editor
from tui.widgets.git_pane import SHORT, GitAction, GitPane

_UNTRUSTED = "untrusted"


class GitActions:
    """One wish after the other.

    Args:
        host: Shows dialogs and sentences.
        connection: May be away; then the user is told.
        open_script: Knows which script is open.
        editor: Takes old versions.
        pane: The git tab.
        refresh: Reads status and log again.
    """

    def __init__(
        self,
        host: Host,
        connection: EngineConnection,
        open_script: OpenScript,
        editor: Editor,
        pane: GitPane,
        refresh: Refresh,
    ) -> None:
        self._host = host
        self._connection = connection
        self._open_script = open_script
        self._editor = editor
        self._pane = pane
        self._refresh = refresh
        self._turn = asyncio.Lock()

    async def do(self, action: GitAction, subject: str) -> None:
        """Do it, or tell the user why not."""
        async with self._turn:
            with problems_told(self._host.notify_error):
                await self._do(action, subject)

    async def _do(self, action: GitAction, subject: str) -> None:
        match action:
            case GitAction.STAGE | GitAction.UNSTAGE:
                await self._stage(action, subject)
            case GitAction.FILE_DIFF | GitAction.COMMIT_DIFF:
                await self._show_difference(action, subject)
            case GitAction.OLDER:
                await self._show_older()
            case GitAction.LOG:
                await self._refresh.load_git()
            case GitAction.COMMIT:
                await self._commit()
            case GitAction.RESTORE:
                await self._restore(subject)
            case GitAction.AUTHOR:
                await self._ask_author(await self._connection.client.call(GIT_AUTHOR))
            case GitAction.TRUST:
                await self._ask_trust(await self._connection.client.call(GIT_PROGRAMS))

    async def _stage(self, action: GitAction, path: str) -> None:
        client = self._connection.client
        operation = GIT_STAGE if action is GitAction.STAGE else GIT_UNSTAGE
        try:
            status = await client.call(operation, body=GitPaths(paths=[path]))
        except EngineError as error:
            if error.code != _UNTRUSTED or not await self._ask_trust(await client.call(GIT_PROGRAMS)):
                raise
            status = await client.call(operation, body=GitPaths(paths=[path]))
        self._pane.show_status(status)

    async def _show_difference(self, action: GitAction, subject: str) -> None:
        client = self._connection.client
        if action is GitAction.COMMIT_DIFF:
            found = await client.call(GIT_DIFF, GitDiffParams(commit=subject))
        else:
            file = self._pane.file(subject)
            # What is still to be staged comes first; of a file that is staged whole there is only the other one.
            found = await client.call(
                GIT_DIFF, GitDiffParams(path=subject, staged=file is not None and file.worktree == " ")
            )
        await self._pane.show_difference(action, subject, found)

    async def _show_older(self) -> None:
        script = self._pane.script
        log = await self._connection.client.call(
            GIT_LOG, GitLogParams(path=script or None, limit=GIT_COMMITS, skip=self._pane.commits)
        )
        self._pane.show_older(log, script)

    async def _commit(self) -> None:
        """Ask for a message, and once for the author; a message that was typed is asked again, never lost."""
        client = self._connection.client
        await self._refresh.load_git()
        author = await client.call(GIT_AUTHOR)
        if author.name is None:
            author = await self._ask_author(author)
            if author.name is None:
                return
        question = f"Commit message, by {author.name} <{author.email}>"
        if self._open_script.dirty:
            question += "; the unsaved text will not be in it"
        message, problem = "", "" if self._pane.has_staged else "Nothing is staged yet: Space stages a file."
        while message := await self._ask(question, message, problem):
            try:
                made = await client.call(GIT_COMMIT, body=GitCommitRequest(message=message))
            except EngineError as error:
                if error.code == _UNTRUSTED:
                    await self._ask_trust(await client.call(GIT_PROGRAMS))
                problem = error.message
            else:
                self._host.notify(f"committed {made.sha[:SHORT]} {made.subject}")
                break
        await self._refresh.load_git()

    async def _ask_author(self, known: GitAuthor) -> GitAuthor:
        """Ask who this account's commits are by; what was known if the user gives up."""
        name, email, problem = known.name or "", known.email or "", ""
        while True:
            name = await self._ask("Your name, as it should stand in your commits", name, problem)
            email = await self._ask("Your e-mail address, likewise", email) if name else ""
            if not email:
                return known
            try:
                author = await self._connection.client.call(GIT_AUTHOR_SET, body=GitAuthor(name=name, email=email))
            except EngineError as error:
                problem = error.message
            else:
                self._host.notify(f"your commits are by {author.name} <{author.email}>")
                return author

    async def _ask(self, question: str, value: str, problem: str = "") -> str:
        """A line of text; empty if the user gives up."""
        return await self._host.push_screen_wait(AskScreen(question, value, problem)) or ""

    async def _ask_trust(self, seen: GitTrust) -> bool:
        """Whether the repository's own programs may run; asks if it is not decided."""
        if not seen.needed:
            self._host.notify("the repository names no programs; it needs no trust")
            return True
        listing = "\n".join(f"{one.kind} {one.name} = {one.value}" for one in seen.programs)
        if seen.trusted:
            answers = [Choice("x", "trust it no longer", risky=True)]
            question = f"You trust the {len(seen.programs)} programs and settings of this repository"
        else:
            answers = [Choice("t", "trust exactly these: filters and hooks run when you stage and commit", risky=True)]
            question = f"This repository names {len(seen.programs)} programs or settings that could run something"
        answer = await self._host.push_screen_wait(
            ChoiceScreen(question, answers, "leave it as it is", lambda: ("", listing))
        )
        if answer is None:
            return seen.trusted
        decided = await self._connection.client.call(
            GIT_TRUST, body=GitTrustRequest(fingerprint=seen.fingerprint if answer == "t" else None)
        )
        self._host.notify("trusted, exactly as it is now" if decided.trusted else "not trusted")
        return decided.trusted

    async def _restore(self, sha: str) -> None:
        """Put an old version into the editor as one edit that can be undone; saving it is the user's act."""
        if not self._open_script.path:
            self._host.notify("open the script first")
            return
        if self._open_script.is_document:
            self._host.notify("versions of a document are in its history: h in the list")
            return
        path = self._open_script.path
        found = await self._connection.client.call(GIT_SHOW, GitShowParams(commit=sha, path=path))
        if path == self._open_script.path:
            self._editor.replace(found.text, (0, 0), self._editor.document.end)
            self._host.notify(f"{path} of {sha[:SHORT]} is in the editor, unsaved; ^Z takes it back")

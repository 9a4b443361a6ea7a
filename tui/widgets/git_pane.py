"""The git tab: branch and changed files, below them the log; in their place, when asked for, one difference."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from tui.actions import Scope, bindings
from tui.text.formats import clock
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.widgets.diff_rows import diff_tone
from tui.widgets.row_list import Row, RowList

if TYPE_CHECKING:
    from engine.models.git import GitCommit, GitDiff, GitFile, GitLog, GitStatus

SHORT = 8
"""Digits of a commit that are shown."""


_FILE, _COMMIT, _OLDER = "file:", "commit:", "older"


class GitAction(Enum):
    """What the user wants done with the repository."""

    STAGE = auto()
    UNSTAGE = auto()
    FILE_DIFF = auto()
    COMMIT_DIFF = auto()
    OLDER = auto()
    LOG = auto()
    COMMIT = auto()
    RESTORE = auto()
    AUTHOR = auto()
    TRUST = auto()


class GitPane(Vertical):
    """Shows what the engine says about the repository, and says what the user wants of it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.GIT)

    @dataclass
    class Wanted(Message):
        """The user wants something. ``subject``: a file's path, or a commit."""

        action: GitAction
        subject: str = ""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._line = Static("", id="git-line", markup=False)
        self._rows = RowList(empty="Nothing changed, and there is no commit yet.")
        self._files: dict[str, GitFile] = {}
        self._commits: list[GitCommit] = []
        self._more = False
        self._script = ""
        self._heading = ""
        self._shown: str | None = None
        """Key of the row whose difference is on show."""
        self.whole_log = False
        """The log is that of the repository although a script is open."""

    def compose(self) -> ComposeResult:
        yield self._line
        yield self._rows

    def show(self, status: GitStatus, log: GitLog | None, script: str) -> None:
        """Show this status, and the log of a script, or of the repository if ``script`` is empty."""
        self.show_status(status)
        self._commits = list(log.commits) if log is not None else []
        self._more = log is not None and log.more
        self._script = script
        self._show_list()

    def show_status(self, status: GitStatus) -> None:
        """Show branch and changed files; the log stays."""
        self._heading = _heading(status)
        self._files = {file.path: file for file in status.files}
        self._show_list()

    def show_older(self, log: GitLog, script: str) -> None:
        """Go on with the log, unless it is another one by now."""
        if script == self._script:
            self._commits += log.commits
            self._more = log.more
            self._show_list()

    def show_problem(self, sentence: str) -> None:
        self._heading = f" {sanitise_line(sentence)}"
        self._files, self._commits, self._more = {}, [], False
        self._show_list()

    async def show_difference(self, action: GitAction, subject: str, found: GitDiff) -> None:
        """Show what changed in a file or by a commit, in place of the lists."""
        rows = await asyncio.to_thread(_difference_rows, found)
        self._shown = (_FILE if action is GitAction.FILE_DIFF else _COMMIT) + subject
        name = sanitise_line(subject if action is GitAction.FILE_DIFF else subject[:SHORT])
        self._line.update(f" {name}   Enter goes back")
        self._rows.set_empty("No difference: its content is the same, or it is not text.")
        self._rows.set_rows(rows)
        self._rows.action_edge(False)

    @property
    def script(self) -> str:
        """Whose log is on show; empty: the repository's."""
        return self._script

    @property
    def commits(self) -> int:
        """How many commits are on show."""
        return len(self._commits)

    @property
    def has_staged(self) -> bool:
        """Whether there is something to commit, as far as is known here."""
        return any(file.index not in " ?" for file in self._files.values())

    def file(self, path: str) -> GitFile | None:
        """A changed file, as it was shown."""
        return self._files.get(path)

    # Actions.

    def action_git_open(self) -> None:
        if self._shown is not None:
            self.action_git_back()
        elif key := self._key:
            self._open(key)

    def action_git_back(self) -> None:
        if self._shown is not None:
            key, self._shown = self._shown, None
            self._show_list(key)

    def action_git_stage(self) -> None:
        """Stage what is not staged of the file under the cursor, or take it all out again."""
        file = self._files.get(self._key.removeprefix(_FILE)) if self._key.startswith(_FILE) else None
        if file is not None:
            self.post_message(self.Wanted(GitAction.STAGE if file.worktree != " " else GitAction.UNSTAGE, file.path))

    def action_git_commit(self) -> None:
        self.post_message(self.Wanted(GitAction.COMMIT))

    def action_git_restore(self) -> None:
        if self._key.startswith(_COMMIT):
            self.post_message(self.Wanted(GitAction.RESTORE, self._key.removeprefix(_COMMIT)))

    def action_git_log(self) -> None:
        self.whole_log = not self.whole_log
        self.post_message(self.Wanted(GitAction.LOG))

    def action_git_author(self) -> None:
        self.post_message(self.Wanted(GitAction.AUTHOR))

    def action_git_trust(self) -> None:
        self.post_message(self.Wanted(GitAction.TRUST))

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_git_open()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()

    @property
    def _key(self) -> str:
        """Of the row that is meant: the one under the cursor, or the one whose difference is on show."""
        row = self._rows.current
        return self._shown or ("" if row is None else row.key)

    def _open(self, key: str) -> None:
        if key == _OLDER:
            self.post_message(self.Wanted(GitAction.OLDER))
        elif key.startswith(_FILE):
            self.post_message(self.Wanted(GitAction.FILE_DIFF, key.removeprefix(_FILE)))
        elif key.startswith(_COMMIT):
            self.post_message(self.Wanted(GitAction.COMMIT_DIFF, key.removeprefix(_COMMIT)))

    def _show_list(self, cursor: str | None = None) -> None:
        if self._shown is not None:
            return  # a difference is being read; what is new is shown when the reader is back
        self._line.update(self._heading)
        self._rows.set_empty("Nothing changed, and there is no commit yet.")
        self._rows.set_rows(list(self._list_rows()), cursor=cursor)

    def _list_rows(self) -> Iterator[Row]:
        yield from (_file_row(file) for file in self._files.values())
        if self._commits:
            yield Row("", f" log of {sanitise_line(self._script) or 'the repository'}", tone="dim")
        yield from (_commit_row(commit) for commit in self._commits)
        if self._more:
            yield Row(_OLDER, "   older ones", tone="dim")


def _heading(status: GitStatus) -> str:
    if not status.available:
        return f" {sanitise_line(status.problem or 'There is no git repository here.')}"
    where = sanitise_line(status.branch) if status.branch else f"no branch, at {(status.head or '')[:SHORT]}"
    begun = "" if status.head else " (no commit yet)"
    changed = f"{len(status.files)} changed" if status.files else "nothing changed"
    under_way = f", a {status.under_way} is under way" if status.under_way else ""
    part = f", part of {sanitise_line(status.repository or '')}" if status.is_part else ""
    return f" on {where}{begun}, {changed}{under_way}{part}"


def _file_row(file: GitFile) -> Row:
    state, tone = _state(file)
    return Row(_FILE + file.path, f" {file.index}{file.worktree} {sanitise_line(file.path)}", f"{state} ", tone)


def _state(file: GitFile) -> tuple[str, str]:
    """What the two letters mean for the next commit, and the tone of the row."""
    letters = file.index + file.worktree
    if "U" in letters or letters in ("AA", "DD"):
        return "conflict", "danger"
    if file.index in " ?":
        return "", ""
    return ("staged", "accent") if file.worktree == " " else ("staged in part", "accent")


def _commit_row(commit: GitCommit) -> Row:
    author, subject = sanitise_line(commit.author), sanitise_line(commit.subject)
    return Row(_COMMIT + commit.sha, f"   {commit.sha[:SHORT]}  {clock(commit.at)}  {author}  {subject}")


def _difference_rows(found: GitDiff) -> Sequence[Row]:
    lines = found.text.split("\n")[:-1]
    rows = [Row(str(number), f" {sanitise_code(line)}", tone=diff_tone(line)) for number, line in enumerate(lines)]
    return [*rows, Row("cut", " the difference is longer; the rest is not shown", tone="dim")] if found.cut else rows


def git_detail(status: GitStatus) -> str:
    """What the tab says: ``main +1``."""
    if not status.available:
        return ""
    where = status.branch or (status.head or "-")[:SHORT]
    return f"{where}{f' +{len(status.files)}' if status.files else ''}"

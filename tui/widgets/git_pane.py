"""The git tab: branch, changed files, log of the open script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.formats import clock
from tui.terminal_guard import sanitise_line

if TYPE_CHECKING:
    from engine.models import GitLog, GitStatus

_SHOWN_FILES = 200


class GitPane(VerticalScroll, can_focus=True):
    """Shows what the engine says about the repository."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._text = Static("", markup=False)

    def compose(self) -> ComposeResult:
        yield self._text

    def show(self, status: GitStatus, log: GitLog | None, script: str) -> None:
        """Show this status, and the log of a script if there is one."""
        text = Text()
        if not status.available:
            text.append(f" {sanitise_line(status.problem or 'There is no git repository here.')}\n")
        else:
            changed = f"{len(status.files)} changed" if status.files else "nothing changed"
            text.append(f" on {sanitise_line(status.branch or '(no commit yet)')}, {changed}\n", "bold")
            for file in status.files[:_SHOWN_FILES]:
                text.append(f"  {file.index}{file.worktree} {sanitise_line(file.path)}\n")
            if len(status.files) > _SHOWN_FILES:
                text.append(f"  and {len(status.files) - _SHOWN_FILES} more\n")
        if log is not None:
            _append_log(text, log, script)
        self._text.update(text)

    def show_problem(self, sentence: str) -> None:
        self._text.update(Text(f" {sanitise_line(sentence)}"))


def _append_log(text: Text, log: GitLog, script: str) -> None:
    name = sanitise_line(script)
    text.append(f" log of {name}\n" if log.commits else f" {name}: no commit yet\n", "bold")
    for commit in log.commits:
        author, subject = sanitise_line(commit.author), sanitise_line(commit.subject)
        text.append(f"  {commit.sha[:8]}  {clock(commit.at)}  {author}  {subject}\n")
    if log.more:
        text.append("  and older ones\n")


def git_detail(status: GitStatus) -> str:
    """What the tab says: ``main +1``."""
    if not status.available:
        return ""
    return f"{status.branch or '-'}{f' +{len(status.files)}' if status.files else ''}"

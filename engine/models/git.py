"""The repository that the project stands in."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from engine.models.base import Model


class GitFile(Model, frozen=True):
    path: str
    """Relative to the project's folder."""
    index: str
    worktree: str
    """The two letters of ``git status --porcelain`` (git-status(1))."""


class GitStatus(Model, frozen=True):
    available: bool
    problem: str | None = None
    branch: str | None = None
    """None when HEAD is on none."""
    files: list[GitFile] = []
    head: str | None = None
    """The commit that HEAD names; None when there is none yet."""
    under_way: str | None = None
    """``merge``, ``rebase``, ``cherry-pick`` or ``revert`` when one was begun and not ended."""
    repository: str | None = None
    """The folder that has it: the project's own, or one around it."""
    is_part: bool = False
    """The repository is a larger one around the project: only the project's part of it is listed and staged."""


class GitCommit(Model, frozen=True):
    sha: str
    author: str
    at: float
    subject: str


class GitLog(Model, frozen=True):
    commits: list[GitCommit]
    more: bool = False


class GitDiff(Model, frozen=True):
    """A unified difference, as git writes it."""

    text: str
    cut: bool = False
    """It is longer than what is sent; the end is missing."""


class GitPaths(Model, frozen=True):
    """Changed files as ``GitStatus`` lists them, or folders with changed files in them."""

    paths: Annotated[list[str], Meta(min_length=1, max_length=10_000)]


class GitCommitRequest(Model, frozen=True):
    """What is staged is committed; the engine adds a line that says who asked."""

    message: str


class GitAuthor(Model, frozen=True):
    """Who the caller's commits are by; both None when it was never said."""

    name: str | None = None
    email: str | None = None


class GitText(Model, frozen=True):
    """A script as a commit has it. To restore it, save it."""

    path: str
    sha: str
    text: str


class GitProgram(Model, frozen=True):
    """Something that the repository could make git run, or be led by."""

    kind: str
    """``setting``, ``hook`` or ``place``."""
    name: str
    value: str


class GitTrust(Model, frozen=True):
    """Whether the repository may be written to. One that names no programs needs no trust."""

    needed: bool
    trusted: bool
    fingerprint: str
    """Of exactly these programs."""
    programs: list[GitProgram] = []


class GitTrustRequest(Model, frozen=True):
    """``fingerprint``: of what the caller saw; None takes the trust back."""

    fingerprint: str | None = None

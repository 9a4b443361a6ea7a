"""Operations on the repository."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.git import (
    GitAuthor,
    GitCommit,
    GitCommitRequest,
    GitDiff,
    GitLog,
    GitPaths,
    GitStatus,
    GitText,
    GitTrust,
    GitTrustRequest,
)
from engine.registry.operation import MAX_ID, Operation

COMMIT = "A commit's hash, a branch or a tag, or what counts back from one: HEAD~1."


class GitLogParams(Model, frozen=True):
    path: Annotated[str, Meta(description="Only commits that touch this script.")] | None = None
    commit: Annotated[str, Meta(description=f"Begin there instead of at HEAD. {COMMIT}")] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    skip: Annotated[int, Meta(ge=0, le=MAX_ID)] = 0


class GitDiffParams(Model, frozen=True):
    path: Annotated[str, Meta(description="A file, as the status lists it; may be left out with commit.")] | None = None
    staged: Annotated[bool, Meta(description="From HEAD to the index instead of from the index to the file.")] = False
    commit: Annotated[str, Meta(description=f"What this one changed instead. {COMMIT}")] | None = None


class GitShowParams(Model, frozen=True):
    commit: Annotated[str, Meta(min_length=1, max_length=200, description=COMMIT)]
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]


GIT_STATUS = Operation(
    "git.status", "GET", "/git/status", GitStatus, "viewer", "See branch and changed files", cancels=True
)
GIT_LOG = Operation(
    "git.log", "GET", "/git/log", GitLog, "viewer", "List commits, newest first", params=GitLogParams, cancels=True
)
GIT_DIFF = Operation(
    "git.diff",
    "GET",
    "/git/diff",
    GitDiff,
    "author",
    "See what changed, in a file or by a commit",
    params=GitDiffParams,
    cancels=True,
)
GIT_SHOW = Operation(
    "git.show",
    "GET",
    "/git/show/{path:path}",
    GitText,
    "viewer",
    "See a script's text as a commit has it",
    params=GitShowParams,
    cancels=True,
)
GIT_STAGE = Operation(
    "git.stage",
    "POST",
    "/git/stage",
    GitStatus,
    "author",
    "Stage files: put changed ones into the index",
    body=GitPaths,
    cancels=True,
)
GIT_UNSTAGE = Operation(
    "git.unstage",
    "POST",
    "/git/unstage",
    GitStatus,
    "author",
    "Unstage files: take them out of the index",
    body=GitPaths,
    cancels=True,
)
GIT_COMMIT = Operation(
    "git.commit",
    "POST",
    "/git/commit",
    GitCommit,
    "author",
    "Commit what is staged, under the caller's name",
    body=GitCommitRequest,
    status=201,
    cancels=True,
)
GIT_AUTHOR = Operation("git.author", "GET", "/git/author", GitAuthor, "author", "See whom the caller's commits are by")
GIT_AUTHOR_SET = Operation(
    "git.author.set", "PUT", "/git/author", GitAuthor, "author", "Set whom the caller's commits are by", body=GitAuthor
)
GIT_PROGRAMS = Operation(
    "git.programs", "GET", "/git/trust", GitTrust, "viewer", "See what the repository could make git run", cancels=True
)
GIT_TRUST = Operation(
    "git.trust",
    "POST",
    "/git/trust",
    GitTrust,
    "admin",
    "Trust the repository, as it was seen, or no longer",
    body=GitTrustRequest,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    GIT_STATUS,
    GIT_LOG,
    GIT_DIFF,
    GIT_SHOW,
    GIT_STAGE,
    GIT_UNSTAGE,
    GIT_COMMIT,
    GIT_AUTHOR,
    GIT_AUTHOR_SET,
    GIT_PROGRAMS,
    GIT_TRUST,
)

"""Operations on the repository."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from engine.models import (
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
    Model,
)
from engine.registry.operation import MAX_ID, Operation


class GitLogParams(Model, frozen=True):
    path: Annotated[str, Meta(description="Only commits that touch this script.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    skip: Annotated[int, Meta(ge=0, le=MAX_ID)] = 0


class GitDiffParams(Model, frozen=True):
    path: Annotated[str, Meta(description="A file, as the status lists it; may be left out with commit.")] | None = None
    staged: Annotated[bool, Meta(description="From HEAD to the index instead of from the index to the file.")] = False
    commit: Annotated[str, Meta(description="What this commit changed instead; hexadecimal.")] | None = None


class GitShowParams(Model, frozen=True):
    commit: Annotated[str, Meta(min_length=7, max_length=64, description="In hexadecimal.")]
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]


GIT_STATUS = Operation("git.status", "GET", "/git/status", GitStatus, "viewer", "Branch and changed files")
GIT_LOG = Operation("git.log", "GET", "/git/log", GitLog, "viewer", "Commits, newest first", params=GitLogParams)
GIT_DIFF = Operation(
    "git.diff", "GET", "/git/diff", GitDiff, "author", "What changed in a file or by a commit", params=GitDiffParams
)
GIT_SHOW = Operation(
    "git.show",
    "GET",
    "/git/show/{commit}/{path:path}",
    GitText,
    "viewer",
    "A script's text as a commit has it",
    params=GitShowParams,
)
GIT_STAGE = Operation(
    "git.stage", "POST", "/git/stage", GitStatus, "author", "Put changed files into the index", request=GitPaths
)
GIT_UNSTAGE = Operation(
    "git.unstage", "POST", "/git/unstage", GitStatus, "author", "Take files out of the index", request=GitPaths
)
GIT_COMMIT = Operation(
    "git.commit",
    "POST",
    "/git/commit",
    GitCommit,
    "author",
    "Commit what is staged, under the caller's name",
    request=GitCommitRequest,
    status=201,
)
GIT_AUTHOR = Operation("git.author", "GET", "/git/author", GitAuthor, "author", "Who the caller's commits are by")
GIT_AUTHOR_SET = Operation(
    "git.author.set",
    "PUT",
    "/git/author",
    GitAuthor,
    "author",
    "Say who the caller's commits are by",
    request=GitAuthor,
)
GIT_PROGRAMS = Operation(
    "git.programs", "GET", "/git/trust", GitTrust, "viewer", "What the repository could make git run"
)
GIT_TRUST = Operation(
    "git.trust",
    "POST",
    "/git/trust",
    GitTrust,
    "admin",
    "Trust the repository as it was seen, or no longer",
    request=GitTrustRequest,
)

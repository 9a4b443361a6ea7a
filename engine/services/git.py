"""The project's repository, read only in this slice: state and history."""

from __future__ import annotations

import asyncio

from engine.models import GitCommit, GitFile, GitLog, GitStatus
from engine.services.access import ServiceError
from store.errors import StoreError
from store.git import GitRepo
from store.project import SCRIPTS

MAX_LOG = 200


class GitService:
    """One git command at a time: they share the repository's locks."""

    def __init__(self, repo: GitRepo) -> None:
        self._repo = repo
        self._turn = asyncio.Lock()

    async def status(self) -> GitStatus:
        """Branch and changed files; where there is no usable repository, why."""
        async with self._turn:
            found = await asyncio.to_thread(self._repo.status)
        return GitStatus(
            available=found.problem is None,
            problem=found.problem,
            branch=found.branch,
            files=[GitFile(path=file.path, index=file.index, worktree=file.worktree) for file in found.files],
        )

    async def log(self, path: str | None, *, limit: int = 50, skip: int = 0) -> GitLog:
        """Commits, newest first, of the repository or of one script."""
        if not 1 <= limit <= MAX_LOG or skip < 0:
            raise ServiceError("bad_request", f"limit must be 1 to {MAX_LOG} and skip must not be negative.")
        place = f"{SCRIPTS}/{path}" if path else None
        try:
            async with self._turn:
                commits = await asyncio.to_thread(self._repo.log, place, limit + 1, skip)
        except StoreError as error:
            raise ServiceError("git", error.sentence, hint=error.hint, status=422) from None
        return GitLog(
            commits=[GitCommit(sha=c.sha, author=c.author, at=c.at, subject=c.subject) for c in commits[:limit]],
            more=len(commits) > limit,
        )

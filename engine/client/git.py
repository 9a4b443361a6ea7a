"""Calls about the repository."""

from __future__ import annotations

from engine import registry
from engine.client.calls import Calls
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
)


class GitCalls(Calls):
    """Look into the repository, stage and commit."""

    async def git_status(self) -> GitStatus:
        return await self.call(registry.GIT_STATUS, GitStatus)

    async def git_log(self, path: str | None = None, limit: int = 50, skip: int = 0) -> GitLog:
        return await self.call(registry.GIT_LOG, GitLog, registry.GitLogParams(path=path, limit=limit, skip=skip))

    async def git_diff(self, path: str | None = None, *, staged: bool = False, commit: str | None = None) -> GitDiff:
        """What changed in a file, as the status lists it, or what a commit changed."""
        params = registry.GitDiffParams(path=path, staged=staged, commit=commit)
        return await self.call(registry.GIT_DIFF, GitDiff, params)

    async def git_show(self, commit: str, path: str) -> GitText:
        """A script's text as a commit has it."""
        return await self.call(registry.GIT_SHOW, GitText, registry.GitShowParams(commit=commit, path=path))

    async def git_stage(self, paths: list[str]) -> GitStatus:
        """Raises ``EngineError`` with code ``untrusted`` when the repository names programs that nobody trusted yet."""
        return await self.call(registry.GIT_STAGE, GitStatus, body=GitPaths(paths=paths))

    async def git_unstage(self, paths: list[str]) -> GitStatus:
        return await self.call(registry.GIT_UNSTAGE, GitStatus, body=GitPaths(paths=paths))

    async def git_commit(self, message: str) -> GitCommit:
        """Raises ``EngineError`` with code ``no_author`` when the caller has not said who their commits are by."""
        return await self.call(registry.GIT_COMMIT, GitCommit, body=GitCommitRequest(message=message))

    async def git_author(self) -> GitAuthor:
        return await self.call(registry.GIT_AUTHOR, GitAuthor)

    async def set_git_author(self, author: GitAuthor) -> GitAuthor:
        return await self.call(registry.GIT_AUTHOR_SET, GitAuthor, body=author)

    async def git_programs(self) -> GitTrust:
        """What the repository could make git run, and whether that is trusted."""
        return await self.call(registry.GIT_PROGRAMS, GitTrust)

    async def trust_git(self, fingerprint: str | None) -> GitTrust:
        """Trust what was seen, or take the trust back; refused with code ``changed`` when it is not that any more."""
        return await self.call(registry.GIT_TRUST, GitTrust, body=GitTrustRequest(fingerprint=fingerprint))

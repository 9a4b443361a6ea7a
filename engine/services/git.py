"""The project's repository: state, history, differences; staging and committing under the caller's name.

Commits happen only here, by a user's act: saving never commits. What their messages may be stands here as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.models.git import (
    GitAuthor,
    GitCommit,
    GitCommitRequest,
    GitDiff,
    GitFile,
    GitLog,
    GitPaths,
    GitProgram,
    GitStatus,
    GitText,
    GitTrust,
    GitTrustRequest,
)
from engine.registry.git import (
    GIT_AUTHOR,
    GIT_AUTHOR_SET,
    GIT_COMMIT,
    GIT_DIFF,
    GIT_LOG,
    GIT_PROGRAMS,
    GIT_SHOW,
    GIT_STAGE,
    GIT_STATUS,
    GIT_TRUST,
    GIT_UNSTAGE,
)
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.operations import implements
from store.errors import BadName, NotFound, StoreError
from store.git.changes import Author, GitChanges, NothingStaged, Untrusted
from store.git.command import GitLocked
from store.git.repository import Commit, GitRepo, Status
from store.git.trust import Programs, TrustFile
from store.project import SCRIPTS
from store.sizes import describe_size
from store.state.authors import Authors

MOST_TOLD = 100
"""Files that the audit has by their names; of more of them it has the number."""

MAX_LOG = 200

_EMAIL = re.compile(r"[^\s<>@]+@[^\s<>@]+")
_NAME = re.compile(r"[^<>\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\W_][^<>\x00-\x1f\x7f-\x9f\u2028\u2029]*")
_MAX_IDENTITY = 200

_ANSWERS: tuple[tuple[type[StoreError], str, int], ...] = (
    (Untrusted, "untrusted", 403),
    (GitLocked, "locked", 409),
    (NothingStaged, "nothing_staged", 422),
    (NotFound, "not_found", 404),
    (BadName, "bad_request", 400),
    (StoreError, "git", 422),
)

Result = TypeVar("Result")

MAX_MESSAGE = 64 << 10
"""Bytes."""

UID_TRAILER = "Gatewright-Uid"
TOKEN_TRAILER = "Gatewright-Token"  # noqa: S105 - the name of a line, no secret

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_TRAILER = re.compile(r"[A-Za-z0-9-]+: .+")
_FORGED = re.compile(rf"^[^\S\n]*+({UID_TRAILER}|{TOKEN_TRAILER})\s*+[:=]", re.IGNORECASE | re.MULTILINE)


class GitService:
    """One git command at a time: they share the repository's locks. A cancelled call ends its git first.

    Args:
        root: The project's folder.
        trust: The repositories that the owner trusts.
        authors: Who the commits of each account are by.
    """

    def __init__(self, root: Path, trust: TrustFile, authors: Authors, audit: AuditService | None = None) -> None:
        self._root = root
        self._trust = trust
        self._authors = authors
        self._audit = audit
        self._turn = asyncio.Lock()

    @implements(GIT_STATUS)
    async def status(self) -> GitStatus:
        """Branch and changed files; where there is no usable repository, why."""
        return self._status(await self._in_turn(lambda repo: repo.status()))

    @implements(GIT_LOG)
    async def log(self, path: str | None, *, limit: int = 50, skip: int = 0, commit: str | None = None) -> GitLog:
        """Commits, newest first, of the project or of one script, from HEAD or from ``commit`` on."""
        if not 1 <= limit <= MAX_LOG or skip < 0:
            raise ServiceError("bad_request", f"limit must be 1 to {MAX_LOG} and skip must not be negative.")
        place = f"{SCRIPTS}/{path}" if path else None
        commits = await self._in_turn(lambda repo: repo.log(place, limit + 1, skip, commit))
        return GitLog(commits=[_commit(commit) for commit in commits[:limit]], more=len(commits) > limit)

    @implements(GIT_DIFF)
    async def diff(self, actor: Actor, path: str | None, *, staged: bool, commit: str | None) -> GitDiff:  # noqa: ARG002 - its role is checked
        """What changed in a file, or what a commit changed, there or altogether."""
        if commit is not None:
            found = await self._in_turn(lambda repo: repo.commit_diff(commit, path))
        elif path:
            found = await self._in_turn(lambda repo: repo.diff(path, staged=staged))
        else:
            raise ServiceError("bad_request", "Say which file, or which commit.")
        return GitDiff(text=found.text, cut=found.cut)

    @implements(GIT_SHOW)
    async def show(self, commit: str, path: str) -> GitText:
        """A script's text as a commit has it. Nothing is saved."""
        data = await self._in_turn(lambda repo: repo.text_at(commit, f"{SCRIPTS}/{path}"))
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            sentence = f"{path} is not UTF-8 text in the commit {commit[:8]}."
            raise ServiceError("not_text", sentence, status=422) from None
        return GitText(path=path, sha=commit, text=text)

    @implements(GIT_STAGE)
    async def stage(self, request: GitPaths, actor: Actor) -> GitStatus:
        """Put changed files into the index as they are on disk."""
        found = self._status(await self._in_turn(lambda repo: _staged(repo, request.paths)))
        self._tell(actor, "git_stage", paths=request.paths[:MOST_TOLD], files=len(request.paths))
        return found

    @implements(GIT_UNSTAGE)
    async def unstage(self, request: GitPaths, actor: Actor) -> GitStatus:
        """Put files in the index back to what HEAD has."""
        found = self._status(await self._in_turn(lambda repo: _unstaged(repo, request.paths)))
        self._tell(actor, "git_unstage", paths=request.paths[:MOST_TOLD], files=len(request.paths))
        return found

    @implements(GIT_COMMIT)
    async def commit(self, request: GitCommitRequest, actor: Actor) -> GitCommit:
        """Commit what is staged, by the author that the caller's account has set.

        Raises:
            ServiceError: ``no_author``, ``untrusted``, ``locked``, ``nothing_staged`` or ``git``; nothing was
                committed.
        """
        message = commit_message(request.message, actor)
        author = await self._authors.of(actor.identity)
        if author is None:
            raise ServiceError(
                "no_author",
                f"{actor.name} has not said yet who their commits are by.",
                hint='Say it once: gatewright git author --name "Ada Lovelace" --email ada@plant.example',
                status=422,
            )
        made = _commit(await self._in_turn(lambda repo: GitChanges(repo).commit(message, author)))
        self._tell(actor, "git_commit", commit=made.sha, author=author.name, email=author.email)
        return made

    @implements(GIT_AUTHOR)
    async def author(self, actor: Actor) -> GitAuthor:
        """Who the caller's commits are by."""
        author = await self._authors.of(actor.identity)
        return GitAuthor() if author is None else GitAuthor(name=author.name, email=author.email)

    @implements(GIT_AUTHOR_SET)
    async def set_author(self, request: GitAuthor, actor: Actor) -> GitAuthor:
        """Say it, for every commit from now on."""
        name, email = (request.name or "").strip(), (request.email or "").strip()
        if len(name) > _MAX_IDENTITY or not _NAME.fullmatch(name):
            raise ServiceError("bad_request", "An author's name has letters or digits, and neither < nor >.")
        if len(email) > _MAX_IDENTITY or not (_EMAIL.fullmatch(email) and email.isprintable()):
            raise ServiceError("bad_request", "An author's e-mail address looks like ada@plant.example.")
        try:
            await self._authors.remember(actor.identity, Author(name, email))
        except StoreError as error:
            raise _refused(error) from None
        self._tell(actor, "git_author", author=name, email=email)
        return GitAuthor(name=name, email=email)

    @implements(GIT_PROGRAMS)
    async def programs(self) -> GitTrust:
        """What the repository could make git run, and whether its owner trusts that."""
        return await self._in_turn(_trust)

    @implements(GIT_TRUST)
    async def trust(self, request: GitTrustRequest, actor: Actor) -> GitTrust:
        """Trust the repository, if it is still what the caller saw, or no longer.

        Raises:
            ServiceError: ``changed``: it names something else now; nothing was trusted.
        """
        answer = await self._in_turn(lambda repo: self._trusted(repo, request.fingerprint, actor.uid))
        action = "git_trust" if request.fingerprint is not None else "git_distrust"
        self._tell(actor, action, fingerprint=request.fingerprint)
        return answer

    def _tell(self, actor: Actor, action: str, **detail: object) -> None:
        if self._audit is not None:
            self._audit.tell(actor, "git", action, str(self._root), **detail)

    def _status(self, found: Status) -> GitStatus:
        return GitStatus(
            available=found.problem is None,
            problem=found.problem,
            branch=found.branch,
            files=[GitFile(path=file.path, index=file.index, worktree=file.worktree) for file in found.files],
            head=found.head,
            under_way=found.under_way,
            repository=found.repository,
            is_part=found.repository not in (None, str(self._root)),
        )

    def _trusted(self, repo: GitRepo, fingerprint: str | None, uid: int) -> GitTrust:
        found = repo.programs()
        if fingerprint is None:
            self._trust.forget(found.git_folder)
        elif fingerprint == found.fingerprint:
            self._trust.trust(found.git_folder, fingerprint, uid)
        else:
            raise ServiceError(
                "changed",
                "The repository names other programs than those you saw; it was not trusted.",
                hint="Look again: gatewright git trust",
                status=409,
            )
        return _trust(repo, found)

    async def _in_turn(self, work: Callable[[GitRepo], Result]) -> Result:
        """Do ``work`` in a thread. When the caller is cancelled, its git ends before the next one's turn."""
        stop = threading.Event()
        repo = GitRepo(self._root, self._trust, stop)
        async with self._turn:
            task = asyncio.ensure_future(asyncio.to_thread(work, repo))
            try:
                return await asyncio.shield(task)
            except StoreError as error:
                raise _refused(error) from None
            except asyncio.CancelledError:
                stop.set()
                with contextlib.suppress(StoreError, ServiceError):
                    await task
                raise


def _staged(repo: GitRepo, paths: list[str]) -> Status:
    GitChanges(repo).stage(paths)
    return repo.status()


def _unstaged(repo: GitRepo, paths: list[str]) -> Status:
    GitChanges(repo).unstage(paths)
    return repo.status()


def _trust(repo: GitRepo, found: Programs | None = None) -> GitTrust:
    found = found or repo.programs()
    return GitTrust(
        needed=bool(found.found),
        trusted=repo.is_trusted(found),
        fingerprint=found.fingerprint,
        programs=[GitProgram(kind=one.kind, name=one.name, value=one.value) for one in found.found],
    )


def _commit(commit: Commit) -> GitCommit:
    return GitCommit(sha=commit.sha, author=commit.author, at=commit.at, subject=commit.subject)


def _refused(error: StoreError) -> ServiceError:
    code, status = next((code, status) for kind, code, status in _ANSWERS if isinstance(error, kind))
    return ServiceError(code, error.sentence, hint=error.hint, status=status)


def commit_message(text: str, actor: Actor) -> str:
    """The message with its trailer (git-interpret-trailers(1)): ``Gatewright-Uid: 1000 (alice)``, or
    ``Gatewright-Token: 3f9c… (token:ci)`` with the token's id.

    git is not asked to add it: that could run what the repository configures for trailers.

    Raises:
        ServiceError: ``bad_request``: it is empty, too long, or cannot be written down.
    """
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    message = "\n".join(lines).strip("\n")
    _check(message)
    name = "".join(character if character.isprintable() else "?" for character in actor.name)
    separator = "\n" if _ends_in_trailers(message) else "\n\n"
    trailer = f"{TOKEN_TRAILER}: {actor.token}" if actor.token else f"{UID_TRAILER}: {actor.uid}"
    return f"{message}{separator}{trailer} ({name})\n"


def _check(message: str) -> None:
    if not message.strip():
        raise ServiceError("bad_request", "A commit needs a message.")
    if _CONTROL.search(message):
        raise ServiceError("bad_request", "A commit's message holds no control characters.")
    if (forged := _FORGED.search(message)) is not None:
        raise ServiceError("bad_request", f"The line {forged[1]} is written by the engine.", hint="Leave it out.")
    try:
        size = len(message.encode("utf-8"))
    except UnicodeEncodeError:
        raise ServiceError("bad_request", "A commit's message must be UTF-8 text.") from None
    if size > MAX_MESSAGE:
        raise ServiceError("too_large", f"A commit's message may have {describe_size(MAX_MESSAGE)}.", status=413)


def _ends_in_trailers(message: str) -> bool:
    """Whether the last paragraph, which is not the first, is trailers only."""
    _, blank, last = message.rpartition("\n\n")
    return bool(blank) and all(_TRAILER.fullmatch(line) for line in last.split("\n"))

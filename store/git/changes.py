"""What changes a project's repository: stage, unstage, commit.

Staging and unstaging take exact names of changed files, from git's own list; staging is plumbing that looks at nothing
else (git-update-index(1)). A commit is made by ``git commit``, so that the hooks of a trusted repository are asked.

A repository that names programs is written to only when its owner trusts it: see ``store/git/trust.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from store.errors import BadName, NotFound, StoreError
from store.git.command import GitLocked, shown
from store.git.process import GitStopped
from store.git.repository import MAX_TEXT, ChangedFile, Commit, GitRepo
from store.git.trust import Programs
from store.git.untracked_diff import content

STAGE_TIMEOUT = 30.0
COMMIT_TIMEOUT = 50.0
"""Seconds; hooks of a trusted repository may take their time. Less than a client waits for its answer."""

NAMED = 3
"""How many names a sentence holds."""

_CONFLICTS = (b"DD", b"AU", b"UD", b"UA", b"DU", b"AA", b"UU")

_IDENTITY = re.compile(r"[^<>\x00-\x1f\x7f]{1,200}")


class Untrusted(StoreError):
    """The repository names programs, and its owner has not said that they may run."""


class NothingStaged(StoreError):
    """There is nothing to commit."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who a commit is by."""

    name: str
    email: str


class GitChanges:
    """Writes in one repository. Every method blocks: call it in a thread, one at a time."""

    def __init__(self, repo: GitRepo) -> None:
        self._repo = repo
        self._git = repo.git

    def stage(self, paths: Sequence[str]) -> None:
        """Put changed files, or all changed files of a folder, into the index as they are on disk.

        Raises:
            BadName: A path can be no file of the repository.
            NotFound: A path names nothing that changed.
            Untrusted: See the class.
            StoreError: git failed; nothing was staged.
        """
        settings = self._settings()
        names = self._chosen(paths, staged=False)
        command = ["update-index", "--add", "--remove", "--replace", "-z", "--stdin"]
        self._git.patiently(command, settings=settings, given=self._lines(names), timeout=STAGE_TIMEOUT)

    def unstage(self, paths: Sequence[str]) -> None:
        """Put files, or all staged files of a folder, in the index back to what HEAD has; files on disk stay.

        Raises:
            As ``stage``.
        """
        settings = self._settings()
        names = self._chosen(paths, staged=True)
        command = ["reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"]
        self._git.patiently(command, settings=settings, given=self._lines(names), timeout=STAGE_TIMEOUT)

    def commit(self, message: str, author: Author) -> Commit:
        """Commit what is staged.

        Args:
            message: The whole message.
            author: Also the committer.

        Raises:
            NothingStaged: There is nothing to commit.
            Untrusted: See the class.
            StoreError: There are conflicts, a hook refused, or git failed; nothing was committed.
        """
        for text in (author.name, author.email):
            if not _IDENTITY.fullmatch(text) or not text.strip():
                raise BadName("An author's name and e-mail address hold neither < nor > nor control characters.")
        found = self._repo.programs()
        settings = self._settings(found)
        self._check_ready()
        try:
            self._git.patiently(
                ["commit", "--quiet", "--file=-", "--cleanup=verbatim", "--no-gpg-sign", "--no-status"],
                settings=settings,
                hooks=self._repo.is_trusted(found),
                environment=_identity(author),
                given=message.encode("utf-8"),
                timeout=COMMIT_TIMEOUT,
            )
        except (GitLocked, GitStopped):
            raise
        except StoreError:
            self._check_ready()  # somebody else's commit may just have taken along what was staged
            raise
        return self._repo.newest(message)

    def _settings(self, found: Programs | None = None) -> dict[str, str]:
        """What the command runs with; refuses a repository that is not trusted although it names programs."""
        found = found or self._repo.programs()
        if not found.found:
            return self._git.empty_filters()
        if not self._repo.is_trusted(found):
            named = [f"{program.kind} {program.name}" for program in found.found]
            raise Untrusted(
                f"This repository could make git run something ({_listed(named)}), and nobody has trusted it yet.",
                "Look at what it names, then trust it: gatewright git trust",
            )
        return {}

    def _chosen(self, paths: Sequence[str], *, staged: bool) -> list[bytes]:
        """The changed files that ``paths`` name, each itself or by a folder above it."""
        wanted = dict(zip(self._repo.names(paths), paths, strict=True))
        letters_of = {name: letters for letters, name in self._repo.changed_names()}
        changed = dict.fromkeys(name for name, letters in letters_of.items() if _is_staged(letters) or not staged)
        chosen: dict[bytes, None] = {}
        for name, path in wanted.items():
            folder = name.rstrip(b"/") + b"/"
            below = [name] if name in changed else [other for other in changed if other.startswith(folder)]
            if not below:
                raise NotFound(f"Nothing {'is staged' if staged else 'changed'} at {path}.")
            chosen.update(dict.fromkeys(below))
        for name in chosen:
            if name.endswith(b"/"):
                raise StoreError(f"{shown(name)} is a repository of its own; it is not staged from here.")
            if not staged and letters_of[name] in _CONFLICTS and self._has_markers(name):
                raise StoreError(
                    f"{shown(name)} still has the marks of its conflict.", "Make it what it should be, then stage it."
                )
        return list(chosen)

    def _lines(self, names: Sequence[bytes]) -> bytes:
        return b"".join(self._repo.placed(name) + b"\0" for name in names)

    def _has_markers(self, name: bytes) -> bool:
        """Whether both versions still stand in the file, as git leaves them."""
        data = content(self._repo.root, name, MAX_TEXT)
        return all(any(line.startswith(mark) for line in data.split(b"\n")) for mark in (b"<<<<<<< ", b">>>>>>> "))

    def _check_ready(self) -> None:
        """Refuse a commit that git would refuse with a page of text, or that would not be what it looks like."""
        status = self._repo.status()
        if status.problem is not None:
            raise StoreError(status.problem)
        if status.under_way not in (None, "merge"):
            raise StoreError(
                f"A {status.under_way} is under way in this repository.",
                f"End it first, with git {status.under_way} --continue or --abort.",
            )
        conflicts = [file.path for file in status.files if file.is_conflict]
        if conflicts:
            raise StoreError(
                f"There are conflicts in {_listed(conflicts)}.", "Make each file what it should be, then stage it."
            )
        outside = self._repo.staged_outside() if status.under_way is None else []
        if outside:
            raise StoreError(
                f"Files outside this project are staged in {self._repo.top}: {_listed(outside)}.",
                "Commit them there with git, or unstage them, so that this commit has the project's files only.",
            )
        if status.under_way is None and not any(_in_index(file) for file in status.files):
            raise NothingStaged("Nothing is staged, so there is nothing to commit.", "Stage what should be in it.")


def _in_index(file: ChangedFile) -> bool:
    return file.index not in " ?"


def _is_staged(letters: bytes) -> bool:
    return letters[:1] not in b" ?"


def _identity(author: Author) -> dict[str, str]:
    return {
        f"GIT_{who}_{what}": text
        for who in ("AUTHOR", "COMMITTER")
        for what, text in (("NAME", author.name), ("EMAIL", author.email))
    }


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")

"""The project's repository, read: the only user of GitPython. What writes in it is ``store/git/changes.py``.

Reading runs nothing that the repository names, with one exception: of a repository that its owner trusts as it is now
the filters are used, because without them git would call files changed that are not.

GitPython reads the repository's HEAD; it is imported at first use because that takes 70 ms.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import BadName, NotFound, StoreError
from store.git.command import TIMEOUT, GitCommand, demand, repository_folder, shown
from store.git.trust import Programs, TrustFile, programs
from store.git.untracked_diff import new_file
from store.sizes import describe_size

if TYPE_CHECKING:
    from git import Repo

LOG_TIMEOUT = 10.0
DIFF_TIMEOUT = 10.0

RECENT = 20
"""Commits among which one that was just made is looked for."""

MAX_DIFF = 1 << 20
"""Bytes of a difference; what is longer is cut."""

MAX_TEXT = 1 << 20
"""Bytes of a file of an old commit."""

NO_DIFF_PROGRAMS = ("--no-ext-diff", "--no-textconv")
"""For every command that could show a difference."""

_PATCH = (
    *NO_DIFF_PROGRAMS,
    "--patch",
    "--no-color",
    "--no-renames",
    "--ignore-submodules=all",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--unified=3",
)

_HASH = re.compile(r"[0-9a-f]{7,64}")
_COMMIT = re.compile(r"(?!-)(?!.*(?:\.\.|//|@\{))[\w./@#+-]{1,200}(?:[~^]\d{0,6}){0,20}")
"""A hash, branch or tag with what counts back from it (gitrevisions(7)): no range, path, search or option."""
_LFS = b"version https://git-lfs.github.com/spec/"

_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
}


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """``index`` and ``worktree`` are the two letters of ``git status --porcelain`` (git-status(1))."""

    path: str
    index: str
    worktree: str

    @property
    def is_conflict(self) -> bool:
        """Whether both sides of a merge changed it, and nobody has said yet what it should be."""
        return "U" in (self.index, self.worktree) or (self.index, self.worktree) in (("A", "A"), ("D", "D"))


@dataclass(frozen=True, slots=True)
class Status:
    """``problem`` is one sentence when there is no usable repository."""

    problem: str | None = None
    branch: str | None = None
    """None when HEAD is not on a branch."""
    files: tuple[ChangedFile, ...] = ()
    head: str | None = None
    """The commit that HEAD names; None when there is none yet."""
    under_way: str | None = None
    """``merge``, ``rebase``, ``cherry-pick`` or ``revert`` when one was begun and not ended."""
    repository: str | None = field(default=None, compare=False)
    """The folder that has the repository: the project's own, or one around it."""


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    author: str
    at: float
    subject: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A unified difference. ``cut``: it is longer than ``MAX_DIFF``."""

    text: str
    cut: bool = False


class GitRepo:
    """The repository that a project stands in: its own, or a larger one around it, of which it is a part then.

    Every path here is relative to the project's folder, and nothing outside of that is listed, shown or staged. Every
    method blocks: call it in a thread.

    Args:
        root: The project's folder.
        trust: What its owner trusts; without it, nothing.
        stop: Set from another thread, it ends the command that goes on.
    """

    def __init__(self, root: Path, trust: TrustFile | None = None, stop: threading.Event | None = None) -> None:
        self.root = root
        self.top = repository_folder(root) or root
        """The folder that has the repository."""
        self._prefix = b"" if self.top == root else os.fsencode(root.relative_to(self.top)) + b"/"
        self.git = GitCommand(self.top, stop, around=self.top != root)
        self._trust = trust

    def status(self) -> Status:
        """Branch and changed files. Never raises for the state of the repository: ``problem`` says it."""
        try:
            folder = self._git_folder()
            branch = self._branch()
            head = self._head()
            files = self.changed()
        except StoreError as error:
            return Status(problem=error.sentence)
        names = (name for name in _UNDER_WAY if os.path.lexists(os.path.join(folder, os.fsencode(name))))
        return Status(
            branch=branch, files=files, head=head, under_way=_UNDER_WAY.get(next(names, "")), repository=str(self.top)
        )

    def changed(self) -> tuple[ChangedFile, ...]:
        """The changed files.

        Raises:
            StoreError: There is no usable repository.
        """
        return tuple(
            ChangedFile(path=shown(name), index=chr(letters[0]), worktree=chr(letters[1]))
            for letters, name in self.changed_names()
        )

    def changed_names(self) -> list[tuple[bytes, bytes]]:
        """Of each changed file the two letters, and its name as it is on disk."""
        command = ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all"]
        records = self._read([*command, "--", *self._own_part()]).split(b"\0")
        return [(record[:2], record[3:].removeprefix(self._prefix)) for record in records if record]

    def log(self, path: str | None = None, limit: int = 50, skip: int = 0, start: str | None = None) -> list[Commit]:
        """Commits that changed the project, newest first; none in a repository without commits.

        Args:
            path: Only commits that changed this file or folder.
            limit: How many at most.
            skip: How many to leave out first.
            start: The newest to be looked at: a hash, a branch or a tag; else HEAD.

        Raises:
            NotFound: There is no ``start``.
            StoreError: There is no usable repository.
        """
        if path:
            _check_path(path)
        if start is None and not self.has_commits():
            return []
        newest = "HEAD" if start is None else self._resolve(start)
        command = ["log", "-z", "--format=%H%x00%an%x00%at%x00%s", f"--max-count={limit}", f"--skip={skip}"]
        command += [*NO_DIFF_PROGRAMS, "--end-of-options", newest, "--"]
        part = [os.fsdecode(self.placed(_encoded(path)))] if path else self._own_part()
        answer = self._read([*command, *part], timeout=LOG_TIMEOUT)
        texts = answer.split(b"\0")
        return [_commit(texts[at : at + 4]) for at in range(0, len(texts) - 3, 4)]

    def newest(self, message: str) -> Commit:
        """The newest commit with this message: the one just made, also when somebody else has made one since.

        The newest of all, when none of the latest has it: a hook may change a message.
        """
        command = ["log", "-z", "--format=%H%x00%an%x00%at%x00%s%x00%B", f"--max-count={RECENT}", *NO_DIFF_PROGRAMS]
        texts = self._read([*command, "HEAD", "--"], timeout=LOG_TIMEOUT).split(b"\0")
        starts = range(0, len(texts) - 4, 5)
        at = next((at for at in starts if shown(texts[at + 4]).strip() == message.strip()), 0)
        return _commit(texts[at : at + 4])

    def has_commits(self) -> bool:
        """Whether HEAD names a commit.

        Raises:
            StoreError: There is no usable repository.
        """
        return self._head() is not None

    def diff(self, path: str, *, staged: bool = False) -> Difference:
        """What changed in a file: from the index to the file, or with ``staged`` from HEAD to the index.

        Args:
            path: As ``status`` shows it.
            staged: Which of the two differences.

        Raises:
            BadName: No file of the repository can have this name.
            StoreError: There is no usable repository.
        """
        (name,) = self.names([path])
        if name.endswith(b"/"):
            raise StoreError(f"{path} is a folder; differences are shown of files.")
        command = ["diff", *_PATCH, self._relative, *(["--cached"] if staged else [])]
        if not staged and (b"??", name) in self.changed_names():
            data, cut = new_file(self.root, name, MAX_DIFF)
            return Difference(shown(data), cut)
        return self._difference([*command, "--", self.placed(name)])

    def commit_diff(self, sha: str, path: str | None = None) -> Difference:
        """What a commit changed, compared with its first parent; with ``path`` only there."""
        whole = self._resolve(sha)
        command = ["show", "--format=", "-m", "--first-parent", *_PATCH, self._relative, whole, "--"]
        part = [self.placed(name) for name in self.names([path])] if path else self._own_part()
        return self._difference([*command, *part])

    def text_at(self, sha: str, path: str) -> bytes:
        """The content of a file as a commit has it.

        Args:
            sha: The commit's hash, a branch or a tag.
            path: Of the file.

        Raises:
            NotFound: There is no such commit, or no such file in it.
            StoreError: It is no ordinary file, or too large.
        """
        whole = self._resolve(sha)
        (name,) = self.names([path])
        found = demand(self.git.run(["ls-tree", "-z", "-l", whole, "--", os.fsdecode(self.placed(name))]))
        about, _, _ = found.partition(b"\t")
        if not found:
            raise NotFound(f"The commit {whole[:8]} has no file {path}.")
        mode, _, blob, size = about.split()
        if mode not in (b"100644", b"100755"):
            raise StoreError(f"{path} is not an ordinary file in the commit {whole[:8]}.")
        if not size.isdigit():
            raise StoreError(f"The repository lacks the content of {path} in the commit {whole[:8]}.")
        if int(size) > MAX_TEXT:
            raise StoreError(f"{path} is larger than {describe_size(MAX_TEXT)} in the commit {whole[:8]}.")
        data = demand(self.git.run(["cat-file", "blob", blob.decode("ascii")]))
        if data.startswith(_LFS):
            raise StoreError(f"The commit {whole[:8]} has only a pointer to {path}; the file itself is in git LFS.")
        return data

    def names(self, paths: Sequence[str]) -> list[bytes]:
        """The names on disk of files as ``status`` shows them: bytes that are not UTF-8 are shown escaped.

        Raises:
            BadName: No file of the repository can have such a name, or it could be either of two.
        """
        for path in paths:
            _check_path(path)
        if not any("\\" in path for path in paths):
            return [_encoded(path) for path in paths]
        by_path: dict[str, list[bytes]] = {}
        for _, name in self.changed_names():
            by_path.setdefault(shown(name), []).append(name)
        return [_only(path, by_path.get(path, [])) for path in paths]

    def has_past(self) -> bool:
        """Whether a commit knows anything of the project.

        Raises:
            StoreError: The repository is not usable.
        """
        return repository_folder(self.root) is not None and bool(self.log(limit=1))

    def init(self) -> None:
        """Make a repository unless the project stands in one. One around it that ignores the project does not count.

        Raises:
            StoreError: git is missing or failed, or the repository around the project is somebody else's.
        """
        if os.path.lexists(self.root / ".git"):
            return
        if self.top != self.root and not self._is_ignored():
            return
        own = GitCommand(self.root)
        demand(own.run(["init", "--quiet", "--template=", "--initial-branch=main"], discover=False))

    def placed(self, name: bytes) -> bytes:
        """The name that git has for a file of the project: relative to the folder that has the repository."""
        return self._prefix + name

    def staged_outside(self) -> list[str]:
        """Files outside the project that the next commit would hold, relative to the folder that has the repository."""
        if not self._prefix:
            return []
        begun = self.has_commits()
        command = ["diff-index", "--cached", "--name-only", "-z", "HEAD", "--"] if begun else ["ls-files", "-z"]
        names = demand(self.git.run(command)).split(b"\0")
        return [shown(name) for name in names if name and not name.startswith(self._prefix)]

    def programs(self) -> Programs:
        """What the repository could make git run.

        Raises:
            StoreError: There is no usable repository.
        """
        self.git.check()
        return programs(self.git)

    def is_trusted(self, found: Programs) -> bool:
        """Whether the owner trusts exactly this."""
        return self._trust is not None and self._trust.fingerprint(found.git_folder) == found.fingerprint

    def filters(self) -> dict[str, str]:
        """Settings that keep filters from running; none where the owner trusts them."""
        if self._trust is not None and self._trust.knows_any() and self.is_trusted(self.programs()):
            return {}
        return self.git.empty_filters()

    @property
    def _relative(self) -> str:
        """The option that has differences name files relative to the project, and show no others."""
        return f"--relative={os.fsdecode(self._prefix)}" if self._prefix else "--no-relative"

    def _own_part(self) -> list[str]:
        """The project's part of a larger repository, to follow ``--``."""
        return [os.fsdecode(self._prefix)] if self._prefix else []

    def _is_ignored(self) -> bool:
        """Whether the repository around the project takes no part in it (gitignore(5))."""
        self.git.check()
        # check-ignore refuses to work with literal pathspecs; what begins with ./ has no other meaning.
        place = f"./{os.fsdecode(self._prefix)}"
        answer = self.git.run(["check-ignore", "--quiet", place], environment={"GIT_LITERAL_PATHSPECS": "0"})
        return answer.code == 0

    def _git_folder(self) -> bytes:
        self.git.check()
        return demand(self.git.run(["rev-parse", "--absolute-git-dir"])).removesuffix(b"\n")

    def _branch(self) -> str | None:
        """The branch HEAD is on, read without running anything."""
        # git has just read the same configuration within its time limit; GitPython has none.
        repository = _open_repository(self.top)
        with contextlib.closing(repository):
            try:
                return None if repository.head.is_detached else shown(os.fsencode(repository.active_branch.name))
            except (ValueError, TypeError, OSError) as error:
                raise StoreError(f"The repository's HEAD cannot be read: {error}.") from error

    def _head(self) -> str | None:
        self.git.check()
        answer = self.git.run(["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])
        return None if answer.code == 1 else demand(answer).decode("ascii", "replace").strip()

    def _resolve(self, sha: str) -> str:
        """The whole name of a commit that a hash, a branch or a tag names."""
        if not _COMMIT.fullmatch(sha):
            raise BadName(
                f"{sha[:80]!r} names no commit.", "Give its hash in hexadecimal, a branch or a tag, or HEAD~1."
            )
        self.git.check()
        answer = self.git.run(["rev-parse", "--quiet", "--verify", "--end-of-options", f"{sha}^{{commit}}"])
        if answer.code != 0:
            kind = "commit" if _HASH.fullmatch(sha) else "commit, branch or tag"
            raise NotFound(f"There is no {kind} {sha[:80]}.")
        return answer.out.decode("ascii", "replace").strip()

    def _read(self, command: Sequence[str], timeout: float = TIMEOUT) -> bytes:
        """Run a command on the repository's files."""
        return demand(self.git.run(command, settings=self.filters(), timeout=timeout))

    def _difference(self, command: Sequence[str | bytes]) -> Difference:
        self.git.check()
        texts = [os.fsdecode(text) for text in command]
        answer = self.git.run(texts, settings=self.filters(), timeout=DIFF_TIMEOUT, limit=MAX_DIFF)
        data = answer.out[: answer.out.rfind(b"\n") + 1] if answer.cut else demand(answer)
        return Difference(shown(data), answer.cut)


def _check_path(path: str) -> None:
    """Refuse what cannot be the name of a file in the repository (and a folder above it)."""
    parts = path.rstrip("/").split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadName(f"{path!r} is no path inside the repository.", "Give it relative to the project's folder.")
    if any(part.casefold() == ".git" for part in parts):
        raise BadName(f"{path} belongs to the repository itself.")


def _encoded(path: str) -> bytes:
    try:
        return path.encode("utf-8")
    except UnicodeEncodeError:
        raise BadName(f"{path!r} is no path inside the repository: it is not UTF-8.") from None


def _only(path: str, names: Sequence[bytes]) -> bytes:
    """The one changed file that is shown as ``path``; else the path as it stands."""
    if len(names) > 1:
        raise BadName(f"More than one file is shown as {path}.", "Rename one of them.")
    return names[0] if names else _encoded(path)


def _commit(texts: Sequence[bytes]) -> Commit:
    sha, author, at, subject = (shown(text) for text in texts)
    try:
        seconds = float(at)
    except ValueError:  # a crafted commit need not have a date
        seconds = 0.0
    return Commit(sha=sha.strip(), author=author, at=seconds, subject=subject)


@contextlib.contextmanager
def _nothing_to_run() -> Iterator[None]:
    """Keep GitPython's first import from running ``git version`` in the environment of whoever started this process.

    It asks the program that the environment names, and takes one that may not be executed for a git that is missing,
    which quiet has it ignore. It reads files here and needs no git.
    """
    ours = {"GIT_PYTHON_REFRESH": "quiet", "GIT_PYTHON_GIT_EXECUTABLE": os.devnull}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _open_repository(root: Path) -> Repo:
    with _nothing_to_run():
        from git import Repo
        from git.exc import GitError

    try:
        return Repo(root, search_parent_directories=False, expand_vars=False)
    except (GitError, OSError, ValueError) as error:
        raise StoreError(f"The repository cannot be read: {error}.") from error

"""The project's repository: the only user of git and of GitPython.

A repository's own configuration can name programs that ordinary commands run: ``git status`` alone starts
``core.fsmonitor`` and clean filters. Nobody has said yet that they trust this repository, so every command here runs in
an environment built from nothing, with each such setting overridden (git-config(1), "ENVIRONMENT": GIT_CONFIG_COUNT has
the last word), and with filters, whose names are free, looked up first and emptied.

Commands are started directly, not by ``git.Git.execute``: that one always begins with the caller's own environment, and
a GIT_DIR there would win. GitPython reads the repository's HEAD; it is imported at first use because that takes 70 ms.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import StoreError

if TYPE_CHECKING:
    from git import Repo

TIMEOUT = 5.0
LOG_TIMEOUT = 10.0
TERMINATE_GRACE = 2.0
"""Seconds that git gets to remove its lock files after SIGTERM; SIGKILL would leave ``index.lock`` behind."""

MAX_FILTERS = 64

_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
    "GIT_EDITOR": "false",
    "GIT_PAGER": "cat",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    # A partial clone fetches missing objects by itself, from where its configuration says, with the program it names.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}

_OVERRIDES = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.sshCommand": "false",
    "core.quotePath": "false",
    "core.pager": "cat",
    "diff.external": "",
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "commit.gpgSign": "false",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "status.submoduleSummary": "false",
    "submodule.recurse": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "safe.bareRepository": "explicit",
}

NO_DIFF_PROGRAMS = ("--no-ext-diff", "--no-textconv")
"""For every command that could show a difference."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """``index`` and ``worktree`` are the two letters of ``git status --porcelain`` (git-status(1))."""

    path: str
    index: str
    worktree: str


@dataclass(frozen=True, slots=True)
class Status:
    """``problem`` is one sentence when there is no usable repository."""

    problem: str | None = None
    branch: str | None = None
    """None when HEAD is not on a branch."""
    files: tuple[ChangedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    author: str
    at: float
    subject: str


@dataclass(frozen=True, slots=True)
class _Answer:
    code: int
    out: bytes
    error: str


class GitRepo:
    """The repository at a project's root. Every method blocks: call it in a thread."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def status(self) -> Status:
        """Branch and changed files. Never raises for the state of the repository: ``problem`` says it."""
        try:
            branch = self._branch()
            answer = self._git(
                ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all"]
            )
        except StoreError as error:
            return Status(problem=error.sentence)
        return Status(branch=branch, files=tuple(_changed(record) for record in answer.split(b"\0") if record))

    def log(self, path: str | None = None, limit: int = 50, skip: int = 0) -> list[Commit]:
        """Commits that HEAD reaches, newest first; none in a repository without commits.

        Args:
            path: Only commits that changed this file or folder, relative to the repository's root.
            limit: How many at most.
            skip: How many to leave out first.

        Raises:
            StoreError: There is no usable repository.
        """
        if not self.has_commits():
            return []
        command = ["log", "-z", "--format=%H%x00%an%x00%at%x00%s", f"--max-count={limit}", f"--skip={skip}"]
        command += [*NO_DIFF_PROGRAMS, "--end-of-options", "HEAD", "--"]
        answer = self._git([*command, path] if path else command, timeout=LOG_TIMEOUT)
        texts = answer.split(b"\0")
        return [_commit(texts[at : at + 4]) for at in range(0, len(texts) - 3, 4)]

    def has_commits(self) -> bool:
        """Whether HEAD names a commit.

        Raises:
            StoreError: There is no usable repository.
        """
        self._check()
        answer = self._run(["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])
        if answer.code == 1:
            return False
        _demand(answer)
        return True

    def exists(self) -> bool:
        """Whether the root has a repository of its own, usable or not."""
        return os.path.lexists(self.root / ".git")

    def init(self) -> None:
        """Make a repository unless there is one.

        Raises:
            StoreError: git is missing or failed, or the folder is inside another repository.
        """
        if self.exists():
            return
        outer = next((parent for parent in self.root.parents if os.path.lexists(parent / ".git")), None)
        if outer is not None:
            raise StoreError(
                f"No repository was made because this folder is inside the one at {outer}.",
                "Run git init here if you want the project to have its own.",
            )
        _demand(self._run(["init", "--quiet", "--template=", "--initial-branch=main"], discover=False))

    def _branch(self) -> str | None:
        """The branch HEAD is on, read without running anything."""
        self._check()
        # git has just read the same configuration within its time limit; GitPython has none.
        _demand(self._run(["rev-parse", "--git-dir"]))
        repository = _open_repository(self.root)
        with contextlib.closing(repository):
            try:
                return None if repository.head.is_detached else _shown(os.fsencode(repository.active_branch.name))
            except (ValueError, TypeError, OSError) as error:
                raise StoreError(f"The repository's HEAD cannot be read: {error}.") from error

    def _check(self) -> None:
        """Refuse a repository that is missing, bare or somebody else's."""
        try:
            owner = os.stat(self.root / ".git").st_uid
        except OSError:
            if all(os.path.exists(self.root / name) for name in ("HEAD", "objects", "refs")):
                raise StoreError("This folder is a bare repository, which has no files to work on.") from None
            raise StoreError("This project has no git repository.", f"Run: git init '{self.root}'") from None
        if owner != os.geteuid():
            raise StoreError(
                f"The repository belongs to {_account(owner)}, so git is not used on it.",
                "Let its owner run the engine, or clone it.",
            )

    def _git(self, command: Sequence[str], timeout: float = TIMEOUT) -> bytes:
        """Run a command on the repository's files, with its filters disarmed."""
        return _demand(self._run(command, overrides=self._empty_filters(), timeout=timeout))

    def _empty_filters(self) -> dict[str, str]:
        """Settings that make each filter the repository defines a filter that does nothing (gitattributes(5))."""
        answer = self._run(["config", "--null", "--name-only", "--get-regexp", r"^filter\."])
        if answer.code == 1:  # none found
            return {}
        keys = [os.fsdecode(key) for key in _demand(answer).split(b"\0") if key]
        names = {key.removeprefix("filter.").rpartition(".")[0] for key in keys}
        if len(names) > MAX_FILTERS:
            raise StoreError(f"The repository defines {len(names)} filters; git is not used on it.")
        return {
            f"filter.{name}.{setting}": value
            for name in names
            for setting, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
        }

    def _run(
        self,
        command: Sequence[str],
        *,
        overrides: dict[str, str] | None = None,
        timeout: float = TIMEOUT,
        discover: bool = True,
    ) -> _Answer:
        program = shutil.which("git")
        if program is None:
            raise StoreError("git is not installed.", "Install git to see changes and history.")
        environment = self._environment({**_OVERRIDES, **(overrides or {})}, discover=discover)
        try:
            process = subprocess.Popen(
                [program, *command],
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise StoreError(f"git cannot be started: {os.strerror(error.errno or 0)}.") from error
        with process:
            return _communicate(process, command[0], timeout)

    def _environment(self, settings: dict[str, str], *, discover: bool) -> dict[str, str]:
        """Nothing of the caller's environment but where programs are found."""
        environment = dict(_ENVIRONMENT)
        environment["PATH"] = os.environ.get("PATH", os.defpath)
        environment["HOME"] = _home()
        environment["GIT_CEILING_DIRECTORIES"] = str(self.root.parent)
        if discover:
            # core.worktree could point the repository at any other folder.
            environment["GIT_WORK_TREE"] = str(self.root)
        environment["GIT_CONFIG_COUNT"] = str(len(settings))
        for at, (key, value) in enumerate(settings.items()):
            environment[f"GIT_CONFIG_KEY_{at}"] = key
            environment[f"GIT_CONFIG_VALUE_{at}"] = value
        return environment


def _communicate(process: subprocess.Popen[bytes], name: str, timeout: float) -> _Answer:
    try:
        out, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise StoreError(f"git {name} took longer than {timeout:g} s and was stopped.") from None
    except BaseException:
        _end(process)
        raise
    return _Answer(process.returncode, out, error.decode("utf-8", "backslashreplace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started: first so that it can clean up, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=TERMINATE_GRACE)
            return


def _demand(answer: _Answer) -> bytes:
    """The output of a command that succeeded."""
    if answer.code == 0:
        return answer.out
    lines = [line for line in answer.error.splitlines() if line.strip()]
    said = lines[0].removeprefix("fatal: ").rstrip(".") if lines else f"it ended with status {answer.code}"
    raise StoreError(f"git failed: {said}.")


def _changed(record: bytes) -> ChangedFile:
    """One record of ``--porcelain=v1 -z``: two letters, a blank, the path."""
    return ChangedFile(path=_shown(record[3:]), index=chr(record[0]), worktree=chr(record[1]))


def _commit(texts: Sequence[bytes]) -> Commit:
    sha, author, at, subject = (_shown(text) for text in texts)
    try:
        seconds = float(at)
    except ValueError:  # a crafted commit need not have a date
        seconds = 0.0
    return Commit(sha=sha.strip(), author=author, at=seconds, subject=subject)


def _shown(name: bytes) -> str:
    """Text that can be shown and sent: bytes that are not UTF-8 become ``\\xff``."""
    return name.decode("utf-8", "backslashreplace")


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"


def _open_repository(root: Path) -> Repo:
    # Otherwise the import fails where git is missing, which has a sentence of its own here.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from git import Repo
    from git.exc import GitError

    try:
        return Repo(root, search_parent_directories=False, expand_vars=False)
    except (GitError, OSError, ValueError) as error:
        raise StoreError(f"The repository cannot be read: {error}.") from error

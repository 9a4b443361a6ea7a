"""git as a program: started in an environment of ours, bounded in time and output, stopped as a whole.

A repository's own configuration can name programs that ordinary commands run: ``git status`` alone starts
``core.fsmonitor`` and clean filters. So every command runs in an environment built from nothing, with each such setting
overridden (git-config(1), "ENVIRONMENT": GIT_CONFIG_COUNT has the last word), and with filters, whose names are free,
looked up first and emptied. Only in a repository that its owner trusts (``store/git/trust.py``) are filters used and,
where something is written, hooks; everything else stays overridden even there.

Commands are started directly, not by ``git.Git.execute``: that one always begins with the caller's own environment, and
a GIT_DIR there would win.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import re
import resource
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from store.errors import StoreError
from store.git.process import GitResult, collect, end, stopped

TIMEOUT = 5.0
MAX_OUTPUT = 32 << 20

MAX_FILTERS = 64

USUAL_FILES = 1024
"""The soft limit of descriptors that hooks and filters expect, whatever the engine has (select(2))."""

LOCK_PATIENCE = 3.0
"""Seconds for which a command is tried again that another git keeps out."""

LOCK_RETRY = 0.25
STALE_LOCK = 600.0
"""Seconds after which a lock was probably left behind by a git that was killed."""

OLDEST = (2, 32)
"""GIT_CONFIG_COUNT came with 2.31, GIT_CONFIG_GLOBAL with 2.32: an older git would follow others' configuration."""

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
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_PAGER": "cat",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    # A partial clone fetches missing objects by itself, from where its configuration says, with the program it names.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}

HOOKS_PATH = "core.hooksPath"

_OVERRIDES = {
    "core.fsmonitor": "false",
    HOOKS_PATH: os.devnull,
    "core.attributesFile": os.devnull,
    "core.sshCommand": "false",
    "core.quotePath": "false",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "true",
    "color.ui": "false",
    "commit.gpgSign": "false",
    "commit.verbose": "false",
    "commit.status": "false",
    "credential.helper": "",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "diff.orderFile": os.devnull,
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "log.showRoot": "true",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "status.submoduleSummary": "false",
    "submodule.recurse": "false",
    "i18n.commitEncoding": "UTF-8",
    "i18n.logOutputEncoding": "UTF-8",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "safe.bareRepository": "explicit",
}

_LOCKED = re.compile(r"Unable to create '(?P<lock>.+\.lock)': File exists")


def repository_folder(root: Path) -> Path | None:
    """Return the folder whose repository a project at ``root`` uses: itself, or the nearest around it that has one."""
    return next((folder for folder in (root, *root.parents) if os.path.lexists(folder / ".git")), None)


class GitLocked(StoreError):
    """Another git is at work in the repository, or was killed there."""


class GitCommand:
    """Runs git in one folder. Every method blocks: call it in a thread.

    Args:
        root: The folder that has the repository; one around it is never used.
        stop: Set from another thread, it ends the command that goes on: git and everything that git started.
        around: The folder is not the project's own, but one around it.
    """

    def __init__(self, root: Path, stop: threading.Event | None = None, *, around: bool = False) -> None:
        self.root = root
        self._name = f"The repository around this project, {root}," if around else "The repository"
        self._stop = stop or threading.Event()

    def check(self) -> None:
        """Refuse a repository that is missing, bare or somebody else's."""
        try:
            owner = os.stat(self.root / ".git").st_uid
        except OSError:
            if all(os.path.exists(self.root / name) for name in ("HEAD", "objects", "refs")):
                raise StoreError("This folder is a bare repository, which has no files to work on.") from None
            raise StoreError(
                "This project has no git repository.", f"Run: git init {shlex.quote(str(self.root))}"
            ) from None
        if owner != os.geteuid():
            raise StoreError(
                f"{self._name} belongs to {_account(owner)}, so git is not used on it.",
                "Let its owner run the engine, or clone it.",
            )

    def run(
        self,
        command: Sequence[str],
        *,
        settings: Mapping[str, str] | None = None,
        hooks: bool = False,
        environment: Mapping[str, str] | None = None,
        given: bytes | None = None,
        timeout: float = TIMEOUT,
        limit: int = MAX_OUTPUT,
        discover: bool = True,
    ) -> GitResult:
        """Run one command to its end.

        Args:
            command: Without ``git``; nothing that a user typed may stand where an option could.
            settings: Configuration that has the last word, beside that of this module.
            hooks: Let git find the repository's hooks.
            environment: Variables beside those of this module.
            given: What git reads on its standard input.
            timeout: Seconds.
            limit: Bytes of output after which git is stopped.
            discover: The repository is there already.

        Raises:
            StoreError: git is missing, too old, or was stopped.
        """
        overrides = {**_OVERRIDES, **(settings or {})}
        if hooks:
            del overrides[HOOKS_PATH]
        with _standard_input(given) as stdin:
            try:
                process = subprocess.Popen(
                    [_program(), *command],
                    cwd=self.root,
                    env={**self._environment(overrides, discover=discover), **(environment or {})},
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise StoreError(f"git cannot be started: {os.strerror(error.errno or 0)}.") from error
        with process:
            try:
                _limit_files(process.pid)
                return collect(process, command[0], timeout, limit, self._stop)
            except BaseException:
                end(process)
                raise

    def patiently(
        self,
        command: Sequence[str],
        *,
        settings: Mapping[str, str] | None = None,
        hooks: bool = False,
        environment: Mapping[str, str] | None = None,
        given: bytes | None = None,
        timeout: float = TIMEOUT,
    ) -> bytes:
        """Run a command that writes; while another git is at work in the repository, try again for a few seconds."""
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            answer = self.run(
                command, settings=settings, hooks=hooks, environment=environment, given=given, timeout=timeout
            )
            if not _LOCKED.search(answer.error) or answer.code == 0 or time.monotonic() > deadline:
                return demand(answer)
            if self._stop.wait(LOCK_RETRY):
                raise stopped(command[0])

    def empty_filters(self) -> dict[str, str]:
        """Settings that make each filter the repository defines a filter that does nothing (gitattributes(5))."""
        answer = self.run(["config", "--null", "--name-only", "--get-regexp", r"^filter\."])
        if answer.code == 1:  # none found
            return {}
        keys = [os.fsdecode(key) for key in demand(answer).split(b"\0") if key]
        names = {key.removeprefix("filter.").rpartition(".")[0] for key in keys}
        if len(names) > MAX_FILTERS:
            raise StoreError(f"The repository defines {len(names)} filters; git is not used on it.")
        return {
            f"filter.{name}.{setting}": value
            for name in names
            for setting, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
        }

    def _environment(self, settings: Mapping[str, str], *, discover: bool) -> dict[str, str]:
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


def demand(answer: GitResult) -> bytes:
    """The output of a command that succeeded.

    Raises:
        GitLocked: Another git kept it out.
        StoreError: It failed, or said more than anybody would read.
    """
    if answer.cut:
        raise StoreError("git said more than can be shown; it was stopped.")
    if answer.code == 0:
        return answer.out
    if lock := _LOCKED.search(answer.error):
        raise _locked(lock["lock"])
    lines = [line for line in answer.error.splitlines() if line.strip()]
    said = lines[0].removeprefix("fatal: ").removeprefix("error: ").rstrip(".") if lines else ""
    raise StoreError(f"git failed: {said or f'it ended with status {answer.code}'}.")


def _limit_files(pid: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = USUAL_FILES if hard == resource.RLIM_INFINITY else min(USUAL_FILES, hard)
    with contextlib.suppress(OSError):  # it has ended already
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))


@contextlib.contextmanager
def _standard_input(given: bytes | None) -> Iterator[int]:
    """A descriptor to read ``given`` from; a file in memory, so that nobody has to feed a pipe meanwhile."""
    if given is None:
        yield subprocess.DEVNULL
        return
    descriptor = os.memfd_create("git-input")
    try:
        rest = memoryview(given)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _program() -> str:
    """git's path.

    Raises:
        StoreError: There is none, or it is too old to be kept from running what a repository names.
    """
    program = shutil.which("git")
    if program is None:
        raise StoreError("git is not installed.", "Install git to see changes and history.")
    try:
        version = _version(program, os.stat(program).st_mtime_ns)
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError(f"git cannot be started: {error}.") from error
    if version < OLDEST:
        oldest, found = (".".join(str(number) for number in numbers) for numbers in (OLDEST, version))
        raise StoreError(f"git {found} is too old to be used safely.", f"Install git {oldest} or newer.")
    return program


@functools.lru_cache(maxsize=8)
def _version(program: str, changed_ns: int) -> tuple[int, ...]:  # noqa: ARG001 - another file is asked again
    environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
    done = subprocess.run(
        [program, "version"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    found = re.search(rb"(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _locked(lock: str) -> GitLocked:
    try:
        old = time.time() - os.stat(lock).st_mtime
    except OSError:
        old = 0.0
    if old > STALE_LOCK:
        return GitLocked(
            f"The repository is locked by {lock}, which is {old / 60:.0f} minutes old.",
            f"If no git is at work there any more, remove it: rm '{lock}'",
        )
    return GitLocked(
        f"Another git is at work in the repository: it holds {lock}.", "Wait until it is done, then try again."
    )


def shown(name: bytes) -> str:
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

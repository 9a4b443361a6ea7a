"""The interpreters of this host that scripts may run on: where they are, and whether each can be trusted.

An interpreter runs with the rights of the engine's account before any layer of the sandbox is on, so what is asked of
it is what sshd asks of its keys: that no other ordinary account can change it (sshd_config(5), StrictModes).
"""

from __future__ import annotations

import contextlib
import functools
import grp
import os
import pwd
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

OLDEST = (3, 9)
NEWEST = (3, 14)
"""What the worker's code is proved on."""

CHECK_TIMEOUT = 10.0

MAX_ANSWER = 1 << 20
"""Bytes of what an interpreter tells of itself."""

_QUESTION = """import os, platform, sys
print(sys.implementation.name, platform.python_version(), getattr(sys, 'abiflags', '') or '-')
print(os.path.dirname(os.path.realpath(os.__file__)))
for line in open('/proc/self/maps'):
    if ' r-xp ' in line and '/' in line: print(line[line.index('/'):].rstrip('\\n'))
"""
"""What an interpreter is, where its standard library is, and which files its code came from (proc(5))."""

_NAMES = ("python3", "python", *(f"python3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)))


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One that scripts may run on.

    Attributes:
        path: Absolute and resolved.
        version: Such as ``3.12.3``.
        source: ``system``, ``local``, ``pyenv``, ``uv``, ``added``, ``own``, which is the engine's, or ``used``, by an
            environment.
    """

    path: Path
    version: str
    source: str


class UnusableInterpreter(Exception):
    """Scripts cannot run on an interpreter. The message is the sentence for the user.

    Attributes:
        path: Resolved, as far as it can be.
        version: As far as it is known.
        source: As in ``Interpreter``.
    """

    def __init__(self, sentence: str, path: Path, version: str = "") -> None:
        super().__init__(sentence)
        self.path = path
        self.version = version
        self.source = "added"


@dataclass(frozen=True, slots=True)
class FoundInterpreters:
    """The interpreters of a host, the newest version first.

    Attributes:
        usable: What scripts may run on.
        unusable: What looks like an interpreter, with the reason why none of them may.
    """

    usable: list[Interpreter] = field(default_factory=list)
    unusable: list[UnusableInterpreter] = field(default_factory=list)


def find_interpreters(added: Iterable[Path] = ()) -> list[Interpreter]:
    """Return the interpreters that scripts may run on, the newest version first. Blocks.

    Args:
        added: Paths that an administrator added.
    """
    return look_for_interpreters(added).usable


def look_for_interpreters(added: Iterable[Path] = (), used: Iterable[Path] = ()) -> FoundInterpreters:
    """Return every interpreter of the usual places, also those that cannot be used. Blocks.

    Args:
        added: Paths that an administrator added.
        used: Interpreters of environments, wherever they are.
    """
    found = FoundInterpreters()
    seen: set[Path] = set()
    for path, source in (*_candidates(added), *((path, "used") for path in used)):
        resolved = Path(os.path.realpath(path))
        if resolved in seen:
            continue
        seen.add(resolved)
        if source not in ("added", "used") and not _is_program(resolved):
            continue  # a shim of pyenv's, or nothing of ours
        try:
            found.usable.append(check_interpreter(resolved, source))
        except UnusableInterpreter as problem:
            found.unusable.append(problem)
    found.usable.sort(key=lambda one: (version_parts(one.version), str(one.path)), reverse=True)
    found.unusable.sort(key=lambda one: (version_parts(one.version), str(one.path)), reverse=True)
    return found


def check_interpreter(path: Path, source: str = "added") -> Interpreter:
    """Return the interpreter at ``path``, which may be a symbolic link. Blocks: it is run.

    It is run only after nothing speaks against that.

    Raises:
        UnusableInterpreter: Scripts cannot run on it; the sentence says why.
    """
    if not path.is_absolute() or "\0" in str(path):
        raise UnusableInterpreter(f"{str(path)!r} is no absolute path: give it from / on.", path)
    resolved = Path(os.path.realpath(path))
    try:
        info = _looked_at(path, resolved)
        _require_interpreter(path, resolved)
        return _asked_for(path, resolved, source, info)
    except UnusableInterpreter as problem:
        problem.source = source
        raise


def interpreter_of(prefix: Path) -> Path:
    """Return the interpreter that the virtual environment in ``prefix`` was made from. Nothing is run but in a check.

    Its ``bin/python`` is a link to it. Anything else there is a copy, or what a package has put there, and is never
    executed: then ``pyvenv.cfg`` says where the interpreter is, and whatever it says is checked.

    Raises:
        UnusableInterpreter: There is none, or none that can be trusted.
    """
    prefix = Path(os.path.realpath(prefix))
    linked = Path(os.path.realpath(prefix / "bin" / "python"))
    if not linked.is_relative_to(prefix):
        if (writer := distrust(linked)) is not None:
            raise UnusableInterpreter(f"The interpreter of {prefix} cannot be trusted: {writer}.", linked)
        return linked
    try:
        lines = (prefix / "pyvenv.cfg").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    version = ".".join(map(str, version_parts(said.get("version", said.get("version_info", "")))[:2]))
    for name in dict.fromkeys((f"python{version}", "python3")):
        found = Path(os.path.realpath(Path(said.get("home", ""), name)))
        if found.is_absolute() and found.is_file() and not found.is_relative_to(prefix):
            return check_interpreter(found).path
    raise UnusableInterpreter(f"The interpreter that {prefix} was made from is not known.", linked)


def distrust(interpreter: Path) -> str | None:
    """Say in a clause why an interpreter, or a folder, that is in use must not be any longer; None if nothing is wrong.

    It is not run for that. The engine's own is trusted as it is: this process runs on it. Blocks.
    """
    return None if interpreter == Path(os.path.realpath(sys.executable)) else _who_may_change(interpreter)


def version_parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to be compared: (3, 12, 3)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _looked_at(path: Path, resolved: Path) -> os.stat_result:
    """Return what the file system says of a file that no other account can change."""
    account = _account(os.geteuid())
    try:
        info = resolved.stat()
    except PermissionError:
        raise UnusableInterpreter(f"{path} is out of reach of the engine's account ({account}).", resolved) from None
    except OSError:  # also a loop of links
        raise UnusableInterpreter(f"There is no file {path}.", resolved) from None
    if not stat.S_ISREG(info.st_mode):
        raise UnusableInterpreter(f"{path} is no file: give an interpreter's path, such as .../bin/python3.", resolved)
    if (writer := _who_may_change(resolved)) is not None:
        raise UnusableInterpreter(f"{path} cannot be trusted: {writer}.", resolved)
    if not os.access(resolved, os.X_OK):
        raise UnusableInterpreter(f"The engine's account ({account}) may not execute {resolved}.", resolved)
    return info


def _require_interpreter(path: Path, resolved: Path) -> None:
    """Refuse what need not be run to be known as unfit."""
    if not _is_program(resolved):
        raise UnusableInterpreter(
            f"{path} is no Python interpreter. If it is a script that starts one, give the interpreter's own path.",
            resolved,
        )
    if any((folder / "pyvenv.cfg").exists() for folder in (resolved.parent, resolved.parent.parent)):
        raise UnusableInterpreter(
            f"{path} is a copy in a virtual environment: give the interpreter that this was made from.", resolved
        )
    if (named := re.fullmatch(r"python(\d+\.\d+).?", resolved.name)) is not None:
        _require_version(path, resolved, named.group(1))
    version = "3" if named is None else named.group(1)
    for library in resolved.parent.parent.glob(f"lib*/python{version}*"):  # before it is run
        _require_library(path, resolved, library)


def _asked_for(path: Path, resolved: Path, source: str, info: os.stat_result) -> Interpreter:
    answer = _ask(resolved, (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    lines = answer.splitlines()
    words = lines[0].split(" ") if lines else []
    if len(words) != 3 or len(lines) < 2 or re.fullmatch(r"\d+\.\d+\.\d+\S{0,20}", words[1]) is None:
        raise UnusableInterpreter(f"{path} does not run: it does not tell its version.", resolved)
    implementation, version, flags = words
    if implementation != "cpython":
        raise UnusableInterpreter(
            f"{path} is {implementation[:20]}, and scripts run on CPython only.", resolved, version
        )
    _require_version(path, resolved, version)
    if "t" in flags:
        raise UnusableInterpreter(
            f"{path} is a free-threaded build of Python, which few packages are made for: give an ordinary one.",
            resolved,
            version,
        )
    _require_library(path, resolved, Path(lines[1]), version)
    for mapped in dict.fromkeys(lines[2:]):
        if (writer := _who_may_change(Path(mapped))) is not None:
            raise UnusableInterpreter(f"{path} cannot be trusted: {writer}.", resolved, version)
    return Interpreter(resolved, version, source)


def _require_version(path: Path, resolved: Path, version: str) -> None:
    minor = version_parts(version)[:2]
    if OLDEST <= minor <= NEWEST:
        return
    many = f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}"
    age = "old" if minor < OLDEST else "new"
    raise UnusableInterpreter(
        f"{path} is Python {version}, which is too {age}: scripts run on {many}.", resolved, version
    )


def _require_library(path: Path, resolved: Path, library: Path, version: str = "") -> None:
    """Ask of the standard library, and of what lies directly in it, what is asked of the interpreter."""
    try:
        inside = list(os.scandir(library)) if library.is_dir() else []
    except OSError as error:
        raise UnusableInterpreter(
            f"The standard library of {path} cannot be read: {library}: {error.strerror}.", resolved, version
        ) from None
    writer = _who_may_change(library) if library.exists() else None
    for entry in inside:
        writer = writer or _writer(entry.path, entry.stat(follow_symlinks=False))
    if writer is not None:
        raise UnusableInterpreter(f"The standard library of {path} cannot be trusted: {writer}.", resolved, version)


def _ask(interpreter: Path, stamp: tuple[int, ...]) -> str:
    """Return what an interpreter tells of itself; nothing if it does not run."""
    try:
        return _answer(interpreter, stamp)
    except ChildProcessError:
        return ""


@functools.lru_cache(maxsize=64)
def _answer(interpreter: Path, stamp: tuple[int, ...]) -> str:  # noqa: ARG001 - another file there is asked again
    """Return what an interpreter tells of itself.

    Nothing of this process's environment reaches it, and none of its packages' code is run (-I -S).

    Raises:
        ChildProcessError: It does not run now; it is asked again, since the host may have been busy.
    """
    return answer_of([str(interpreter), "-I", "-S", "-B", "-c", _QUESTION]).decode("utf-8", "surrogateescape")


def answer_of(command: list[str]) -> bytes:
    """Return what a program prints, in ``CHECK_TIMEOUT`` and to ``MAX_ANSWER``; then it and what it started is ended.

    Raises:
        ChildProcessError: It cannot be started, fails, takes longer or prints more.
    """
    try:
        process = subprocess.Popen(
            command, env={}, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ChildProcessError(error.strerror) from None
    timer = threading.Timer(CHECK_TIMEOUT, _end, [process])
    with process:
        timer.start()
        try:
            answer = cast("IO[bytes]", process.stdout).read(MAX_ANSWER + 1)
            if len(answer) > MAX_ANSWER:
                _end(process)
            code = process.wait()
        finally:
            timer.cancel()
    if code != 0:
        raise ChildProcessError(f"{command[0]} ended with {code}")
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # else its number may be that of another one by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _candidates(added: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Return paths where interpreters may be, with their source. What was added comes first, the engine's own last."""
    for path in added:
        yield path, "added"
    home = Path(os.path.expanduser("~"))
    places: list[tuple[Path, str]] = [(Path("/usr/bin"), "system"), (Path("/usr/local/bin"), "local")]
    opt = Path("/opt")
    places += [(folder, "local") for pattern in ("*/bin", "python/*/bin") for folder in _folders(opt, pattern)]
    pyenvs = {home / ".pyenv", Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")}
    places += [(folder, "pyenv") for root in sorted(pyenvs) for folder in _folders(root, "versions/*/bin")]
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    managed = {data / "uv" / "python", Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")}
    places += [(folder, "uv") for root in sorted(managed) for folder in _folders(root, "*/bin")]
    for entry in os.environ.get("PATH", "").split(":"):
        if entry.startswith("/"):
            places.append((Path(entry), "local"))
    for folder, source in places:
        for name in _NAMES:
            if os.path.lexists(folder / name):
                yield folder / name, source
    yield Path(sys.executable), "own"


def _folders(root: Path, pattern: str) -> list[Path]:
    """Return the folders below ``root`` that match; none where it cannot be read."""
    if not root.is_absolute():
        return []
    try:
        return sorted(root.glob(pattern))
    except OSError:
        return []


def _is_program(path: Path) -> bool:
    """Return whether a file is by name and content an interpreter: a shim or a wrapper is a script instead."""
    if re.match(r"(?:python|pypy|graalpy)[0-9.]*", path.name) is None:
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"  # elf(5)
    except OSError:
        return os.access(path.parent, os.X_OK) and path.is_file()  # may be executed and not read; its check says more


def _who_may_change(path: Path) -> str | None:
    """Say in a clause who else can change a file or put another one in its place; None if none can."""
    resolved = Path(os.path.realpath(path))
    for place in (resolved, *resolved.parents):
        try:
            info = place.lstat()
        except OSError as error:
            return f"{place} cannot be looked at: {error.strerror}"
        if (writer := _writer(str(place), info)) is not None:
            return writer
    return None


def _writer(place: str, info: os.stat_result) -> str | None:
    own = os.geteuid()
    if info.st_uid not in (0, own):
        return f"{place} belongs to {_account(info.st_uid)}"
    if stat.S_ISLNK(info.st_mode):  # its bits mean nothing (symlink(7))
        return None
    if stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX:  # others cannot rename what is there (inode(7))
        return None
    if info.st_mode & stat.S_IWOTH:
        return f"every account may write to {place}"
    if not info.st_mode & stat.S_IWGRP:
        return None
    # With an access list the group's bits are its mask (acl(5)), and who it names is in the list.
    if _has_access_list(place):
        return f"an access list lets other accounts write to {place}"
    others = _members(info.st_gid) - {0, own}
    if others:
        return f"{_account(min(others))} may write to {place}, by its group"
    return None


def _members(group: int) -> set[int]:
    """Return the accounts of a group. One that is on no list has a member that is not known (-1)."""
    try:
        named = grp.getgrgid(group).gr_mem
    except KeyError:
        return {-1}
    return {account.pw_uid for account in pwd.getpwall() if account.pw_gid == group or account.pw_name in named}


def _has_access_list(place: str) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(place, follow_symlinks=False)
    except OSError:  # the file system has none
        return False


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"account {uid}" if uid >= 0 else "an account that is on no list"

"""Declared permissions: what a script asks for, whether it can be granted, and opening it for a run (DESIGN 4.4).

Three steps, each on its own: ``asked`` reads the frontmatter's table, ``judge`` finds the canonical path and says why
it cannot be granted, if so (when an administrator decides and again before every run), ``open_grant`` walks to it
without following a link.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.models.permissions import ASSISTANT, ON_PATHS, Access, Grant
from engine.models.secrets import SECRET_NAME
from engine.sandbox.grants import OpenedGrant
from engine.sandbox.mounts import numbers_below
from engine.sandbox.protected import ProtectedPaths

MAX_ASKED = 16
"""Permissions that one script may ask for, all kinds together."""

KEYS = {"read": Access.READ, "write": Access.WRITE, "secrets": Access.SECRET, "assistant": Access.ASK}
"""The keys of the table."""

KEY_OF = {access: key for key, access in KEYS.items()}
MAX_PATH = 4095
"""Bytes of a path (linux/limits.h, PATH_MAX without the closing NUL)."""

_COMPONENT = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class BadPermissions(ValueError):
    """The table cannot be understood; the message is a sentence."""


class PathChanged(Exception):
    """A path does not lead any more where it did when it was judged; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class JudgedPermission:
    """One permission that a script asks for, as it is now."""

    asked: Grant
    canonical: str | None = None
    """Set when it can be granted."""
    folder: bool = True
    problem: str | None = None
    note: str | None = None

    @property
    def grant(self) -> Grant | None:
        return None if self.canonical is None else Grant(access=self.asked.access, path=self.canonical)


def asked(table: Mapping[str, Any]) -> list[Grant]:
    """What the frontmatter's ``permissions`` table asks for, as written, each once.

    Raises:
        BadPermissions: It has a key that there is not, or values of another type, or asks for too much.
    """
    for key in table:
        if key not in KEYS:
            raise BadPermissions(f"There is no permission {quoted(key)}; there are {', '.join(KEYS)}.")
    wanted = [
        Grant(access=access, path=path)
        for key, access in KEYS.items()
        if key in table
        for path in _values(key, table[key])
    ]
    unique = list(dict.fromkeys(wanted))
    if len(unique) > MAX_ASKED:
        raise BadPermissions(f"It asks for {len(unique)} permissions; {MAX_ASKED} are the most.")
    return unique


def _values(key: str, value: object) -> list[str]:
    if KEYS[key] is Access.ASK:
        if not isinstance(value, bool):
            raise BadPermissions(f"permissions.{key} must be true or false.")
        return [ASSISTANT] if value else []
    if not isinstance(value, list) or any(not isinstance(one, str) for one in value):
        what = "names" if KEYS[key] is Access.SECRET else "paths"
        raise BadPermissions(f"permissions.{key} must be a list of {what} as texts.")
    return value


def judge(grant: Grant, protected: ProtectedPaths) -> JudgedPermission:
    """Find out where ``grant`` leads now and whether it can be granted. Blocks."""
    if grant.access not in ON_PATHS:
        problem = _name_problem(grant)
        return JudgedPermission(grant, None if problem else grant.path, folder=False, problem=problem)
    if problem := _form_problem(grant.path):
        return JudgedPermission(grant, problem=problem)
    try:
        canonical = os.path.realpath(grant.path, strict=True)
        found = os.lstat(canonical)
    except OSError as error:
        # What is protected is called so first: whether there is such a file is nobody's business.
        would_be = os.path.realpath(grant.path)
        forbidden = _protection_problem(grant.path, would_be, protected.conflict(would_be, grant.access))
        return JudgedPermission(grant, problem=forbidden or _missing_problem(grant.path, error))
    folder = stat.S_ISDIR(found.st_mode)
    problem = (
        _form_problem(canonical)
        or _kind_problem(grant.path, found)
        or _protection_problem(grant.path, canonical, protected.conflict(canonical, grant.access))
        or _rights_problem(canonical, grant.access, folder=folder)
    )
    if problem:
        return JudgedPermission(grant, folder=folder, problem=problem)
    return JudgedPermission(grant, canonical, folder, note=_note(grant.access, found, folder=folder))


def never_granted(grant: Grant, protected: ProtectedPaths) -> str | None:
    """Return why ``grant`` cannot be granted whatever is made or changed on the host; None if it perhaps can.

    By the path as it is written alone: what exists, and where links lead, is told to nobody who may not see it.
    """
    if grant.access not in ON_PATHS:
        return _name_problem(grant)
    path = grant.path
    return _form_problem(path) or _protection_problem(
        path, path, protected.conflict(os.path.normpath(path).replace("//", "/", 1), grant.access)
    )


def open_grant(grant: Grant, protected: ProtectedPaths, *, folder: bool) -> OpenedGrant:
    """Walk to a canonical path, component by component from the root and through no link. Blocks.

    Args:
        grant: By its canonical path.
        protected: Judges once more, now that the way there is known to hold no links.
        folder: What was approved.

    Returns:
        What is there; nothing stays open.

    Raises:
        PathChanged: It is not what was judged.
    """
    names = grant.path.split("/")[1:]
    current = os.open("/", _COMPONENT | os.O_DIRECTORY)
    try:
        for position, name in enumerate(names):
            inner = _step(current, name, grant.path, last=position == len(names) - 1)
            os.close(current)
            current = inner
        found = os.fstat(current)
    finally:
        os.close(current)
    if stat.S_ISDIR(found.st_mode) != folder or not (folder or stat.S_ISREG(found.st_mode)):
        raise PathChanged(f"{quoted(grant.path)} was a {'folder' if folder else 'file'} and is {_kind(found)} now.")
    if conflict := protected.conflict(grant.path, grant.access):
        raise PathChanged(f"{quoted(grant.path)} {conflict} now.")
    below = numbers_below(grant.path) if folder else ()
    return OpenedGrant(grant.access, grant.path, found.st_dev, found.st_ino, folder, below)


def _step(folder: int, name: str, path: str, *, last: bool) -> int:
    try:
        return os.open(name, _COMPONENT if last else _COMPONENT | os.O_DIRECTORY, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise PathChanged(f"A component of {quoted(path)} is a link or a file now: {quoted(name)}.") from None
        raise PathChanged(_missing_problem(path, error)) from None


def _name_problem(grant: Grant) -> str | None:
    """What is wrong with the name of a secret."""
    if grant.access is not Access.SECRET or re.fullmatch(SECRET_NAME, grant.path):
        return None
    return f"{quoted(grant.path)} is no name of a secret: it has letters, digits and _ . -, at most 64."


def _form_problem(path: str) -> str | None:
    """What is wrong with a path as it is written."""
    if not path:
        return "An empty path means nothing; remove it."
    for character in path:
        if not character.isprintable():
            return f"{quoted(path)} contains a character that cannot be shown (U+{ord(character):04X})."
    if not path.startswith("/"):
        return f"{quoted(path)} is not absolute; a path to grant begins with /."
    if ".." in path.split("/"):
        return f'{quoted(path)} contains ".."; write the path without it.'
    if len(os.fsencode(path)) > MAX_PATH:
        return f"{quoted(path)} is longer than {MAX_PATH:,} bytes."
    return None


def _missing_problem(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        pattern = " (wildcards are taken as they stand)" if set("*?[") & set(path) else ""
        return f"{quoted(path)} does not exist{pattern}; make it first, or mend the path."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{quoted(path)} is out of reach for the engine's account."
    if error.errno == errno.ENOTDIR:
        return f"{quoted(path)} goes on after a file, which has nothing in it."
    if error.errno == errno.ELOOP:
        return f"{quoted(path)} runs in circles through symbolic links."
    return f"{quoted(path)} cannot be examined: {os.strerror(error.errno or 0)}."


def _kind_problem(path: str, found: os.stat_result) -> str | None:
    if stat.S_ISDIR(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        return f"{quoted(path)} is {_kind(found)}; only folders and ordinary files can be granted."
    if found.st_nlink > 1:
        return f"{quoted(path)} has {found.st_nlink} names (hard links), so where it belongs cannot be told."
    return None


def _kind(found: os.stat_result) -> str:
    names = {
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "an ordinary file",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFSOCK: "a socket",
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return names.get(stat.S_IFMT(found.st_mode), "something special")


def _protection_problem(path: str, canonical: str, conflict: str | None) -> str | None:
    if conflict is None:
        return None
    led = "" if canonical == path else f" leads to {quoted(canonical)}, which"
    return f"{quoted(path)}{led} {conflict}; that is never granted."


def _rights_problem(path: str, access: Access, *, folder: bool) -> str | None:
    """Whether the engine's account can do itself what it would let a script do (access(2) with the effective ids)."""
    needed = os.R_OK | (os.X_OK if folder else 0)
    if not os.access(path, needed, effective_ids=True):
        return f"The engine's account may not read {quoted(path)}; give it the right, for example by a group."
    if access is Access.READ or os.access(path, os.W_OK, effective_ids=True):
        return None
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"{quoted(path)} lies on a file system that is mounted read-only; ask for read instead."
    return f"The engine's account may not write {quoted(path)}; give it the right, or ask for read instead."


def _note(access: Access, found: os.stat_result, *, folder: bool) -> str | None:
    notes = []
    if not folder:
        notes.append("A single file is lost when its log is rotated or it is replaced by a new one; a folder is not.")
    if access is Access.WRITE:
        what = "the disk" if folder else "the disk through this file"
        notes.append(f"The script can change and remove what is there, and fill {what}.")
    if os.geteuid() == 0 and not _root_by_mode(found, access, folder=folder):
        notes.append("Scripts run without root's special rights: the mode of this path gives root less than asked for.")
    return " ".join(notes) or None


def _root_by_mode(found: os.stat_result, access: Access, *, folder: bool) -> bool:
    """Whether uid 0 without capabilities gets ``access`` by the mode bits alone (path_resolution(7))."""
    needed = 4 | (1 if folder else 0) | (2 if access is Access.WRITE else 0)
    shift = 6 if found.st_uid == 0 else 3 if found.st_gid in (0, *os.getgroups()) else 0
    return found.st_mode >> shift & needed == needed


def quoted(text: str) -> str:
    """``text`` for a sentence: short, and with everything escaped that could drive a terminal."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return f'"{shown[:200]}{"…" if len(shown) > 200 else ""}"'

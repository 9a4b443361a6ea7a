"""Which text of each script two engines had last in common, as a client of both has seen it.

A text that both had is one that its author has seen on either side: where one side still has it, the other side's may
take its place. Engines do not know of each other, and an editor or git changes files without a version in the history,
so a file below the user's own state folder remembers it: hashes by path, a file for each pair.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from engine.user_folders import state_home

MAX_FILE = 64 << 20


class CommonTexts:
    """The hashes of one pair of engines.

    Args:
        one: What tells one of them from every other engine; which one comes first does not count.
        other: The same of the other one.
    """

    def __init__(self, one: str, other: str) -> None:
        pair = json.dumps(sorted((one, other))).encode()
        self._file = state_home() / "gatewright" / "common" / f"{hashlib.sha256(pair).hexdigest()[:32]}.json"
        self._hashes = dict(_read(self._file))
        self._before = dict(self._hashes)

    def of(self, path: str) -> str | None:
        """Return the hash of the text that both had last; None if none is known."""
        return self._hashes.get(path)

    def note(self, path: str, sha256: str) -> None:
        """Note that both have this text now."""
        self._hashes[path] = sha256

    def keep(self, paths: Collection[str]) -> None:
        """Save the notes of these scripts alone.

        Raises:
            OSError: It cannot be written, or the folder is another account's; then these texts count as never seen.
        """
        kept = {path: digest for path, digest in self._hashes.items() if path in paths}
        if kept == self._before:
            return
        _make_own(self._file.parent)
        fd, made = tempfile.mkstemp(prefix=".", dir=self._file.parent)  # 0600
        try:
            with open(fd, "wb") as file:
                file.write(json.dumps({"scripts": kept}).encode())
            os.replace(made, self._file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise


def _make_own(folder: Path) -> None:
    """Make a folder that is this account's.

    Raises:
        OSError: It cannot be made or is another account's: as root with that one's HOME its links would lead our
            writing anywhere.
    """
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if os.geteuid() == 0:
        _check_own(there)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_own(folder)


def _check_own(folder: Path) -> None:
    if folder.stat().st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{folder} belongs to another account")


def _read(file: Path) -> Mapping[str, str]:
    """Return the hashes of a file; none where it is another account's, or others could have written it."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return {}
    with open(fd, "rb") as opened:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
            return {}
        try:
            found = json.loads(opened.read(MAX_FILE))["scripts"]
            return {path: digest for path, digest in found.items() if isinstance(digest, str)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}

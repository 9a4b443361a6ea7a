"""Where a repository's git folder leads to other places: a folder elsewhere, links, names shared with other files.

git writes through links: ``COMMIT_EDITMSG`` as a link to any file of the owner's would be overwritten by the message of
the next commit. git makes no such links itself, except in worktrees and submodules, which are elsewhere as a whole.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from store.errors import StoreError

MAX_ENTRIES = 20_000
"""Files and folders that are looked at, objects apart."""

_WRITTEN_IN_PLACE = (b"COMMIT_EDITMSG", b"logs/")
"""Everything else git writes beside itself and renames."""

_CONTENT = (b"modules", b"worktrees", b"lfs", b"rr-cache")
"""Folders that are not walked through: what is in there is replaced, never written into."""


def elsewhere(root: bytes, git_folder: bytes, common: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names in the git folder that lead elsewhere, each with where it leads.

    Args:
        root: The project's folder.
        git_folder: As git found it.
        common: The folder with objects and settings: another one in a linked worktree.

    Raises:
        StoreError: There is too much to look at.
    """
    own = os.path.join(os.path.realpath(root), b".git")
    for folder in dict.fromkeys((git_folder, common)):
        if os.path.realpath(folder) != own:
            yield b".git", folder
            return
    for seen, (name, path) in enumerate(_names(git_folder)):
        if seen > MAX_ENTRIES:
            raise StoreError("The repository's .git folder has too many files; git is not used to write in it.")
        with contextlib.suppress(FileNotFoundError):  # another git is at work
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                yield name, os.readlink(path)
            elif stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and name.startswith(_WRITTEN_IN_PLACE):
                yield name, b"(a file with another name, too)"


def _names(git_folder: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every name in the git folder, content apart, with its path; folders before what is in them."""
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(FileNotFoundError), os.scandir(os.path.join(git_folder, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                yield name, entry.path
                if folder != b"objects" and name not in _CONTENT and entry.is_dir(follow_symlinks=False):
                    waiting.append(name)

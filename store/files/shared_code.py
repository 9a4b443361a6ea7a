"""The folder ``lib`` of the scripts, as imports see it: read by descriptors, over no symbolic link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from store import disk
from store.errors import from_os_error
from store.files.names import SUFFIX, folder_problem, path_problem
from store.files.save import read_listed, refuse_special

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Also where a link stands for a folder: no script is listed behind it, so none is imported."""


class SharedFolder:
    """Reads one set of files. Each folder is opened and listed once. Its methods block."""

    def __init__(self, root: int, stack: ExitStack) -> None:
        self._stack = stack
        self._folders: dict[str, int | None] = {"": root}
        self._names: dict[str, Mapping[str, bool]] = {}

    def text(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is none that could be a script.

        Raises:
            StoreError: It is no ordinary file, too large, or may not be read.
        """
        folder, _, name = path.rpartition("/")
        descriptor = self._folder(folder)
        if descriptor is None or self._listed(folder).get(name, True) or path_problem(path) is not None:
            return None
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            refuse_special(found, path)
            return read_listed(descriptor, name, path, found)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, f"read {path}") from error

    def is_folder(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        # The root is not listed: it may hold ten thousand scripts, and one folder of it is asked for.
        return (not above or self._listed(above).get(name, False)) and self._folder(path) is not None

    def modules(self, path: str) -> list[str]:
        """Return the names of the modules in a folder: its files without their suffix, and its folders."""
        names = (name if is_folder else name.removesuffix(SUFFIX) for name, is_folder in self._listed(path).items())
        return sorted(name for name in names if name.isidentifier())

    def _listed(self, path: str) -> Mapping[str, bool]:
        """What is in a folder, and whether each is a folder."""
        if path not in self._names:
            descriptor = self._folder(path)
            if descriptor is None:
                self._names[path] = {}
            else:
                with os.scandir(descriptor) as entries:
                    self._names[path] = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        return self._names[path]

    def _folder(self, path: str) -> int | None:
        if path not in self._folders:
            above, _, name = path.rpartition("/")
            parent = self._folder(above)
            found = None
            if parent is not None and folder_problem(name) is None:
                try:
                    found = self._stack.enter_context(disk.open_folder(name, parent))
                except OSError as error:
                    if error.errno not in _NOT_THERE:
                        raise from_os_error(error, f"read {path}") from error
            self._folders[path] = found
        return self._folders[path]


@contextmanager
def shared_folder(scripts: Path) -> Iterator[SharedFolder]:
    """Open the folder ``scripts`` to read what is shared in it.

    Raises:
        StoreError: It cannot be read.
    """
    with ExitStack() as stack:
        try:
            root = stack.enter_context(disk.open_folder(scripts))
        except OSError as error:
            raise from_os_error(error, "read the shared code") from error
        yield SharedFolder(root, stack)

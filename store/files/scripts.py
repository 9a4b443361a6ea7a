"""The scripts as files: listed and read, and saved by the save protocol (``store.files.versioned``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from store import disk
from store.errors import from_os_error
from store.files.listing import ScriptFile, Stamp, changed, listed, stamp_of
from store.files.names import SCRIPT_NAMES
from store.files.save import read
from store.files.shared_code import SharedFolder, shared_folder
from store.files.versioned import VersionedFiles


class ScriptFiles(VersionedFiles):
    """The files below one ``scripts/`` folder. Its methods block, and may be called from several threads."""

    naming = SCRIPT_NAMES

    def list(self) -> list[ScriptFile]:
        """Every script by path, and everything that looks like one but cannot be used, with the reason."""
        try:
            with disk.open_folder(self._root) as root:
                return listed(root)
        except OSError as error:
            raise from_os_error(error, "list the scripts") from error

    def scan(self, known: Mapping[str, Stamp]) -> Iterator[tuple[str, ScriptFile | None]]:
        """Everything that ``list`` gives, in no order, with the content of each file whose stamp is not the known one.

        Args:
            known: Stamps by path. Where one is still right the file is not read, and comes as None.

        Raises:
            StoreError: The scripts folder cannot be listed.
        """

        try:
            with disk.open_folder(self._root) as root:
                yield from changed(root, known)
        except OSError as error:
            raise from_os_error(error, "list the scripts") from error

    def look(self, path: str) -> ScriptFile:
        """One script with its content.

        Raises:
            StoreError: As ``read`` does.
        """
        path = self.naming.path(path)
        with self._sentences("read", path), self._folder_of(path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            data = read(folder, name, path).data
        return ScriptFile(path, found.st_size, found.st_mtime_ns, stamp=stamp_of(found), data=data)

    def shared(self) -> AbstractContextManager[SharedFolder]:
        """The shared code, to be read as one set.

        Raises:
            StoreError: The scripts folder cannot be read.
        """
        return shared_folder(self._root)

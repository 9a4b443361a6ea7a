"""A project that cannot be written to: read from where it is, with a folder elsewhere for what an engine must write."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from store.disk_space import has_room
from store.errors import from_os_error
from store.project import PRIVATE, Project
from store.state import run_numbers

MOST_COPIED = 256 << 20
"""Bytes of ``state.db`` that are copied at a start; of a larger one the old runs are not shown."""

BESIDE = ("audit.head", run_numbers.NAME)
"""What belongs to the records and lies in files of its own."""

SPARE_ROOM = 8 << 20
"""Bytes that an engine may need for what it writes, the copy apart."""

NEEDED_ROOM = 512 << 10
"""Bytes without which no engine is started on a project's own folder: the log of its database takes them."""

CANNOT_WRITE = "the project cannot be written to"
OPENED = (
    "This project is open for reading only: it cannot be written to. Saves and ADMIN runs are refused, and runs are "
    "not recorded."
)


class ReadOnlyProject(Project):
    """Scripts, settings, history and environments are the project's own; everything else is in ``spare``."""

    why = CANNOT_WRITE
    hint = "Have the file system mounted for writing, or get the right to write to the project."
    opened = OPENED

    def __init__(self, root: Path, problems: list[str], spare: Path) -> None:
        super().__init__(root, [*problems, self.opened])
        self._spare = spare
        self.has_old_records = True
        """Whether the records that were there before could be copied."""

    @classmethod
    def at(cls, root: Path, spare: Path) -> Self:
        """The project at ``root``, with a copy of its records in ``spare``.

        Raises:
            StoreError: There is no complete project, or its records cannot be read.
        """
        found = Project.open(root)
        project = cls(found.root, found.problems, spare)
        try:
            project.has_old_records = _copy_state(project.home, spare)
            if not project.has_old_records:
                project.problems.append("Old runs are not shown: their records are too large to be copied.")
        except OSError as error:
            raise from_os_error(error, f"read the records of {root}") from error
        return project

    def clear(self) -> None:
        """Remove the copies. To be called when nobody has them open any more."""
        for database in ("state.db", "index.db"):
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    (self._spare / f"{database}{suffix}").unlink()
        for name in BESIDE:
            with suppress(OSError):
                (self._spare / name).unlink()

    @property
    def home(self) -> Path:
        """The project's own private folder."""
        return self.root / PRIVATE

    @property
    def private(self) -> Path:
        return self._spare

    @property
    def settings_file(self) -> Path:
        return self.home / "settings.toml"

    @property
    def history(self) -> Path:
        return self.home / "history"

    @property
    def environments(self) -> Path:
        own = self.home / "envs"
        return own if (own / "default").is_dir() else self._spare / "envs"


class FullDiskProject(ReadOnlyProject):
    """A project whose disk has no room for what an engine must write; its locks and its socket have their places."""

    why = "the disk is full"
    hint = (
        "Free some room, for example with gatewright retention --prune; after gatewright engine stop all is as usual."
    )
    opened = (
        "The disk is full, so this project is open for reading only: saves and ADMIN runs are refused, and runs are "
        "not recorded. gatewright retention says what old records take, and removes them with --prune."
    )

    def clear(self) -> None:
        """Remove what was written elsewhere."""
        shutil.rmtree(self._spare, ignore_errors=True)

    @property
    def socket(self) -> Path:
        return self.home / "engine.sock"

    @property
    def lock_file(self) -> Path:
        return self.home / "engine.lock"


def _copy_state(source: Path, target: Path) -> bool:
    """Copy the database with what its log holds: only a copy can be brought in order after a crash."""
    names = ("state.db", "state.db-wal")
    for name in (*names, "state.db-shm", *BESIDE):
        (target / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        size = (source / names[0]).stat().st_size
        if size > MOST_COPIED or not has_room(target, size + SPARE_ROOM):
            return False
    for name in (*names, *BESIDE):
        with suppress(FileNotFoundError), open(source / name, "rb") as old:
            descriptor = os.open(target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as new:
                shutil.copyfileobj(old, new)
    return True

"""Builds of scripts' own environments: found by what they were made from, claimed while they are used, evicted after.

``envs/.scripts/KEY`` is a symbolic link to a build. Its time of change is when a run needed that last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from engine.pool.job import Environment
from engine.sandbox.interpreters import Interpreter
from engine.services.packages.builds import BUILDS, Builds
from engine.services.packages.lock import Lock
from store import disk

CLAIMS = ".scripts"

NOTED_EVERY = 3600.0
"""Seconds between two notes that a build is used."""

log = logging.getLogger(__name__)

Telling = Callable[[str, int, int], None]
"""Takes what is being done, how far it is, and how much there is; raises ``TaskCancelled``."""


class ScriptBuilds:
    """The builds of one project's scripts. Its methods block, but for ``make``.

    Args:
        builds: Holds them, with those that have names.
        size: Bytes that all of them may take on disk before the longest unused go.
        keep: Seconds after which one that no run needed goes.
    """

    def __init__(self, builds: Builds, size: int, keep: float) -> None:
        self._builds = builds
        self._folder = builds.folder / CLAIMS
        self._size = size
        self._keep = keep
        self._known: dict[str, Environment] = {}
        self._sizes: dict[str, int] = {}
        builds.claims.append(self.claimed)

    def claimed(self) -> list[Path]:
        """Return the folders of builds that must stay."""
        return [prefix for _, prefix, _ in self._claims()]

    def named(self, name: str) -> Environment | None:
        """Return the environment of a name; None if there is none that runs."""
        return self._builds.current(name)

    @property
    def count(self) -> int:
        return sum(1 for _ in self._claims())

    def find(self, key: str) -> Environment | None:
        """Return the build of a key, and note that it is used; None if there is none that can run."""
        link = self._folder / key
        known = self._known.get(key)
        try:
            if known is None:
                prefix = self._builds.folder / BUILDS / Path(os.readlink(link)).name
                record = self._builds.record(prefix)
                found = self._builds.at(prefix)
                if record is None or found is None:
                    return None
                known = self._known[key] = replace(found, modules=tuple(record.modules))
            if not os.access(known.interpreter, os.X_OK) or not known.packages.is_dir():
                raise FileNotFoundError(known.prefix)
            now = time.time()
            if now - os.lstat(link).st_mtime > NOTED_EVERY:
                os.utime(link, (now, now), follow_symlinks=False)
        except OSError:
            self._known.pop(key, None)
            return None
        return known

    async def make(
        self, key: str, lock: Lock, requirements: Sequence[str], interpreter: Interpreter, by: str, tell: Telling
    ) -> Environment:
        """Make the build of a key; nothing is left of one that fails or is cancelled.

        Raises:
            ServiceError: As ``Builds.make``.
        """
        steps = _Steps(lock, tell)
        name = lock.packages[0].name if lock.packages else f"python{interpreter.version}"
        made = await self._builds.make(
            lock,
            interpreter,
            f"{name}-{key[:8]}",
            requirements=requirements,
            by=by,
            tell=steps,
            count=steps.count,
            claim=lambda prefix: self._claim(key, prefix),
        )
        self._known.pop(key, None)
        return await asyncio.to_thread(self.find, key) or made

    def evict(self, used: Iterable[Path]) -> list[str]:
        """Remove what no run needed for long, and the longest unused as long as all take too much; return the keys.

        ``used`` are the folders of builds that processes run with.
        """
        in_use = {Path(os.path.realpath(each)) for each in used}
        now, total, gone = time.time(), 0, []
        for key, prefix, used_at in sorted(self._claims(), key=lambda claim: claim[2], reverse=True):
            total += self._size_of(key, prefix)
            unused = now - used_at
            # One that was found for a run lately may be on its way to a process.
            if prefix in in_use or unused < 2 * NOTED_EVERY:
                continue
            if unused > self._keep or total > self._size:
                total -= self._size_of(key, prefix)
                self._known.pop(key, None)
                self._sizes.pop(key, None)
                (self._folder / key).unlink(missing_ok=True)
                self._builds.discard(prefix)
                gone.append(key)
        return gone

    def _claim(self, key: str, prefix: Path) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with disk.open_folder(self._folder) as folder:
            temporary = disk.temp_name(key)
            os.symlink(f"../{BUILDS}/{prefix.name}", temporary, dir_fd=folder)
            try:
                os.rename(temporary, key, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                disk.remove_quietly(folder, temporary)
                raise
            os.fsync(folder)

    def _claims(self) -> list[tuple[str, Path, float]]:
        """Keys with the builds that they lead to, and when those were used last."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    prefix = self._builds.folder / BUILDS / Path(os.readlink(entry.path)).name
                    found.append((entry.name, Path(os.path.realpath(prefix)), os.lstat(entry.path).st_mtime))
        return found

    def _size_of(self, key: str, prefix: Path) -> int:
        """Bytes of a build on disk, which never change."""
        if key not in self._sizes:
            self._sizes[key] = sum(
                os.lstat(Path(place, name)).st_blocks * 512 for place, _, files in os.walk(prefix) for name in files
            )
        return self._sizes[key]


class _Steps:
    """Lines of an installation, with how far that is, as the progress of a task."""

    def __init__(self, lock: Lock, tell: Telling) -> None:
        self._done, self._total = 0, len(lock.packages)
        self._tell = tell

    def __call__(self, line: str) -> None:
        self._tell(line, self._done, self._total)

    def count(self, doing: str, done: int, total: int) -> None:
        self._done, self._total = done, total
        self._tell(doing, done, total)

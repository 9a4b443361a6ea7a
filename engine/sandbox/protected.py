"""Whether a path may be granted to a script: never one that is, is inside of, or is above a protected place.

Judged by name, on the path without symbolic links, and by identity: a folder that is mounted a second time elsewhere
has another name there and the same device and inode. What stays invisible is a second mount of something *inside* a
protected folder.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.models.permissions import Access
from engine.sandbox.mounts import is_within, mount_of, mounts
from engine.sandbox.places import ACCOUNTS, ProtectedPath, host_places

Identity = tuple[int, int]
"""(device, inode)"""

FRESH = 5.0
"""Seconds for which a look at the host counts."""

_ANY_PROJECT = frozenset({".gatewright", ".git"})


class ProtectedPaths:
    """The protected places as they were when it was made: accounts and links change. Its methods block."""

    def __init__(self, places: Iterable[ProtectedPath]) -> None:
        self._prefixes: list[ProtectedPath] = []
        self._holds = _Table()
        self._leads_to = _Table()
        real = _RealPaths()
        for place in dict.fromkeys(spelling for each in places for spelling in (each, real.place(each))):
            self._add(place)

    def _add(self, place: ProtectedPath) -> None:
        if place.prefix:
            self._prefixes.append(place)
        else:
            self._holds.name(place.path, place)
        for path in _existing(place):
            self._holds.identify(path, place)
        for folder in above(place.path):
            self._leads_to.name(folder, place)
            self._leads_to.identify(folder, place)

    def conflict(self, path: str, access: Access) -> str | None:
        """Why ``path``, absolute and without links, cannot be granted: what follows "<path> …". None if it can."""
        if path == "/":
            return "is the whole file system"
        if named := _ANY_PROJECT.intersection(path.split("/")):
            return f"is inside a {min(named)} folder, which belongs to the engine or to git"
        return self._by_name(path, access) or self._by_identity(path, access) or self._by_mounts(path, access)

    def _by_name(self, path: str, access: Access) -> str | None:
        for folder in (path, *above(path)):
            for place in _judging(self._holds.named(folder), access):
                if folder == path or place.inside:
                    return f"{'is' if folder == path else 'is inside'} {_described(place)}"
        for place in _judging(self._prefixes, access):
            if path.startswith(place.path):
                return f"is among {_described(place)}"
        for place in _judging(self._leads_to.named(path), access):
            return f"is above {_described(place)}"
        return None

    def _by_identity(self, path: str, access: Access) -> str | None:
        """The same as ``_by_name`` for what has another name here."""
        for folder in (path, *above(path)):
            for place in _judging(self._holds.identified(folder), access):
                if folder == path or place.inside:
                    return f"is the same as, or inside of, {_described(place)}"
        for place in _judging(self._leads_to.identified(path), access):
            return f"is another name of a folder above {_described(place)}"
        return None

    def _by_mounts(self, path: str, access: Access) -> str | None:
        found = mounts()
        around = mount_of(path, found)
        if around is not None and around.of_kernel:
            return f"lies on a file system of the kernel ({around.kind})"
        for mount in found:
            if mount.point == path or not is_within(mount.point, path):
                continue
            if mount.of_kernel:
                return f"is above a file system of the kernel ({mount.kind} on {mount.point})"
            hidden = (*self._holds.identified(mount.point), *self._leads_to.identified(mount.point))
            for place in _judging(hidden, access):
                return f"is above {_described(place)}, which is also mounted on {mount.point}"
        return None


class HostProtection:
    """What is protected on this host, looked up anew every few seconds and when the file of accounts has changed."""

    def __init__(self, project: Path, interpreter: Path, keys: Iterable[Path] = ()) -> None:
        """``interpreter`` runs the scripts of the project at ``project``; ``keys`` are files of the engine's own."""
        self._project = project
        self._interpreter = interpreter
        self._keys = tuple(keys)
        self._known: tuple[float, Identity, ProtectedPaths] | None = None

    def follow(self, interpreter: Path) -> None:
        """Protect another interpreter from now on."""
        self._interpreter = interpreter
        self._known = None

    def now(self) -> ProtectedPaths:
        """Blocks for some hundredths of a second when it looks anew; may be called from several threads."""
        accounts, at = _stamp(ACCOUNTS), time.monotonic()
        known = self._known
        if known is not None and at - known[0] < FRESH and known[1] == accounts:
            return known[2]
        protected = ProtectedPaths(host_places(self._project, self._interpreter, keys=self._keys))
        self._known = (at, accounts, protected)
        return protected


class _Table:
    """Places by a path that leads to them, and by what is found there."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[ProtectedPath]] = {}
        self._by_identity: dict[Identity, list[tuple[str, ProtectedPath]]] = {}
        self._known: dict[str, Identity | None] = {}

    def name(self, path: str, place: ProtectedPath) -> None:
        self._by_name.setdefault(path, []).append(place)

    def identify(self, path: str, place: ProtectedPath) -> None:
        if path not in self._known:
            self._known[path] = _identity(path)
        identity = self._known[path]
        if identity is not None:
            self._by_identity.setdefault(identity, []).append((path, place))

    def named(self, path: str) -> list[ProtectedPath]:
        return self._by_name.get(path, [])

    def identified(self, path: str) -> list[ProtectedPath]:
        identity = _identity(path)
        if identity is None:
            return []
        # An inode's number is given to the next file when the first is gone: what is protected must still have it.
        return [place for known, place in self._by_identity.get(identity, []) if _identity(known) == identity]


class _RealPaths:
    """Paths without symbolic links; the folders, which many places share, are resolved once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def place(self, place: ProtectedPath) -> ProtectedPath:
        """The place by its canonical path: ``/var/run`` is ``/run``, and homes may be links."""
        folder, name = os.path.split(place.path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        path = os.path.join(self._folders[folder], name)
        if not place.prefix and os.path.islink(path):
            path = os.path.realpath(path)
        return place if path == place.path else replace(place, path=path)


def _judging(places: Iterable[ProtectedPath], access: Access) -> Iterator[ProtectedPath]:
    """Those of the places that forbid ``access``."""
    return (place for place in places if place.reading or access is Access.WRITE)


def _described(place: ProtectedPath) -> str:
    return f"{place.path}{'*' if place.prefix else ''} ({place.what})"


def _existing(place: ProtectedPath) -> Iterator[str]:
    if not place.prefix:
        yield place.path
        return
    parent, beginning = os.path.split(place.path)
    try:
        names = os.listdir(parent)
    except OSError:  # it does not exist, or nobody of this account gets in
        return
    for name in names:
        if name.startswith(beginning):
            yield os.path.join(parent, name)


def above(path: str) -> Iterator[str]:
    """The folders that ``path`` lies in, the innermost first."""
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _identity(path: str) -> Identity | None:
    """Of what the path names itself: a link is not followed, and has none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return None if stat.S_ISLNK(found.st_mode) else (found.st_dev, found.st_ino)


def _stamp(path: str) -> Identity:
    """Differs when the file was written or replaced."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)

"""Named memory of a run: what it was handed, read-only, and what it makes for its caller to read, both without a copy.

The kernel keeps the first from being written to: its content is sealed (fcntl(2), F_SEAL_WRITE). The second is memory
that the engine made, of a size that nothing can change, and that it looks at when this process is gone.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if sys.version_info >= (3, 13):
    _map = partial(mmap.mmap, trackfd=False)  # before that each mapping has a descriptor of its own open
else:
    _map = mmap.mmap

MOST_MADE = 32
"""Buffers that a run can make."""

MAX_NAME = 100
"""Characters of a name."""


def name_problem(name: str) -> str | None:
    """Tell what keeps ``name`` from naming a buffer, if anything. It can be a file's: the caller may save it."""
    if not name or len(name) > MAX_NAME:
        return f"its name has 1 to {MAX_NAME} characters"
    if not name.isprintable() or "/" in name or name in (".", ".."):
        return f"{name!r} is no plain name"
    return None


class Buffers:
    """Buffers by name: ``buffers["data"]`` is a read-only memoryview, ``buffers.create`` makes one to write to.

    ``numpy.frombuffer(buffers["data"], dtype="f8")`` and the like use the same memory.
    """

    __slots__ = ("_ask", "_views")

    def __init__(self) -> None:
        self._ask: Callable[[str, int], int] | None = None
        self._views: dict[str, memoryview] = {}

    def hold(self, name: str, fd: int, size: int) -> None:
        """Map what the run was handed; the descriptor is closed."""
        self._views[name] = mapped(fd, size)

    def connect(self, ask: Callable[[str, int], int]) -> None:
        """Take the call by which the engine makes a buffer and hands over its descriptor."""
        self._ask = ask

    def create(self, name: str, size: int) -> memoryview:
        """Make a buffer of ``size`` bytes, all 0, and return it to be written to.

        The caller of the run finds it under ``name`` when the run has ended well. A name can be used once.

        Raises:
            ValueError: There is a buffer of this name.
            MemoryError: The run has not that much memory left.
            gatewright.Error: The engine makes none: too large, too many, or no buffer's name.
        """
        if name in self._views:
            raise ValueError(f"there is a buffer {name!r} already")
        if self._ask is None:
            raise RuntimeError("buffers are made by the run's own process only")
        fd = self._ask(name, size)
        try:
            view = memoryview(_map(fd, size)) if size else memoryview(bytearray())
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError from None
            raise
        finally:
            os.close(fd)
        self._views[name] = view
        return view

    def let_go(self) -> None:
        """Unmap all that nothing else in this process uses: what the script made can then be sealed at once."""
        self._views.clear()

    def __getitem__(self, name: str) -> memoryview:
        try:
            return self._views[name]
        except KeyError:
            there = ", ".join(map(repr, self._views)) or "none"
            raise KeyError(f"no buffer {name!r}; there is {there}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        return f"Buffers({', '.join(f'{name}: {len(view)} bytes' for name, view in self._views.items())})"


Buffers.__module__ = "gatewright"  # as scripts know it


def mapped(fd: int, size: int) -> memoryview:
    """Map what a sealed descriptor holds, read-only, and close the descriptor."""
    try:
        return read_only(fd, size)
    finally:
        os.close(fd)


def read_only(fd: int, size: int) -> memoryview:
    """Map what a sealed descriptor holds. The memory lasts as long as the view.

    As private: before Linux 6.7 no shared mapping can be made of what is sealed against writing, not even to read.
    """
    return memoryview(_map(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ)) if size else memoryview(b"")

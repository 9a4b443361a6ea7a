"""What this host can still give to a process of this engine: its memory, and the tightest limit of its cgroups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ESCAPED = re.compile(r"\\([0-7]{3})")
"""Space, tab, newline and backslash in a path of mountinfo (proc(5))."""

CACHED = "inactive_file"
"""Of memory.stat: what the kernel gives up first, so it counts as free (Documentation/admin-guide/cgroup-v2.rst)."""


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Bytes that can still be given without swapping.

    Attributes:
        limit: What leaves no more: empty for the host itself, else the file of the cgroup's limit.
    """

    available: int
    limit: str = ""

    @property
    def giver(self) -> str:
        """Who has that much, as a sentence begins."""
        return f"the limit in {self.limit} leaves" if self.limit else "this host has"


def host_memory(root: Path = Path("/")) -> HostMemory | None:
    """Return what is available now; None where the host does not say. ``root`` is another folder in tests."""
    available = _of_meminfo(root)
    if available is None:
        return None
    found = [HostMemory(available), *(_left(group) for group in cgroups(root))]
    return min((memory for memory in found if memory is not None), key=lambda memory: memory.available)


def cgroups(root: Path = Path("/"), pid: int | None = None) -> Iterator[Path]:
    """Yield the folders of a process's cgroup v2 and of those it lies in, the own first; none without cgroup v2.

    Args:
        root: Another folder in tests.
        pid: The process; this one by default.
    """
    top = _cgroup_mount(root)
    own = _cgroup_of(root / "proc" / ("self" if pid is None else str(pid)))
    if top is None or own is None:
        return
    place, shown = top
    # In a container only a part of the tree may be mounted: paths are then below that part.
    if own != shown and not own.startswith(shown.rstrip("/") + "/"):
        return
    folder = place / own[len(shown) :].strip("/")
    while True:
        yield folder
        if folder == place:
            return
        folder = folder.parent


def _of_meminfo(root: Path) -> int | None:
    """``MemAvailable`` of proc(5), /proc/meminfo."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def _left(group: Path) -> HostMemory | None:
    """What a cgroup still leaves to those in it; None where nothing limits it."""
    limits = [(limit, name) for name in ("memory.max", "memory.high") if (limit := _number(group / name)) is not None]
    current = _number(group / "memory.current")
    if not limits or current is None:
        return None
    limit, name = min(limits)
    statistics = dict(line.split() for line in _text(group / "memory.stat").splitlines())
    return HostMemory(max(0, limit - current + int(statistics.get(CACHED, 0))), str(group / name))


def _cgroup_mount(root: Path) -> tuple[Path, str] | None:
    """Where cgroup v2 is mounted, and which part of its tree."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            shown, place = (_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), part) for part in fields.split()[3:5])
            return root / place.lstrip("/"), shown
    return None


def _cgroup_of(process: Path) -> str | None:
    """The path of a process, by its folder in /proc, in the tree of cgroup v2 (cgroups(7), /proc/pid/cgroup)."""
    for line in _text(process / "cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None


def _number(file: Path) -> int | None:
    """A cgroup's figure; None for ``max`` and for a file that is not there."""
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""Looking at the folder of scripts: what changed since it was last read.

A file is read when its stamp (times, size, inode) is not the one it had. A stamp proves nothing about a file that was
changed within the clock's resolution of being read: such a file is read again until it has been quiet (the "racy git"
rule, https://git-scm.com/docs/racy-git). Nothing here ever writes to a script.
"""

from __future__ import annotations

import gc
import hashlib
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from store.files.listing import ScriptFile, Stamp
from store.files.script_text import read_script
from store.files.scripts import ScriptFiles
from store.frontmatter.read import Frontmatter
from store.index.database import Changes
from store.index.rows import MAX_SEARCHED, ScriptEntry, ScriptRow, as_text

QUIET_NS = 2_000_000_000
"""A file that had been unchanged for so long when it was read is what its stamp says. Some file systems count in twos
of seconds."""

MANY = 1_000
"""Scripts that, new all at once, would keep the cyclic collector busy."""


def look(
    files: ScriptFiles,
    known: Mapping[str, ScriptRow],
    stamps: Mapping[str, Stamp],
    tick: Callable[[int], None] | None = None,
) -> Changes:
    """What changed on disk since ``known`` was read. Blocks.

    Args:
        files: Where to look.
        known: What is known, by path.
        stamps: Those that prove that a file is what is known of it.
        tick: Told how many files were read, after each.

    Raises:
        StoreError: The scripts folder cannot be read.
    """
    with without_collector():
        changes = _look(files, known, stamps, tick)
        if len(changes.entries) >= MANY:
            settle_objects()
        return changes


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the cyclic collector off: it would stop every thread again and again for new objects that all stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def settle_objects() -> None:
    """Put everything among the old objects, without looking at any of it: both calls at once do that."""
    gc.freeze()
    gc.unfreeze()


def settled_stamps(known: Mapping[str, ScriptRow]) -> dict[str, Stamp]:
    """The stamps of files that had been quiet when they were read."""
    return {path: row.stamp for path, row in known.items() if row.stamp is not None and _is_settled(row)}


def _look(
    files: ScriptFiles,
    known: Mapping[str, ScriptRow],
    stamps: Mapping[str, Stamp],
    tick: Callable[[int], None] | None,
) -> Changes:
    now = time.time_ns()
    entries: list[ScriptEntry] = []
    settled: list[ScriptRow] = []
    there: set[str] = set()
    for path, file in files.scan(stamps):
        there.add(path)
        if file is None:
            continue
        entry = read_entry(file, now)
        before = known.get(path)
        if before is None or not before.same(entry.row):
            entries.append(entry)
        elif before.stamp is not None and _is_news(before, entry.row):
            settled.append(entry.row)
        if tick is not None:
            tick(len(there))
    gone = [path for path in known if path not in there]
    return Changes(entries, gone, settled=settled)


def _is_settled(row: ScriptRow) -> bool:
    """Whether the file had been quiet when it was read."""
    return row.stamp is not None and row.seen_ns - max(row.stamp[0], row.stamp[1]) > QUIET_NS


def _is_news(before: ScriptRow, now: ScriptRow) -> bool:
    """Whether it is worth writing down that the file was looked at again and is the same."""
    return before.stamp != now.stamp or _is_settled(now)


def read_entry(file: ScriptFile, now: int) -> ScriptEntry:
    """What the index keeps of a file that was read at ``now``, in ns since the epoch."""
    if file.data is None:
        front = Frontmatter(title=file.path, problem=file.problem)
        return ScriptEntry(ScriptRow(file.path, front, "", file.size, None, now), "")
    text, front = read_script(file.data, file.path)
    digest = hashlib.sha256(file.data).hexdigest()
    gives_back = len(text) <= MAX_SEARCHED and (text.isascii() or text.encode() == file.data)
    if front.permissions:  # as they come back from the index, so that the same are the same
        front = replace(front, permissions=MappingProxyType(as_text(front.permissions)))
    row = ScriptRow(file.path, front, digest, len(file.data), file.stamp, now)
    return ScriptEntry(row, text, None if gives_back else zlib.compress(file.data, 1))

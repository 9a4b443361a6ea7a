"""Keeps the index equal to the files: looks for what changed, and makes all of it anew when asked.

A file is read when its stamp (times, size, inode) is not the one it had. A stamp proves nothing about a file that was
changed within the clock's resolution of being read: such a file is read again until it has been quiet (the "racy git"
rule, https://git-scm.com/docs/racy-git). Nothing here ever writes to a script.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import MappingProxyType

from store.errors import StoreError
from store.files import ScriptFiles
from store.frontmatter import Frontmatter, parse
from store.index import Changes, Renewed, ScriptIndex
from store.index_rows import ScriptEntry, ScriptRow, as_text
from store.listing import ScriptFile, Stamp
from store.search import Found

log = logging.getLogger(__name__)

QUIET_NS = 2_000_000_000
"""A file that had been unchanged for so long when it was read is what its stamp says. Some file systems count in twos
of seconds."""

MANY = 1_000
"""Scripts that, new all at once, would keep the cyclic collector busy."""

FRESH = 1.0
"""Seconds for which a search trusts the last look at the files."""

Progress = Callable[[str, int], None]
"""Told what is being done and how many scripts are done, in whatever thread does it. What it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found, compared with what the index held. Paths, sorted."""

    scripts: int
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    """From where to where: what has the same content."""
    removed: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Path and sentence of what is listed but cannot be used as it is."""


class Reconciler:
    """The scripts of a project as its files say, through the index."""

    def __init__(self, files: ScriptFiles, index: ScriptIndex) -> None:
        self._files = files
        self._index = index
        self._turn = asyncio.Lock()
        self._looked_at = float("-inf")
        self._behind = True
        """Something was saved that the index may not know."""
        self._derived_of = -1
        self._ordered: Sequence[ScriptRow] = ()
        self._stamps: Mapping[str, Stamp] = {}

    @classmethod
    async def open(cls, files: ScriptFiles, index: Path) -> Reconciler:
        return cls(files, await ScriptIndex.open(index))

    @property
    def problems(self) -> list[str]:
        """What the user should know about the index, one sentence each."""
        return self._index.problems

    async def scripts(self) -> Sequence[ScriptRow]:
        """Every script as it is on disk now, by path. Only what changed is read.

        Raises:
            StoreError: The scripts folder cannot be read.
        """
        return await asyncio.shield(self._scripts())

    async def saved(self, path: str) -> None:
        """Take in a script that was just written. Never fails: what is not taken in now, the next look finds."""
        await self._change(path, lambda: Changes([self._entry(path)]))

    async def removed(self, path: str) -> None:
        """Forget a script that was just removed on purpose. Never fails, as ``saved``."""
        await self._change(path, lambda: Changes(forgotten=[path]))

    async def _change(self, path: str, changes: Callable[[], Changes]) -> None:
        if self._turn.locked():
            # Perhaps by a rebuild that puts ten thousand scripts in place: nobody's save waits for that.
            self._behind = True
            return
        async with self._turn:
            try:
                await self._index.apply(await asyncio.to_thread(changes))
            except (Renewed, StoreError) as error:
                self._behind = True
                log.info("%s was changed, and the index does not know yet: %s", path, error)

    async def search(self, text: str, limit: int) -> list[Found]:
        """Up to ``limit`` scripts with every word of ``text``."""
        if self._behind or time.monotonic() - self._looked_at > FRESH:
            await self.scripts()
        try:
            return await self._index.search(text, limit)
        except Renewed:
            await self.scripts()
            return await self._index.search(text, limit)

    async def rebuild(self, progress: Progress) -> Rebuilt:
        """Make the index anew from the files, all or nothing: first everything is read, then put in place in one step.

        Raises:
            StoreError: A folder or the disk did not let us; the index is as it was.
        """
        # Ten thousand of anything are read, sorted, compared and dropped in threads, never in the event loop.
        entries = await asyncio.to_thread(_read_all, self._files, progress)
        async with self._turn:
            # What was saved meanwhile has been taken in by nobody.
            self._looked_at, self._behind = time.monotonic(), False
            ordered = await asyncio.to_thread(_brought_up_to_date, self._files, entries)
            before = await asyncio.to_thread(_merged, self._index.rows, await self._missing())
            await self._replace(ordered, progress)
        return await asyncio.to_thread(_compared, before, ordered)

    async def close(self) -> None:
        async with self._turn:
            await self._index.close()

    async def _scripts(self) -> Sequence[ScriptRow]:
        async with self._turn:
            await self._refresh()
            await self._derive()
            return self._ordered

    async def _refresh(self) -> None:
        """Bring the index up to date. An index that was lost is filled again."""
        for _ in range(3):
            await self._derive()
            self._looked_at, self._behind = time.monotonic(), False
            changes = await asyncio.to_thread(look, self._files, self._index.rows, self._stamps)
            try:
                return await self._index.apply(changes)
            except Renewed:
                continue
        raise StoreError("The index of scripts was lost several times in a row.", "See the engine's log.")

    async def _derive(self) -> None:
        """Sort the rows and pick the stamps that count, once after every change."""
        if self._derived_of != self._index.changes:
            self._derived_of = self._index.changes
            self._ordered, self._stamps = await asyncio.to_thread(_derived, self._index.rows)

    async def _replace(self, entries: Sequence[ScriptEntry], progress: Progress) -> None:
        for _ in range(3):
            counter = count()
            try:
                return await self._index.replace(entries, lambda: progress("indexing", next(counter)))  # noqa: B023
            except Renewed:
                continue
        raise StoreError("The index of scripts was lost several times in a row.", "See the engine's log.")

    async def _missing(self) -> dict[str, ScriptRow]:
        try:
            return await self._index.missing()
        except StoreError:  # a rebuild is what helps
            return {}

    def _entry(self, path: str) -> ScriptEntry:
        now = time.time_ns()
        return _read(self._files.look(path), now)


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
    # The cyclic collector would stop every thread again and again to look at new objects that all stay.
    enabled = gc.isenabled()
    gc.disable()
    try:
        changes = _look(files, known, stamps, tick)
        if len(changes.entries) >= MANY:
            # Both at once put everything among the old objects, without looking at any of it.
            gc.freeze()
            gc.unfreeze()
        return changes
    finally:
        if enabled:
            gc.enable()


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
        entry = _read(file, now)
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


def _read(file: ScriptFile, now: int) -> ScriptEntry:
    if file.data is None:
        front = Frontmatter(title=file.path, problem=file.problem)
        return ScriptEntry(ScriptRow(file.path, front, "", file.size, None, now), "")
    text = file.data.decode("utf-8", "replace")
    digest = hashlib.sha256(file.data).hexdigest()
    front = parse(text, file.path)
    if front.permissions:  # as they come back from the index, so that the same are the same
        front = replace(front, permissions=MappingProxyType(as_text(front.permissions)))
    return ScriptEntry(ScriptRow(file.path, front, digest, len(file.data), file.stamp, now), text)


def _read_all(files: ScriptFiles, progress: Progress) -> dict[str, ScriptEntry]:
    read = look(files, {}, {}, lambda number: progress("reading", number))
    return {entry.row.path: entry for entry in read.entries}


def _brought_up_to_date(files: ScriptFiles, entries: dict[str, ScriptEntry]) -> list[ScriptEntry]:
    """``entries`` as they are now, by path. Empties ``entries``: what is dropped is freed here, not in the loop."""
    known = {path: entry.row for path, entry in entries.items()}
    changes = look(files, known, settled_stamps(known))
    for path in changes.gone:
        del entries[path]
    for entry in changes.entries:
        entries[entry.row.path] = entry
    for row in changes.settled:
        entries[row.path] = ScriptEntry(row, entries[row.path].body)
    ordered = [entries[path] for path in sorted(entries)]
    entries.clear()
    return ordered


def _merged(rows: Mapping[str, ScriptRow], missing: Mapping[str, ScriptRow]) -> dict[str, ScriptRow]:
    return {**missing, **rows}


def _compared(before: dict[str, ScriptRow], entries: list[ScriptEntry]) -> Rebuilt:
    """What is different. Empties both, see above."""
    rows = [entry.row for entry in entries]
    report = _report(before, rows)
    entries.clear()
    before.clear()
    return report


def _report(before: Mapping[str, ScriptRow], rows: Sequence[ScriptRow]) -> Rebuilt:
    now = {row.path: row for row in rows}
    gone = [row for path, row in before.items() if path not in now]
    renamed = paired(gone, [row for row in rows if row.path not in before])
    old, new = {pair[0] for pair in renamed}, {pair[1] for pair in renamed}
    return Rebuilt(
        scripts=len(rows),
        created=[path for path in now if path not in before and path not in new],
        updated=[path for path, row in now.items() if path in before and not row.same(before[path])],
        renamed=renamed,
        removed=sorted(row.path for row in gone if row.path not in old),
        problems=[(row.path, row.front.problem) for row in rows if row.front.problem],
    )


def paired(gone: Iterable[ScriptRow], new: Iterable[ScriptRow]) -> list[tuple[str, str]]:
    """Which of the ``gone`` is which of the ``new`` under another name: those with the same content.

    Of several with the same content those with the same file name go together, then whatever is left, by path.
    """
    candidates: dict[str, list[str]] = defaultdict(list)
    for row in sorted(new, key=lambda row: row.path):
        if row.sha256:
            candidates[row.sha256].append(row.path)
    pairs: list[tuple[str, str]] = []
    rest: list[ScriptRow] = []
    for row in sorted(gone, key=lambda row: row.path):
        fitting = candidates.get(row.sha256, [])
        same_name = next((path for path in fitting if _name(path) == _name(row.path)), None)
        if same_name is None:
            rest.append(row)
        else:
            fitting.remove(same_name)
            pairs.append((row.path, same_name))
    pairs += [(row.path, candidates[row.sha256].pop(0)) for row in rest if candidates.get(row.sha256)]
    return sorted(pairs)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _derived(rows: Mapping[str, ScriptRow]) -> tuple[list[ScriptRow], dict[str, Stamp]]:
    return [rows[path] for path in sorted(rows)], settled_stamps(rows)

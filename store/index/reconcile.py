"""Keeps the index equal to the files: takes in what changed, and makes all of it anew when asked.

New and changed files are taken in by themselves. What was last seen of scripts that went away or became invalid is kept
until somebody decides (``store.index.last_seen``); when many vanish at once, nothing is done before somebody says that
it is meant (``store.index.missing``). Nothing here ever writes to a script.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from store.errors import StoreError
from store.files.listing import Stamp
from store.files.scripts import ScriptFiles
from store.index.database import Changes, Renewed, ScriptIndex
from store.index.external_changes import Outside
from store.index.last_seen import LastSeen
from store.index.missing import JudgedChanges, Known, judged, marked, paired
from store.index.rows import ScriptEntry, ScriptRow
from store.index.scan import look, read_entry, settled_stamps
from store.index.search import SearchHit

log = logging.getLogger(__name__)

FRESH = 1.0
"""Seconds for which a search trusts the last look at the files."""

ProgressCallback = Callable[[str, int], None]
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


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan of every file found.

    Attributes:
        rows: Every script, by path.
        last: What was last seen of scripts that are missing or became invalid, by path.
        held: Those that vanished together with too many others; they are in ``rows`` as they were.
        created: Paths that were taken in by this scan.
        updated: Paths that had other values or another text before it.
    """

    rows: Mapping[str, ScriptRow]
    last: Mapping[str, LastSeen]
    held: frozenset[str]
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)


class Reconciler:
    """The scripts of a project as its files say, through the index."""

    def __init__(self, files: ScriptFiles, index: ScriptIndex) -> None:
        self.outside: Outside[ScriptRow] = Outside()
        self._files = files
        self._index = index
        self._turn = asyncio.Lock()
        self._looked_at = float("-inf")
        self._behind = True
        """Something was saved that the index may not know."""
        self._leaving: set[str] = set()
        """What was removed on purpose, and the index may not know."""
        self._held: frozenset[str] = frozenset()
        """What vanished together with too many others."""
        self._derived_of: tuple[int, frozenset[str]] = (-1, frozenset())
        self._ordered: Sequence[ScriptRow] = ()
        self._stamps: Mapping[str, Stamp] = {}

    @classmethod
    async def open(cls, files: ScriptFiles, index: Path) -> Reconciler:
        return cls(files, await ScriptIndex.open(index))

    @property
    def problems(self) -> list[str]:
        """What the user should know about the index, one sentence each."""
        if not self._held:
            return self._index.problems
        share = f"{len(self._held):,} of {len(self._index.rows):,} scripts"
        return [*self._index.problems, f"{share} vanished at once; they stay listed until gatewright diff is answered."]

    async def last_seen(self) -> set[str]:
        """Hashes of the last text of every script that the index knows, also of those that are missing or invalid."""
        there = {row.sha256 for row in await self.scripts()}
        return there | {last.row.sha256 for last in self._index.last.values()}

    @property
    def paths(self) -> Collection[str]:
        """Paths of the scripts as they were last seen, without a look at the disk."""
        return self._index.rows.keys()

    @property
    def changes(self) -> int:
        """How often the index has changed: while it is the same number, so is what the index holds."""
        return self._index.changes

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
        self._leaving.add(path)
        if await self._change(path, lambda: Changes(forgotten=[path])):
            self._leaving.discard(path)

    async def _change(self, path: str, changes: Callable[[], Changes]) -> bool:
        if self._turn.locked():
            # Perhaps by a rebuild that puts ten thousand scripts in place: nobody's save waits for that.
            self._behind = True
            return False
        async with self._turn:
            try:
                await self._index.apply(await asyncio.to_thread(changes))
            except (Renewed, StoreError) as error:
                self._behind = True
                log.info("%s was changed, and the index does not know yet: %s", path, error)
                return False
        return True

    async def scan(self, progress: ProgressCallback) -> Scanned:
        """Read every file, also those whose stamps say that they are what they were, and take in what changed.

        Raises:
            StoreError: The scripts folder cannot be read.
        """
        before = await asyncio.to_thread(dict, self._index.rows)
        read = await asyncio.to_thread(_read_news, self._files, before, progress)
        async with self._turn:
            with suppress(Renewed):  # the refresh reads everything then
                await self._index.apply(Changes(_still_news(read, before, self._index.rows)))
            await self._refresh()
            rows, last = self._index.rows, self._index.last
            return await asyncio.to_thread(_scanned, before, rows, last, self._held)

    async def known(self) -> Scanned:
        """What a scan would say, as far as stamps tell what changed.

        Raises:
            StoreError: The scripts folder cannot be read.
        """
        async with self._turn:
            before = await asyncio.to_thread(dict, self._index.rows)
            await self._refresh()
            return await asyncio.to_thread(_scanned, before, self._index.rows, self._index.last, self._held)

    async def lost(self) -> frozenset[str]:
        """Scripts that are missing or became invalid, and whose bytes are not kept here."""
        return await self._index.lost()

    async def accept(self, paths: frozenset[str]) -> None:
        """Somebody says that these are gone, although they are many: each waits for its own decision now."""
        async with self._turn:
            await self._refresh(paths)

    async def decide(self, paths: Sequence[str]) -> None:
        """What was last seen of these is not needed any more: what becomes of them is decided."""
        async with self._turn:
            with suppress(Renewed):
                await self._index.apply(Changes(decided=paths))

    async def last_content(self, path: str) -> bytes | None:
        """The bytes that were last seen of a script that is missing or became invalid; None when they are lost."""
        return await self._index.last_content(path)

    async def search(self, text: str, limit: int) -> list[SearchHit]:
        """Up to ``limit`` scripts with every word of ``text``."""
        if self._behind or time.monotonic() - self._looked_at > FRESH:
            await self.scripts()
        try:
            return await self._index.search(text, limit)
        except Renewed:
            await self.scripts()
            return await self._index.search(text, limit)

    async def rebuild(self, progress: ProgressCallback) -> Rebuilt:
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
            report = await asyncio.to_thread(_report, self._index.rows, self._index.last, ordered)
            await self._replace(ordered, report.renamed, progress)
            self._held = frozenset()
        await asyncio.to_thread(ordered.clear)
        return report

    async def close(self) -> None:
        async with self._turn:
            await self._index.close()

    async def _scripts(self) -> Sequence[ScriptRow]:
        async with self._turn:
            began = self.outside.serial
            await self._refresh()
            await self._derive()
            if self.outside.is_news(self._ordered):
                self.outside.tell(await asyncio.to_thread(self.outside.compare, self._ordered, began))
            return self._ordered

    async def _refresh(self, accepted: frozenset[str] = frozenset()) -> None:
        """Bring the index up to date. An index that was lost is filled again."""
        for _ in range(3):
            await self._derive()
            self._looked_at, self._behind = time.monotonic(), False
            known = Known(self._index.rows, self._index.last, frozenset(self._leaving), accepted)
            found = await asyncio.to_thread(_look_and_judge, self._files, known, self._stamps)
            try:
                await self._index.apply(found.changes)
            except Renewed:
                continue
            self._leaving -= known.leaving
            self._held = found.held
            return
        raise StoreError("The index of scripts was lost several times in a row.", "See the engine's log.")

    async def _derive(self) -> None:
        """Sort the rows and pick the stamps that count, once after every change."""
        wanted = self._index.changes, self._held
        if self._derived_of != wanted:
            self._derived_of = wanted
            self._ordered, self._stamps = await asyncio.to_thread(_derived, self._index.rows, self._held)

    async def _replace(
        self, entries: Sequence[ScriptEntry], renamed: Sequence[tuple[str, str]], progress: ProgressCallback
    ) -> None:
        for _ in range(3):
            counter = count()
            try:
                return await self._index.replace(entries, renamed, lambda: progress("indexing", next(counter)))  # noqa: B023
            except Renewed:
                continue
        raise StoreError("The index of scripts was lost several times in a row.", "See the engine's log.")

    def _entry(self, path: str) -> ScriptEntry:
        now = time.time_ns()
        return read_entry(self._files.look(path), now)


def _read_all(files: ScriptFiles, progress: ProgressCallback) -> dict[str, ScriptEntry]:
    read = look(files, {}, {}, lambda number: progress("reading", number))
    return {entry.row.path: entry for entry in read.entries}


def _read_news(files: ScriptFiles, known: Mapping[str, ScriptRow], progress: ProgressCallback) -> Sequence[ScriptEntry]:
    """What is not what is known of it, whatever its stamp says. The many that are the same are dropped here."""
    return look(files, known, {}, lambda number: progress("reading", number)).entries


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


def _look_and_judge(files: ScriptFiles, known: Known, stamps: Mapping[str, Stamp]) -> JudgedChanges:
    return judged(look(files, known.rows, stamps), known)


def _still_news(
    entries: Iterable[ScriptEntry], before: Mapping[str, ScriptRow], now: Mapping[str, ScriptRow]
) -> list[ScriptEntry]:
    """Those of scripts of which nobody told the index anything else meanwhile."""
    both = ((entry, before.get(entry.row.path), now.get(entry.row.path)) for entry in entries)
    return [entry for entry, old, new in both if old is not None and new is not None and new.same(old)]


def _scanned(
    before: Mapping[str, ScriptRow],
    rows: Mapping[str, ScriptRow],
    last: Mapping[str, LastSeen],
    held: frozenset[str],
) -> Scanned:
    return Scanned(
        rows=dict(rows),
        last=dict(last),
        held=held,
        created=sorted(path for path in rows if path not in before),
        updated=sorted(path for path, row in rows.items() if path in before and not row.same(before[path])),
    )


def _report(before: Mapping[str, ScriptRow], last: Mapping[str, LastSeen], entries: Iterable[ScriptEntry]) -> Rebuilt:
    rows = [entry.row for entry in entries]
    untold = {path: one for path, one in last.items() if one.missing and not one.told}
    before = {**{path: one.row for path, one in untold.items()}, **before}
    now = {row.path: row for row in rows}
    known = [(path, one.renamed_to) for path, one in untold.items() if one.renamed_to in now and path not in now]
    moved = {path for path, _ in known}
    gone = [row for path, row in before.items() if path not in now]
    new = [row for row in rows if row.path not in before]
    renamed = sorted([*known, *paired([row for row in gone if row.path not in moved], new)])
    old, taken = {pair[0] for pair in renamed}, {pair[1] for pair in renamed}
    return Rebuilt(
        scripts=len(rows),
        created=[path for path in now if path not in before and path not in taken],
        updated=[path for path, row in now.items() if path in before and not row.same(before[path])],
        renamed=renamed,
        removed=sorted(row.path for row in gone if row.path not in old),
        problems=[(row.path, row.front.problem) for row in rows if row.front.problem],
    )


def _derived(rows: Mapping[str, ScriptRow], held: frozenset[str]) -> tuple[list[ScriptRow], dict[str, Stamp]]:
    ordered = [marked(rows[path]) if path in held else rows[path] for path in sorted(rows)]
    return ordered, settled_stamps(rows)

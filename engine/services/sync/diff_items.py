"""What a scan found, as items that a user can decide about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from engine.models.sync import DiffChoice, DiffItem, DiffState, KeyDifference
from store.files.names import shown
from store.index.differences import Alike, Duplicates, KeyChange, duplicates
from store.index.last_seen import LastSeen
from store.index.reconcile import Scanned
from store.index.rows import ScriptRow

OTHERS = 20
"""Paths that an item names besides its own."""

_ALIKE = {
    Alike.CONTENT: "It has the same content as",
    Alike.PATH: "Its path differs only in case or accents from that of",
    Alike.TITLE: "It has the same title as",
}


def items_of(scanned: Scanned, kept: frozenset[str], lost: frozenset[str]) -> list[DiffItem]:
    """Every difference, those that wait for a decision first, by state and path.

    Args:
        scanned: What is known of files and rows.
        kept: Fingerprints of duplicates that are meant.
        lost: Scripts whose last text is not kept.
    """
    items = [*_held(scanned), *_missing(scanned, lost), *_invalid(scanned, lost), *_duplicates(scanned, kept)]
    order = [DiffState.VANISHED, *DiffState]
    items.sort(key=lambda item: (not item.choices, order.index(item.state), item.path))
    return items


def with_keys(item: DiffItem, changes: Sequence[KeyChange] | None) -> DiffItem:
    """An invalid file's item with its keys; None: they cannot be told, because its frontmatter cannot be read."""
    if changes is None:
        return item
    keys = [
        KeyDifference(key=change.key, file=change.file, database=change.database, restorable=change.settable)
        for change in changes
    ]
    return replace(item, keys=keys)


def _held(scanned: Scanned) -> Iterator[DiffItem]:
    if not scanned.held:
        return
    paths = sorted(scanned.held)
    yield DiffItem(
        path="",
        state=DiffState.VANISHED,
        sentence=(
            f"{len(paths):,} of {len(scanned.rows):,} scripts vanished at once, which may not be meant: is a disk not "
            "mounted, a checkout half done? Nothing is done about them before you say that they are gone."
        ),
        seen=_seen(*paths),
        choices=[DiffChoice.ACCEPT],
        file_choice=DiffChoice.ACCEPT,
        others=paths[:OTHERS],
    )


def _missing(scanned: Scanned, lost: frozenset[str]) -> Iterator[DiffItem]:
    for path, last in scanned.last.items():
        if not last.missing:
            continue
        new = scanned.rows.get(last.renamed_to) if last.renamed_to is not None else None
        if new is not None and new.sha256:
            yield _renamed_item(path, last, new, is_lost=path in lost)
        else:
            yield _missing_item(path, last, is_lost=path in lost)


def _missing_item(path: str, last: LastSeen, *, is_lost: bool) -> DiffItem:
    write = [] if is_lost else [DiffChoice.WRITE_FILE]
    return DiffItem(
        path=path,
        state=DiffState.MISSING_FILE,
        sentence=(
            "Its file is gone, and its text is not kept: it cannot be written back."
            if is_lost
            else "Its file is gone; the text that was last seen can be written back."
        ),
        seen=_seen(path, last.row.sha256),
        choices=[*write, DiffChoice.DROP_ROW],
        file_choice=DiffChoice.DROP_ROW,
        database_choice=None if is_lost else DiffChoice.WRITE_FILE,
        since=last.since,
        title=last.row.front.title,
        database_sha256=last.row.sha256,
    )


def _renamed_item(path: str, last: LastSeen, new: ScriptRow, *, is_lost: bool) -> DiffItem:
    item = _missing_item(path, last, is_lost=is_lost)
    now = "has" if new.sha256 == last.row.sha256 else "had"
    return replace(
        item,
        state=DiffState.RENAMED,
        sentence=f"Its file is gone, and {shown(new.path)} {now} the same content: it was renamed or moved.",
        seen=_seen(path, last.row.sha256, new.path, new.sha256),
        choices=[*([] if is_lost else [DiffChoice.FOLLOW]), *item.choices],
        file_choice=DiffChoice.DROP_ROW if is_lost else DiffChoice.FOLLOW,
        others=[new.path],
        file_sha256=new.sha256,
    )


def _invalid(scanned: Scanned, lost: frozenset[str]) -> Iterator[DiffItem]:
    for path, row in scanned.rows.items():
        if row.front.problem is None or path in scanned.held:
            continue
        last = scanned.last.get(path)
        item = DiffItem(
            path=path,
            state=DiffState.INVALID_FILE,
            sentence=row.front.problem,
            seen=_seen(path, row.sha256, row.front.problem),
            file_sha256=row.sha256 or None,
        )
        yield item if last is None else _with_last(item, last, is_lost=path in lost)


def _with_last(item: DiffItem, last: LastSeen, *, is_lost: bool) -> DiffItem:
    restore = [] if is_lost else [DiffChoice.RESTORE]
    return replace(
        item,
        seen=_seen(item.seen, last.row.sha256),
        choices=[DiffChoice.KEEP_FILE, *restore],
        file_choice=DiffChoice.KEEP_FILE,
        database_choice=None if is_lost else DiffChoice.RESTORE,
        since=last.since,
        title=last.row.front.title,
        database_sha256=last.row.sha256,
    )


def _duplicates(scanned: Scanned, kept: frozenset[str]) -> Iterator[DiffItem]:
    told: set[str] = set()
    rows = [row for row in scanned.rows.values() if row.path not in scanned.held]
    for group in duplicates(rows):
        if group.fingerprint in kept:
            continue
        for path in group.paths:
            if path not in told:  # the weightiest reason is told, and the others once that is decided
                told.add(path)
                yield _duplicate_item(scanned.rows[path], group)


def _duplicate_item(row: ScriptRow, group: Duplicates) -> DiffItem:
    others = [path for path in group.paths if path != row.path]
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return DiffItem(
        path=row.path,
        state=DiffState.DUPLICATE,
        sentence=f"{_ALIKE[group.alike]} {shown(others[0])}{more}.",
        seen=f"{group.fingerprint}.{row.sha256}",
        choices=[DiffChoice.KEEP_BOTH, *([DiffChoice.DELETE] if row.sha256 else [])],
        file_choice=DiffChoice.KEEP_BOTH,
        others=others[:OTHERS],
        title=row.front.title,
        file_sha256=row.sha256 or None,
    )


def fingerprint_of(item: DiffItem) -> str:
    """The fingerprint of the duplicates that an item is one of."""
    return item.seen.partition(".")[0]


def _seen(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "backslashreplace")).hexdigest()

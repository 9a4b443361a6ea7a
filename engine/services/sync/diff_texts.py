"""The texts that a difference is about: what a file holds, what was last seen of it, what a decision would change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from engine import text_diff
from engine.models.sync import DiffChoice, DiffItem, DiffState
from store.errors import NotFound, StoreError
from store.files.save import sha256
from store.files.scripts import ScriptFiles
from store.frontmatter.edit import apply_changes
from store.frontmatter.locate import FrontmatterError
from store.index.differences import changed_keys
from store.index.reconcile import Reconciler, Scanned

_WITHOUT_TEXT = {
    DiffChoice.FOLLOW: "{old} becomes {new}, with its history; no file changes",
    DiffChoice.KEEP_BOTH: "nothing changes; it is not asked about again",
    DiffChoice.ACCEPT: "nothing changes; each of them waits for a decision of its own then",
}
_WITH_TEXT = {
    DiffChoice.KEEP_FILE: "the file stays as it is; this is how it differs from what was valid",
    DiffChoice.RESTORE: "the file is saved with what was valid; its text goes into the history",
    DiffChoice.WRITE_FILE: "the file is written again",
    DiffChoice.DROP_ROW: "the row goes; this text goes into the history",
    DiffChoice.DELETE: "the file goes; its text goes into the history",
}


class DiffTexts:
    """Reads them, from the files, the index and the history."""

    def __init__(self, files: ScriptFiles, reconciler: Reconciler) -> None:
        self._files = files
        self._reconciler = reconciler

    async def now(self, item: DiffItem) -> bytes | None:
        """What the item's file holds; None when there is none, or it is not what the item was made of."""
        if item.file_sha256 is None or item.state is DiffState.RENAMED:
            return None
        try:
            data = await asyncio.to_thread(self._files.read, item.path)
        except StoreError:
            return None
        return data if sha256(data) == item.file_sha256 else None

    async def last(self, item: DiffItem) -> bytes | None:
        """What was last seen of the item's script; None when that is lost."""
        if item.database_sha256 is None:
            return None
        kept = await self._reconciler.last_content(item.path)
        if kept is not None and sha256(kept) == item.database_sha256:
            return kept
        return await asyncio.to_thread(self._kept, item.database_sha256)

    async def needed(self, item: DiffItem) -> bytes:
        """As ``last``.

        Raises:
            StoreError: It is lost.
        """
        data = await self.last(item)
        if data is None:
            raise StoreError(f"What {item.path} held is not kept.", "Look for it in git.")
        return data

    async def without_history(self, paths: Iterable[str], scanned: Scanned) -> frozenset[str]:
        """Those of ``paths`` whose last text is not in the history either."""

        def look() -> frozenset[str]:
            return frozenset(path for path in paths if self._kept(scanned.last[path].row.sha256) is None)

        return await asyncio.to_thread(look)

    def _kept(self, digest: str) -> bytes | None:
        try:
            return self._files.kept(digest)
        except StoreError:
            return None


def with_old_keys(now: bytes, last: bytes, keys: Sequence[str]) -> bytes:
    """``now`` with these keys of its frontmatter as they are in ``last``. No other byte changes.

    Raises:
        StoreError: They cannot be set, or are no keys that differ.
    """
    changes = {change.key: change for change in changed_keys(now, last) or []}
    for key in keys:
        if key not in changes:
            raise NotFound(f"Its key {key!r} does not differ from what was valid.")
    try:
        return apply_changes(now, {key: changes[key].value for key in keys})
    except FrontmatterError as error:
        raise StoreError(f"Its keys cannot be set alone: {error}", "Restore all of it, or edit the file.") from None


def preview_of(
    choice: DiffChoice, item: DiffItem, now: bytes | None, last: bytes | None, after: bytes | None
) -> tuple[str, str]:
    """What a choice would do: a sentence, and the difference that it would make as ``diff -u`` writes it."""
    if choice in _WITHOUT_TEXT:
        return _WITHOUT_TEXT[choice].format(old=item.path, new=item.others[0] if item.others else ""), ""
    if choice is DiffChoice.DROP_ROW and last is None:
        return "the row goes; its text is not kept", ""
    before, then = {
        DiffChoice.KEEP_FILE: (last, now),
        DiffChoice.RESTORE: (now, after),
        DiffChoice.WRITE_FILE: (None, last),
        DiffChoice.DROP_ROW: (last, None),
        DiffChoice.DELETE: (now, None),
    }[choice]
    return _WITH_TEXT[choice], text_diff.unified(_text(before), _text(then), item.path, item.path)


def _text(data: bytes | None) -> str:
    return "" if data is None else data.decode("utf-8", "replace")

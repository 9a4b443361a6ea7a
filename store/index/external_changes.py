"""Tells what others did to files from what this engine did itself, by what the files hold and not by time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

from store.index.missing import HashedFile, paired

_GONE = ""
"""The hash of what is not there."""

_PENDING = float("inf")
"""The serial of what is just being done: a look may find it, or not yet."""


class SeenFile(HashedFile, Protocol):
    """A file as a look found it."""

    def same(self, other: Self) -> bool: ...


SeenT = TypeVar("SeenT", bound=SeenFile)


@dataclass(frozen=True, slots=True)
class ExternalChanges:
    """What looks at the files found that others did. Paths."""

    created: Sequence[str] = ()
    updated: Sequence[str] = ()
    removed: Sequence[str] = ()
    renamed: Sequence[tuple[str, str]] = ()
    """From where to where: what has the same content."""

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed or self.renamed)


def together(parts: Iterable[ExternalChanges]) -> ExternalChanges:
    """What several looks have found, one after the other, as if it had been one."""
    kinds: dict[str, str] = {}
    renamed: list[tuple[str, str]] = []
    for part in parts:
        for path in part.created:
            kinds[path] = "updated" if kinds.get(path) == "removed" else "created"
        for path in part.updated:
            kinds.setdefault(path, "updated")
        for path in part.removed:
            if kinds.get(path) == "created":
                del kinds[path]
            else:
                kinds[path] = "removed"
        for old, new in part.renamed:
            if kinds.get(old) == "created":
                del kinds[old]
                kinds[new] = "created"
            else:
                renamed.append((old, new))
    by_kind = {kind: [path for path, of in kinds.items() if of == kind] for kind in ("created", "updated", "removed")}
    return ExternalChanges(**by_kind, renamed=renamed)


@dataclass(slots=True)
class _Own:
    """What this engine made of one file, by hash; the serial says when."""

    contents: dict[str, float] = field(default_factory=dict)

    def explains(self, sha256: str, began: int) -> bool:
        """Whether a look that began at ``began`` could find this content although nobody else did anything."""
        done = [serial for serial in self.contents.values() if serial <= began]
        latest = max(done, default=0.0)
        serial = self.contents.get(sha256)
        explained = serial is not None and serial >= latest
        # What was there before that is not ours any more when it comes back.
        outdated = [each for each, at in self.contents.items() if at < latest or (at == latest and not explained)]
        for each in outdated:
            del self.contents[each]
        return explained


class Outside(Generic[SeenT]):
    """What is known of the files of one kind, and what of it is this engine's own doing.

    Attributes:
        heard: Called with what others did, by whoever looked.
    """

    def __init__(self) -> None:
        self.heard: Callable[[ExternalChanges], None] = lambda _: None
        self._own: dict[str, _Own] = {}
        self._lock = threading.Lock()
        self._serial = 0
        self._rows: Sequence[SeenT] | None = None
        self._known: dict[str, SeenT] = {}

    @property
    def serial(self) -> int:
        """Grows with everything that this engine does."""
        return self._serial

    @contextmanager
    def own(self, contents: Mapping[str, str | None]) -> Iterator[None]:
        """To be held while this engine changes files.

        Args:
            contents: What the files hold afterwards, by path: a hash, or None where there is no file any more.
        """
        self._note(contents, done=False)
        try:
            yield
        except BaseException:
            self._withdraw(contents)
            raise
        self._note(contents, done=True)

    def is_news(self, rows: Sequence[SeenT]) -> bool:
        return rows is not self._rows

    def compare(self, rows: Sequence[SeenT], began: int) -> ExternalChanges:
        """What others did since the last call. The first one finds nothing: it only learns what there is.

        Args:
            rows: Every file, as a look found it.
            began: ``serial`` when the look began.
        """
        before, is_first = self._known, self._rows is None
        self._known, self._rows = {row.path: row for row in rows}, rows
        if is_first:
            return ExternalChanges()
        with self._lock:
            differing = [row for row in rows if not _same(before.get(row.path), row)]
            others = [row for row in differing if not self._explains(row.path, row.sha256, began)]
            left = [row for path, row in before.items() if path not in self._known]
            gone = [row for row in left if not self._explains(row.path, _GONE, began)]
        new = [row for row in others if row.path not in before]
        renamed = list(paired(gone, new))
        old, made = {pair[0] for pair in renamed}, {pair[1] for pair in renamed}
        return ExternalChanges(
            created=[row.path for row in new if row.path not in made],
            updated=[row.path for row in others if row.path in before],
            removed=[row.path for row in gone if row.path not in old],
            renamed=renamed,
        )

    def tell(self, found: ExternalChanges) -> None:
        if found:
            self.heard(found)

    def _note(self, contents: Mapping[str, str | None], *, done: bool) -> None:
        with self._lock:
            self._serial += 1
            for path, sha256 in contents.items():
                own = self._own.setdefault(path, _Own())
                own.contents[sha256 or _GONE] = self._serial if done else _PENDING

    def _withdraw(self, contents: Mapping[str, str | None]) -> None:
        with self._lock:
            for path, sha256 in contents.items():
                if path in self._own:
                    self._own[path].contents.pop(sha256 or _GONE, None)

    def _explains(self, path: str, sha256: str, began: int) -> bool:
        own = self._own.get(path)
        if own is None:
            return False
        explained = own.explains(sha256, began)
        if not own.contents:
            del self._own[path]
        return explained


def _same(before: SeenT | None, now: SeenT) -> bool:
    return before is now or (before is not None and before.same(now))

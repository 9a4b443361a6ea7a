"""Differences that are worth a question: scripts that are alike, and the keys of a file that became invalid."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from store.files.names import folded
from store.frontmatter.keys import own_table, path_of
from store.frontmatter.known_keys import TOP
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import document_of, title_from_path
from store.index.rows import ScriptRow

_ABSENT = object()


class Alike(StrEnum):
    """In what scripts are alike, the weightiest first."""

    CONTENT = "content"
    PATH = "path"
    """But for case and accents: some systems cannot hold both."""
    TITLE = "title"


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Scripts that are alike.

    Attributes:
        alike: In what.
        paths: All of them, sorted; at least two.
        fingerprint: The same for the same scripts alike in the same, and for nothing else.
    """

    alike: Alike
    paths: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key of the frontmatter that differs.

    Attributes:
        key: As it is set: ``limits.timeout``.
        file: What the file has, as text; None when it has no such key.
        database: What it had when it was last valid; None when it had none.
        value: The latter as a value, to set it again.
        settable: It can be set by itself, without touching anything else.
    """

    key: str
    file: str | None
    database: str | None
    value: Any
    settable: bool


def duplicates(rows: Iterable[ScriptRow]) -> list[Duplicates]:
    """Scripts with the same content, with paths that clash, or with the same title, each group once."""
    groups: dict[tuple[Alike, str], list[str]] = defaultdict(list)
    titles: set[str] = set()
    for row in rows:
        if row.front.title != title_from_path(row.path):
            titles.add(row.front.title)
        for alike, value in _marks(row):
            groups[alike, value].append(row.path)
    seen: set[tuple[str, ...]] = set()
    found = []
    for alike in Alike:
        for (kind, value), members in groups.items():
            paths = tuple(sorted(members))
            if kind is Alike.TITLE and value not in titles:  # of scripts that have no other than their names
                continue
            if kind is alike and len(paths) > 1 and paths not in seen:
                seen.add(paths)
                found.append(Duplicates(alike, paths, _fingerprint(alike, value, paths)))
    return found


def _marks(row: ScriptRow) -> Iterator[tuple[Alike, str]]:
    if row.sha256 and row.size:
        yield Alike.CONTENT, row.sha256
    yield Alike.PATH, row.path.lower() if row.path.isascii() else folded(row.path)
    if row.sha256:
        yield Alike.TITLE, row.front.title


def _fingerprint(alike: Alike, value: str, paths: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([alike, value, *paths]).encode()).hexdigest()


def changed_keys(file: bytes, database: bytes) -> list[KeyChange] | None:
    """Keys of the frontmatter that ``file`` has other than ``database``, the text that was valid.

    Returns:
        None when the file's frontmatter cannot be read at all, so that no key of it can be told.
    """
    before = _keys(database) or {}
    now = _keys(file)
    if now is None:
        return None
    changes = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key, _ABSENT), now.get(key, _ABSENT)
        if _text(old) != _text(new):
            value = None if old is _ABSENT else old
            changes.append(KeyChange(key, _text(new), _text(old), value, _settable(key, remove=old is _ABSENT)))
    return changes


def _keys(data: bytes) -> dict[str, Any] | None:
    """What a script's block says, by the names of the keys; None when it cannot be read."""
    try:
        document = document_of(data.decode("utf-8", "replace"))
    except FrontmatterError:
        return None
    keys = {key: document[key] for key in TOP if key in document}
    return keys | dict(_flat(own_table(document), ""))


def _flat(table: Mapping[str, Any], lead: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{lead}{key}.")
        else:
            yield f"{lead}{key}", value


def _text(value: object) -> str | None:
    return None if value is _ABSENT else json.dumps(value, ensure_ascii=False, default=str)


def _settable(key: str, *, remove: bool) -> bool:
    try:
        path_of(key, remove=remove)
    except FrontmatterError:
        return False
    return True

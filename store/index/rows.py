"""One script in ``index.db``: what its file said about itself when it was last read, and as columns of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from store.files.listing import Stamp
from store.frontmatter.read import DeclaredLimits, Frontmatter, Param

MAX_SEARCHED = 128 << 10
"""Characters of a script that can be found by searching: a generated file must not fill the index."""

COLUMNS = (
    "path", "title", "kind", "description", "tags", "enabled", "entrypoint", "preload", "params", "limits",
    "permissions", "leave_processes", "requires_python", "dependencies", "environment", "problem", "note", "sha256",
    "size", "mtime_ns", "ctime_ns", "inode", "seen_ns",
)  # fmt: skip

_NO_STAMP: Stamp = (0, 0, 0, 0)
_LIMITS = tuple(DeclaredLimits.__dataclass_fields__)
_PARAM = tuple(Param.__dataclass_fields__)
_EMPTY = "[]"

_NO_LIMITS = DeclaredLimits()


@dataclass(frozen=True, slots=True)
class ScriptRow:
    """A script as the index knows it.

    Attributes:
        path: Its identity. With a problem of its name it is the name made harmless, as a list shows it.
        front: What it says about itself. Its ``problem`` is also that of a file that cannot be read.
        sha256: Of its content; empty when it could not be read.
        size: Bytes.
        stamp: Of the file before it was read; None when it has to be looked at again every time.
        seen_ns: When it was read, in ns since the epoch.
    """

    path: str
    front: Frontmatter
    sha256: str
    size: int
    stamp: Stamp | None
    seen_ns: int

    @property
    def modified(self) -> float:
        """Seconds since the epoch, rounded as ``os.stat_result.st_mtime`` is."""
        if self.stamp is None:
            return 0.0
        seconds, rest = divmod(self.stamp[0], 10**9)
        return seconds + 1e-9 * rest

    def same(self, other: ScriptRow) -> bool:
        """Whether both say the same of the same bytes, whenever and wherever they were read."""
        return (self.sha256, self.size, self.front) == (other.sha256, other.size, other.front)


@dataclass(frozen=True, slots=True)
class ScriptEntry:
    """A row and the text to search in.

    Attributes:
        row: What is known of it.
        body: Its text.
        data: Its bytes, compressed, where what is searched in does not give them back.
    """

    row: ScriptRow
    body: str
    data: bytes | None = None

    @property
    def searched(self) -> tuple[str, str, str, str]:
        """Path, title, tags and body, as they are searched."""
        return self.row.path, self.row.front.title, " ".join(self.row.front.tags), self.body[:MAX_SEARCHED]


def to_columns(row: ScriptRow) -> tuple[Any, ...]:
    """The values of ``COLUMNS``."""
    front = row.front
    mtime_ns, ctime_ns, _, inode = row.stamp or _NO_STAMP
    return (
        row.path,
        front.title,
        front.kind,
        front.description,
        _list(front.tags),
        front.enabled,
        front.entrypoint,
        _list(front.preload),
        _list([[getattr(param, name) for name in _PARAM] for param in front.params]),
        None if front.limits == _NO_LIMITS else json.dumps([getattr(front.limits, name) for name in _LIMITS]),
        json.dumps(as_text(front.permissions)) if front.permissions else None,
        front.leave_processes,
        front.requires_python,
        _list(front.dependencies),
        front.environment,
        front.problem,
        front.note,
        row.sha256,
        row.size,
        mtime_ns,
        ctime_ns,
        # SQLite's integers have a sign; some file systems use all 64 bits.
        inode - (1 << 64) if inode >= 1 << 63 else inode,
        row.seen_ns,
    )


def from_columns(values: Sequence[Any]) -> ScriptRow:
    """The row that ``to_columns`` made ``values`` of."""
    (path, title, kind, description, tags, enabled, entrypoint, preload, params, limits, permissions, leave_processes,
     requires_python, dependencies, environment, problem, note, sha256, size, mtime_ns, ctime_ns, inode,
     seen_ns) = values  # fmt: skip
    front = Frontmatter(
        title=title,
        description=description,
        kind=kind,
        entrypoint=entrypoint,
        enabled=bool(enabled),
        tags=_texts(tags),
        preload=_texts(preload),
        params=() if params == _EMPTY else tuple(_param(values) for values in json.loads(params)),
        limits=_NO_LIMITS if limits is None else DeclaredLimits(*json.loads(limits)),
        permissions=MappingProxyType({} if permissions is None else json.loads(permissions)),
        leave_processes=bool(leave_processes),
        requires_python=requires_python,
        dependencies=_texts(dependencies),
        environment=environment,
        problem=problem,
        note=note,
    )
    stamp = (mtime_ns, ctime_ns, size, inode + (1 << 64) if inode < 0 else inode)
    return ScriptRow(path, front, sha256, size, stamp if any(stamp[:2]) else None, seen_ns)


def _list(items: Sequence[Any]) -> str:
    return msgspec.json.encode(items).decode() if items else _EMPTY  # five times as quick as json


def _texts(column: str) -> tuple[str, ...]:
    return () if column == _EMPTY else tuple(json.loads(column))


def _param(values: list[Any]) -> Param:
    param = dict(zip(_PARAM, values, strict=True))
    return Param(**{**param, "choices": tuple(param["choices"])})


def as_text(value: Any) -> Any:  # noqa: ANN401 - any TOML in, any JSON out
    """A permissions table as JSON can carry it: only texts in lists, true and false mean anything there, all else is a
    mistake."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, Mapping):
        return {key: as_text(item) for key, item in value.items()}
    return None

"""What to make of scripts that are not there any more: removed on purpose, moved, missing, or too many at once.

An unmounted disk and a checkout that is half done look like the deletion of everything. So when many scripts vanish in
one look, their rows stay until somebody says that it is meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from store.index.database import Changes
from store.index.last_seen import LastSeen
from store.index.rows import ScriptRow

MASS = 10
MASS_SHARE = 0.2
"""More scripts than ``MASS`` and more than this part of all that vanish in one look are held."""

HELD = "Its file vanished together with many others; the metadata diff asks whether that is meant."


class JudgedChanges(NamedTuple):
    """What a look found, with what vanished sorted out, and which paths are held until somebody says."""

    changes: Changes
    held: frozenset[str]


@dataclass(frozen=True, slots=True)
class Known:
    """What was known before a look.

    Attributes:
        rows: Of every script that was there.
        last: What was last seen of scripts that are missing or invalid.
        leaving: Paths that were removed on purpose, which the index was not told yet.
        accepted: Paths that somebody said are gone, however many they are.
    """

    rows: Mapping[str, ScriptRow]
    last: Mapping[str, LastSeen]
    leaving: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()


def judged(changes: Changes, known: Known) -> JudgedChanges:
    """Sort out what vanished in a look."""
    made = [entry.row for entry in changes.entries if entry.row.path not in known.rows]
    there = {row.path for row in made}
    forgotten = [path for path in changes.gone if path in known.leaving]
    gone = [path for path in changes.gone if path not in known.leaving]
    decided = [path for path in known.leaving if path in known.last and path not in there]
    missing = [one.row for path, one in known.last.items() if one.missing and path not in there | known.leaving]
    renamed = paired([*missing, *(known.rows[path] for path in gone)], made)
    moved = {old for old, _ in renamed}
    lost = [path for path in gone if path not in moved and path not in known.accepted]
    held = frozenset(lost) if is_mass(lost, known.rows) else frozenset()
    gone = [path for path in gone if path not in held]
    return JudgedChanges(replace(changes, gone=gone, forgotten=forgotten, decided=decided, renamed=renamed), held)


def is_mass(lost: Collection[str], rows: Collection[str]) -> bool:
    """Whether so many of all scripts vanished at once that somebody has to say whether it is meant."""
    return len(lost) > MASS and len(lost) > MASS_SHARE * len(rows)


def marked(row: ScriptRow) -> ScriptRow:
    """The row of a script that is held, as a list shows it."""
    return replace(row, front=replace(row.front, problem=HELD))


class HashedFile(Protocol):
    """A file by its path and what it holds."""

    @property
    def path(self) -> str: ...

    @property
    def sha256(self) -> str: ...


def paired(gone: Iterable[HashedFile], new: Iterable[HashedFile]) -> Sequence[tuple[str, str]]:
    """Which of the ``gone`` is which of the ``new`` under another name: those with the same content.

    Of several with the same content those with the same file name go together, then whatever is left, by path.
    """
    candidates: dict[str, list[str]] = defaultdict(list)
    for row in sorted(new, key=lambda row: row.path):
        if row.sha256:
            candidates[row.sha256].append(row.path)
    pairs: list[tuple[str, str]] = []
    rest: list[HashedFile] = []
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

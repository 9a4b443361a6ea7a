"""Both changes of a script's frontmatter, key by key: lines beside each other are keys that have nothing in common.

What comes of it is read again: unless every key has the value that one side gave it or both left alone, there is no
such merge, and the lines are merged like all others.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar

from tui.text.diff3 import diff3

BEGINS, ENDS = "# /// script", "# ///"

MAX_LINES = 1_000

Entries = dict[str, list[str]]
"""Lines by what they say: a header, or a key in its table; what follows up to the next one belongs to it."""

Value = TypeVar("Value")

_HEADER = re.compile(r"# *\[(.+)\] *")
_KEY = re.compile(r"# *([\w.\"'-]+) *=")


def merge_blocks(base: list[str], mine: list[str], theirs: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The three texts' lines with the merged block in each of them; as they are if the blocks cannot be merged."""
    texts = (base, mine, theirs)
    places = [_place(lines) for lines in texts]
    blocks = [lines[first:end] for lines, (first, end) in zip(texts, places, strict=True)]
    if not all(blocks) or any(len(block) > MAX_LINES for block in blocks):
        return texts
    merged = _merged(*blocks)
    if merged is None:
        return texts
    old, ours, others = (
        [*lines[:first], *merged, *lines[end:]] for lines, (first, end) in zip(texts, places, strict=True)
    )
    return old, ours, others


def _place(lines: list[str]) -> tuple[int, int]:
    """Where the block's own lines begin and end; an empty run if there is no block."""
    if BEGINS not in lines:
        return 0, 0
    first = lines.index(BEGINS) + 1
    for row in range(first, len(lines)):
        if lines[row] == ENDS:
            return first, row
        if not lines[row].startswith("#"):
            break
    return 0, 0


def _merged(base: list[str], mine: list[str], theirs: list[str]) -> list[str] | None:
    if base in (mine, theirs) or mine == theirs:
        return theirs if mine == base else mine  # also what is no key, and not even TOML
    old, ours, others = _entries(base), _entries(mine), _entries(theirs)
    if old is None or ours is None or others is None:
        return None
    lines: list[str] = []
    for name in _order(old, ours, others):
        agreed, entry = _agreed(old.get(name), ours.get(name), others.get(name))
        if not agreed:
            return None
        lines += entry or []
    return lines if _says_both(lines, base, mine, theirs) else None


def _entries(block: list[str]) -> Entries | None:
    """None if something is there twice, or in strings of several lines, whose lines could look like keys."""
    entries: Entries = {"": []}
    table = current = ""
    for line in block:
        if '"""' in line or "'''" in line:
            return None
        header, key = _HEADER.fullmatch(line), _KEY.match(line)
        if header or key:
            table = header[1] if header else table
            current = f"[{table}]" if header else f"[{table}] {key[1] if key else ''}"
            if current in entries:
                return None
            entries[current] = []
        entries[current].append(line)
    return entries


def _order(base: Entries, mine: Entries, theirs: Entries) -> Iterator[str]:
    """Every name once: as it was, with what each side put in where it put it."""
    chunks = diff3(list(base), list(mine), list(theirs))
    names = ([*chunk.mine, *chunk.theirs] if chunk.merged is None else chunk.merged for chunk in chunks)
    return iter(dict.fromkeys(chain.from_iterable(names)))


def _agreed(base: Value | None, mine: Value | None, theirs: Value | None) -> tuple[bool, Value | None]:
    """Whether at most one side changed it, or both alike; and what it is then, None if it is not there."""
    if mine == theirs or theirs == base:
        return True, mine
    return mine == base, theirs


def _says_both(merged: list[str], base: list[str], mine: list[str], theirs: list[str]) -> bool:
    """Whether each key is what it should be."""
    try:
        said, old, ours, others = (_values(block) for block in (merged, base, mine, theirs))
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    names = said.keys() | old.keys() | ours.keys() | others.keys()
    return all(_agreed(old.get(n), ours.get(n), others.get(n)) == (True, said.get(n)) for n in names)


def _values(block: list[str]) -> dict[str, str]:
    content = "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in block)
    return dict(_flat("", tomllib.loads(content)))


def _flat(place: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys with their places and values; as texts, so that 1, 1.0 and true differ."""
    yield place, "table"
    for key, value in table.items():
        inner = f"{place}/{key!r}"
        if isinstance(value, dict):
            yield from _flat(inner, value)
        else:
            yield inner, repr(value)

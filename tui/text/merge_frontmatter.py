"""Both changes of a script's frontmatter, key by key: lines beside each other are keys that have nothing in common.

What comes of it is read again: unless every key has the value that one side gave it or both left alone, there is no
such merge, and the lines are merged like all others. That is read again, too: lines that fit together can still say a
key twice or lose one, where a side moved it. Then the whole block is one conflict.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from store.frontmatter.locate import BEGINS, FrontmatterError, find_block
from tui.text.diff3 import diff3

MAX_LINES = 1_000

Entries = dict[str, list[str]]
"""Lines by what they say: a header, or a key in its table; what follows up to the next one belongs to it."""

Value = TypeVar("Value")

_HEADER = re.compile(r"# *\[(.+)\] *")
_KEY = re.compile(r"# *([\w.\"'-]+) *=")


class Parts(NamedTuple):
    """A text's lines up to where its block's own begin, those, and the rest."""

    before: list[str]
    block: list[str]
    after: list[str]


def split_at_block(lines: list[str]) -> Parts | None:
    """Take a text apart; None if it has no block, or one that is too long to be merged by itself."""
    if BEGINS not in lines:
        return None
    try:
        block = find_block("\n".join(lines))
    except FrontmatterError:
        return None
    rows = 0 if block is None or not block.text else block.text.count("\n") + 1
    if block is None or rows > MAX_LINES:
        return None
    end = block.first + rows
    return Parts(lines[: block.first], lines[block.first : end], lines[end:])


def has_two_blocks(lines: list[str]) -> bool:
    """Whether a text has more than one block, so that it would not run."""
    if lines.count(BEGINS) < 2:
        return False
    try:
        find_block("\n".join(lines))
    except FrontmatterError:
        return True
    return False


def merge_by_keys(base: list[str], mine: list[str], theirs: list[str]) -> list[str] | None:
    """The merged block's own lines; None if the blocks cannot be merged so, for one because both changed a key."""
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
    return lines if says_both(lines, base, mine, theirs) else None


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


def is_toml(block: list[str]) -> bool:
    """Whether the block can be read at all."""
    try:
        _values(block)
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    return True


def says_both(merged: list[str], base: list[str], mine: list[str], theirs: list[str]) -> bool:
    """Whether each key is what it should be, and none is changed by both sides; False for what is no TOML."""
    try:
        said, old, ours, others = (_values(block) for block in (merged, base, mine, theirs))
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    names = said.keys() | old.keys() | ours.keys() | others.keys()
    return all(_agreed(old.get(n), ours.get(n), others.get(n)) == (True, said.get(n)) for n in names)


def says_one(settled: list[str], side: list[str], other: list[str], base: list[str]) -> bool:
    """Whether each key is as ``side`` has it, or as both together want it; False for what is no TOML.

    Args:
        settled: Merged lines with each conflict settled as in ``side``.
        side: That side.
        other: The other one.
        base: The common version.
    """
    try:
        said, chosen, others, old = (_values(block) for block in (settled, side, other, base))
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    return all(
        said.get(n) == chosen.get(n) or (True, said.get(n)) == _agreed(old.get(n), chosen.get(n), others.get(n))
        for n in said.keys() | old.keys() | chosen.keys() | others.keys()
    )


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

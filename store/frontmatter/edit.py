"""Changing single keys of a script's frontmatter: the bytes of that value change, and no other byte of the file.

What is meant is worked out on the parsed document as well, and judged there. The changed bytes are read again and
compared with that. Whatever does not come out as meant is refused, so that no file is ever written wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from store.frontmatter.block import Block, Cut, with_empty_block
from store.frontmatter.coding import foreign_coding
from store.frontmatter.keys import path_of, removed_path, rendered, require_good, value_at, with_value
from store.frontmatter.known_keys import OWN
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import document_of
from store.frontmatter.toml_spans import Header, KeySpan, Path, dotted, inside, place_of, scan

MAX_CHANGES = 200
"""Keys in one edit."""

_NOTHING: Mapping[str, Any] = {}
_Section = list[Header | KeySpan]
"""A header, but for the root's, and the keys below it."""


def apply_changes(data: bytes, changes: Mapping[str, object]) -> bytes:
    """Return ``data``, a script, with all ``changes``, or none of them; a script without a block gets one.

    Args:
        data: The file's content.
        changes: Values by key: text, number, truth value, or a list of such; None removes the key. Keys are as
            ``gatewright scripts set`` takes them: ``title``, ``limits.timeout``, ``params.hours.default``; without its
            value also a whole parameter, ``params.hours``, and whatever else stands there that no header knows.

    Raises:
        FrontmatterError: The block is malformed, a value is not one that its key can have, or another key cannot be
            without one that goes.
    """
    if len(changes) > MAX_CHANGES:
        raise FrontmatterError(f"At most {MAX_CHANGES} keys can be set at once.")
    paths = {key: path_of(key) for key, value in changes.items() if value is not None}
    before = after = document_of(data.decode("utf-8", "replace"))
    paths = {key: paths.get(key) or removed_path(key, before) for key in changes}
    ascii_only = foreign_coding(data) is not None
    for key, path in paths.items():
        present, value = value_at(after, path), changes[key]
        if value is None:
            data = _remove(data, path)
        elif not _same(present, value):
            data = _set(data, key, path, rendered(key, value, ascii_only=ascii_only), present)
        after = with_value(after, path, value)
    require_good(before, after, paths.values())
    if not _same(document_of(data.decode("utf-8", "replace")), after):
        raise FrontmatterError("The header is written in a way that cannot be changed from here; edit its text.")
    return data


def _set(data: bytes, key: str, path: Path, text: str, present: object) -> bytes:
    block = Block.of(data)
    if block is None:
        block = Block.needed(with_empty_block(data))
    items = scan(block.text)
    place = place_of(block.text, items, path)
    if place.entry is not None and not isinstance(present, Mapping):
        return block.edited([(place.entry.value, place.entry.end, text)])
    if present is not None:
        raise FrontmatterError(f"{key} is a table in this script; remove it first.")
    if place.holder is not None:
        return _insert_inline(block, place.holder, path, text)
    return block.with_lines(*_new_lines(block, items, path, text))


def _insert_inline(block: Block, holder: KeySpan, path: Path, text: str) -> bytes:
    entries = inside(block.text, holder)
    written = f"{dotted(path[len(holder.path) :])} = {text}"
    at, new = (entries[-1].end, f", {written}") if entries else (holder.value + 1, written)
    return block.edited([(at, at, new)])


def _new_lines(block: Block, items: Sequence[Header | KeySpan], path: Path, text: str) -> tuple[int, list[str]]:
    """The lines that give ``path`` its first value, and the number of the block's line after which they belong."""
    table = path[:-1]
    kin = [item for item in items if isinstance(item, KeySpan) and _common(item.path[:-1], table) > len(item.table)]
    if kin:  # a table that dotted keys made can only grow by dotted keys
        nearest = max(kin, key=lambda entry: (_common(entry.path[:-1], table), entry.start))
        return block.line_of(nearest.end), [f"{dotted(path[len(nearest.table) :])} = {text}"]
    line = f"{dotted(path[-1:])} = {text}"
    sections = _sections(items)
    if table in sections:
        return _last_line(block, sections[table]), [line]
    own = [section for name, section in sections.items() if name[: len(OWN)] == OWN]
    after = _last_line(block, own[-1]) if own else len(block.lines) - 1
    return after, [f"[{dotted(table)}]", line]


def _sections(items: Sequence[Header | KeySpan]) -> dict[Path, _Section]:
    """What stands below each header; the root's is always there. Of an array of tables the last one."""
    current: _Section = []
    sections: dict[Path, _Section] = {(): current}
    for item in items:
        if isinstance(item, Header):
            current = sections[item.path] = []
        current.append(item)
    return sections


def _last_line(block: Block, section: _Section) -> int:
    return block.line_of(section[-1].end) if section else -1


def _common(one: Path, other: Path) -> int:
    """How many names both paths begin with."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _remove(data: bytes, path: Path) -> bytes:
    """Without what stands at ``path`` or below it."""
    block = Block.of(data)
    if block is None:
        return data
    items = scan(block.text)
    holder = place_of(block.text, items, path).holder
    if holder is not None:
        return block.edited(_cuts(inside(block.text, holder), path))
    gone = [item for item in items if _is_below(item, path)]
    spans = ((block.line_of(item.start), block.line_of(item.end)) for item in gone)
    return block.without_lines({line for top, bottom in spans for line in range(top, bottom + 1)})


def _cuts(entries: Sequence[KeySpan], path: Path) -> list[Cut]:
    """What to cut out of an inline table: keys with the comma behind them, or, of the last ones, before them."""
    cuts: list[Cut] = []
    for below, run in groupby(range(len(entries)), key=lambda number: _is_below(entries[number], path)):
        numbers = list(run)
        first, last = numbers[0], numbers[-1]
        if not below:
            continue
        if last + 1 < len(entries):
            cuts.append((entries[first].start, entries[last + 1].start, ""))
        else:
            cuts.append((entries[first - 1].end if first else entries[first].start, entries[last].end, ""))
    return cuts


def _is_below(item: Header | KeySpan, path: Path) -> bool:
    return item.path[: len(path)] == path


def _same(one: object, other: object) -> bool:
    """Whether two values of TOML are the same, by type too. A table that has nothing in it counts as absent."""
    pending = [(one, other)]
    while pending:
        mine, theirs = pending.pop()
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            pending += [(mine.get(key, _NOTHING), theirs.get(key, _NOTHING)) for key in mine.keys() | theirs.keys()]
        elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
            pending += zip(mine, theirs, strict=True)
        elif type(mine) is not type(theirs) or not _equal(mine, theirs):
            return False
    return True


def _equal(one: object, other: object) -> bool:
    return repr(one) == repr(other) if isinstance(one, float) else one == other  # nan is not equal to itself

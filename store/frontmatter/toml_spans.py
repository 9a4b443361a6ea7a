"""Where in a TOML text each table header, key and value stands, so that one value can be replaced and nothing else.

For texts that ``tomllib`` has accepted: nothing is checked here, and what is found in other texts means nothing.

TOML 1.0: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

Path = tuple[str, ...]
"""A key from the document's root on, one name a level."""

_QUOTED = r'"(?:[^"\\]|\\.)*"' + r"|'[^']*'"
_LONG = r'"{3}(?:[^\\]|\\.)*?"{3,5}' + r"|'{3}.*?'{3,5}"
_STRING = re.compile(f"(?s:{_LONG}|{_QUOTED})")
_NAME = re.compile(rf"[ \t]*({_QUOTED}|[\w-]+)[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PIECE = re.compile(rf"""(?s:{_LONG}|{_QUOTED}|#[^\n]*|[\[\]{{}}]|[^"'#\[\]{{}}]+)""")
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d[^\s,\]}#]*|[^\s,\]}#]+")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Header:
    """``[path]`` or ``[[path]]``, at ``text[start:end]``."""

    path: Path
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class KeySpan:
    """``key = value``: it begins at ``start``, its value is ``text[value:end]``."""

    table: Path
    """Of the header or the inline table that it stands in."""
    key: Path
    """As written there: several names when it is dotted."""
    start: int
    value: int
    end: int

    @property
    def path(self) -> Path:
        return self.table + self.key


class KeyPlace(NamedTuple):
    """Where a path stands, and where it could."""

    entry: KeySpan | None
    holder: KeySpan | None
    """The innermost inline table on its way."""


def scan(text: str) -> list[Header | KeySpan]:
    """Every header and every key outside inline tables, in the order of the text."""
    found: list[Header | KeySpan] = []
    table: Path = ()
    position = _skip(text, 0)
    while position < len(text):
        if text[position] == "[":
            header = _header(text, position)
            table = header.path
            found.append(header)
            position = header.end
        else:
            entry = _entry(text, position, table)
            found.append(entry)
            position = entry.end
        position = _skip(text, position)
    return found


def inside(text: str, holder: KeySpan) -> list[KeySpan]:
    """The keys of an inline table."""
    found = []
    position = _skip(text, holder.value + 1)
    while text[position] != "}":
        entry = _entry(text, position, holder.path)
        found.append(entry)
        position = _skip(text, entry.end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def place_of(text: str, items: Sequence[Header | KeySpan], path: Path) -> KeyPlace:
    """Find ``path``, also within inline tables; ``items`` is what ``scan`` found in ``text``."""
    entries = [item for item in items if isinstance(item, KeySpan)]
    holder = None
    while True:
        on_the_way = [entry for entry in entries if path[: len(entry.path)] == entry.path]
        exact = next((entry for entry in on_the_way if entry.path == path), None)
        inner = next((entry for entry in on_the_way if text[entry.value] == "{"), None)
        if exact is not None or inner is None:
            return KeyPlace(exact, holder)
        holder = inner
        entries = inside(text, inner)


def dotted(path: Path) -> str:
    """``path`` as TOML writes it."""
    return ".".join(name if _BARE.fullmatch(name) else basic_string(name) for name in path)


def basic_string(text: str, *, ascii_only: bool = False) -> str:
    """``text`` in quotes, on one line; what cannot be seen is escaped, so that no editor shows it as something else."""
    return '"' + "".join(_escaped(character, ascii_only) for character in text) + '"'


def _escaped(character: str, ascii_only: bool) -> str:
    if character in '"\\\b\t\n\f\r':
        return json.dumps(character)[1:-1]
    if character.isprintable() and (character.isascii() or not ascii_only):
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _skip(text: str, position: int) -> int:
    """Past blanks, line ends and comments."""
    found = _BLANK.match(text, position)
    return position if found is None else found.end()


def _header(text: str, start: int) -> Header:
    brackets = 2 if text.startswith("[[", start) else 1
    path, position = _key(text, start + brackets)
    return Header(path, start, position + brackets)


def _entry(text: str, start: int, table: Path) -> KeySpan:
    key, position = _key(text, start)
    value = _skip(text, position + 1)
    return KeySpan(table, key, start, value, _value_end(text, value))


def _key(text: str, position: int) -> tuple[Path, int]:
    """The names of a key, and the position after it and the blanks that follow."""
    names = []
    while found := _NAME.match(text, position):
        names.append(_name(found[1]))
        position = found.end()
        if not text.startswith(".", position):
            break
        position += 1
    return tuple(names), position


def _name(written: str) -> str:
    if written[0] == '"':
        name: str = tomllib.loads(f"name = {written}")["name"]
        return name
    return written[1:-1] if written[0] == "'" else written


def _value_end(text: str, start: int) -> int:
    if text[start] in "[{":
        return _brackets_end(text, start)
    found = (_STRING if text[start] in "\"'" else _SCALAR).match(text, start)
    return start + 1 if found is None else found.end()


def _brackets_end(text: str, start: int) -> int:
    depth = 0
    for piece in _PIECE.finditer(text, start):
        if piece[0] in ("[", "{"):
            depth += 1
        elif piece[0] in ("]", "}"):
            depth -= 1
            if depth == 0:
                return piece.end()
    return len(text)

"""The bytes of a script's frontmatter: its block as TOML text, the way back to the file, a block where there is none.

Lines keep the ends that they have, and new lines get the end of the line above them. What stands outside the block is
never decoded.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from store.frontmatter.coding import BOM, COOKIE
from store.frontmatter.locate import FrontmatterError, TomlText, find_block
from store.frontmatter.toml_spans import Path, scan

Cut = tuple[int, int, str]
"""Replace ``text[start:end]`` by this."""

_MARK = len("# ")
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


class Block(NamedTuple):
    """The block of one file."""

    file: list[bytes]
    """All lines of the file with their ends."""
    first: int
    """Which of them is the block's first."""
    lines: list[str]
    """The block's lines as TOML."""
    starts: list[int]
    """Where each of them begins in ``text``."""

    @classmethod
    def of(cls, data: bytes) -> Block | None:
        """The block of a script, or None if it has none.

        Raises:
            FrontmatterError: It has one that cannot be read.
        """
        found = find_block(data.decode("utf-8", "replace"))
        if found is None:
            return None
        file = _LINE.findall(data)
        lines = found.text.split("\n") if found.text else []
        try:
            b"".join(file[found.first : found.first + len(lines)]).decode()
        except UnicodeDecodeError:
            raise FrontmatterError("The header is not UTF-8 text.", found.first) from None
        starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
        return cls(file, found.first, lines, starts[:-1])

    @classmethod
    def needed(cls, data: bytes) -> Block:
        """As ``of``, for a script that has a block."""
        block = cls.of(data)
        if block is None:
            raise FrontmatterError("The script has no header.")
        return block

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def toml(self) -> TomlText:
        return TomlText(self.first, self.text)

    def line_of(self, position: int) -> int:
        """The number of the block's line that has the character before ``position`` of ``text``."""
        return bisect_right(self.starts, position) - 1

    def key_lines(self) -> dict[Path, int]:
        """The lines of the script, from 1, of all headers and keys; the empty path's is the line that opens the block.

        Only for TOML that can be read.
        """
        lines: dict[Path, int] = {(): self.first}
        for item in scan(self.text):
            lines.setdefault(item.path, self.first + self.line_of(item.start) + 1)
        return lines

    def edited(self, cuts: Sequence[Cut]) -> bytes:
        """The file with parts of ``text`` replaced; they may not overlap. What is new has no line ends."""
        file = list(self.file)
        for start, end, new in sorted(cuts, reverse=True):
            top, bottom = self.line_of(start), self.line_of(end)
            head = file[self.first + top][: self._offset(top, start)]
            tail = file[self.first + bottom][self._offset(bottom, end) :]
            file[self.first + top : self.first + bottom + 1] = [head + new.encode() + tail]
        return b"".join(file)

    def with_lines(self, after: int, lines: Iterable[str]) -> bytes:
        """The file with more lines after one line of the block; -1 is the line that opens it."""
        at = self.first + after
        end = _line_end(self.file[at])
        new = [f"# {line}".encode() + end for line in lines]
        return b"".join([*self.file[: at + 1], *new, *self.file[at + 1 :]])

    def without_lines(self, numbers: Collection[int]) -> bytes:
        """The file without some lines of the block."""
        return b"".join(line for at, line in enumerate(self.file) if at - self.first not in numbers)

    def _offset(self, line: int, position: int) -> int:
        """Bytes of the file's line that come before ``position``."""
        return _MARK + len(self.lines[line][: position - self.starts[line]].encode())


def nearest_line(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a key or table itself, else of the first below it, else of what it stands in.

    ``lines`` are those of ``Block.key_lines``.
    """
    below = [line for key, line in lines.items() if key[: len(path)] == path]
    if path in lines or not below:
        return next(lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in lines)
    return min(below)


def with_empty_block(data: bytes) -> bytes:
    """A script that has no block with an empty one: after ``#!`` line and coding cookie, before everything else."""
    bom = BOM if data.startswith(BOM) else b""
    lines = _LINE.findall(data[len(bom) :])
    end = (_line_end(lines[0]) if lines else b"") or b"\n"
    before = _lines_before(lines)
    if before and not _line_end(lines[before - 1]):
        lines[before - 1] += end
    new = [b"# /// script" + end, b"# ///" + end]
    if lines[before:] and lines[before].strip():
        new.append(end)  # a comment right below would belong to the block (PEP 723)
    return bom + b"".join([*lines[:before], *new, *lines[before:]])


def with_header_of(data: bytes, other: bytes) -> bytes:
    """Return ``data``, a script without a block, with the block of ``other``; as it is where ``other`` has none.

    Raises:
        FrontmatterError: One of the blocks cannot be read.
    """
    header = Block.of(other)
    if header is None or Block.of(data) is not None:
        return data
    kept = header.file[header.first : header.first + len(header.lines)]
    block = Block.needed(with_empty_block(data))
    end = _line_end(block.file[block.first - 1])
    lines = [line.rstrip(b"\r\n") + end for line in kept]
    return b"".join([*block.file[: block.first], *lines, *block.file[block.first :]])


def _lines_before(lines: Sequence[bytes]) -> int:
    """How many lines must stay the file's first."""
    before = 1 if lines and lines[0].startswith(b"#!") else 0
    for number, line in enumerate(lines[:2], start=1):
        if COOKIE.match(line):
            return max(before, number)
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
    return before


def _line_end(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]

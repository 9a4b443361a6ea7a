"""Where a script's PEP 723 block stands: the one piece of code that finds it, for whoever reads, changes or merges it.

The rule is that of the PEP's reference implementation, on the text alone: a block is a comment that begins with its
opening line at the start of any line, and it ends at the last ``# ///`` of that comment. So a block within a string of
several lines counts, here as for ``uv run``. More is let pass than there: CRLF, a byte order mark, blanks at the end of
the two marks, and a block that holds nothing. Two blocks are refused, as the PEP demands.

PEP 723, "Specification" and "Reference Implementation": https://peps.python.org/pep-0723/
Standard library only: the console merges by it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from store.sizes import describe_size

MAX_BLOCK = 64 << 10
"""Characters of a block."""

BEGINS = "# /// script"

_PLAIN_BLOCK = re.compile(r"# /// script\n((?:#(?: [^\r\n]*)?\n)*?)# ///\n(?=[^#]|\Z)")
"""Nearly every block, found at once: nothing before it, no CR, no comment after it, and nothing like it anywhere."""
_COMMENT_MARK = re.compile(r"^# ?", re.MULTILINE)
_OPENING = re.compile(r"^# /// ([a-zA-Z0-9-]+)[ \t]*\r*$", re.MULTILINE)
_CLOSING = re.compile(r"^# ///[ \t]*\r*$", re.MULTILINE)
_NO_COMMENT = re.compile(r"^(?!#(?: |\r*$))", re.MULTILINE)
"""The first line after a block's comment; a ``#`` that no blank follows ends it, too."""


class FrontmatterError(ValueError):
    """The block cannot be read; the message is a sentence.

    Attributes:
        line: Of the script, from 1, where that can be told.
    """

    def __init__(self, sentence: str, line: int | None = None) -> None:
        super().__init__(sentence)
        self.line = line


class TomlText(NamedTuple):
    """A block's TOML, and which line of the file, from 0, is its first."""

    first: int
    text: str


class _Found(NamedTuple):
    """One block, by positions in the text."""

    kind: str
    opening: int
    content: int
    """Where its first line of TOML begins, or its closing line."""
    closing: int


def find_block(text: str) -> TomlText | None:
    """Return the TOML of a script's block, or None where it has none. Lines end at LF only; a CR before it is cut off.

    Raises:
        FrontmatterError: There are two, or one that does not end, stands in another one or is too large.
    """
    plain = _PLAIN_BLOCK.match(text, 0, MAX_BLOCK)
    if plain is not None and plain.end() < MAX_BLOCK and text.find(BEGINS, 1) < 0:
        return TomlText(1, _COMMENT_MARK.sub("", plain[1][:-1]))
    if BEGINS not in text:
        return None
    return _find(text.removeprefix("\ufeff"))


def _find(text: str) -> TomlText | None:
    unclosed: list[int] = []
    scripts = [found for found in _blocks(text, unclosed) if _is_header(text, found)]
    if len(scripts) > 1:
        raise _second(text, scripts[0].opening, scripts[1].opening)
    if not scripts:
        # With a whole block beside it, it is ignored, as the PEP demands; alone it would be a header that nobody reads.
        if unclosed:
            raise _unclosed(text, unclosed[0])
        return None
    (found,) = scripts
    content = [line.rstrip("\r")[2:] for line in text[found.content : found.closing].split("\n")[:-1]]
    if sum(map(len, content)) + max(len(content) - 1, 0) > MAX_BLOCK:
        raise FrontmatterError(f"The header is larger than {describe_size(MAX_BLOCK)}.", _line(text, found.opening))
    return TomlText(_line(text, found.opening), "\n".join(content))


def _is_header(text: str, found: _Found) -> bool:
    """Whether a block is a script's.

    Raises:
        FrontmatterError: Another header begins inside of it, which would not be read.
    """
    inner = _script_mark(text, found.content, found.closing)
    if found.kind != "script" and inner is not None:
        here, there = _line(text, inner), _line(text, found.opening)
        sentence = f"The header in line {here} stands inside the block that line {there} opens"
        raise FrontmatterError(f"{sentence}; put an empty line between them.", here)
    if inner is not None and _CLOSING.search(text, found.content, inner):
        raise _second(text, found.opening, inner)
    return found.kind == "script"


def _script_mark(text: str, start: int, end: int) -> int | None:
    """Where the first line between two positions stands that opens a header."""
    return next((mark.start() for mark in _OPENING.finditer(text, start, end) if mark[1] == "script"), None)


def _blocks(text: str, unclosed: list[int]) -> Iterator[_Found]:
    """Every block of whatever type. A comment has one at most, since the last ``# ///`` of it closes it.

    Args:
        text: The script. No part of it is looked at again and again.
        unclosed: Gets where headers begin that nothing closes.
    """
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        begins = min(opening.end() + 1, len(text))
        position = _end_of_comment(text, begins)
        last: int | None = None
        for mark in _CLOSING.finditer(text, begins, position):
            last = mark.start()
        if last is not None:
            yield _Found(opening[1], opening.start(), begins, last)
        lost = _script_mark(text, opening.start() if last is None else last, position)
        if lost is not None:
            unclosed.append(lost)


def _end_of_comment(text: str, start: int) -> int:
    found = _NO_COMMENT.search(text, start)
    return len(text) if found is None else found.start()


def _second(text: str, first: int, second: int) -> FrontmatterError:
    here, there = _line(text, first), _line(text, second)
    sentence = f"The script has two headers ({BEGINS}), in lines {here} and {there}"
    return FrontmatterError(f"{sentence}; only one may be there: take one out.", there)


def _unclosed(text: str, opening: int) -> FrontmatterError:
    large = _end_of_comment(text, text.find("\n", opening) + 1 or len(text)) - opening > MAX_BLOCK
    too_large = f"The header is larger than {describe_size(MAX_BLOCK)}."
    return FrontmatterError(too_large if large else "The header has no closing line (# ///).", _line(text, opening))


def _line(text: str, position: int) -> int:
    """The number of a line, from 1; also the one, from 0, of the line after it."""
    return text.count("\n", 0, position) + 1

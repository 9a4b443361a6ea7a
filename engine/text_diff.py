"""The unified difference of two texts, in bounded time and size whatever they hold.

``difflib`` alone takes minutes for two texts of many equal lines. Here the lines at both ends that are the same are set
aside first; what is left is compared line by line if that cannot take long, and is shown as replaced as a whole if not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from types import MappingProxyType

CONTEXT = 3
MAX_SIZE = 256 << 10
"""Characters of a difference."""

MAX_LINES = 3_000
"""Lines on one side that are compared with each other."""
MAX_PAIRS = 6_000
"""Pairs of equal lines; the time grows with their number times that of the changes."""

UNENDED = "\n\\ No newline at end of file"
CARRIAGE_RETURN = "\n\\ A carriage return ends this line"

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_MARKS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "\n": lambda line: line,
        "\r\n": lambda line: line + "\r",
        "\r": lambda line: line + CARRIAGE_RETURN,
        "": lambda line: line + UNENDED,
    }
)

Change = tuple[str, int, int, int, int]
"""An opcode of ``difflib``: what, and the lines concerned on both sides."""


def unified(old: str, new: str, old_name: str, new_name: str) -> str:
    """The difference as ``diff -u`` writes it; empty when there is none. A last line says what was cut, if anything.

    Lines end where Python ends them, and nowhere else: no line of a script looks like two, and no two look like one.
    """
    if old == new:
        return ""
    before, after = _lines(old), _lines(new)
    lines = [f"--- {old_name}", f"+++ {new_name}"]
    for hunk in _hunks(before, after):
        lines.append(_heading(hunk))
        for what, start, end, new_start, new_end in hunk:
            if what == "equal":
                lines += [f" {line}" for line in before[start:end]]
            else:
                lines += [f"-{line}" for line in before[start:end]]
                lines += [f"+{line}" for line in after[new_start:new_end]]
    return _cut("\n".join(lines))


def _lines(text: str) -> list[str]:
    """The lines; one that does not end by a newline is marked as ``diff`` does it, and differs from one that does.

    A carriage return alone ends a line, too: Python reads it so, and what follows must not look like a comment's end.
    """
    return [_MARKS[found[2]](found[1]) for found in _LINE.finditer(text) if found[0]]


def _hunks(before: list[str], after: list[str]) -> Iterator[list[Change]]:
    head = _same(before, after)
    tail = _same(before[head:][::-1], after[head:][::-1])
    start = max(0, head - CONTEXT)
    stop = max(0, tail - CONTEXT)
    left, right = before[start : len(before) - stop], after[start : len(after) - stop]
    quick = _is_quick(left, right)
    for hunk in _compared(left, right) if quick else [_replaced(left, right, head - start, tail - stop)]:
        yield [(what, a + start, b + start, c + start, d + start) for what, a, b, c, d in hunk]


def _same(one: list[str], other: list[str]) -> int:
    """How many lines at the beginning are the same."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count


def _is_quick(left: list[str], right: list[str]) -> bool:
    if max(len(left), len(right)) > MAX_LINES:
        return False
    counts = Counter(right)
    return sum(counts[line] for line in left) <= MAX_PAIRS


def _compared(left: list[str], right: list[str]) -> Iterator[list[Change]]:
    for group in SequenceMatcher(None, left, right, autojunk=False).get_grouped_opcodes(CONTEXT):
        yield list(group)


def _replaced(left: list[str], right: list[str], head: int, tail: int) -> list[Change]:
    """Everything between the lines that are the same at both ends as one change."""
    ends = len(left) - tail, len(right) - tail
    return [
        ("equal", 0, head, 0, head),
        ("replace", head, ends[0], head, ends[1]),
        ("equal", ends[0], len(left), ends[1], len(right)),
    ]


def _heading(hunk: list[Change]) -> str:
    """POSIX, diff -u: the first line and the number of lines on both sides; of none, the line before."""
    (_, start, _, new_start, _), (_, _, end, _, new_end) = hunk[0], hunk[-1]
    return f"@@ -{_range(start, end)} +{_range(new_start, new_end)} @@"


def _range(start: int, end: int) -> str:
    count = end - start
    return f"{start + (count > 0)},{count}"


def _cut(text: str) -> str:
    if len(text) <= MAX_SIZE:
        return text
    rest = text[MAX_SIZE:]
    return f"{text[:MAX_SIZE]}\n… and {len(rest):,} characters more, not shown here: read the whole text."

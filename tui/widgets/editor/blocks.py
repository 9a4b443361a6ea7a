"""What happens to lines of Python when they are indented, dedented, commented or broken."""

from __future__ import annotations

import re
from collections.abc import Callable

LineEdits = Callable[[list[str]], list[str]]
"""Lines in, as many lines out."""

_INDENTATION = re.compile(r"[ \t]*")
_OPENS_BLOCK = re.compile(r"[^#]*:\s*(#.*)?")
_ENDS_BLOCK = re.compile(r"\s*(return|pass|break|continue|raise)\b")
_COMMENT = re.compile(r"([ \t]*)# ?")


def indentation_of(line: str) -> str:
    match = _INDENTATION.match(line)
    return match[0] if match else ""


def indentation_after(before: str, width: int) -> str:
    """The indentation of the line below one that reads ``before`` up to the cursor.

    It is that line's own, one step more behind a colon, one less behind a statement that ends its block.
    """
    indentation = indentation_of(before)
    if _OPENS_BLOCK.fullmatch(before) and before.strip():
        return indentation + _step(indentation, width)
    if _ENDS_BLOCK.match(before):
        return _without_step(indentation, width)
    return indentation


def indented(lines: list[str], width: int) -> list[str]:
    """Each line that is not blank, one step to the right."""
    return [_step(indentation_of(line), width) + line if line.strip() else line for line in lines]


def dedented(lines: list[str], width: int) -> list[str]:
    """Each line one step to the left, as far as it is indented."""
    return [_without_step(indentation_of(line), width) + line[len(indentation_of(line)) :] for line in lines]


def toggled_comments(lines: list[str]) -> list[str]:
    """Uncommented if every line that is not blank is a comment, else commented at the smallest indentation."""
    written = [line for line in lines if line.strip()]
    if not written:
        return lines
    if all(_COMMENT.match(line) for line in written):
        return [_COMMENT.sub(r"\1", line, count=1) for line in lines]
    at = min(len(indentation_of(line)) for line in written)
    return [f"{line[:at]}# {line[at:]}" if line.strip() else line for line in lines]


def _step(indentation: str, width: int) -> str:
    return "\t" if indentation.startswith("\t") else " " * width


def _without_step(indentation: str, width: int) -> str:
    if indentation.endswith("\t"):
        return indentation[:-1]
    spaces = len(indentation) - len(indentation.rstrip(" "))
    return indentation[: len(indentation) - min(spaces, width)]

"""What happens to lines of Python when they are indented, dedented, commented or broken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

LineEdits = Callable[[list[str]], list[str]]
"""Lines in, as many lines out."""

_INDENTATION = re.compile(r"[ \t]*")
_OPENS_BLOCK = re.compile(r"[^#]*:\s*(#.*)?")
_ENDS_BLOCK = re.compile(r"\s*(return|pass|break|continue|raise)\b")
_COMMENT = re.compile(r"([ \t]*)# ?")

SPACES = "    "
"""A step of indentation where a text has none of its own (PEP 8)."""

LINES_JUDGED = 500
"""Lines that say how a text is indented; the others follow."""

LINES_ABOVE = 400
"""Lines above the cursor in which a bracket may have been opened."""

_WIDEST_STEP = 8
_BEGINS_ANEW = re.compile(r"(async\s+def|def|class)\b|@")
_BRACKET_OR_TEXT = re.compile(
    r""""{3}(?:\\.|[^\\])*?(?:"{3}|\Z)|'{3}(?:\\.|[^\\])*?(?:'{3}|\Z)"""  # long strings, also unfinished ones
    r"""|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|\#[^\n]*|[()\[\]{}]""",
    re.DOTALL,
)


def step_of(lines: Sequence[str]) -> str:
    """Return one step of the text's own indentation: a tab, or as many spaces as most of its blocks are deep."""
    tabs = spaces = depth_before = 0
    widths: Counter[int] = Counter()
    before = ""
    for line in lines[:LINES_JUDGED]:
        written = line.lstrip(" \t")
        if not written or written[0] == "#":
            continue  # blank lines and comments follow nobody
        depth = len(line) - len(written)
        tabs += line[0] == "\t"
        spaces += line[0] == " "
        if 1 < depth - depth_before <= _WIDEST_STEP and _OPENS_BLOCK.fullmatch(before):
            widths[depth - depth_before] += 1
        before, depth_before = line, depth
    if tabs > spaces:
        return "\t"
    return " " * widths.most_common(1)[0][0] if widths else SPACES


def in_bracket(lines: Sequence[str], row: int, column: int) -> bool:
    """Return whether a bracket that was opened above or before the place is still open there."""
    first = max(0, row - LINES_ABOVE)
    first = next((at for at in range(row, first, -1) if _BEGINS_ANEW.match(lines[at])), first)
    text = "\n".join([*lines[first:row], lines[row][:column]])
    depth = 0
    for match in _BRACKET_OR_TEXT.finditer(text):
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth = max(0, depth - 1)
    return depth > 0


def indentation_of(line: str) -> str:
    match = _INDENTATION.match(line)
    return match[0] if match else ""


def indentation_after(before: str, step: str, *, bracket_open: bool = False) -> str:
    """The indentation of the line below one that reads ``before`` up to the cursor.

    It is that line's own, one step more behind a colon, one less behind a statement that ends its block. Within
    brackets a statement goes on, whatever the line looks like.
    """
    indentation = indentation_of(before)
    if bracket_open:
        return indentation
    if _OPENS_BLOCK.fullmatch(before) and before.strip():
        return indentation + _step(indentation, step)
    if _ENDS_BLOCK.match(before):
        return _without_step(indentation, step)
    return indentation


def indented(lines: list[str], step: str) -> list[str]:
    """Each line that is not blank, one step to the right."""
    return [_step(indentation_of(line), step) + line if line.strip() else line for line in lines]


def dedented(lines: list[str], step: str) -> list[str]:
    """Each line one step to the left, as far as it is indented."""
    return [_without_step(indentation_of(line), step) + line[len(indentation_of(line)) :] for line in lines]


def toggled_comments(lines: list[str]) -> list[str]:
    """Uncommented if every line that is not blank is a comment, else commented at the smallest indentation."""
    written = [line for line in lines if line.strip()]
    if not written:
        return lines
    if all(_COMMENT.match(line) for line in written):
        return [_COMMENT.sub(r"\1", line, count=1) for line in lines]
    at = min(len(indentation_of(line)) for line in written)
    return [f"{line[:at]}# {line[at:]}" if line.strip() else line for line in lines]


def _step(indentation: str, step: str) -> str:
    """Return the step that goes with the indentation that a line has already."""
    if indentation.startswith("\t"):
        return "\t"
    return SPACES if indentation and step == "\t" else step


def _without_step(indentation: str, step: str) -> str:
    if indentation.endswith("\t"):
        return indentation[:-1]
    spaces = len(indentation) - len(indentation.rstrip(" "))
    return indentation[: len(indentation) - min(spaces, len(_step(indentation, step)))]

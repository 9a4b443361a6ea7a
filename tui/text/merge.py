r"""Both changes of a text in one: a three-way merge by lines, and by keys in a script's frontmatter.

A merge never decides between two changes of the same place. It shows both between marks, as git and editors do; the
marks are for the editor only, and a text that still has some is not saved.

Line ends do not count: they are made equal for the merge and those of the author's own text come out, so that a file
that another editor gave ``\r\n`` merges as well as any. The end of the last line is a change of its own: one side may
have added it while the other one appended lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui.text.diff3 import diff3
from tui.text.merge_frontmatter import merge_blocks
from tui.text.newlines import newline_of, normalise

MINE_BEGINS = "<<<<<<< mine, unsaved"
THEIRS_BEGINS = "======="
THEIRS_ENDS = ">>>>>>> theirs, on disk"


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a merge.

    Attributes:
        text: With the marks of conflicts, if there are any.
        conflicts: Places that both sides changed, each in its own way.
    """

    text: str
    conflicts: int


@dataclass(frozen=True, slots=True)
class _Lines:
    """A text as its lines, and whether the last one has an end. No line at all is the empty text."""

    lines: list[str]
    ended: bool

    @classmethod
    def of(cls, text: str) -> _Lines:
        if not text:
            return cls([], ended=False)
        ended = text.endswith("\n")
        return cls((text[:-1] if ended else text).split("\n"), ended)

    def text(self, newline: str) -> str:
        return newline.join(self.lines) + (newline if self.ended and self.lines else "")


def merge(base: str, mine: str, theirs: str) -> Merged:
    """Both changes of ``base``. What only one side changed is taken, what both changed alike counts once."""
    newline = newline_of(mine if _has_line_end(mine) else base)
    if newline == "\n" and "\r" in mine:
        prepare: Callable[[str], str] = str  # line ends of several kinds belong to their lines
    else:
        prepare = normalise
    old, ours, others = (_Lines.of(prepare(text)) for text in (base, mine, theirs))
    lines, conflicts = _merge_lines(*merge_blocks(old.lines, ours.lines, others.lines))
    ended = ours.ended if ours.ended != old.ended else others.ended
    return Merged(_Lines(lines, ended).text(newline), conflicts)


def marked_rows(lines: Sequence[str]) -> list[int]:
    """Where conflicts stand that nobody settled: rows of their first marks, or of what is left of the marks."""
    for mark in (MINE_BEGINS, THEIRS_ENDS):
        if rows := [row for row, line in enumerate(lines) if line == mark]:
            return rows
    return []


def _has_line_end(text: str) -> bool:
    return "\n" in text or "\r" in text


def _merge_lines(base: list[str], mine: list[str], theirs: list[str]) -> tuple[list[str], int]:
    lines: list[str] = []
    conflicts = 0
    for chunk in diff3(base, mine, theirs):
        if chunk.merged is None:
            conflicts += 1
            lines += [MINE_BEGINS, *chunk.mine, THEIRS_BEGINS, *chunk.theirs, THEIRS_ENDS]
        else:
            lines += chunk.merged
    return lines, conflicts

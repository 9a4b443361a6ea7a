r"""Both changes of a text in one: a three-way merge by lines, and by keys in a script's frontmatter.

A merge never decides between two changes of the same place. It shows both between marks, as git and editors do; the
marks are for the editor only, and a text that still has some is not saved.

Line ends do not count: they are made equal for the merge and those of the author's own text come out, so that a file
that another editor gave ``\r\n`` merges as well as any. The end of the last line is a change of its own: one side may
have added it while the other one appended lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tui.text.diff3 import Chunk, diff3
from tui.text.merge_frontmatter import has_two_blocks, is_toml, merge_by_keys, says_both, says_one, split_at_block
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


class _Result(NamedTuple):
    """Merged lines, and how many conflicts stand in them."""

    lines: list[str]
    conflicts: int


def merge(base: str, mine: str, theirs: str) -> Merged:
    """Both changes of ``base``. What only one side changed is taken, what both changed alike counts once."""
    newline = newline_of(mine if _has_line_end(mine) else base)
    if newline == "\n" and "\r" in mine:
        prepare: Callable[[str], str] = str  # line ends of several kinds belong to their lines
    else:
        prepare = normalise
    old, ours, others = (_Lines.of(prepare(text)) for text in (base, mine, theirs))
    lines, conflicts = _merge_text(old.lines, ours.lines, others.lines)
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


def _merge_text(base: list[str], mine: list[str], theirs: list[str]) -> _Result:
    """The block by itself where all three have one, so that none of its lines is taken for one of the script's."""
    old, ours, others = (split_at_block(lines) for lines in (base, mine, theirs))
    if old is not None and ours is not None and others is not None:
        results = (
            _merge_lines(old.before, ours.before, others.before),
            _merge_block(old.block, ours.block, others.block),
            _merge_lines(old.after, ours.after, others.after),
        )
        whole = _Result([line for one in results for line in one.lines], sum(one.conflicts for one in results))
    else:
        whole = _merge_lines(base, mine, theirs)
    if not whole.conflicts and has_two_blocks(whole.lines) and not any(map(has_two_blocks, (base, mine, theirs))):
        # Both put a block in, or moved it, at different places: a script with two of them does not run.
        return _conflict(mine, theirs)
    return whole


def _merge_block(base: list[str], mine: list[str], theirs: list[str]) -> _Result:
    by_keys = merge_by_keys(base, mine, theirs)
    if by_keys is not None:
        return _Result(by_keys, 0)
    chunks = list(diff3(base, mine, theirs))
    merged = _joined(chunks)
    if not all(map(is_toml, (base, mine, theirs))):
        return merged
    if not merged.conflicts:
        return merged if says_both(merged.lines, base, mine, theirs) else _conflict(mine, theirs)
    as_mine = [line for chunk in chunks for line in (chunk.mine if chunk.merged is None else chunk.merged)]
    as_theirs = [line for chunk in chunks for line in (chunk.theirs if chunk.merged is None else chunk.merged)]
    good = says_one(as_mine, mine, theirs, base) and says_one(as_theirs, theirs, mine, base)
    return merged if good else _conflict(mine, theirs)


def _merge_lines(base: list[str], mine: list[str], theirs: list[str]) -> _Result:
    return _joined(diff3(base, mine, theirs))


def _joined(chunks: Iterable[Chunk]) -> _Result:
    lines: list[str] = []
    conflicts = 0
    for chunk in chunks:
        if chunk.merged is None:
            conflicts += 1
            lines += _conflict(chunk.mine, chunk.theirs).lines
        else:
            lines += chunk.merged
    return _Result(lines, conflicts)


def _conflict(mine: Sequence[str], theirs: Sequence[str]) -> _Result:
    return _Result([MINE_BEGINS, *mine, THEIRS_BEGINS, *theirs, THEIRS_ENDS], 1)

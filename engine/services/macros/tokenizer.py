r"""Find the macro tags of a document.

A tag is ``[[name key=value key="quoted ]] text" key='x']]``:

- The name follows ``[[`` at once: a letter, then letters, digits, ``_`` and ``-``. After it comes white space or
  ``]]``; otherwise the brackets are ordinary text (``[[1, 2]]``, ``[[a](b)]``, ``[[ -f x ]]``).
- Parameters are ``key=value`` with white space before each, line ends included. There is none around ``=``.
- An unquoted value goes to white space or ``]]``. A quoted one goes to the next quote of its kind that has no backslash
  before it; ``]]`` and line ends may be inside.
- Left alone: front matter, code spans with any number of backticks, fenced blocks (CommonMark 0.31, 4.5 and 6.1), and
  ``\[[``. The backslash stays where it is, because everything outside tags is kept to the byte; Markdown itself shows
  ``\[[`` as ``[[``. An even number of backslashes escapes nothing.
- A tag does not reach into a fenced block.
- What begins as a tag and cannot be read is a ``Tag`` with a problem. It goes to the next ``]]`` before another ``[[``;
  without one it is only its first characters, so that tags behind an unclosed one are found.

Takes time by the text's length. The reader of parameters is a finite automaton: two readings that come to the same
place go on alike, so what failed from a place once is remembered instead of read again.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.document_text import front_matter_of
from engine.services.macros.parameters import normalised, quoted, unquoted


@dataclass(frozen=True, slots=True)
class Tag:
    """A macro tag: ``text[start:end]`` is ``raw``, and starts in ``line``, from 1."""

    start: int
    end: int
    line: int
    name: str
    """Normalised: lower case, ``_`` for ``-``."""
    raw: str
    params: dict[str, str | int | float]
    """By name as written, in order."""
    problem: str | None = None
    """One sentence when it cannot be read; then there are no parameters."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The values as they are written, without quotes and escapes: what a declared type is converted from."""


def find_tags(text: str) -> list[Tag]:
    """Return the tags of ``text`` in order. They do not overlap."""
    return _Reader(text).tags() if "[[" in text else []


_EVENT = re.compile(r"\\(?:\[\[|.)|`+|\[\[([A-Za-z][\w-]*)(?=\s|\]\]|\Z)", re.DOTALL)
"""An escaped character, a run of backticks, or the beginning of a tag."""

_PLAIN = re.compile(r"""\s++([A-Za-z_][\w-]*+)=(?:"([^"\\]*+)"|'([^'\\]*+)'|([^\s"'\]][^\s\]]*+))(?=\s|\]\])""")
"""A parameter as nearly all are, at once; ``_param`` reads the others, and says what is wrong."""

_SPACE = re.compile(r"\s*+")
_KEY = re.compile(r"([A-Za-z_][\w-]*+)=")
_QUOTED = {
    '"': re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*+(?:\\.[^'\\]*+)*+)'", re.DOTALL),
}
_FOLLOWS = re.compile(r"\s|\]\]")
_UNQUOTED = re.compile(r"(?:[^\s\]]|\](?!\]))++")
_BACKTICKS = re.compile("`+")
_PARAGRAPH = re.compile(r"\n[ \t>\r]*+(?=\n|(?:[-+*]|[0-9]{1,9}[.)]|#{1,6})[ \t])")
"""The line end before a paragraph: before an empty line, an item of a list, or a heading."""


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        matter = front_matter_of(text)
        self._begin = 0 if matter is None else matter.body
        self._fences = fenced(text, self._begin) if "```" in text or "~~~" in text else []
        self._failed: dict[int, _Failure] = {}
        self._paragraphs = [self._begin, *(found.start() + 1 for found in _PARAGRAPH.finditer(text, self._begin))]
        self._runs: tuple[int, dict[int, list[int]]] = (-1, {})

    def tags(self) -> list[Tag]:
        found: list[Tag] = []
        text = self._text
        position, line, counted, brackets = self._begin, 1, 0, -1
        for start, end in [*self._fences, (len(text), len(text))]:
            while True:
                if brackets < position:
                    brackets = text.find("[[", position)
                    if brackets < 0:
                        return found
                    # What is before its paragraph tells nothing of it: code spans end with theirs.
                    position = max(position, self._paragraphs[bisect_right(self._paragraphs, brackets) - 1])
                event = _EVENT.search(text, position, start) if brackets < start else None
                if event is None:
                    break
                position = event.end()
                first = text[event.start()]
                if first == "`":
                    position = self._after_backticks(event.start(), position, start)
                elif first == "[":
                    line += text.count("\n", counted, event.start())
                    counted = event.start()
                    tag = self._tag(event, start, line)
                    found.append(tag)
                    position = tag.end
            position = max(position, end)
        return found

    def _tag(self, event: re.Match[str], limit: int, line: int) -> Tag:
        """Read a tag from its name on. ``limit`` is where a fenced block begins, or the text ends."""
        start, position, name = event.start(), event.end(), normalised(event[1])
        params: dict[str, str | int | float] = {}
        texts: dict[str, str] = {}
        seen: set[str] = set()
        twice: str | None = None
        passed: list[int] = []
        while True:
            read = self._failed.get(position) or self._param(position, limit)
            passed.append(position)
            if isinstance(read, _Failure):
                break
            if isinstance(read, int):
                raw = self._text[start:read]
                return Tag(start, read, line, name, raw, {} if twice else params, twice, {} if twice else texts)
            key, params[read[0]], texts[read[0]], position = read
            if (compared := normalised(key)) in seen:
                twice = twice or f"The parameter {key!r} is given twice."
            seen.add(compared)
        self._failed.update(dict.fromkeys(passed, read))
        end = event.end() if read.end is None else read.end
        return Tag(start, end, line, name, self._text[start:end], {}, read.problem)

    def _param(self, position: int, limit: int) -> tuple[str, str | int | float, str, int] | int | _Failure:
        """Return what comes after ``position``.

        Returns:
            Key, value, the value as it is written, and where the parameter ends; or the end of the tag; or why there
            is neither.
        """
        text = self._text
        if plain := _PLAIN.match(text, position, limit):
            key, double, single, bare = plain.groups()
            written = bare or double or single or ""
            return key, unquoted(bare) if bare else written, written, plain.end()
        begin = _space_end(text, position, limit)
        if text.startswith("]]", begin, limit):
            return begin + 2
        if begin == limit or text.startswith("[[", begin, limit):
            return self._failure("The tag is not closed: ]] is missing.", begin, limit)
        key = _KEY.match(text, begin, limit)
        if key is None:
            bare = _UNQUOTED.match(text, begin, min(begin + 40, limit))
            said = f"{bare[0] if bare else ']'!r} is not a parameter; write name=value"
            return self._failure(f'{said}, or name="a text".', begin, limit)
        after = key.end()
        if (quote := text[after : after + 1]) in _QUOTED and after < limit:
            value = _QUOTED[quote].match(text, after, limit)
            if value is None:
                return self._failure(f"The {quote} of the parameter {key[1]!r} is not closed.", begin, limit)
            if value.end() < limit and not _FOLLOWS.match(text, value.end()):
                return self._failure(f"White space is missing after the parameter {key[1]!r}.", begin, limit)
            written = quoted(value[1])
            return key[1], written, written, value.end()
        value = _UNQUOTED.match(text, after, limit)
        if value is None:
            return self._failure(f'The parameter {key[1]!r} has no value; "" is an empty text.', begin, limit)
        return key[1], unquoted(value[0]), value[0], value.end()

    def _failure(self, problem: str, begin: int, limit: int) -> _Failure:
        """Say what is wrong at ``begin`` and where the tag ends nevertheless: at ``]]`` before another ``[[``."""
        another = self._text.find("[[", begin, limit)
        end = self._text.find("]]", begin, limit if another < 0 else another)
        return _Failure(problem, None if end < 0 else end + 2)

    def _after_backticks(self, start: int, end: int, limit: int) -> int:
        """Return the end of the code span that a run of backticks begins, or of the run when it begins none.

        A span ends with a run of the same length in the same paragraph.
        """
        number = bisect_right(self._paragraphs, start)
        limit = min(limit, self._paragraphs[number]) if number < len(self._paragraphs) else limit
        if self._runs[0] != limit:
            self._runs = limit, {}
            for run in _BACKTICKS.finditer(self._text, start, limit):
                self._runs[1].setdefault(run.end() - run.start(), []).append(run.start())
        runs = self._runs[1].get(end - start, [])
        following = bisect_left(runs, end)
        return runs[following] + end - start if following < len(runs) else end


@dataclass(frozen=True, slots=True)
class _Failure:
    problem: str
    end: int | None
    """Of the tag; None where no ``]]`` ends it."""


def _space_end(text: str, position: int, limit: int) -> int:
    found = _SPACE.match(text, position, limit)
    return found.end() if found else position


_QUOTES = re.compile(r"(?: {0,3}> ?)*+")
_MARKER = re.compile(r"([-+*]|[0-9]{1,9}[.)])([ \t]++)")
_TEXT = re.compile(r"(?![`~]{3}|[-+*][ \t]|[0-9]{1,9}[.)][ \t])")
_FENCE = re.compile(r"(`{3,}+)(?=[^`]*$)|(~{3,}+)")


@dataclass(frozen=True, slots=True)
class _Fence:
    start: int
    mark: str
    column: int
    """At which the contents of the list item begin that it is in, or 0."""
    depth: int
    """Of quotations."""

    def closed_by(self, line: str) -> bool:
        mark = line.rstrip()
        return len(mark) >= len(self.mark) and mark == self.mark[0] * len(mark)


def fenced(text: str, begin: int = 0) -> list[tuple[int, int]]:
    """Return where fenced blocks are: from the start of the opening line to the end of the closing one.

    A fence may be indented by three spaces from what it is in: the page, a quotation, or an item of a list. It ends
    with a fence of the same character that is at least as long, or with its item or quotation, or with the text.
    """
    regions: list[tuple[int, int]] = []
    items: list[int] = []
    """Columns at which the contents of the open list items begin."""
    depth = 0
    in_paragraph = False
    """Then a line of text goes on with it, and so with its item, however little it is indented."""
    fence: _Fence | None = None
    end = begin
    for line in text[begin:].split("\n"):
        start, end = end, min(end + len(line) + 1, len(text))
        quoting = _QUOTES.match(line)
        quotes = quoting[0].count(">") if quoting else 0
        rest = _inside(line, min(quotes, fence.depth) if fence else quotes)
        content = rest.strip()
        indent = len(rest[: len(rest) - len(rest.lstrip())].expandtabs(4))
        if fence and (quotes < fence.depth or (content and indent < fence.column)):
            regions.append((fence.start, start))
            fence, in_paragraph = None, False
        if fence:
            if indent - fence.column < 4 and fence.closed_by(content):
                regions.append((fence.start, end))
                fence, in_paragraph = None, False
            continue
        if quotes != depth:
            depth, items, in_paragraph = quotes, [], False
        if content and not (in_paragraph and _TEXT.match(content)):
            fence = _opened(content, indent, items, depth, start)
        in_paragraph = bool(content) and fence is None
    if fence:
        regions.append((fence.start, len(text)))
    return regions


def _inside(line: str, quotes: int) -> str:
    """Return a line without its first signs of quotation, each with the blank that belongs to it."""
    cut = 0
    for _ in range(quotes):
        cut = line.index(">", cut) + 1
    return line[cut + 1 :] if cut and line[cut : cut + 1] == " " else line[cut:]


def _opened(content: str, indent: int, items: list[int], depth: int, start: int) -> _Fence | None:
    """Return the fence that a line opens, and keep ``items`` as the line leaves them."""
    while items and indent < items[-1]:
        items.pop()
    if indent - (items[-1] if items else 0) >= 4:
        return None
    position = 0
    while marker := _MARKER.match(content, position):
        position = marker.end()
        space = len(marker[2].expandtabs(4))
        indent += len(marker[1]) + (space if 1 <= space <= 4 else 1)
        items.append(indent)
    fence = _FENCE.match(content, position)
    return _Fence(start, fence[0], items[-1] if items else 0, depth) if fence else None

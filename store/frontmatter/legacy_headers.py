"""Headers of older tools, read on import only: ``key: value`` lines between ``---``, as comments or in a docstring.

    # ---                        \"\"\"
    # title: Night report        ---
    # kind: macro                title: Night report
    # tags: [logs, night]        kind: macro
    # ---                        ---
                                 \"\"\"

They look like YAML, but every value is a text or a list of texts (YAML's ``no`` and ``3.10`` mean something else to
every reader); what needs more of YAML than that is refused. Keys without a meaning here are kept under
``[tool.gatewright.imported]``, so that nothing is lost; comments in the header are not kept.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from store.frontmatter.block import Block, with_empty_block
from store.frontmatter.coding import foreign_coding
from store.frontmatter.keys import rendered
from store.frontmatter.locate import MAX_BLOCK, FrontmatterError, find_block
from store.frontmatter.read import MAX_TEXT, MAX_TITLE, clean, parse, quoted
from store.frontmatter.toml_spans import dotted
from store.sizes import describe_size

Text = str | list[str]

_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_RULE = re.compile(rb"#[ \t]?---[ \t]*\r*\n?")
_DOCSTRING = re.compile(rb"[rRuU]?(\"\"\"|''')[ \t\r\n]*---[ \t]*\r?\n")
_CLOSING_RULE = re.compile(rb"(?m)^[ \t]*---[ \t]*\r?$")
_REST_OF_LINE = re.compile(rb"[ \t]*\r?(?:\n|\Z)")

_PAIR = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*:(?:[ \t]+(.*))?")
_ITEM = re.compile(r"[ \t]*-(?:[ \t]+(.*))?")
_QUOTED = r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^']|'')*'"
_QUOTED_ALONE = re.compile(rf"({_QUOTED})[ \t]*(?:#.*)?")
_FLOW_ITEM = re.compile(rf"""[ \t]*(?:({_QUOTED})[ \t]*|([^\s,\[\]{{}}"'][^,\[\]{{}}]*))?([,\]])""")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)[ \t]*s?")

_SIGNS = frozenset({"title", "kind", "entrypoint", "enabled", "slug", "description", "tags"})
"""One of these keys makes a header of lines that could be any comment."""
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class _Header(NamedTuple):
    lines: list[str]
    without: bytes
    """The script without it."""


def convert_header(data: bytes) -> bytes:
    """``data``, a script, with a PEP 723 block in the place of an older tool's header, or as it is if it has none.

    A docstring keeps what else it says, and goes if it says nothing else. All other bytes stay.

    Raises:
        FrontmatterError: There is a header that cannot be read; the sentence names the line or the key.
    """
    if _has_block(data):
        return data
    header = _comment_header(data) or _docstring_header(data)
    if header is None or not any(_is_sign(line) for line in header.lines):
        return data
    lines = _toml(_mapping(header.lines), ascii_only=foreign_coding(data) is not None)
    converted = Block.needed(with_empty_block(header.without)).with_lines(-1, lines)
    problem = parse(converted.decode("utf-8", "replace")).problem
    if problem is not None:
        raise FrontmatterError(f"The older header cannot be taken over: {problem}")
    return converted


def _has_block(data: bytes) -> bool:
    try:
        return find_block(data.decode("utf-8", "replace")) is not None
    except FrontmatterError:
        return True


def _leading(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines before which there is no code, and the first one with code, with their positions."""
    position = len(_BOM) if data.startswith(_BOM) else 0
    for found in _LINE.finditer(data, position):
        yield found.start(), found[0]
        if found[0].strip() and not found[0].startswith(b"#"):
            return


def _comment_header(data: bytes) -> _Header | None:
    start: int | None = None
    lines: list[bytes] = []
    for position, line in _leading(data):
        if start is None:
            start = position if _RULE.fullmatch(line) else None
        elif _RULE.fullmatch(line):
            return _Header(_texts(b"".join(lines)), data[:start] + data[position + len(line) :])
        elif not line.startswith(b"#"):
            return None
        else:
            lines.append(line[1:].removeprefix(b" "))
    return None


def _docstring_header(data: bytes) -> _Header | None:
    *_, (start, _) = [(0, b""), *_leading(data)]
    opening = _DOCSTRING.match(data, start)
    end = -1 if opening is None else data.find(opening[1], opening.end())
    if opening is None or end < 0:
        return None
    closing = _CLOSING_RULE.search(data, opening.end(), end)
    if closing is None:
        return None
    rest = data[closing.end() : end]
    after = end + len(opening[1])
    line_end = _REST_OF_LINE.match(data, after)
    if not rest.strip() and line_end is not None:
        without = data[:start] + data[line_end.end() :]
    else:
        without = data[: opening.end(1)] + rest + data[end:]
    return _Header(_texts(data[opening.end() : closing.start()]), without)


def _texts(data: bytes) -> list[str]:
    if len(data) > MAX_BLOCK:
        raise FrontmatterError(f"The older header is larger than {describe_size(MAX_BLOCK)}.")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FrontmatterError("The older header is not UTF-8 text.") from None
    return [line.rstrip() for line in textwrap.dedent(text).split("\n")]


def _is_sign(line: str) -> bool:
    pair = _PAIR.fullmatch(line)
    return pair is not None and pair[1].lower() in _SIGNS


def _mapping(lines: Sequence[str]) -> dict[str, Text]:
    """What the header says, by key.

    Raises:
        FrontmatterError: A line is not one of the few forms that are read.
    """
    found: dict[str, Text] = {}
    listed: str | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        item, pair = _ITEM.fullmatch(line), _PAIR.fullmatch(line)
        if item is not None and listed is not None:
            found[listed] = [*found[listed], _scalar(item[1] or "", number)]
        elif pair is not None and pair[1] not in found:
            value = _value(pair[2] or "", number)
            listed = pair[1] if value == "" else None
            found[pair[1]] = value
        else:
            why = "it is there twice" if pair is not None else "it is not of the form key: value"
            raise _unreadable(number, why)
    return found


def _value(text: str, number: int) -> Text:
    text = text.strip()
    return _flow_list(text, number) if text.startswith("[") else _scalar(text, number)


def _scalar(text: str, number: int) -> str:
    text = text.strip()
    if text[:1] in ('"', "'"):
        alone = _QUOTED_ALONE.fullmatch(text)
        if alone is None:
            raise _unreadable(number, "its quotes do not fit")
        return _unquoted(alone[1], number)
    if text[:1] and text[:1] in "&*!|>{}[]%@`":
        raise _unreadable(number, f"{quoted(text[:1])} begins something of YAML that is not read here")
    return _COMMENT.sub("", text, count=1).strip()


def _flow_list(text: str, number: int) -> list[str]:
    items: list[str] = []
    position = 1
    while found := _FLOW_ITEM.match(text, position):
        position = found.end()
        if item := found[1] or found[2]:
            items.append(_scalar(item, number))
        if found[3] == "]":
            break
    if found and not _COMMENT.sub("", text[position:], count=1).strip():
        return items
    raise _unreadable(number, "its list does not end, or holds more than texts")


def _unquoted(text: str, number: int) -> str:
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    try:
        value: str = json.loads(text, strict=False)
    except ValueError:
        raise _unreadable(number, "there is an escape in its text that is not read here") from None
    return value


def _unreadable(number: int, why: str) -> FrontmatterError:
    return FrontmatterError(f"Line {number} of the older header cannot be read: {why}.")


def _toml(found: Mapping[str, Text], *, ascii_only: bool) -> list[str]:
    """The lines of the block."""
    tables: dict[str, list[str]] = {"": [], "[tool.gatewright]": []}
    for name, text in found.items():
        unknown = ("[tool.gatewright.imported]", name, _as_is)
        table, key, convert = _MEANINGS.get(name.lower().replace("-", "_"), unknown)
        value = convert(key, text)
        if value not in (None, "", []):
            line = f"{dotted((key,))} = {rendered(key, value, ascii_only=ascii_only)}"
            tables.setdefault(table, []).append(line)
    return [line for table, lines in tables.items() if lines for line in filter(None, (table, *lines))]


def _as_is(_: str, value: Text) -> object:
    return value


def _line(limit: int) -> Callable[[str, Text], object]:
    def convert(key: str, value: Text) -> object:
        if isinstance(value, list):
            raise FrontmatterError(f"{key} in the older header must be text, not a list.")
        return None if value in ("~", "null") else clean(value, limit)

    return convert


def _texts_of(_: str, value: Text) -> object:
    items = value if isinstance(value, list) else value.split(",")
    return [item for item in (clean(text, MAX_TITLE) for text in items) if item]


def _truth(key: str, value: Text) -> object:
    truth = _TRUTH.get(value.lower()) if isinstance(value, str) else None
    if truth is None and value:
        raise FrontmatterError(f"{key} in the older header must be true or false, not {quoted(str(value))}.")
    return truth


def _seconds(key: str, value: Text) -> object:
    number = _SECONDS.fullmatch(value) if isinstance(value, str) else None
    if number is None:
        raise FrontmatterError(f"{key} in the older header must be a number of seconds, not {quoted(str(value))}.")
    return float(number[1]) if "." in number[1] else int(number[1])


_MEANINGS: dict[str, tuple[str, str, Callable[[str, Text], object]]] = {
    "title": ("[tool.gatewright]", "title", _line(MAX_TITLE)),
    "description": ("[tool.gatewright]", "description", _line(MAX_TEXT)),
    "kind": ("[tool.gatewright]", "kind", _line(MAX_TITLE)),
    "entrypoint": ("[tool.gatewright]", "entrypoint", _line(MAX_TITLE)),
    "enabled": ("[tool.gatewright]", "enabled", _truth),
    "tags": ("[tool.gatewright]", "tags", _texts_of),
    "timeout": ("[tool.gatewright.limits]", "timeout", _seconds),
    "requires_python": ("", "requires-python", _line(MAX_TITLE)),
    "dependencies": ("", "dependencies", _texts_of),
}
"""Where a key of an older header goes in the block, and how."""

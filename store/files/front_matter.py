"""The YAML of documents, front matter and sidecars: values that JSON can carry, and one sentence about what is wrong.

It is read by PyYAML's parser, in C where that is built, and nothing of it is ever constructed as an object: events
become texts, numbers, lists and dicts here, with limits on nesting and on what aliases repeat. Plain values are those
of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) without its octal and hexadecimal numbers: ``no`` is a text,
as a language needs it to be, and so is ``007``. Dates are texts in ISO 8601.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import yaml

MAX_SIZE = 64 << 10
"""Characters of one YAML text."""

MAX_NESTING = 20
MAX_VALUES = 10_000
"""Values of one text, those that aliases repeat counted each time."""

MAX_BRACKETS = 2_000
"""Opening brackets and braces of one text: PyYAML's parser in Python takes a square of the time for more."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_STANDARD = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map"))

_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt]|[ \t]+)([0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)"
    r"(?:[ \t]*(Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?"
)
_LARGEST = 2**63
_SURROGATE = re.compile("[\ud800-\udfff]")


class BadFrontMatter(Exception):
    """The text is not what it should be; one sentence says why."""


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What a document's front matter says.

    Attributes:
        values: All of it, by key.
        title: ``title``, on one line.
        date: ``date``, ISO 8601: a day or a moment.
        images: Links of ``images``, a list or one text.
        problem: One sentence when something of it cannot be used.
    """

    values: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    date: str | None = None
    status: str = ""
    tags: tuple[str, ...] = ()
    language: str = ""
    images: tuple[str, ...] = ()
    problem: str | None = None


def read_front_matter(text: str, first_line: int = 1) -> FrontMatter:
    """Return what a YAML text says. Never fails: what is wrong with it is in ``problem``.

    ``first_line`` is the line of the file on which the text begins.
    """
    if not text.strip():
        return FrontMatter()
    try:
        values = parse(text, first_line)
    except BadFrontMatter as error:
        return FrontMatter(problem=f"Its front matter cannot be read: {error}.")
    if values is None:
        return FrontMatter()
    if not isinstance(values, dict):
        return FrontMatter(problem="Its front matter is no table of keys and values.")
    problems: list[str] = []
    day = values.get("date")
    if day is not None and not _is_date(day):
        problems.append("date is no day (2024-05-01) and no moment (2024-05-01 06:00)")
    tags, images = _texts("tags", values, problems), _texts("images", values, problems)
    return FrontMatter(
        values=values,
        title=_line("title", values, problems),
        date=day if _is_date(day) else None,
        status=_line("status", values, problems),
        tags=tuple(dict.fromkeys(tags)),
        language=_line("language", values, problems),
        images=tuple(images),
        problem=f"Its front matter: {'; '.join(problems)}." if problems else None,
    )


def parse(text: str, first_line: int = 1) -> Any:  # noqa: ANN401 - whatever the text says
    """Return the value of one YAML text: dicts, lists, texts, numbers, booleans, None.

    Raises:
        BadFrontMatter: It is no YAML, too large, nested too deep, repeats too much by aliases, or wants objects made.
    """
    if len(text) > MAX_SIZE:
        raise BadFrontMatter(f"it is longer than {MAX_SIZE:,} characters")
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise BadFrontMatter(f"it has more than {MAX_BRACKETS:,} brackets")
    try:
        return _Builder(yaml.parse(text, Loader=_LOADER), first_line).document()
    except yaml.MarkedYAMLError as error:
        where = _place(error.problem_mark, first_line)
        raise BadFrontMatter(where + " ".join(str(error.problem or "it is no YAML").split())) from None
    except yaml.YAMLError as error:  # of the reader: a character that YAML does not allow
        raise BadFrontMatter(" ".join(str(getattr(error, "reason", "") or "it is no YAML").split())) from None
    except (UnicodeError, ValueError, RecursionError):
        raise BadFrontMatter("it is no YAML") from None


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    count: int
    """Values in it."""


class _Builder:
    """Makes values of the parser's events."""

    def __init__(self, events: Iterator[Any], first_line: int) -> None:
        self._events = events
        self._first_line = first_line
        self._anchors: dict[str, _Anchored] = {}
        self._count = 0

    def document(self) -> Any:  # noqa: ANN401 - whatever the text says
        value: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise BadFrontMatter("it holds several documents")
            elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                value = self._value(event, 1)
        return value

    def _value(self, event: Any, depth: int) -> Any:  # noqa: ANN401 - an event of PyYAML, and whatever it says
        if isinstance(event, yaml.AliasEvent):
            return self._repeated(event)
        before = self._count
        self._counted(1)
        if event.tag is not None and event.tag not in _STANDARD and event.tag != "!":
            raise BadFrontMatter(_place(event.start_mark, self._first_line) + f"it uses the tag {event.tag[:80]}")
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
            if isinstance(value, str) and _SURROGATE.search(value):  # only the parser in Python lets it pass
                raise BadFrontMatter(_place(event.start_mark, self._first_line) + "it holds half a character")
        elif depth > MAX_NESTING:
            raise BadFrontMatter(
                _place(event.start_mark, self._first_line) + f"it is nested more than {MAX_NESTING} deep"
            )
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(depth)
        else:
            value = self._table(depth)
        # Only now: an alias inside of its own anchor would be a circle.
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, self._count - before)
        return value

    def _list(self, depth: int) -> list[Any]:
        values = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, depth + 1))
        return values

    def _table(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        event: Any
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise BadFrontMatter(_place(event.start_mark, self._first_line) + "a key must be a text")
            self._value(event, depth + 1)  # it may have an anchor, or a tag that is refused
            if event.value in values:
                raise BadFrontMatter(
                    _place(event.start_mark, self._first_line) + f"the key {event.value[:80]!r} is there twice"
                )
            values[event.value] = self._value(next(self._events), depth + 1)
        return values

    def _repeated(self, event: Any) -> Any:  # noqa: ANN401 - an event of PyYAML, and whatever it stands for
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            raise BadFrontMatter(
                _place(event.start_mark, self._first_line) + f"nothing before it is called {event.anchor[:80]!r}"
            )
        self._counted(anchored.count)
        return anchored.value

    def _counted(self, more: int) -> None:
        self._count += more
        if self._count > MAX_VALUES:
            raise BadFrontMatter(f"it holds more than {MAX_VALUES:,} values")


def _place(mark: Any, first_line: int) -> str:  # noqa: ANN401 - one class of the parser in C, another of that in Python
    return "" if mark is None else f"line {mark.line + first_line}, column {mark.column + 1}: "


def _scalar(event: Any) -> Any:  # noqa: ANN401 - an event of PyYAML, and whatever it says
    text: str = event.value
    quoted = event.tag is None and event.style not in (None, "")
    return text if quoted or event.tag in (_TAG + "str", "!") else plain_value(text)


def plain_value(text: str) -> Any:  # noqa: ANN401 - a text, a number, a boolean or None
    """Return what an unquoted YAML value means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        number = int(text)
        return number if -_LARGEST <= number < _LARGEST else text
    if _FLOAT.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else text
    return _moment(text) or text


def _moment(text: str) -> str | None:
    """Return a day or a moment in ISO 8601; None for any other text."""
    with suppress(ValueError):
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).isoformat()
        if found := _MOMENT.fullmatch(text):
            day, time, zone = found.groups()
            hours, _, rest = time.partition(":")
            moment = datetime.fromisoformat(f"{day}T{hours:0>2}:{_to_microseconds(rest)}{_zone(zone)}")
            return moment.isoformat()
    return None


def _to_microseconds(rest: str) -> str:
    minutes, dot, fraction = rest.partition(".")
    return f"{minutes}.{fraction[:6]:0<6}" if dot else minutes


def _zone(zone: str | None) -> str:
    if zone is None:
        return ""
    if zone == "Z":
        return "+00:00"
    digits = zone[1:].replace(":", "")
    hours, minutes = (digits, "00") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    return f"{zone[0]}{hours:0>2}:{minutes}"


def _is_date(value: Any) -> bool:  # noqa: ANN401 - whatever the front matter says
    return isinstance(value, str) and _moment(value.strip()) is not None


def _line(key: str, values: dict[str, Any], problems: list[str]) -> str:
    value = values.get(key)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        problems.append(f"{key} must be a text")
        return ""
    return " ".join(_text(value).split())


def _texts(key: str, values: dict[str, Any], problems: list[str]) -> list[str]:
    """Return a list of texts, written as one or as a text with commas."""
    value = values.get(key)
    if value is None:
        return []
    if isinstance(value, dict):
        problems.append(f"{key} must be a list")
        return []
    items = value if isinstance(value, list) else _text(value).split(",")
    if any(isinstance(item, dict | list) for item in items):
        problems.append(f"{key} must be a list of texts")
    texts = (" ".join(_text(item).split()) for item in items if item is not None and not isinstance(item, dict | list))
    return [text for text in texts if text]


def _text(value: Any) -> str:  # noqa: ANN401 - a text, a number or a boolean
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

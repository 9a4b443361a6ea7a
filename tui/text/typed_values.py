"""Values of the frontmatter as people type them, in forms and on the command line."""

from __future__ import annotations

import json
import math
import re
import tomllib
from enum import Enum, auto
from typing import Any

_CONTINUES = re.compile(r"\s*[<>=!~]")
"""``pandas>=2,<3`` is one requirement (PEP 440, version specifiers)."""


class FieldKind(Enum):
    """How a line of a form is read."""

    TEXT = auto()
    TEXTS = auto()
    REQUIREMENTS = auto()
    VALUES = auto()
    """A list of numbers, truth values or texts."""
    NUMBER = auto()
    COUNT = auto()
    FLAG = auto()


def toml_or_text(text: str) -> Any:  # noqa: ANN401 - any value that JSON can carry
    """The TOML value that ``text`` is as a whole, or else ``text``. Dates stay text: no key has one."""
    try:
        # In brackets and with something behind it a comment or a second value shows.
        found = tomllib.loads(f"value = [{text},0]")
    except (ValueError, RecursionError):
        return text
    items = found["value"]
    return items[0] if len(found) == 1 and len(items) == 2 and _is_json(items[0]) else text


def shown(value: object, kind: FieldKind = FieldKind.TEXT) -> str:
    """A value as it stands in a form; ``typed`` makes the same value of it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, list):
        return str(value)
    joined = ", ".join(str(item) for item in value)
    return joined if typed(joined, kind) == (value or None) else f"[{', '.join(as_toml(item) for item in value)}]"


def typed(text: str, kind: FieldKind) -> Any:  # noqa: ANN401 - any value that JSON can carry
    """What a line means; None for an empty one. What does not fit comes as text, and the engine says what is wrong."""
    text = text.strip()
    if not text:
        return None
    match kind:
        case FieldKind.TEXT:
            return text
        case FieldKind.FLAG:
            return {"yes": True, "no": False}.get(text, text)
        case FieldKind.COUNT | FieldKind.NUMBER:
            return _number(text, whole=kind is FieldKind.COUNT)
        case FieldKind.TEXTS | FieldKind.REQUIREMENTS | FieldKind.VALUES:
            return _list(text, kind)


def _number(text: str, *, whole: bool) -> int | float | str:
    found = toml_or_text(text)
    fits = isinstance(found, int) if whole else isinstance(found, (int, float))
    return found if fits and not isinstance(found, bool) else text


def _list(text: str, kind: FieldKind) -> list[Any]:
    """A TOML list, or values with commas between them."""
    whole = toml_or_text(text)
    if isinstance(whole, list):
        return whole
    pieces: list[str] = []
    for piece in text.split(","):
        if kind is FieldKind.REQUIREMENTS and pieces and _CONTINUES.match(piece):
            pieces[-1] += f",{piece.rstrip()}"
        elif piece.strip():
            pieces.append(piece.strip())
    return [toml_or_text(piece) for piece in pieces] if kind is FieldKind.VALUES else pieces


def as_toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    # A JSON string is a TOML basic string (TOML 1.0), but for the delete character, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)  # JSON would make null of it, which removes the key
    return isinstance(value, (str, int))

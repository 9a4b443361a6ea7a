"""From what a script left as its result to what crosses to the engine: typed JSON, or a text and the reason why not."""

from __future__ import annotations

import json
import reprlib
from builtins import len  # noqa: A004 - not what a script may have put in its place

from .wire import RESULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 200
"""Levels of lists and objects. Far below what any JSON reader's stack takes, far above what people nest."""

TEXT_LIMIT = 64 << 10
"""Characters of the text that stands in for a value that JSON cannot carry."""

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encode_head = json.JSONEncoder(default=str).encode


class ResultTooLarge(Exception):
    """The result's JSON is over the limit. The message says both figures."""


class _NotJson(Exception):
    """Why a value has no JSON form: the rest of a sentence that begins with "The result"."""


def encode_result(value: object, limit: int) -> bytes:
    """The payload of a RESULT frame for a script that ended well and left ``value`` (None: nothing).

    Raises:
        ResultTooLarge: Its JSON takes more than ``limit`` bytes.
    """
    if value is None:
        return RESULT.pack(0)
    try:
        data = _to_json(value)
    except _NotJson as reason:
        return encode_head(text=safe_repr(value), note=f"The result {reason}, so it is shown as text only.")
    if len(data) > limit:
        raise ResultTooLarge(f"The result takes {_size(len(data))} as JSON; the limit is {_size(limit)}.")
    return RESULT.pack(0) + data


def encode_head(**fields: object) -> bytes:
    """The payload of a RESULT frame that has a head and no value."""
    head = _encode_head(fields).encode()
    return RESULT.pack(len(head)) + head


def with_note(payload: bytes, note: str) -> bytes:
    """``payload``, of a RESULT frame, with ``note`` after the one it has."""
    if not note:
        return payload
    value_start = RESULT.size + RESULT.unpack_from(payload)[0]
    head = json.loads(payload[RESULT.size : value_start] or b"{}")
    head["note"] = f"{head['note']} {note}" if head.get("note") else note
    return encode_head(**head) + payload[value_start:]


def safe_repr(value: object) -> str:
    """``repr(value)``, never longer than ``TEXT_LIMIT`` and never failing."""
    try:
        text = repr(value)
        if type(text) is not str:
            text = str.__str__(text)
    except RecursionError:
        text = _shallow_repr(value)
    except BaseException as error:  # noqa: BLE001 - a script's own __repr__ may raise anything
        text = f"<{type(value).__name__} object whose repr() raised {type(error).__name__}>"
    return clean(text, TEXT_LIMIT)


def clean(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters, lone surrogates written as escapes, so that it is valid UTF-8."""
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text):,} characters)"
    return text.encode("utf-8", "backslashreplace").decode()


def _shallow_repr(value: object) -> str:
    try:
        return reprlib.repr(value)
    except BaseException:  # noqa: BLE001 - as above
        return f"<{type(value).__name__} object, nested too deeply for repr()>"


def _to_json(value: object) -> bytes:
    try:
        text = _encode(value)
        data = text.encode()
    except UnicodeEncodeError:
        raise _NotJson("holds a lone surrogate, which UTF-8 cannot carry") from None
    except RecursionError:
        raise _NotJson(f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise _NotJson(_value_problem(error)) from None
    except TypeError as error:
        raise _NotJson(_type_problem(error)) from None
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - subclasses of dict and str run their own code here
        raise _NotJson(f"raised {type(error).__name__} while it was turned into JSON") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _too_deep(value):
        raise _NotJson(f"is nested more than {MAX_DEPTH} levels deep")
    return data


def _value_problem(error: ValueError) -> str:
    text = str(error)
    if "Circular" in text:
        return "contains itself"
    if "Out of range float" in text:
        return "holds a NaN or an infinity, which JSON cannot carry"
    return f"cannot be carried by JSON ({clean(text, 200)})"


def _type_problem(error: TypeError) -> str:
    text = str(error)
    if text.startswith("Object of type "):
        return f"holds an object of type {text.split()[3]}, which JSON cannot carry"
    return f"cannot be carried by JSON ({clean(text, 200)})"


def _too_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list, tuple))
        ]
        if not level:
            return False
    return True


def _size(count: int) -> str:
    if count < 10_240:
        return f"{count:,} bytes"
    return f"{count / 1024:,.0f} KiB" if count < 10 << 20 else f"{count / (1 << 20):,.1f} MiB"

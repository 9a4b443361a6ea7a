"""How a script's failure is told: type, message, its own file and line, and a traceback without the engine's frames."""

from __future__ import annotations

import linecache
import os
import sys
import traceback

from .hints import add_note
from .imports import ImportDenied
from .results import clean, encode_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MESSAGE_LIMIT = 8 << 10
TRACEBACK_LIMIT = 64 << 10

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def failure(
    error: BaseException, filename: str, outcome: str = "", *, hint: str = "", shared: frozenset[str] = frozenset()
) -> bytes:
    """The payload of a RESULT frame for a script that ended with ``error``.

    ``hint`` says what to do about it; ``shared`` are the files of its shared code.
    """
    if not outcome:
        outcome = "import_denied" if isinstance(error, ImportDenied) else "script_error"
    try:
        if hint and hint not in _message(error) and hint not in getattr(error, "__notes__", ()):
            add_note(error, hint)
        _cut_trailing_blanks(filename)
        told = traceback.TracebackException.from_exception(error)
        for part in _chain(told):
            part.stack = traceback.StackSummary.from_list([f for f in part.stack if not is_own(f.filename)])
        text = _cut(_without_tabs_above_carets("".join([*told.format(), *_notes(error)])))
        where = _place(told, shared | {filename}) | _module(error)
    except MemoryError:
        raise
    except BaseException as trouble:  # noqa: BLE001 - exceptions of scripts may raise in every hook the formatting calls
        text = f"{type(error).__name__} (its traceback could not be formatted: {type(trouble).__name__})\n"
        where = {}
    fields = {"type": _type_name(error), "message": clean(_message(error), MESSAGE_LIMIT), **where}
    if hint:
        fields["hint"] = hint
    return encode_head(outcome=outcome, error=fields, traceback=text)


def plain_failure(kind: str, message: str, *, outcome: str = "script_error", **where: object) -> bytes:
    """Like ``failure``, for what is no exception of the script: one sentence, no traceback."""
    return encode_head(outcome=outcome, error={"type": kind, "message": clean(message, MESSAGE_LIMIT), **where})


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """``told`` with its causes, contexts and members of groups; without recursion, for scripts build long chains."""
    todo = [told]
    while todo:
        part = todo.pop()
        yield part
        todo += [
            p for p in (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())) if p is not None
        ]


def _notes(error: BaseException) -> list[str]:
    """The lines of its notes that Python before 3.11 does not write (PEP 678)."""
    if sys.version_info >= (3, 11):
        return []
    return [f"{note}\n" for note in getattr(error, "__notes__", ())]


def _cut_trailing_blanks(filename: str) -> None:
    """End the lines of the script that tracebacks show: up to 3.12 Python shifts its carets by blanks at the end."""
    entry = linecache.cache.get(filename)
    if entry is not None and len(entry) == 4:
        size, changed, lines, name = entry
        linecache.cache[filename] = (size, changed, [f"{line.rstrip()}\n" for line in lines], name)


def _without_tabs_above_carets(text: str) -> str:
    """A traceback whose carets stand right: Python counts a tab in the line above them as one cell."""
    if "\t" not in text:
        return text
    lines = text.split("\n")
    for row in range(1, len(lines)):
        marks = lines[row].strip()
        if marks and not marks.strip("~^") and "\t" in lines[row - 1] and lines[row].startswith("    "):
            lines[row - 1 : row + 1] = (line.replace("\t", " ") for line in lines[row - 1 : row + 1])
    return "\n".join(lines)


def _place(told: traceback.TracebackException, files: frozenset[str]) -> dict[str, Any]:
    """The innermost line in one of ``files``, the script and its shared code."""
    if told.exc_type is not None and issubclass(told.exc_type, SyntaxError) and told.filename in files:
        return {"filename": told.filename, "line": int(told.lineno) if told.lineno else None}
    for frame in reversed(told.stack):
        if frame.filename in files:
            return {"filename": frame.filename, "line": frame.lineno}
    if told.stack:
        return {"filename": clean(told.stack[-1].filename, 1000), "line": told.stack[-1].lineno}
    return {}


def _module(error: BaseException) -> dict[str, Any]:
    """The module that could not be imported: the engine may know more about it."""
    name = error.name if isinstance(error, ImportError) else None
    return {"module": clean(name, 200)} if isinstance(name, str) else {}


def is_own(filename: str) -> bool:
    """Whether a file is one of these."""
    return filename.startswith(_OWN_FOLDER)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    # A script's module has a name of its own beside "__main__" where it has an entrypoint.
    own = sys.modules.get("__main__")
    plain = kind.__module__ == "builtins" or (own is not None and sys.modules.get(kind.__module__) is own)
    return clean(kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}", 200)


def _message(error: BaseException) -> str:
    try:
        if isinstance(error, SyntaxError):
            return str(error.msg)
        return str.__str__(str(error))
    except BaseException as trouble:  # noqa: BLE001 - a script's own __str__ may raise anything
        return f"(its message could not be read: {type(trouble).__name__})"


def _cut(text: str) -> str:
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2
        text = f"{text[:half]}\n[… {len(text) - 2 * half:,} characters of the traceback are left out …]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()

"""The keys of the frontmatter that can be set, and the rules for a value that somebody wants to write.

A new value is judged by reading it as a script's block would be read (``store.frontmatter.read``), and must come back
as it was given. Two rules are stricter than reading: ``kind`` is one that exists, and permissions are lists of texts.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from store.frontmatter.known_keys import LIMITS, OF_PARAM, OWN, PERMISSIONS, PLAIN, STATED, TABLES, TOP
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import MAX_TEXT, MAX_TITLE, clean, from_document, is_name, named, quoted
from store.frontmatter.toml_spans import Path, basic_string

KINDS = ("utility", "macro")

KEYS = (
    *PLAIN,
    *TOP,
    *(f"params.NAME.{key}" for key in OF_PARAM),
    *(f"limits.{key}" for key in LIMITS),
    *(f"permissions.{key}" for key in PERMISSIONS),
)
"""Every key that can be set; NAME stands for a parameter's name."""

_GROUPED = (
    *PLAIN,
    *TOP,
    *(
        f"{group}.{keys[0]} ({', '.join(keys[1:])})"
        for group, keys in (("params.NAME", OF_PARAM), ("limits", LIMITS), ("permissions", PERMISSIONS))
    ),
)
"""As they are named to people."""

_SHORT_TEXTS = frozenset({"title", "kind", "entrypoint", "environment", "requires-python"})
_LONG_TEXTS = frozenset({"description", "help"})
_TEXT_LISTS = frozenset({"tags", "preload", "dependencies", "choices"})


def path_of(key: str, *, remove: bool = False) -> Path:
    """Where ``key`` stands in the document. ``params.NAME`` alone means the whole parameter, to remove it.

    Raises:
        FrontmatterError: There is no such key.
    """
    names = tuple(key.split("."))
    if key in TOP:
        return names
    if names[0] == "params" and len(names) in (2, 3):
        return _param_path(names, key, remove=remove)
    if key in KEYS or key in STATED:
        return OWN + names
    near = difflib.get_close_matches(key[:MAX_TITLE], KEYS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_GROUPED)}."
    raise FrontmatterError(f"The header has no key {quoted(key)}; {hint}")


def removed_path(key: str, document: Mapping[str, Any]) -> Path:
    """Where ``key``, which is to be removed, stands in ``document``: it may be one that a header does not know.

    Raises:
        FrontmatterError: There is no such key, neither in this document nor in any.
    """
    try:
        return path_of(key, remove=True)
    except FrontmatterError:
        found = None if key in TABLES else _written_as(key, own_table(document))
        if found is None:
            raise
        return OWN + found


def _written_as(key: str, table: Mapping[str, Any]) -> Path | None:
    """The path below ``table`` of what is there under the dotted ``key``; a name may have dots itself."""
    for name, value in table.items():
        if name == key:
            return (name,)
        if key.startswith(f"{name}.") and isinstance(value, Mapping):
            below = _written_as(key[len(name) + 1 :], value)
            if below is not None:
                return (name, *below)
    return None


def _param_path(names: Path, key: str, *, remove: bool) -> Path:
    if not is_name(names[1]):
        raise FrontmatterError(f"{quoted(names[1])} cannot be the name of a param.")
    if len(names) == 2 and not remove:
        raise FrontmatterError(f"{key} is a whole param; set {', '.join(f'{key}.{part}' for part in OF_PARAM)}.")
    if len(names) == 3 and names[2] not in OF_PARAM:
        raise FrontmatterError(f"A param has no key {quoted(names[2])}; there are {', '.join(OF_PARAM)}.")
    return OWN + names


def written(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all keys that can be set, right or wrong, as the document has them.

    What JSON cannot carry (a date, a number that is not finite or has more than 64 bits) comes as its text; tables that
    stand where a value belongs are left out.
    """
    own = own_table(document)
    found = {key: document.get(key) for key in TOP} | {key: own.get(key) for key in PLAIN}
    for name, spec in _table(own, "params").items():
        if is_name(name):
            found |= {f"params.{name}.{key}": _table({name: spec}, name).get(key) for key in OF_PARAM}
    for section, keys in (("limits", LIMITS), ("permissions", PERMISSIONS)):
        found |= {f"{section}.{key}": _table(own, section).get(key) for key in keys}
    plain = {key: value for key, value in found.items() if value is not None and not isinstance(value, Mapping)}
    return {key: _carried(value) for key, value in plain.items()}


def own_table(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """``[tool.gatewright]``; empty where it is missing or no table."""
    return _table(_table(document, OWN[0]), OWN[1])


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = table.get(name)
    return found if isinstance(found, Mapping) else {}


def _carried(value: object) -> object:
    if isinstance(value, list):
        return [_carried(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return hex(value)
    if isinstance(value, (dt.date, dt.time, Mapping)):
        return str(value)
    return value


def require_good(before: Mapping[str, Any], after: Mapping[str, Any], paths: Iterable[Path]) -> None:
    """Judge a document that changes at ``paths``.

    What is wrong elsewhere, and was before, does not stand in the way: one key can be put right after the other.

    Raises:
        FrontmatterError: A changed value is wrong, or makes another one wrong.
    """
    changed: dict[str, Any] = {}
    for path in paths:
        # A param's keys are judged together: a default fits a type.
        unit = path[:4] if path[:3] == (*OWN, "params") else path
        value = value_at(after, unit)
        if value is None:
            continue
        changed = with_value(changed, unit, value)
        _require_exact(path, value_at(after, path))
    problem = from_document(changed).problem
    if problem is None and from_document(before).problem is None:
        problem = from_document(after).problem
    if problem is not None:
        raise FrontmatterError(problem)


def _require_exact(path: Path, value: object) -> None:
    """Refuse what would be read as something else than was written: control characters, line ends, too long a text."""
    key = ".".join(path).removeprefix("tool.gatewright.")
    if path[:-1] == OWN and key in STATED:
        if not isinstance(value, str):
            raise FrontmatterError(f"{key} must be text, not {named(value)}.")
        _require_line(key, value, MAX_TITLE)
    if path[-1] in _SHORT_TEXTS and isinstance(value, str):
        _require_line(key, value, MAX_TITLE)
    elif path[-1] in _LONG_TEXTS and isinstance(value, str):
        _require_line(key, value, MAX_TEXT)
    elif path[-1] in _TEXT_LISTS and isinstance(value, list):
        for item in value:
            if isinstance(item, str):
                _require_line(key, item, MAX_TITLE)
    if path == (*OWN, "kind") and value not in KINDS:
        raise FrontmatterError(f"kind must be {' or '.join(KINDS)}, not {quoted(str(value))}.")
    if path[:3] == (*OWN, "permissions"):
        _require_permission(key, path[-1], value)


def _require_permission(key: str, name: str, value: object) -> None:
    if name == "assistant":
        if not isinstance(value, bool):
            raise FrontmatterError(f"{key} must be true or false.")
    elif not _is_texts(value):
        what = "names" if name == "secrets" else "paths"
        raise FrontmatterError(f"{key} must be a list of {what} as texts.")


def _require_line(key: str, text: str, limit: int) -> None:
    if clean(text, limit) != text:
        raise FrontmatterError(
            f"{key} must be one line of at most {limit:,} characters, without control characters or stray blanks."
        )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def value_at(document: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401 - whatever TOML can hold
    """What stands at ``path``; None where there is nothing.

    Raises:
        FrontmatterError: Something on the way is not a table.
    """
    found: Any = document
    for depth, name in enumerate(path):
        if not isinstance(found, Mapping):
            raise FrontmatterError(f"[{'.'.join(path[:depth])}] must be a table, not {named(found)}.")
        found = found.get(name)
        if found is None:
            return None
    return found


def with_value(document: Mapping[str, Any], path: Path, value: object) -> dict[str, Any]:
    """A copy of ``document`` with ``value`` at ``path``, or without what stands there if it is None."""
    copy = dict(document)
    name, *rest = path
    if rest:
        copy[name] = with_value(copy.get(name, {}), tuple(rest), value)
    elif value is None:
        copy.pop(name, None)
    else:
        copy[name] = value
    return copy


def rendered(key: str, value: object, *, ascii_only: bool = False) -> str:
    """``value`` as TOML, on one line.

    Raises:
        FrontmatterError: It is nothing that a key can have.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return _text(key, value, ascii_only)
    if isinstance(value, list):
        return f"[{', '.join(rendered(key, item, ascii_only=ascii_only) for item in _flat(key, value))}]"
    if isinstance(value, (int, float)):
        raise FrontmatterError(f"{key} must be a finite number that fits into 64 bits.")
    raise FrontmatterError(f"{key} must be text, a number, true or false, or a list of such, not {named(value)}.")


def _text(key: str, text: str, ascii_only: bool) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FrontmatterError(f"{key} holds a lone surrogate, which UTF-8 cannot carry.") from None
    return basic_string(text, ascii_only=ascii_only)


def _flat(key: str, items: list[Any]) -> list[Any]:
    if any(isinstance(item, list) for item in items):
        raise FrontmatterError(f"{key} must be a list of plain values, not of lists.")
    return items

"""Changes of a frontmatter's keys: what they make of a script's bytes, and why each of them would be refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.sandbox.permissions import BadPermissions, asked
from store.frontmatter import FrontmatterError, parse
from store.frontmatter_edit import apply_changes

Changes = Mapping[str, Any]


def with_keys(data: bytes, path: str, changes: Changes) -> bytes:
    """A script's bytes with all ``changes``.

    Raises:
        FrontmatterError: A value is wrong, or the block cannot be read.
        BadPermissions: What it would ask for cannot be understood.
    """
    changed = apply_changes(data, changes)
    if any(key.startswith("permissions.") for key in changes):
        asked(parse(changed.decode("utf-8", "replace"), path).permissions)
    return changed


def judged(data: bytes, path: str, changes: Changes) -> dict[str, str]:
    """One sentence for each key whose change would be refused; the empty key when only all together would be."""
    problems: dict[str, str] = {}
    for unit in _units(changes):
        sentence = _problem(data, path, unit)
        if sentence is not None:
            problems[_culprit(unit, sentence)] = sentence
    together = None if problems or not changes else _problem(data, path, changes)
    return problems if together is None else {"": together}


def _problem(data: bytes, path: str, changes: Changes) -> str | None:
    try:
        with_keys(data, path, changes)
    except (FrontmatterError, BadPermissions) as error:
        return str(error)
    return None


def _units(changes: Changes) -> list[Changes]:
    """The changes one by one, but for those that are judged together: a parameter's keys, and the permissions."""
    units: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        section, _, rest = key.partition(".")
        name = f"params.{rest.partition('.')[0]}" if section == "params" else section if rest == "" else key
        units.setdefault("permissions" if section == "permissions" else name, {})[key] = value
    return list(units.values())


def _culprit(unit: Changes, sentence: str) -> str:
    """The key that a sentence is about, as far as it tells."""
    named = next((key for key in unit if key in sentence), None)
    begun = next((key for key in unit if sentence.startswith(f"{key.rpartition('.')[2]} ")), None)
    return named or begun or next(iter(unit))

"""What a script keeps from one run to the next."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model


class StateEntry(Model, frozen=True):
    key: str
    value: Any
    version: int
    """Another one after every write of this key, also after one of the same value."""
    size: int
    """Bytes of key and value as they are kept."""
    changed_at: float
    changed_by: str


class ScriptState(Model, frozen=True):
    """A script's values: all of them, the one that was asked for if there is one, or those that were written."""

    path: str
    entries: list[StateEntry]
    """By key."""
    size: int
    """Bytes of all that the script keeps."""
    limit: int
    """Bytes that it may keep."""


class StateChanges(Model, frozen=True):
    """Values to write and keys to remove, all of it or nothing."""

    values: dict[str, Any] = {}
    remove: list[str] = []
    expected: dict[str, int] = {}
    """The version that a key must still have, 0 for a key that must not be there; else nothing is changed."""

"""What the settings allow a script at most, and what is said of a script that asks for more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.pool.job import Limits
from store.sizes import describe_size

DECLARABLE = ("timeout", "memory", "output", "result", "scratch", "open_files")
"""Keys of a script's ``limits`` that have a ceiling of the same name."""


@dataclass(frozen=True, slots=True)
class RunCeilings:
    """What the settings allow at most, in seconds, bytes and files; ``limits`` are the defaults of a run."""

    limits: Limits = field(default_factory=Limits)
    timeout: float = 3600.0
    memory: int = 4 << 30
    output: int = 64 << 20
    result: int = 16 << 20
    scratch: int = 256 << 20
    open_files: int = 256


class AboveCeiling(NamedTuple):
    """A limit that is never given."""

    key: str
    sentence: str
    hint: str


def above_ceiling(ceilings: RunCeilings, asked: Mapping[str, Any]) -> AboveCeiling | None:
    """Return the first of the limits ``asked`` for, by key, that is above its ceiling."""
    for key, value in asked.items():
        ceiling = getattr(ceilings, key)
        if value > ceiling:
            show = _SHOWN.get(key, describe_size)
            sentence = f"This script asks for limits.{key} = {show(value)}; the ceiling is {show(ceiling)}."
            hint = f"Lower limits.{key} in its header, or have ceilings.{key} raised in the settings."
            return AboveCeiling(key, sentence, hint)
    return None


def describe_seconds(seconds: float) -> str:
    """Return ``0.5 s`` or ``10,000,000 s``: not as a power of ten, as long as anybody means it."""
    return f"{seconds:,.15g} s"


_SHOWN: dict[str, Callable[[Any], str]] = {"timeout": describe_seconds, "open_files": "{} files".format}
"""How they are said, where that is not as a size."""

"""The scripts, macros and sample data that a new project begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

VERSION = 3
"""Raised with every release that changes a bundled file: only then do projects get the new text."""

_PLACES = {"defaults": "scripts/defaults", "macros": "scripts/macros", "samples": "documents/samples"}
"""Folder in this package to folder in a project."""


def bundle() -> dict[str, bytes]:
    """Every bundled file: its path relative to a project's root, and its content."""
    return {
        f"{place}/{file.name}": file.read_bytes()
        for folder, place in _PLACES.items()
        for file in resources.files(__name__).joinpath(folder).iterdir()
        if file.is_file() and not file.name.startswith(".")
    }


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle; made without arguments it is this package's own."""

    version: int = VERSION
    files: Mapping[str, bytes] = field(default_factory=bundle)
    """Content by path relative to a project's root, below ``scripts/`` or ``documents/``."""

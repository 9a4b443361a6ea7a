"""The scripts and sample data that a new project begins with."""

from __future__ import annotations

from importlib import resources

_PLACES = {"defaults": "scripts/defaults", "samples": "documents/samples"}
"""Folder in this package to folder in a project."""


def bundle() -> dict[str, bytes]:
    """Every bundled file: its path relative to a project's root, and its content."""
    return {
        f"{place}/{file.name}": file.read_bytes()
        for folder, place in _PLACES.items()
        for file in resources.files(__name__).joinpath(folder).iterdir()
        if file.is_file() and not file.name.startswith(".")
    }

"""Numbered schema changes of ``state.db``, applied once each and in order; the file's ``user_version`` counts them."""

from __future__ import annotations

from importlib import resources


def scripts() -> list[str]:
    """The SQL of every migration, oldest first."""
    files = sorted(
        (file for file in resources.files(__name__).iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    return [file.read_text("utf-8") for file in files]

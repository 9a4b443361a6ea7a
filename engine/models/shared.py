"""Shared code: files below ``lib``, which scripts import and which do not run by themselves."""

from __future__ import annotations

from engine.models.base import Model


class SharedFile(Model, frozen=True):
    """One file of shared code that a text imports, itself or by another one."""

    path: str
    """Relative to the scripts folder: ``lib/tags.py``."""
    sha256: str

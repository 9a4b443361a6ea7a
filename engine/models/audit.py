"""Who did what, for the record."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model


class AuditRecord(Model, frozen=True):
    seq: int
    at: float
    actor: str
    uid: int
    source: str
    action: str
    """``start``, ``stop``, ``admin_run``, ``admin_end``, ``save``, ``rename``, ``delete``, ``restore`` …"""
    subject: str
    """The script or run that it is about."""
    detail: dict[str, Any]
    sha256: str
    """Of this record and, through it, of all before it."""


class AuditList(Model, frozen=True):
    records: list[AuditRecord]
    """Newest first."""
    next_before: int | None = None


class AuditCheck(Model, frozen=True):
    """What a look at every record found."""

    records: int
    head: str
    """Hash of the newest record."""
    problem: str | None = None
    """None: the record is consistent in itself."""

"""What the settings say about keeping: how much of the past, and how much room on the disk."""

from __future__ import annotations

from engine.config import Settings
from store.pruning import Retention
from store.room import Floor

DAY = 86_400.0


def retention(settings: Settings) -> Retention:
    """How long runs, their output and versions of scripts are kept."""
    keep = settings.retention
    return Retention(
        output_age=keep.output_days * DAY,
        output_bytes=keep.output_size,
        run_age=keep.run_days * DAY,
        versions=keep.versions,
        deleted_age=keep.deleted_days * DAY,
        unnamed_age=keep.unnamed_days * DAY,
    )


def disk_floor(settings: Settings) -> Floor:
    """What stays free on the project's disk."""
    return Floor(settings.disk.keep_free, settings.disk.keep_free_percent / 100)

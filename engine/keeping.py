"""What the settings say about keeping: how much of the past, and how much room on the disk."""

from __future__ import annotations

from engine.config import Settings
from store.room import Floor
from store.state import Retention

DAY = 86_400.0


def retention(settings: Settings) -> Retention:
    """How long runs and their output are kept."""
    keep = settings.retention
    return Retention(output_age=keep.output_days * DAY, output_bytes=keep.output_size, run_age=keep.run_days * DAY)


def disk_floor(settings: Settings) -> Floor:
    """What stays free on the project's disk."""
    return Floor(settings.disk.keep_free, settings.disk.keep_free_percent / 100)

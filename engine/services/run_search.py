"""Which active runs a search of the history wants; the database chooses among the recorded ones."""

from __future__ import annotations

from engine.models import RunInfo
from store.run_filter import RunFilter


def is_wanted(info: RunInfo, wanted: RunFilter) -> bool:
    """As ``RunFilter.where`` chooses among the recorded runs."""
    return (
        wanted.name in (None, info.name)
        and (wanted.part is None or wanted.part.lower() in info.name.lower())
        and wanted.outcome in (None, info.outcome)
        and wanted.actor in (None, info.actor)
        and (wanted.since is None or info.queued_at >= wanted.since)
        and (wanted.until is None or info.queued_at < wanted.until)
    )

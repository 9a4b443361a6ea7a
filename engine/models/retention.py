"""How long the past is kept, how much of it there is, and when old records were removed last."""

from __future__ import annotations

from engine.models.base import Model


class RetentionLimits(Model, frozen=True):
    """What the settings say under ``[retention]``: days, bytes, versions."""

    output_days: float
    output_size: int
    run_days: float
    versions: int
    deleted_days: float
    unnamed_days: float


class RetentionPass(Model, frozen=True):
    """One look at what is old, and what went with it."""

    at: float
    seconds: float
    outputs: int = 0
    """Runs whose output and files went."""
    runs: int = 0
    versions: int = 0
    """Versions of scripts, by their texts."""
    leftovers: int = 0
    """Texts in the history that nothing named."""
    problem: str | None = None
    """Why it did not come to its end."""


class RetentionInfo(Model, frozen=True):
    limits: RetentionLimits
    runs: int
    output_bytes: int
    oldest_run: float | None
    versions: int
    history_bytes: int
    last: RetentionPass | None = None
    """None until the first one since the engine started has ended."""

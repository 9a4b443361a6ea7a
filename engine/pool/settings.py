"""What a pool is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.pool.job import Limits, Profile


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Seconds, bytes and counts. ``interpreter`` is the python of the environment that scripts run in."""

    interpreter: Path
    scratch: Path
    """A folder of the pool's own: each slot mounts, or makes, its scratch in a folder below it."""

    size: int = 3
    min_size: int = 3
    max_size: int = 20
    limits: Limits = field(default_factory=Limits)
    """What parked children are made with; a run whose limits differ gets a child of its own, made on demand."""

    profile: Profile = field(default_factory=Profile)
    queue_limit: int = 200
    queue_wait: float = 300.0
    health_interval: float = 30.0
    start_timeout: float = 10.0
    """For a zygote to become ready."""

    prepare_timeout: float = 5.0
    """For the next child to say HELLO."""

    recycle_after: int = 10_000
    """Children after which a zygote is replaced: those of one zygote share their memory layout and hash seed."""

    log_file: Path | None = None
    """Takes what zygotes write to their standard error, which is nothing unless they break."""

    namespaces: bool = True
    """False keeps to what works without user namespaces, as on hosts that refuse them."""

"""The pool: slots and queue."""

from __future__ import annotations

from enum import StrEnum

from engine.models.base import Model
from engine.models.runs import Mode


class SlotState(StrEnum):
    """``starting``: no zygote yet. ``preparing``: its next child is being made. ``ready``: a parked child waits."""

    STARTING = "starting"
    PREPARING = "preparing"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class SlotInfo(Model, frozen=True):
    slot: int
    state: SlotState
    since: float
    """When it entered this state."""
    runs: int = 0
    restarts: int = 0
    run_id: int | None = None
    script: str | None = None
    actor: str | None = None
    pid: int | None = None
    """Of the child, as the engine's host sees it."""
    isolation: str = ""
    problem: str | None = None
    mode: Mode = Mode.RESTRICTED
    """What the slot's zygote is made for."""


class QueueEntry(Model, frozen=True):
    run_id: int
    name: str
    actor: str
    position: int
    reason: str
    queued_at: float


class PoolInfo(Model, frozen=True):
    size: int
    slots: list[SlotInfo]
    queue: list[QueueEntry] = []
    running: int = 0
    ready: int = 0
    runs_last_minute: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    isolation: str = ""


class ResizeRequest(Model, frozen=True):
    size: int

"""What a pool is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.models.runs import Mode
from engine.pool.job import Environment, Limits, Profile
from engine.pool.memory_room import ReadMemory
from engine.sandbox.host_memory import host_memory
from engine.sandbox.plan import Level, Plan, PlannedLayers, leaving_plan
from engine.worker.imports import DEFAULT

NO_ADMIN = Plan(Mode.ADMIN, Level.REFUSED, PlannedLayers(), ("this pool was made without them",))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Seconds, bytes and counts."""

    environment: Environment
    """Of the scripts that ask for no other one."""
    scratch: Path
    """A folder of the pool's own: each slot mounts, or makes, its scratch in a folder below it."""

    scripts: str = ""
    """The folder that scripts lie in: with their paths, what ``__file__`` tells them.

    RESTRICTED ones may know it: ``sys.prefix`` tells them the project's folder anyhow, and they see nothing of it.
    """

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

    recycle_idle: int = 500
    """Children after which a zygote is replaced when its slot is idle.

    Those of one zygote share their memory layout and hash seed: what one run finds out of them helps another that long.
    """

    recycle_busy: int = 5_000
    """Children after which it is replaced also between two runs of a busy slot."""

    log_file: Path | None = None
    """Takes what zygotes write to their standard error, which is nothing unless they break."""

    restricted: Plan
    """The layers of RESTRICTED runs."""

    admin: Plan = NO_ADMIN
    preset: str = DEFAULT
    """What RESTRICTED scripts may import by the built-in lists: one of ``engine.worker.imports.PRESETS``."""

    modules: tuple[str, ...] = ()
    """What RESTRICTED scripts may import beside what the preset gives them."""

    lifted: tuple[str, ...] = ()
    """What is no longer blocked in both modes."""

    host_memory: ReadMemory = host_memory
    """What the host can still give: runs are admitted by the sum of what they ask for."""

    memory_reserve: int = 64 << 20
    """Bytes of it that stay free."""

    cgroup: Path | None = None
    """For the processes of the slots, each zygote in one of its own below it; None leaves them in the engine's."""

    admin_memory: int = 2 << 30
    """Resident bytes of an ADMIN run with everything it started."""

    profile_keep: float = 60.0
    """Seconds that an idle slot keeps a zygote of another profile than the pool's own, at least."""

    seeds: Path | None = None
    """A folder for what packages make once for all runs (``pool/seeds.py``); None for none."""

    preload_memory: int = 256 << 20
    """Bytes that all slots together may take for what they have imported ahead."""

    def environment_of(self, profile: Profile) -> Environment:
        """Return what a profile's zygotes run with."""
        return profile.environment or self.environment

    def plan(self, mode: Mode) -> Plan:
        return self.admin if mode is Mode.ADMIN else self.restricted

    def plan_for(self, profile: Profile) -> Plan:
        """The layers of a profile's zygotes."""
        return leaving_plan(self.plan(profile.mode)) if profile.leaves else self.plan(profile.mode)

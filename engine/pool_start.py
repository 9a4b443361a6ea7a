"""From the settings and what this host gives to a pool that has started."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from engine.config import Settings
from engine.models import SlotState
from engine.pool import Limits, Pool, PoolSettings
from engine.sandbox.plan import Findings, admin_plan, restricted_plan
from engine.sandbox.probe import FINDINGS_FILE, ProbeProblem, probe
from store.project import Project

MIN_SIZE = 3
"""Slots of a served engine; a library user may ask for one."""

log = logging.getLogger(__name__)


async def start_pool(project: Project, settings: Settings, interpreter: Path, size: int | None) -> Pool:
    """A pool for ``project``. If no slot keeps what was planned, the host is tried again: it may have changed."""
    pool = Pool(_pool_settings(project, settings, interpreter, await _findings(interpreter, project), size))
    await pool.start()
    if not _broken(pool):
        return pool
    findings = await _findings(interpreter, project, fresh=True)
    chosen = _pool_settings(project, settings, interpreter, findings, size)
    if chosen == pool.settings:
        return pool
    log.warning("this host gives less than it gave before: %s", "; ".join(chosen.restricted.missing))
    await pool.close()
    pool = Pool(chosen)
    await pool.start()
    return pool


def run_limits(settings: Settings) -> Limits:
    """What a run gets that asks for nothing; a default above its ceiling is lowered to it."""
    limits, ceilings, usual = settings.limits, settings.ceilings, Limits()
    return Limits(
        wall=min(limits.timeout, ceilings.timeout),
        memory=min(limits.memory, ceilings.memory),
        output=min(limits.output, ceilings.output),
        result=min(limits.result, ceilings.result),
        scratch=min(usual.scratch, ceilings.scratch),
        open_files=min(usual.open_files, ceilings.open_files),
        files=ceilings.files,
    )


def _broken(pool: Pool) -> bool:
    """Whether no slot has come up although this host should let them."""
    slots = pool.info().slots
    return pool.settings.restricted.refusal is None and all(slot.state is SlotState.FAILED for slot in slots)


async def _findings(interpreter: Path, project: Project, *, fresh: bool = False) -> Findings:
    """What this host gives; where that cannot be found out, nothing."""
    try:
        return await asyncio.to_thread(probe, interpreter, kept=project.private / FINDINGS_FILE, fresh=fresh)
    except ProbeProblem as problem:
        return Findings(abi=0, failures=dict.fromkeys(("seccomp", "landlock", "userns"), str(problem)))


def _pool_settings(
    project: Project, settings: Settings, interpreter: Path, findings: Findings, size: int | None
) -> PoolSettings:
    policy = settings.policy
    root = os.geteuid() == 0
    return PoolSettings(
        interpreter=interpreter,
        restricted=restricted_plan(findings, allow_degraded=policy.allow_degraded),
        admin=admin_plan(findings, root=root, admin_as_root=policy.admin_as_root),
        modules=policy.modules,
        lifted=policy.lifted,
        admin_memory=policy.admin_memory,
        scratch=project.private / "scratch",
        log_file=project.logs / "zygotes.log",
        size=settings.pool.size if size is None else size,
        min_size=1 if size is not None else MIN_SIZE,
        queue_limit=settings.pool.queue_limit,
        queue_wait=settings.pool.queue_wait,
        health_interval=settings.pool.health_interval,
        limits=run_limits(settings),
    )

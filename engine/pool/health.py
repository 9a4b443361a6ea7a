"""The health check: every slot that is idle really runs something, now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.models.engine import SlotState
from engine.models.runs import Mode, Outcome, RunKind
from engine.pool.assignment import Assignment
from engine.pool.frames import cpu_seconds, run_frame
from engine.pool.job import Job, SilentSink

if TYPE_CHECKING:
    from engine.pool.slot import Slot

PROBE_ID = 0
PROBE_SOURCE = b"result = 6 * 7"
PROBE_VALUE = 42
PROBE_WALL = 5.0

log = logging.getLogger(__name__)


async def watch_health(slots: Callable[[], Sequence[Slot]], interval: float) -> None:
    """Probe the idle slots every ``interval`` seconds, one at a time, so that people always find another one."""
    while True:
        await asyncio.sleep(interval)
        renewing = False
        for slot in slots():
            slot.settle_back()
            renewing = renewing or slot.renew()  # one at a time: it takes a tenth of a second of processor time
            if slot.state is SlotState.READY and not slot.leaving:
                await probe(slot)


async def probe(slot: Slot) -> None:
    """Run the probe on a ready slot and replace its zygote if the answer is not right."""
    job = Job(
        run_id=PROBE_ID,
        kind=RunKind.EXEC,
        name="<health check>",
        actor="engine",
        source=PROBE_SOURCE,
        filename="<health check>",
        sink=SilentSink(),
        limits=replace(slot.parked_limits, wall=min(PROBE_WALL, slot.parked_limits.wall)),
        profile=slot.profile,
    )
    frame = run_frame(job, 0 if slot.profile.mode is Mode.ADMIN else cpu_seconds(job.limits.wall))
    assignment = Assignment(job, slot.profile, frame, False, asyncio.get_running_loop().create_future(), probe=True)
    slot.run(assignment)
    ending = await assignment.ending
    if ending.outcome is Outcome.INTERRUPTED:
        return
    if ending.outcome is not Outcome.OK or ending.value != PROBE_VALUE:
        message = ending.error.message if ending.error else f"it answered {ending.text}"
        log.warning("slot %d failed its health check: %s", slot.number, message)
        slot.fail(f"its health check failed: {message}")

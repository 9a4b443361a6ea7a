"""The pool makes room while the host or the gateway is pressed: by steps, and back by steps, each of which is told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.config import YieldSection
from engine.pool.pool import Pool
from engine.services.access import Actor, Role
from engine.services.accounts import ask
from engine.services.audit import AuditService
from engine.services.usage import UsageMeter
from engine.services.yielding.pressure import HostReader, Pressure, judge
from engine.services.yielding.wrapper_log import UnreadableLog, WrapperLog

EVERY = 10.0
"""Seconds between two looks, as between two samples of what is used."""

STEP = 4
"""A step is a quarter of the slots, or one."""

PATIENCE = 8
"""How many times longer than usual a step back waits at most, where the steps before did not last."""

RELAPSE = 5
"""A step back that is followed by pressure within so many times ``[yield] back`` did not last."""

LOG_PATIENCE = 5.0
"""Seconds for a look at the gateway's log: it may lie on a file system that hangs."""

COMING_BACK = "They come back step by step, since the host has room again."

EASING = "The host is pressed less; they come back when its figures have been well below the limits for a while."

SAID_FOR = 60.0
"""Seconds for which the reason names the same figures, so that a figure that moves does not make an event each time."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Steps:
    """How many slots are to rest. Seconds.

    Args:
        after: Of pressure before a step, and before each further one.
        back: Without any before a step back, and before each further one.
    """

    after: float
    back: float
    resting: int = 0
    _pressed_since: float | None = None
    _calm_since: float | None = None
    _last_back: float | None = None
    _patience: int = 1

    def take(self, now: float, pressure: Pressure, size: int, keep: int) -> int:
        """Return how many of ``size`` slots are to rest, of which ``keep`` never do, by the pressure of now."""
        most = max(0, size - max(1, keep))
        step = max(1, size // STEP)
        if pressure.reasons:
            self._calm_since = None
            self._pressed_since = now if self._pressed_since is None else self._pressed_since
            if now - self._pressed_since >= self.after and self.resting < most:
                self._pressed_since = now
                self._relapsed(now)
                self.resting += step
        elif pressure.calm:
            self._pressed_since = None
            self._calm_since = now if self._calm_since is None else self._calm_since
            if self.resting and now - self._calm_since >= self.back * self._patience:
                self._calm_since = self._last_back = now
                self.resting = max(0, self.resting - step)
        else:
            self._pressed_since = self._calm_since = None
        self.resting = min(self.resting, most)
        return self.resting

    def _relapsed(self, now: float) -> None:
        """Wait longer with the next step back if the last one did not last."""
        if self._last_back is None:
            return
        lasted = now - self._last_back > RELAPSE * self.back
        self._patience = 1 if lasted else min(PATIENCE, 2 * self._patience)
        self._last_back = None


class YieldService:
    """Watches the host and has slots of the pool rest.

    Args:
        proc: Another folder in tests.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        pool: Pool,
        meter: UsageMeter,
        limits: YieldSection,
        audit: AuditService,
        owner: Actor,
        *,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._meter = meter
        self._limits = limits
        self._audit = audit
        self._owner = owner
        self._clock = clock
        self._host = HostReader(proc)
        self._steps = Steps(limits.after, limits.back)
        self._log: WrapperLog | None = None
        if limits.wrapper_log:
            self._log = WrapperLog(Path(limits.wrapper_log), limits.after + EVERY, clock)
        self._reading: asyncio.Task[None] | None = None
        self._problem: str | None = None
        self._resting = 0
        self._reason = ""
        self._said_at = clock()

    @property
    def problems(self) -> list[str]:
        """What of the settings cannot be used, one sentence each."""
        return [] if self._problem is None else [self._problem]

    async def run(self) -> None:
        """Look every ten seconds until cancelled; not at all where ``[yield]`` is off."""
        while self._limits.enabled:
            try:
                await self.look()
            except Exception:  # a mistake of ours must not leave slots at rest for good
                log.exception("it could not be found out how busy the host is")
                self._steps, self._resting, self._reason = Steps(self._limits.after, self._limits.back), 0, ""
                self._pool.rest(0, "")
            await asyncio.sleep(EVERY)

    async def look(self) -> Pressure:
        """Look at the host once, and have as many slots rest as follows from that."""
        usage = await self._meter.usage()
        await self._look_at_log()
        drift = 0.0 if self._log is None else self._log.drift
        collections = 0.0 if self._log is None else self._log.collections
        now = self._clock()
        figures = await asyncio.to_thread(self._host.figures, now, usage, drift, collections)
        pressure = judge(figures, self._limits)
        resting = self._steps.take(now, pressure, self._pool.size, self._limits.keep)
        self._apply(resting, pressure)
        return pressure

    def _apply(self, resting: int, pressure: Pressure) -> None:
        before, self._resting = self._resting, resting
        now = self._clock()
        reason = pressure.sentence or (COMING_BACK if pressure.calm or resting < before else EASING) if resting else ""
        fixed = (COMING_BACK, EASING, "")
        if resting != before or reason in fixed or self._reason in fixed or now - self._said_at >= SAID_FOR:
            self._reason, self._said_at = reason, now
        self._pool.rest(resting, self._reason)  # without a change too: one that had failed may run again
        if resting == before:
            return
        size, reason = self._pool.size, self._reason
        if resting > before:
            log.warning("%d of %d slots rest. %s", resting, size, reason)
        elif resting:
            log.info("%d of %d slots still rest: the host has room again", resting, size)
        else:
            log.info("no slot rests: the host has room again")
        engine = Actor("engine", self._owner.uid, Role.ADMIN)
        self._audit.tell(engine, "engine", "yield", "pool", resting=resting, size=size, reason=reason)

    async def _look_at_log(self) -> None:
        """Read the gateway's log, if it is approved. While a look hangs there is no second one."""
        if self._log is None:
            return
        if self._reading is None:
            self._reading = asyncio.create_task(ask(self._log.look), name="wrapper.log")
        done, _ = await asyncio.wait({self._reading}, timeout=LOG_PATIENCE)
        if not done:
            self._refuse("does not answer")
            return
        reading, self._reading = self._reading, None
        try:
            reading.result()
        except UnreadableLog as why:
            self._refuse(str(why))
        else:
            self._problem = None

    def _refuse(self, why: str) -> None:
        assert self._log is not None, "a log that was not approved"  # noqa: S101
        problem = f"wrapper_log under [yield] in the settings: {self._log.path} {why}, so nothing of it counts."
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

"""The zygote that is to take the place of a slot's present one: started beside it, taken over with a parked child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.pool.child import Child
from engine.pool.fork_request import parked_child
from engine.pool.isolation import Promise, UnfitChild
from engine.pool.job import Profile
from engine.pool.outcome import ExitReport
from engine.pool.settings import PoolSettings
from engine.pool.timer import DeadlineTimer
from engine.pool.zygote import NewChild, Zygote


class Successor:
    """Implements ``ZygoteOwner`` and ``ChildOwner`` until a slot takes both over.

    Attributes:
        profile: What its zygote is made for.
        zygote: Its own.
        request: What its child was asked for by.
        promise: What the zygote's children have to show; None until it is ready.
        child: Its first; None before it is forked.
        isolation: What the child's self-check has proven; empty until then.
    """

    def __init__(
        self,
        settings: PoolSettings,
        profile: Profile,
        scratch: Path,
        buffer: bytearray,
        ready: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        """``ready`` is called when it can be taken over, ``failed`` at most once, with the reason, when it never can.

        Raises:
            OSError: Its zygote cannot be started.
        """
        self.profile = profile
        self.request = parked_child(settings.limits, warm=True)
        self.promise: Promise | None = None
        self.child: Child | None = None
        self.isolation = ""
        self._result_limit = settings.limits.result
        self._buffer = buffer
        self._ready = ready
        self._failed = failed
        self._deadline = DeadlineTimer(lambda: self._failed("it was not ready in time"))
        self.zygote = Zygote(settings, profile, scratch, self)
        self._deadline.set(settings.start_timeout + settings.prepare_timeout)

    @property
    def fit(self) -> bool:
        """Whether a slot can take it over now."""
        return bool(self.isolation)

    def drop(self) -> None:
        """End it, taken over or not: what a slot has taken over is no longer its own."""
        self._deadline.close()
        if self.child is not None:
            self.child.kill()
            self.child.close()
        self.zygote.kill()

    def taken_over(self) -> None:
        """Let go: zygote and child have another owner."""
        self._deadline.close()

    # -- what its zygote and its child report --------------------------------------------------------------------------

    def zygote_ready(self, promise: Promise) -> None:
        self.promise = promise
        self.zygote.request(self.request)

    def zygote_child(self, child: NewChild) -> None:
        self.child = Child(child, self.request, self._result_limit, self._buffer, self)

    def zygote_exit(self, inner_pid: int, report: ExitReport) -> None:  # noqa: ARG002 - nobody asked for its end
        self._failed("its first child ended")

    def zygote_gone(self, problem: str) -> None:
        self._failed(problem)

    def child_hello(self, child: Child, payload: bytes) -> None:
        assert self.promise is not None, "a child without a zygote"  # noqa: S101
        self._deadline.clear()
        try:
            self.isolation = self.promise.check(payload, child.request, child.scratch_device)
        except UnfitChild as problem:
            self._failed(f"a child failed its self-check: {problem}")
            return
        self._ready()

    def child_result(self, child: Child, payload: bytes) -> None:  # noqa: ARG002 - it was given nothing to run
        self._failed("its parked child sent a result")

    def child_closed(self, child: Child) -> None:  # noqa: ARG002
        self._failed("its parked child ended by itself")

    def child_violation(self, problem: str) -> None:
        self._failed(f"its parked child sent {problem}")

    def child_overdue(self, reason: str) -> None:
        self._failed(reason)

    def child_output_full(self) -> None:
        self._failed("its parked child wrote output")

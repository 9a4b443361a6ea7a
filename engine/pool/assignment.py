"""A job on its way through the pool."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from engine.pool.child import Child
from engine.pool.job import Environment, Job, Limits, Profile
from engine.pool.outcome import Ending, Intervention


@dataclass(slots=True)
class Assignment:
    """A job, ready to be sent, and where its ending goes."""

    job: Job
    profile: Profile
    """The job's, its environment named."""

    frame: bytes
    """Its RUN."""

    dedicated_child: bool
    """Its limits or files ask for another child than the parked one."""

    ending: asyncio.Future[Ending]
    probe: bool = False
    """The pool's own: it appears in no list."""

    ahead: Profile | None = None
    """What it is better off with than with ``profile``."""

    note: str = ""
    """One sentence about how it was run."""

    def move(self, environment: Environment) -> None:
        """Let it run in another environment."""
        self.profile = self.profile.inside(environment)
        self.ahead = None if self.ahead is None else self.ahead.inside(environment)

    def leave_out(self, reason: str) -> None:
        """Let it run without what its script asked to have imported ahead."""
        self.note = f"{', '.join(self.profile.preloads)} was not imported ahead (preload): {reason}."
        self.profile = self.profile.without_preloads()

    def end(self, ending: Ending) -> None:
        if self.note and ending.duration > 0:
            ending = msgspec.structs.replace(ending, note=" ".join(filter(None, (ending.note, self.note))))
        if not self.ending.done():
            self.ending.set_result(ending)


@dataclass(slots=True)
class RunningJob:
    """What goes on in a running slot."""

    assignment: Assignment
    child: Child
    started: float
    """By the loop's clock."""

    cause: Intervention | None = None
    """Why the engine ended it, if it did."""


def fits(limits: Limits, files: int, parked: Limits) -> bool:
    """Whether a run can use a child parked with ``parked``: its processor time can be lowered, the rest is as it is."""
    return files == 0 and (
        limits.wall <= parked.wall
        and limits.memory == parked.memory
        and limits.scratch == parked.scratch
        and limits.inodes == parked.inodes
        and limits.open_files == parked.open_files
    )

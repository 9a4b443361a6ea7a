"""What a slot needs of the pool that it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from engine.pool.assignment import Assignment
from engine.pool.job import Profile

if TYPE_CHECKING:
    from engine.pool.slot import Slot


class SlotOwner(Protocol):
    """The pool, as its slots see it."""

    def slot_ready(self, slot: Slot) -> None:
        """A parked child waits for a run."""

    def slot_changed(self) -> None: ...

    def slot_left(self, slot: Slot) -> None:
        """The slot was told to leave and has nothing more to do."""

    def slot_lost_zygote(self) -> None: ...

    def own_child_wanted(self, profile: Profile) -> Assignment | None:
        """A waiting run that needs a child of its own of this profile, handed over to be run by the next one."""

    def give_back(self, assignment: Assignment) -> None:
        """Queue a run again that was handed over and has not started."""

    @property
    def demand(self) -> bool:
        """Whether runs wait: then the next child is not warmed, for it would only make them wait longer."""

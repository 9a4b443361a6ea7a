"""What an engine does without while its project's disk is short of room, in sentences."""

from __future__ import annotations

from typing import Protocol

from store.errors import LowDisk, StoreError


class SpaceCheck(Protocol):
    """``store.disk_space.DiskSpace``, or ``ReadOnlySpace`` where nothing can be written."""

    hint: str
    """What to do about it."""

    read_only: bool
    """Nothing at all may be changed, also not what needs no room."""

    def short(self) -> str | None:
        """Why there is too little room; None while there is enough."""


def output_not_recorded(short: str) -> str:
    """What a run says whose output and files are not kept, or not from some point on."""
    return f"Output is not recorded: {short}."


def cannot_save(path: str, short: str, hint: str) -> LowDisk:
    """The refusal of a save. Nothing was written."""
    return LowDisk(f"{path} was not saved: {short}.", hint)


def cannot_change(path: str, why: str, hint: str) -> StoreError:
    """The refusal of any other change of a script."""
    return StoreError(f"{path} stays as it is: {why}.", hint)


def short_of_space(short: str, hint: str) -> str:
    """What the engine says of itself."""
    return f"Run output is not recorded and scripts and documents are not saved: {short}. {hint}"

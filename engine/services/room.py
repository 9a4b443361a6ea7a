"""What an engine does without while its project's disk is short of room, in sentences."""

from __future__ import annotations

from typing import Protocol

from store.errors import LowDisk

HINT = "Free some space. What is kept free is set under [disk] in settings.toml."


class Room(Protocol):
    """The part of ``store.room.DiskRoom`` that services ask."""

    def short(self) -> str | None:
        """Why there is too little room; None while there is enough."""


def output_not_recorded(short: str) -> str:
    """What a run says whose output and files are not kept, or not from some point on."""
    return f"Output is not recorded: {short}."


def cannot_save(path: str, short: str) -> LowDisk:
    """The refusal of a save. Nothing was written."""
    return LowDisk(f"{path} was not saved: {short}.", HINT)


def short_of_room(short: str) -> str:
    """What the engine says of itself."""
    return f"Run output is not recorded and scripts are not saved: {short}. {HINT}"

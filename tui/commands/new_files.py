"""A file that a command makes on the user's host: whole under its name or not there, and in no other file's place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tui.commands import exit_codes
from tui.commands.errors import CommandError


def place_for(out: Path, name: str) -> Path:
    """Return the new file's path: ``out``, or if that is a folder, ``name`` in it.

    Raises:
        CommandError: Something is there already.
    """
    place = out / name if out.is_dir() else out
    if os.path.lexists(place):
        raise _taken(place)
    return place


@contextmanager
def part_of(place: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A hidden file beside ``place``, mode 0600, that is gone at the end if ``give_name`` was not called."""
    part = place.with_name(f".{place.name}.{secrets.token_hex(6)}.part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w+b") as file:
            yield part, file
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def give_name(part: Path, place: Path) -> None:
    """Give the finished file its name, durably, unless another file has got it meanwhile.

    Raises:
        CommandError: Another file has.
    """
    descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(part, place)
    except FileExistsError:
        raise _taken(place) from None
    except OSError:  # a file system without hard links, such as that of a memory stick
        if os.path.lexists(place):
            raise _taken(place) from None
        os.rename(part, place)
    descriptor = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _taken(place: Path) -> CommandError:
    return CommandError(
        f"{place} is there already, and nothing is overwritten",
        hint="Name another file, or a folder.",
        exit_code=exit_codes.CONFLICT,
        code="exists",
    )

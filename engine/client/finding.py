"""Which project a command means: the one that is named, or the nearest around the current folder that is the caller's.

A project around the current folder counts only if it is the caller's own. Whoever may write to a folder above it could
put one there, and root would become that account and use an engine of that account's making.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

from engine.client.ownership import account_name, owner_of
from engine.client.starter import LaunchError, check_suitable
from engine.paths import PRIVATE, EnginePaths
from engine.project_folder import why_no_project


def find_project(explicit: str | None, *, tell: Callable[[str], None], make: bool = False) -> Path:
    """Return the folder of the project that is meant.

    Args:
        explicit: The folder as it was given; None for the project around the current folder.
        tell: Hears of projects of other accounts that were passed over, a sentence each.
        make: Accept a folder that is no project yet: the caller was asked to make one.

    Raises:
        LaunchError: There is no such folder or project, or none may be made there.
    """
    folder = _around(tell, make=make) if explicit is None else _given(explicit)
    owner = owner_of(EnginePaths(folder))
    if owner.of_project:
        return folder
    if not make:
        raise _none_at(folder, given=explicit is not None)
    check_suitable(folder)
    if explicit is None and owner.uid != os.geteuid():
        raise LaunchError(f"The folder {folder} belongs to {account_name(owner.uid)}.", _way_into(folder), exit_code=4)
    return folder


def _given(explicit: str) -> Path:
    folder = Path(explicit).expanduser()
    if os.path.isfile(folder):
        raise LaunchError(f"{folder} is a file, not a folder.", "Give the folder of a project.", exit_code=2)
    if not os.path.isdir(folder):  # Path.is_dir would raise where this account may not look
        raise LaunchError(f"There is no folder {folder}.", f"Make it a project: {_init(folder)}", exit_code=2)
    return folder.resolve()


def _around(tell: Callable[[str], None], *, make: bool) -> Path:
    """The nearest own project; the current folder where there is none."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise LaunchError("The current folder is gone.", "Change to one that exists.", exit_code=2) from None
    others: list[tuple[Path, int]] = []
    for folder in (here, *here.parents):
        uid = _owner_of_private(folder)
        if uid == os.geteuid():
            break
        if uid is not None:
            others.append((folder, uid))
    else:
        folder = here
        if others and not (make and _is_own(here) and others[0][0] != here):
            raise _anothers(*others[0])
    for other, uid in others:
        tell(f"passed over the project in {other}: it belongs to {account_name(uid)}")
    return folder


def _owner_of_private(folder: Path) -> int | None:
    """Whose project ``folder`` is; None if it is none, or cannot be looked into."""
    try:
        info = os.lstat(folder / PRIVATE)
    except OSError:
        return None
    return info.st_uid if stat.S_ISDIR(info.st_mode) else None


def _is_own(folder: Path) -> bool:
    return folder.stat().st_uid == os.geteuid()


def _anothers(folder: Path, uid: int) -> LaunchError:
    name = account_name(uid)
    sentence = f"The project in {folder} belongs to {name}."
    if os.geteuid() == 0:
        return LaunchError(sentence, f"To work in it as {name}, say so: --project {_quoted(folder)}", exit_code=2)
    return LaunchError(sentence, f"Ask {name}, or make one of your own: gatewright init FOLDER", exit_code=4)


def _none_at(folder: Path, *, given: bool) -> LaunchError:
    if given:
        return LaunchError(f"There is no project in {folder}.", f"Make it one: {_init(folder)}", exit_code=2)
    hint = "Make it one with gatewright init, or name a project with --project DIR."
    if why_no_project(folder):
        hint = "Name a project with --project DIR, or make one in a folder of its own: gatewright init ~/plant"
    return LaunchError(f"{folder} is no project, and lies in none.", hint, exit_code=2)


def _way_into(folder: Path) -> str:
    if os.geteuid() == 0:
        return f"To make a project of that account there, name it: {_init(folder)}"
    return "Use a folder of your own."


def _init(folder: Path) -> str:
    return f"gatewright init {_quoted(folder)}"


def _quoted(folder: Path) -> str:
    return shlex.quote(str(folder))

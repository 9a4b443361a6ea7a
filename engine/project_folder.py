"""Which folders no project is made of, and who else could put another folder in a project's place."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

OWN_FOLDER = "Make a folder for it first, for example: gatewright init ~/plant"

_SYSTEM_FOLDERS = """
/ /bin /boot /dev /dev/shm /etc /home /lib /lib32 /lib64 /libx32 /lost+found /media /mnt /opt /proc /root /run /run/lock
/run/user /sbin /srv /sys /tmp /usr /usr/bin /usr/include /usr/lib /usr/lib32 /usr/lib64 /usr/libexec /usr/local
/usr/local/bin /usr/local/etc /usr/local/include /usr/local/lib /usr/local/sbin /usr/local/share /usr/local/src
/usr/sbin /usr/share /usr/src /var /var/cache /var/lib /var/local /var/lock /var/log /var/mail /var/opt /var/run
/var/spool /var/tmp
"""
"""The file system's own folders (hier(7), Filesystem Hierarchy Standard 3.0). What lies in them may be a project."""


def why_no_project(folder: Path) -> str | None:
    """Say why no project is made of ``folder`` itself, in one sentence; None where nothing speaks against it.

    Args:
        folder: Absolute and without symbolic links.
    """
    if folder in _homes():
        return f"No project is made of {folder} itself: it is a home folder, and everything in it would belong to it."
    if str(folder) in _SYSTEM_FOLDERS.split():
        return f"No project is made of {folder} itself: it is one of the system's own folders."
    if _is_everybodys(folder):
        return f"No project is made of {folder} itself: all accounts share that folder."
    return None


def who_may_replace(folder: Path, uid: int) -> str | None:
    """Say which folder lets an account other than ``uid`` and root exchange ``folder``, in a clause; None if none does.

    Who may rename a folder above a project puts another one in its place, also under a running engine. What is asked of
    each folder up to ``/`` is what sshd asks of those above its keys (sshd_config(5), StrictModes): that it belongs to
    root or ``uid``, and that others may not write to it, or only with the sticky bit (inode(7)). Access control lists
    (acl(5)) are not looked at.

    Args:
        folder: Absolute and without symbolic links.
        uid: Whose the project is.

    Raises:
        OSError: A folder cannot be looked at.
    """
    for place in (folder, *folder.parents):
        info = place.lstat()
        if info.st_uid not in (0, uid):
            return f"{place} belongs to another account"
        others = stat.S_IWOTH if info.st_gid in (0, _own_group(uid)) else stat.S_IWOTH | stat.S_IWGRP
        if info.st_mode & others and not info.st_mode & stat.S_ISVTX:
            return f"{place} may be written to by other accounts"
    return None


def _own_group(uid: int) -> int:
    """The group that an account's new files have: on most hosts nobody else is in it."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return 0


def _homes() -> set[Path]:
    """This account's home, as the environment and as the list of accounts has it."""
    homes = {os.environ.get("HOME", "")}
    with suppress(KeyError):  # an account that is on no list
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
    return {Path(os.path.realpath(home)) for home in homes if os.path.isabs(home)}


def _is_everybodys(folder: Path) -> bool:
    """Whether it is like /tmp: open to all, and each may remove only what is theirs (sticky, inode(7))."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)

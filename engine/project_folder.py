"""Which folders no project is made of: those that hold a whole account's files, or that the system and all share."""

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

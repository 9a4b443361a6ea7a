"""A project that a group shares: a second socket where its members find it, and settings that only root writes.

The folder of an ID below ``/run/gatewright`` belongs to the project's owner, and root alone makes such folders: so
a client that connects there knows whose engine answers. What a member may do is decided by the account
(``Callers.by_peer``).
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path

from engine import sockets
from engine.client.ownership import account_name
from engine.client.shared import ID_FORM, RUN_FOLDER, SOCKET
from engine.client.starter import LaunchError
from engine.config import ConfigError, Settings
from engine.lock import AlreadyRunning, LifetimeLock

SETTINGS_FOLDER = Path("/etc/gatewright")
GROUP = "gatewright"
"""Whose members get in where no other group is named."""

MODE = 0o2750
"""Of an ID's folder. What is made in it gets its group, of which the owner need not be a member (inode(7), S_ISGID)."""


class RuntimeFolder:
    """The folder of one ID.

    Args:
        id: What members call the project, behind ``@``.
        group: A name, or a number.

    Raises:
        LaunchError: There is no such group, or it is no ID.
    """

    def __init__(self, id: str, group: str) -> None:  # noqa: A002 - its name everywhere
        if not ID_FORM.fullmatch(id):
            raise LaunchError(
                f"{id!r} cannot be the ID of a shared project: that is up to 32 of a to z, 0 to 9 and -.", exit_code=2
            )
        self.id = id
        self.path = RUN_FOLDER / id
        self.settings_file = SETTINGS_FOLDER / f"{id}.toml"
        self._group = group
        self._gid = _gid(group)

    def make(self, owner: int) -> None:
        """Make the folder for the project's owner. Only root can.

        Raises:
            LaunchError: Another account has it.
        """
        mask = os.umask(0)
        try:
            for folder, mode in ((RUN_FOLDER, 0o755), (self.path, 0o700)):
                if not os.path.lexists(folder):
                    folder.mkdir(mode=mode)
        except OSError as error:
            raise LaunchError(f"{self.path} cannot be made: {error.strerror}.") from None
        finally:
            os.umask(mask)
        _check_root(RUN_FOLDER)
        descriptor = self._opened(os.O_RDONLY)
        try:
            holder = os.fstat(descriptor).st_uid
            if holder != owner and (holder != 0 or os.listdir(descriptor)):  # one just made is root's and empty
                raise LaunchError(
                    f"The ID {self.id} is {account_name(holder)}'s: {self.path} belongs to that account.",
                    f"Choose another ID, or remove {self.path} if that project is gone.",
                )
            os.fchown(descriptor, owner, self._gid)
            os.fchmod(descriptor, MODE)  # after the change of owner, which takes S_ISGID away (chown(2))
        finally:
            os.close(descriptor)

    def check(self) -> None:
        """Refuse a folder that is not this account's, or that others than the group's members get into.

        Raises:
            LaunchError: It is such a folder, or there is none.
        """
        _check_root(RUN_FOLDER, self._hint)
        descriptor = self._opened(os.O_PATH)  # also one that this account may not look into
        try:
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if info.st_uid != os.geteuid():
            why = f"it belongs to {account_name(info.st_uid)}"
        elif info.st_gid != self._gid:
            why = f"it is not of the group {self._group}"
        elif info.st_mode & 0o027 or info.st_mode & 0o750 != 0o750:
            why = f"its mode is {stat.S_IMODE(info.st_mode):04o}"
        else:
            _check_settings_folder()
            return
        raise LaunchError(f"{self.path} cannot be shared by the engine of this account: {why}.", self._hint)

    def unread(self, project_settings: Path) -> str | None:
        """Say that the project's own settings do not count, if they say anything."""
        try:
            if Settings.load(project_settings, {}) == Settings():
                return None
        except ConfigError:
            pass  # it says something, if only nonsense
        return (
            f"{project_settings} does not count while the project is shared: its settings are in {self.settings_file}."
        )

    def lock(self) -> LifetimeLock:
        """Take the ID for as long as this process lives.

        Raises:
            LaunchError: Another engine has it.
        """
        lock = LifetimeLock(self.path / "engine.lock")
        try:
            lock.acquire()
        except AlreadyRunning as error:
            by = f" ({error.holder})" if error.holder else ""
            raise LaunchError(
                f"Another project's engine is @{self.id} already{by}.", "Stop that one, or choose another ID."
            ) from None
        except OSError as error:
            raise LaunchError(f"{self.path} cannot be used: {error.strerror}.", self._hint) from None
        return lock

    def bind(self) -> tuple[socket.socket, Path]:
        """Return a socket that listens there for the group.

        Raises:
            OSError: It cannot be bound; EPERM where it cannot be given to the group.
        """
        path = self.path / SOCKET
        return sockets.bind(path, group=self._gid), path

    @property
    def _hint(self) -> str:
        owner = account_name(os.geteuid())
        return f"As root: install -d -m {MODE:o} -o {owner} -g {self._group} {self.path}"

    def _opened(self, access: int) -> int:
        try:
            return os.open(self.path, access | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LaunchError(f"There is no folder {self.path}.", self._hint) from None
        except OSError as error:
            raise LaunchError(f"{self.path} cannot be used: {error.strerror}.", self._hint) from None


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if group.isascii() and group.isdecimal():
            return int(group)
        raise LaunchError(
            f"This host has no group {group}.",
            f"Make it: groupadd --system {group}. Or name another: --group",
            exit_code=2,
        ) from None


def _check_settings_folder() -> None:
    """Refuse a folder whose files another account could exchange: these decide what all may do."""
    try:
        info = SETTINGS_FOLDER.stat()
    except FileNotFoundError:
        return
    if info.st_uid not in (0, os.geteuid()) or info.st_mode & 0o022:
        raise LaunchError(
            f"{SETTINGS_FOLDER} can be changed by other accounts.", f"As root: install -d -m 755 {SETTINGS_FOLDER}"
        )


def _check_root(folder: Path, hint: str | None = None) -> None:
    try:
        info = folder.lstat()
    except FileNotFoundError:
        raise LaunchError(f"There is no folder {folder}.", hint) from None
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise LaunchError(
            f"{folder} is not a folder that only root can change.", f"As root: install -d -m 755 -o root {folder}"
        )

"""A shared project of this host, by its ID: the engine of a service account that members of a group may use.

Its socket lies in ``/run/gatewright/ID``. Only root makes folders in ``/run/gatewright``: the account that owns one is
the one that root gave the ID to, and what listens in it must be that account. The client starts, replaces and becomes
nothing here: what a caller may do is decided by the engine, root's role included.
"""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine import sockets
from engine.client.client import EngineClient
from engine.client.ownership import account_name
from engine.client.starter import LaunchError
from engine.client.target import ASK_THERE, REFUSED, ask_to_stop, meet
from engine.client.transport import SocketTransport

MARK = "@"
"""What an ID follows where a folder could stand."""

RUN_FOLDER = Path("/run/gatewright")
SOCKET = "engine.sock"
ID_FORM = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
LIST = "gatewright engine list shows the shared projects of this host."


@dataclass(frozen=True, slots=True)
class SharedTarget:
    """A shared project.

    Attributes:
        id: Its ID.
        root: Where the folders of all IDs are.
        root_owner: Who alone may make them.
    """

    id: str
    root: Path = field(default_factory=lambda: RUN_FOLDER, repr=False)
    root_owner: int = field(default=0, repr=False)

    @property
    def token_file(self) -> Path | None:
        return None

    @property
    def name(self) -> str:
        return MARK + self.id

    @property
    def key(self) -> str:
        return MARK + self.id

    @property
    def folder(self) -> Path | None:
        return None

    async def connect(self, client: str, *, start: bool = True) -> EngineClient:  # noqa: ARG002 - starts none
        with self._opened() as (folder, owner):
            try:
                _, writer = await sockets.connect_at(Path(f"/proc/self/fd/{folder}", SOCKET), owner)
            except OSError as error:
                raise self._unreachable(error, folder, owner) from None
            writer.close()
        return await meet(SocketTransport(self._connect, client, when_silent=ASK_THERE), self.name)

    async def reach(self, client: str) -> EngineClient | None:
        return await self.connect(client)

    async def stop(self, client: str, *, force: bool) -> bool:
        await ask_to_stop(await self.connect(client), force=force)
        return True

    @property
    def owner(self) -> str:
        """The account that serves it.

        Raises:
            LaunchError: There is no such project.
        """
        with self._opened() as (_, owner):
            return account_name(owner)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            with self._opened() as (folder, owner):
                return await sockets.connect_at(Path(f"/proc/self/fd/{folder}", SOCKET), owner)
        except LaunchError as error:
            raise OSError(errno.ENOENT, error.message.rstrip(".")) from None

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int]]:
        """Hand out a descriptor of the ID's folder and its owner's uid.

        Raises:
            LaunchError: It is none of root's making.
        """
        if not ID_FORM.fullmatch(self.id):
            raise LaunchError(
                f"{self.name!r} is no ID of a shared project: that is up to 32 of a to z, 0 to 9 and -.",
                LIST,
                exit_code=2,
            )
        check_root(self.root, self.root_owner)
        try:
            folder = os.open(self.root / self.id, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise self._unknown() from None
        try:
            yield folder, os.fstat(folder).st_uid
        finally:
            os.close(folder)

    def _unknown(self) -> LaunchError:
        import difflib

        near = difflib.get_close_matches(self.id, shared_ids(self.root), n=2)
        meant = f"Did you mean {' or '.join(MARK + one for one in near)}? " if near else ""
        return LaunchError(f"There is no shared project {self.name} on this host.", meant + LIST, exit_code=2)

    def _unreachable(self, error: OSError, folder: int, owner: int) -> LaunchError:
        account = account_name(owner)
        if error.errno == errno.EPERM:
            return LaunchError(
                f"What listens for {self.name} is not {account}, who serves it.", "Tell an administrator of this host.",
                exit_code=REFUSED,
            )  # fmt: skip
        if error.errno == errno.EACCES:
            return LaunchError(
                f"This account may not use {self.name}: that is for members of the group {_group_of(folder)}.",
                "Ask an administrator of this host to add you, then log in again.",
                exit_code=REFUSED,
            )
        return LaunchError(
            f"The engine of {self.name} does not run.",
            _start_of(self.id, account),
        )


def _start_of(id_: str, account: str) -> str:
    """Say how the engine is started: by the unit that ``engine install`` made, or by whatever else serves it."""
    unit = f"gatewright-{id_}.service"
    if os.path.exists(f"/etc/systemd/system/{unit}"):
        return f"Its service starts it, as root: systemctl start {unit}"
    return f"Its service starts it as {account}: gatewright engine serve --shared {id_}"


def check_root(root: Path, owner: int = 0) -> None:
    """Refuse a folder of IDs that others than root could make one in.

    Raises:
        LaunchError: They could, or there is no such folder.
    """
    try:
        info = root.lstat()
    except OSError:
        raise LaunchError(
            "There are no shared projects on this host.",
            "Make one: gatewright engine serve --shared ID --group GROUP, as the account that is to own it.",
            exit_code=2,
        ) from None
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != owner or info.st_mode & 0o022:
        raise LaunchError(
            f"{root} cannot be trusted: it must be a folder of root's that no other account may write to.",
            "Tell an administrator of this host.",
            exit_code=REFUSED,
        )


def trusted_ids() -> list[str]:
    """Return the IDs of this host's shared projects; none where none was ever made.

    Raises:
        LaunchError: Others than root could have made them.
    """
    if not os.path.lexists(RUN_FOLDER):
        return []
    check_root(RUN_FOLDER)
    return shared_ids()


def shared_ids(root: Path | None = None) -> list[str]:
    """Return the IDs of this host's shared projects, whether their engines run or not."""
    try:
        with os.scandir(root or RUN_FOLDER) as entries:
            return sorted(
                one.name for one in entries if ID_FORM.fullmatch(one.name) and one.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []


def _group_of(folder: int) -> str:
    """The group that may connect; the folder's where the socket itself cannot be looked at."""
    try:
        gid = os.stat(SOCKET, dir_fd=folder, follow_symlinks=False).st_gid
    except OSError:
        gid = os.fstat(folder).st_gid
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"

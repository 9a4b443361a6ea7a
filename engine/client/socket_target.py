"""An engine by a socket alone, without becoming the account that owns its project.

``SocketTarget`` is one behind a socket of the caller's, such as one that ssh(1) forwards from a gateway::

    ssh -N -o StreamLocalBindUnlink=yes -L ~/.ssh/gw-01.sock:/run/gatewright/plant-a/engine.sock gw-01

What listens at the near end must be the caller's own process or root's; who the caller is over there, the far end's
kernel says, by the account that sshd runs the forwarding as.

``VisitedTarget`` is for root with several projects of this host: a process can become one account only, so it stays
root, which every engine lets in, reads nothing of the folder, and starts no engine.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from engine import sockets
from engine.client.client import EngineClient
from engine.client.ownership import account_name, owner_of
from engine.client.starter import LaunchError
from engine.client.target import ASK_THERE, REFUSED, ask_to_stop, meet
from engine.client.transport import SocketTransport
from engine.paths import EnginePaths

FAR_END = "/run/gatewright/ID/engine.sock"
"""Where a shared project's socket is on its host."""

MARK = "socket:"
"""What a key begins with, so that no folder has the same."""


@dataclass(frozen=True, slots=True)
class SocketTarget:
    """An engine by a socket.

    Attributes:
        path: Of the socket; absolute.
        name: What to call the engine.
    """

    path: Path
    name: str

    @property
    def token_file(self) -> Path | None:
        return None

    @property
    def key(self) -> str:
        return f"{MARK}{self.name}:{self.path}"

    @property
    def folder(self) -> Path | None:
        return None

    async def connect(self, client: str, *, start: bool = True) -> EngineClient:  # noqa: ARG002 - starts none
        try:
            _, writer = await self._connect()
        except OSError as error:
            raise self._unreachable(error) from None
        writer.close()
        return await meet(SocketTransport(self._connect, client, when_silent=ASK_THERE), self.name)

    async def reach(self, client: str) -> EngineClient | None:
        return await self.connect(client)

    async def stop(self, client: str, *, force: bool) -> bool:
        await ask_to_stop(await self.connect(client), force=force)
        return True

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        return await sockets.connect_at(self.path, os.geteuid(), 0)

    def _unreachable(self, error: OSError) -> LaunchError:
        if error.errno == errno.ENOTSOCK:
            return LaunchError(f"{self.path} is no socket.", "Look at the entry of this gateway.", exit_code=2)
        if error.errno == errno.EPERM:
            return LaunchError(
                f"What listens at {self.path} is neither this account's nor root's, so nothing is sent there.",
                f"{self._owner()}For a shared project of this host write project = \"@ID\" in place of the socket.",
                exit_code=REFUSED,
            )  # fmt: skip
        if error.errno == errno.EACCES:
            return LaunchError(f"This account may not use {self.path}.", exit_code=REFUSED)
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
            return LaunchError(
                f"Nothing listens at {self.path}.",
                f"If ssh forwards it, connect again: ssh -N -o StreamLocalBindUnlink=yes -L {self.path}:{FAR_END} HOST",
            )
        return LaunchError(f"{self.name} cannot be reached at {self.path}: {error.strerror or error}.")

    def _owner(self) -> str:
        try:
            return f"The socket's file belongs to {account_name(os.lstat(self.path).st_uid)}. "
        except OSError:
            return ""


@dataclass(frozen=True, slots=True)
class VisitedTarget:
    """The project in a folder of another account, as long as its engine runs.

    Attributes:
        project: The folder; absolute and without symbolic links.
    """

    project: Path

    @property
    def token_file(self) -> Path | None:
        return None

    @property
    def name(self) -> str:
        return str(self.project)

    @property
    def key(self) -> str:
        return str(self.project)

    @property
    def folder(self) -> Path | None:
        return None

    async def connect(self, client: str, *, start: bool = True) -> EngineClient:  # noqa: ARG002 - starts none
        try:
            _, writer = await self._connect()
        except OSError:
            raise LaunchError(
                f"The engine of {self.project} does not run.",
                f"Start it: gatewright --project {shlex.quote(str(self.project))} engine start",
            ) from None
        writer.close()
        return await meet(SocketTransport(self._connect, client), self.name)

    async def reach(self, client: str) -> EngineClient | None:
        try:
            return await self.connect(client)
        except LaunchError as error:
            if error.exit_code == REFUSED:
                raise
            return None

    async def stop(self, client: str, *, force: bool) -> bool:
        await ask_to_stop(await self.connect(client), force=force)
        return True

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        paths = EnginePaths(self.project)
        return await sockets.connect(paths, owner_of(paths).uid)

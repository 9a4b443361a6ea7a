"""The client's side of an engine's life: check whose the project is, reach its engine or start one.

Whether there is an engine is decided by the lock that it holds as long as it lives (``engine.lock``), never by the
socket file, which a killed engine leaves behind.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine import sockets
from engine.client import starter
from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.ownership import become_owner, owner_of
from engine.client.starter import LaunchError, daemon_command, daemon_environment
from engine.client.target import ask_to_stop
from engine.client.transport import SocketTransport
from engine.lock import engine_lives, holder_of
from engine.models.base import API_VERSION, VERSION
from engine.models.engine import EngineInfo, StopRequest
from engine.paths import EnginePaths
from engine.registry.engine import ENGINE_INFO, ENGINE_STOP

__all__ = ["LaunchError", "connect", "daemon_command", "daemon_environment", "reach", "stop"]

HANDSHAKE_TIMEOUT = 5.0
"""Seconds in which an engine that takes a connection must say who it is."""

HANDOVER_TIMEOUT = 10.0
"""Seconds for an engine that holds the lock without answering: it is leaving, or about to bind its socket again."""

POLL = 0.03


async def connect(project: Path, *, client: str, start: bool = True, become: bool = True) -> EngineClient:
    """Connect to the project's engine; start one if none answers and ``start`` is set.

    A client run by root becomes the project's owner first, for good: the engine and all its files are the owner's.

    Args:
        project: The project's folder; need not hold a project yet.
        client: ``console`` or ``cli``.
        start: Whether a missing engine is started. The project is made by the engine if it does not exist.
        become: Whether root may become the owner: it named the project.

    Raises:
        LaunchError: It cannot be reached or started, or this account may not.
    """
    paths = _paths(project)
    become_owner(paths, become=become)
    for attempt in range(2):
        found = await _reach(paths, client)
        if found is None and start:
            await _start(paths)
            found = await _reach(paths, client)
        if found is None:
            raise _no_engine(paths, started=start)
        engine, info = found
        if info.api_version == API_VERSION:
            if not start or attempt or not _is_older(info) or not await _leaves(engine):
                return engine
        else:
            await _retire(engine, info)
        await _wait_until_left(paths)
    raise LaunchError("The engine was restarted, but one of another version answers again.")


async def reach(project: Path, *, client: str) -> EngineClient | None:
    """Connect to an engine of this account that runs now; None where there is none, or where it is of another version.

    Starts nothing, ends nothing, makes nothing, and becomes no other account: it is for what somebody has not asked for
    yet.

    Raises:
        LaunchError: The project cannot be looked at, or its engine does not answer.
    """
    paths = _paths(project)
    owner = owner_of(paths)
    if not owner.of_project or owner.uid != os.geteuid():
        return None
    found = await _reach(paths, client)
    if found is None:
        return None
    engine, info = found
    if info.api_version == API_VERSION:
        return engine
    await engine.close()
    return None


async def stop(project: Path, *, client: str, force: bool = False, become: bool = True) -> bool:
    """Stop the project's engine and wait until it has left. False if none was running.

    ``become`` is as for ``connect``.

    Raises:
        LaunchError: This account may not, or the engine did not leave.
        EngineError: The engine refuses: runs go on and ``force`` is not set.
    """
    paths = _paths(project)
    become_owner(paths, become=become)
    found = await _reach(paths, client)
    if found is None:
        return False
    engine, _ = found
    await ask_to_stop(engine, force=force)
    await _wait_until_left(paths)
    return True


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """The project in a folder of this host, with an engine that its owner's clients start.

    Attributes:
        folder: The project's; need not hold a project yet.
        become: Whether root may become the owner: it named the project.
    """

    folder: Path
    become: bool = True

    @property
    def token_file(self) -> Path | None:
        return None

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def key(self) -> str:
        return os.path.realpath(self.folder)

    async def connect(self, client: str, *, start: bool = True) -> EngineClient:
        return await connect(self.folder, client=client, start=start, become=self.become)

    async def reach(self, client: str) -> EngineClient | None:
        return await reach(self.folder, client=client)

    async def stop(self, client: str, *, force: bool) -> bool:
        return await stop(self.folder, client=client, force=force, become=self.become)


def _paths(project: Path) -> EnginePaths:
    return EnginePaths(project.resolve())


async def _reach(paths: EnginePaths, client: str) -> tuple[EngineClient, EngineInfo] | None:
    """A client of the engine that answers now, and what that engine said about itself; None where nothing answers."""
    if paths.read_only:
        starter.check_own(paths.private)
    if not paths.private.is_dir():
        return None
    engine = EngineClient(SocketTransport(functools.partial(sockets.connect, paths, os.geteuid()), client))
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            return engine, await engine.call(ENGINE_INFO)
    except EngineUnreachable:
        await engine.close()
        return None
    except TimeoutError:
        await engine.close()
        raise _silent(paths) from None
    except EngineError as error:
        await engine.close()
        raise LaunchError(error.message, error.hint, exit_code=4 if error.status == 403 else 3) from None
    except BaseException:
        await engine.close()
        raise


async def _retire(engine: EngineClient, info: EngineInfo) -> None:
    """Ask an idle engine of an older version to leave, so that ours can start."""
    try:
        if info.api_version > API_VERSION:
            raise LaunchError(
                f"The project's engine is of a newer version ({info.version}) than this command.",
                "Use the newer gatewright, or stop that engine first: gatewright engine stop.",
            )
        await engine.call(ENGINE_STOP, body=StopRequest())
    except EngineError as error:
        raise LaunchError(
            f"The project's engine is of an older version ({info.version}) and cannot be restarted: {error.message}",
            "Try again when its runs have ended, or end them: gatewright engine stop --force.",
        ) from None
    finally:
        await engine.close()


def _is_older(info: EngineInfo) -> bool:
    """Whether a client of an older version started the engine, or of this one before it was installed again.

    Its files are then perhaps no longer what it has loaded.
    """
    if info.version == VERSION or not info.background:
        return info.background and info.replaced
    from packaging.version import InvalidVersion, Version

    try:
        return Version(info.version) < Version(VERSION)
    except InvalidVersion:
        return False


async def _leaves(engine: EngineClient) -> bool:
    """Ask an engine to leave if it is idle. One that goes on stays connected, since this version understands it."""
    try:
        await engine.call(ENGINE_STOP, body=StopRequest(when_idle=True))
    except EngineError:
        return False
    await engine.close()
    return True


async def _start(paths: EnginePaths) -> None:
    """Start an engine, unless another client was quicker."""
    starter.prepare_folders(paths)
    async with _start_lock(paths):
        deadline = time.monotonic() + HANDOVER_TIMEOUT
        while engine_lives(paths.lifetime_lock):
            if await _listens(paths):
                return
            if (holder := holder_of(paths.lifetime_lock)) is not None and holder.elsewhere:
                raise LaunchError(f"The engine of this project runs on {holder.host}.", "Use gatewright there.")
            if time.monotonic() > deadline:
                raise _silent(paths)
            await asyncio.sleep(POLL)
        await starter.start_engine(paths)


@asynccontextmanager
async def _start_lock(paths: EnginePaths) -> AsyncIterator[None]:
    fd = starter.open_lock(paths.start_lock)
    try:
        deadline = time.monotonic() + starter.START_TIMEOUT + HANDOVER_TIMEOUT
        while not starter.try_lock(fd):
            if time.monotonic() > deadline:
                raise LaunchError("Another gatewright is starting the engine and does not come to an end.")
            await asyncio.sleep(POLL)
        yield
    finally:
        os.close(fd)


async def _listens(paths: EnginePaths) -> bool:
    try:
        _, writer = await sockets.connect(paths, os.geteuid())
    except OSError:
        return False
    writer.close()
    return True


async def _wait_until_left(paths: EnginePaths) -> None:
    deadline = time.monotonic() + HANDOVER_TIMEOUT
    while engine_lives(paths.lifetime_lock):
        if time.monotonic() > deadline:
            raise _silent(paths)
        await asyncio.sleep(POLL)


def _no_engine(paths: EnginePaths, *, started: bool) -> LaunchError:
    if started:
        return LaunchError("The engine was started but does not answer.", f"See {paths.log}.")
    return LaunchError("No engine runs for this project.", "Start one: gatewright engine start.")


def _silent(paths: EnginePaths) -> LaunchError:
    holder = holder_of(paths.lifetime_lock)
    who = f" ({holder})" if holder else ""
    end = f" If it hangs, end it: kill {holder.pid}." if holder else ""
    return LaunchError(f"The project's engine{who} runs but does not answer.", f"See {paths.log}.{end}")

"""Which engine is meant and how it is reached: one type, whatever is behind it.

``launch.LocalTarget`` is a project's folder, ``shared.SharedTarget`` a shared project of this host by its ID,
``remote.RemoteTarget`` an engine on another host by its URL. Only the first has a folder, and an engine that the client
starts, replaces and waits for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

import msgspec

from engine.client.answers import LOGIN_REFUSED, EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.starter import LaunchError
from engine.client.transport import NO_ANSWER, Transport
from engine.models.base import API_VERSION
from engine.models.engine import EngineInfo, StopRequest
from engine.registry.engine import ENGINE_INFO, ENGINE_STOP

HANDSHAKE_TIMEOUT = 15.0
"""Seconds in which an engine elsewhere must say who it is, its connection included."""

REFUSED = 4

ASK_THERE = "Ask who runs it to look at its log."
"""What can be done about an engine elsewhere that hangs."""


class OtherVersion(LaunchError):
    """An engine answers that speaks another version of the API. ``version`` is its own."""

    def __init__(self, message: str, hint: str, version: str) -> None:
        super().__init__(message, hint)
        self.version = version


class Target(Protocol):
    """An engine that a command or the console is for."""

    @property
    def name(self) -> str:
        """What to call it in sentences and at the top of the console: a folder, ``@ID``, or host and port."""

    @property
    def key(self) -> str:
        """What tells it from every other one, for as long as texts of it are kept."""

    @property
    def token_file(self) -> Path | None:
        """The file with the token for it; None where the kernel says who the caller is."""

    @property
    def folder(self) -> Path | None:
        """The project's folder, if that is for this process to look at; None elsewhere."""

    async def connect(self, client: str, *, start: bool = True) -> EngineClient:
        """Connect; the caller closes the client.

        Args:
            client: ``console`` or ``cli``: runs started with it are recorded so.
            start: Start an engine if none answers and if that is for a client to do.

        Raises:
            LaunchError: It cannot be reached, or this caller may not.
        """

    async def reach(self, client: str) -> EngineClient | None:
        """Connect to what runs now, for what the user has not asked for yet; None if nothing suitable does.

        Raises:
            LaunchError: It cannot be reached, or this caller may not.
        """

    async def stop(self, client: str, *, force: bool) -> bool:
        """Stop the engine; False if none runs.

        Raises:
            LaunchError: It cannot be reached, or does not leave.
            EngineError: It refuses: runs go on and ``force`` is not set, or the caller may not.
        """


async def meet(transport: Transport, name: str) -> EngineClient:
    """Return a client of an engine elsewhere that has said who it is. It is neither started nor replaced.

    Args:
        transport: To it; closed if this fails.
        name: What to call it.

    Raises:
        LaunchError: It cannot be reached, is of another version, is none, or does not let the caller in.
    """
    engine = EngineClient(transport)
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            info = await engine.call(ENGINE_INFO)
        _check_version(info, name)
    except TimeoutError:
        await engine.close()
        raise LaunchError(f"The engine of {name} does not answer.", ASK_THERE) from None
    except EngineUnreachable as error:
        await engine.close()
        if error.message == NO_ANSWER or isinstance(error.__cause__, (msgspec.DecodeError, RecursionError)):
            raise _no_engine(name) from None
        raise LaunchError(error.message, error.hint) from None
    except EngineError as error:
        await engine.close()
        raise _refusal(error, name) from None
    except BaseException:
        await engine.close()
        raise
    return engine


async def ask_to_stop(engine: EngineClient, *, force: bool) -> None:
    """Ask an engine to stop, and close the client.

    Raises:
        EngineError: It refuses: runs go on and ``force`` is not set, or the caller may not.
    """
    try:
        await engine.call(ENGINE_STOP, body=StopRequest(force=force))
    finally:
        await engine.close()


def _check_version(info: EngineInfo, name: str) -> None:
    if info.api_version == API_VERSION:
        return
    if info.api_version > API_VERSION:
        sentence, hint = "a newer version", f"Use gatewright {info.version} here."
    else:
        sentence, hint = "an older version", f"Use gatewright {info.version} here, or have that engine updated."
    raise OtherVersion(f"The engine of {name} is of {sentence} ({info.version}) than this client.", hint, info.version)


def _no_engine(name: str) -> LaunchError:
    return LaunchError(f"What answers at {name} is no engine.", "Look at host, port and ID.")


def _refusal(error: EngineError, name: str) -> LaunchError:
    if error.code == "http":  # without a body of an engine's
        return LaunchError(
            f"What answers at {name} is no engine (HTTP status {error.status}).", "Look at host and port."
        )
    if error.code in LOGIN_REFUSED:
        return LaunchError(f"{name} does not let this client in: {error.message}", error.hint, exit_code=REFUSED)
    return LaunchError(error.message, error.hint, exit_code=REFUSED if error.status == 403 else 3)

"""A command's talk with the engine, from finding it to the sentence that says why it did not work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.launch import LaunchError, connect

from engine.client import EngineClient, EngineError, EngineUnreachable
from tui.commands import exit_codes
from tui.commands.invocation import CommandError, Invocation

Answer = TypeVar("Answer")


def with_engine(
    invocation: Invocation, work: Callable[[EngineClient], Awaitable[Answer]], *, start: bool = True
) -> Answer:
    """Connect to the project's engine and do ``work`` with it.

    Args:
        invocation: Says which project.
        work: Gets the connected client.
        start: Start the engine if none answers.

    Raises:
        CommandError: No engine could be reached, or it refused.
    """
    return asyncio.run(_session(invocation, work, start))


async def _session(invocation: Invocation, work: Callable[[EngineClient], Awaitable[Answer]], start: bool) -> Answer:
    try:
        client = await connect(invocation.folder(), client="cli", start=start)
        try:
            return await work(client)
        finally:
            await client.close()
    except EngineError as error:
        raise refusal(error) from None
    except LaunchError as error:
        raise CommandError(error.message, hint=error.hint, exit_code=error.exit_code, code="unreachable") from None
    except EngineUnreachable as error:
        raise CommandError(
            error.message, hint=error.hint, exit_code=exit_codes.UNREACHABLE, code="unreachable"
        ) from None


def refusal(error: EngineError) -> CommandError:
    """The engine's answer as the command's failure."""
    return CommandError(
        error.message, hint=error.hint, exit_code=exit_codes.of_refusal(error.status, error.code), code=error.code
    )

"""A command's talk with the engine, from finding it to the sentence that says why it did not work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.launch import LaunchError, connect, find_project
from engine.paths import PRIVATE
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.streams import Streams

Answer = TypeVar("Answer")

CLIENT = "cli"
"""How runs started here are recorded."""


def with_engine(
    project: str | None, streams: Streams, work: Callable[[EngineClient], Awaitable[Answer]], *, start: bool
) -> Answer:
    """Connect to the project's engine and do ``work`` with it.

    Args:
        project: Its folder; None for the one around the current folder.
        streams: Told when the project is a new one.
        work: Gets the connected client.
        start: Start the engine if none answers.

    Raises:
        CommandError: No engine could be reached, or it refused.
    """

    async def session(folder: Path, is_new: bool) -> Answer:
        client = await connect(folder, client=CLIENT, start=start)
        try:
            if is_new:
                streams.notify(f"{folder} is a new project now")
            return await work(client)
        finally:
            await client.close()

    with refusals():
        folder = find_project(project)
        # Unlike Path.is_dir this takes "may not look there" for no; connect then says whose project it is.
        is_new = not os.path.isdir(folder / PRIVATE)
        return asyncio.run(session(folder, is_new))


@contextmanager
def refusals() -> Iterator[None]:
    """Whatever keeps us from the engine, or the engine from doing it, becomes the command's failure."""
    try:
        yield
    except EngineError as error:
        exit_code = exit_codes.of_refusal(error.status, error.code)
        raise CommandError(error.message, hint=error.hint, exit_code=exit_code, code=error.code) from None
    except LaunchError as error:
        code = "forbidden" if error.exit_code == exit_codes.REFUSED else "unreachable"
        raise CommandError(error.message, hint=error.hint, exit_code=error.exit_code, code=code) from None
    except EngineUnreachable as error:
        raise CommandError(
            error.message, hint=error.hint, exit_code=exit_codes.UNREACHABLE, code="unreachable"
        ) from None

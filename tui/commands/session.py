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
from engine.client.finding import find_project
from engine.client.launch import LaunchError, connect
from engine.client.ownership import other_account
from engine.paths import PRIVATE, EnginePaths
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.streams import Streams

Answer = TypeVar("Answer")

CLIENT = "cli"
"""How runs started here are recorded."""


def project_folder(explicit: str | None, streams: Streams, *, make: bool) -> Path:
    """Return the folder of the project that is meant; say on stderr when root will go on as the account that owns it.

    Args:
        explicit: The folder as it was given; None for the project around the current folder.
        streams: Told what the user should know.
        make: Accept a folder that is no project yet, since the command makes one.

    Raises:
        LaunchError: There is none.
    """
    folder = find_project(explicit, tell=streams.notify, make=make)
    other = other_account(EnginePaths(folder))
    if other is not None:
        streams.notify(f"as {other}, who owns {folder}")
    return folder


def with_engine(
    find: Callable[[], Path],
    streams: Streams,
    work: Callable[[EngineClient], Awaitable[Answer]],
    *,
    start: bool,
    become: bool,
) -> Answer:
    """Connect to the project's engine and do ``work`` with it.

    Args:
        find: Finds its folder.
        streams: Told when the project is a new one.
        work: Gets the connected client.
        start: Start the engine if none answers.
        become: Whether root may become the project's owner: it named the project.

    Raises:
        CommandError: No engine could be reached, or it refused.
    """

    async def session(folder: Path, is_new: bool) -> Answer:
        client = await connect(folder, client=CLIENT, start=start, become=become)
        try:
            if is_new:
                streams.notify(f"made a project in {folder}")
            return await work(client)
        finally:
            await client.close()

    with refusals():
        folder = find()
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

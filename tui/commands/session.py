"""A command's talk with the engine, from finding it to the sentence that says why it did not work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.finding import find_project
from engine.client.launch import LaunchError
from engine.client.ownership import other_account
from engine.client.target import Target
from engine.paths import PRIVATE, EnginePaths
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.streams import Streams

Answer = TypeVar("Answer")

CLIENT = "cli"
"""How runs started here are recorded."""

LINE_PATIENCE, LINE_PAUSE = 60.0, 0.5
"""Seconds for which the line to an engine elsewhere may be down while its run is followed, and between two tries."""


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


def remote_engine(url: str, token_file: str | None, ca_file: str | None) -> Target:
    """Return the engine at a URL.

    Raises:
        LaunchError: It is no URL of an engine, or no token is named for it.
    """
    from engine.client.remote import remote_target

    if token_file is None:
        raise LaunchError(
            f"The engine at {url} takes a token.",
            "Name the file that holds it: --token-file FILE, or GATEWRIGHT_TOKEN_FILE.",
            exit_code=exit_codes.USAGE,
        )
    return remote_target(url, token_file, ca_file)


def with_engine(
    find: Callable[[], Target],
    streams: Streams,
    work: Callable[[EngineClient], Awaitable[Answer]],
    *,
    start: bool,
) -> Answer:
    """Connect to the engine that is meant and do ``work`` with it.

    Args:
        find: Finds it.
        streams: Told when its project is a new one.
        work: Gets the connected client.
        start: Start the engine if none answers.

    Raises:
        CommandError: No engine could be reached, or it refused.
    """

    async def session(target: Target, is_new: bool) -> Answer:
        client = await target.connect(CLIENT, start=start)
        try:
            if is_new:
                streams.notify(f"made a project in {target.folder}")
            return await work(client)
        finally:
            await client.close()

    with refusals():
        target = find()
        # Unlike Path.is_dir this takes "may not look there" for no; connect then says whose project it is.
        is_new = target.folder is not None and not os.path.isdir(target.folder / PRIVATE)
        return asyncio.run(session(target, is_new))


async def connect_again(target: Target, streams: Streams) -> EngineClient:
    """Connect once more, to the engine that answers now; to one elsewhere for a while, since its line may be down.

    Raises:
        LaunchError: No engine could be reached or started.
    """
    deadline = time.monotonic() + LINE_PATIENCE
    told = False
    while True:
        try:
            return await target.connect(CLIENT)
        except LaunchError as error:
            is_down = target.folder is None and error.exit_code == exit_codes.UNREACHABLE
            if not is_down or time.monotonic() > deadline:
                raise
            if not told:
                streams.notify(f"the line to {target.name} is down, trying again: {error.message}")
                told = True
        await asyncio.sleep(LINE_PAUSE)


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

"""Something that the engine does for a while: begun, its progress shown, cancelled by Ctrl+C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from engine.registry.sync import TASKS_CANCEL, TASKS_LIST, TaskParams
from tui.commands import exit_codes
from tui.commands.errors import CommandError

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from tui.commands.streams import Streams

Answer = TypeVar("Answer")


async def with_progress(
    client: EngineClient, streams: Streams, kind: str, begin: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Do what ``begin`` asks the engine for, show how far it is, cancel it when asked.

    Args:
        client: Begins it.
        streams: Progress goes to a terminal on stderr.
        kind: The task's kind.
        begin: Asks for it and waits for its end.

    Raises:
        CommandError: It was cancelled.
    """
    from engine.client.answers import EngineError

    progress = asyncio.create_task(_show_progress(client, streams, kind)) if streams.err.is_terminal else None
    loop, begun = asyncio.get_running_loop(), asyncio.ensure_future(begin())
    cancelling: list[asyncio.Task[None]] = []

    def interrupted() -> None:
        if cancelling:  # the engine does not answer: leave
            begun.cancel()
        cancelling.append(asyncio.create_task(_cancel(client, kind)))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        return await begun
    except EngineError as error:
        if error.code == "cancelled":
            raise CommandError(error.message, exit_code=exit_codes.CANCELLED, code=error.code) from None
        raise
    except asyncio.CancelledError:
        sentence = f"left; the {kind} may go on in the engine"
        raise CommandError(sentence, exit_code=exit_codes.CANCELLED, code="cancelled") from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in (progress, *cancelling):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _cancel(client: EngineClient, kind: str) -> None:
    from engine.client.answers import EngineError, EngineUnreachable
    from engine.models.sync import TaskState

    # Whoever waits for the task hears of whatever is wrong.
    with contextlib.suppress(EngineError, EngineUnreachable):
        for task in (await client.call(TASKS_LIST)).tasks:
            if task.kind == kind and task.state is TaskState.RUNNING:
                await client.call(TASKS_CANCEL, TaskParams(task_id=task.id))


async def _show_progress(client: EngineClient, streams: Streams, kind: str) -> None:
    """One line that is written over and over, below what the task prints."""
    from engine.client.answers import EngineError, EngineUnreachable

    shown, numbers = "", set[object]()
    try:
        with contextlib.suppress(EngineError, EngineUnreachable):
            async for event in client.events():
                data = event.data if isinstance(event.data, dict) else {}
                if event.type == "task" and data.get("kind") == kind:
                    numbers.add(data.get("id"))
                    done, total = data.get("done", 0), data.get("total", 0)
                    share = f" {done:,} of {total:,}" if total else f" {done:,}" if done else ""
                    shown = f"{data['doing']}{share}" if data.get("doing") else shown
                    if shown:
                        streams.err.overwrite(shown)
                elif event.type == "task_output" and data.get("id") in numbers:
                    streams.err.overwrite(str(data.get("text", "")))
                    streams.err.line()
                    streams.err.overwrite(shown)
    finally:
        if shown:
            streams.err.overwrite("")

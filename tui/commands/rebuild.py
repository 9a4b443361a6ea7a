"""``rebuild``: the index of scripts made anew from the files."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import click

from tui.commands import exit_codes
from tui.commands.invocation import CommandError, Invocation, common_options

if TYPE_CHECKING:
    from engine.client import EngineClient
    from engine.models import RebuildReport
    from tui.commands.streams import Streams

KIND = "rebuild"
SHOWN = 20
"""Scripts that are named of each sort; --json names all of them."""


@click.command("rebuild")
@common_options
@click.pass_obj
def rebuild(invocation: Invocation) -> None:
    """Make the index of scripts anew from the files.

    No file is touched, and lists and searches go on meanwhile. Ctrl+C cancels it; then the index stays as it was.
    """
    from tui.commands.session import with_engine

    async def work(client: EngineClient) -> RebuildReport:
        return await _rebuild(client, invocation.streams)

    report = with_engine(invocation, work)
    if invocation.json:
        invocation.print_json(report)
    else:
        _print_report(invocation.streams, report)


async def _rebuild(client: EngineClient, streams: Streams) -> RebuildReport:
    """Begin it, show how far it is, cancel it when asked."""
    from engine.client import EngineError

    progress = asyncio.create_task(_show_progress(client, streams)) if streams.err.is_terminal else None
    loop, begun = asyncio.get_running_loop(), asyncio.create_task(client.rebuild())
    cancelling: list[asyncio.Task[None]] = []

    def interrupted() -> None:
        if cancelling:  # the engine does not answer: leave
            begun.cancel()
        cancelling.append(asyncio.create_task(_cancel(client)))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        return await begun
    except EngineError as error:
        if error.code == "cancelled":
            raise CommandError(error.message, exit_code=exit_codes.CANCELLED, code=error.code) from None
        raise
    except asyncio.CancelledError:
        sentence = "left; the rebuild may go on in the engine"
        raise CommandError(sentence, exit_code=exit_codes.CANCELLED, code="cancelled") from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in (progress, *cancelling):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _cancel(client: EngineClient) -> None:
    from engine.client import EngineError, EngineUnreachable
    from engine.models import TaskState

    # Whoever waits for the rebuild hears of whatever is wrong.
    with contextlib.suppress(EngineError, EngineUnreachable):
        for task in (await client.list_tasks()).tasks:
            if task.kind == KIND and task.state is TaskState.RUNNING:
                await client.cancel_task(task.id)


async def _show_progress(client: EngineClient, streams: Streams) -> None:
    """One line that is written over and over."""
    from engine.client import EngineError, EngineUnreachable

    shown = False
    try:
        with contextlib.suppress(EngineError, EngineUnreachable):
            async for event in client.events():
                data = event.data
                if event.type == "task" and isinstance(data, dict) and data.get("kind") == KIND and data.get("doing"):
                    streams.err.overwrite(f"{data['doing']} {data.get('done', 0):,}")
                    shown = True
    finally:
        if shown:
            streams.err.overwrite("")


def _print_report(streams: Streams, report: RebuildReport) -> None:
    from tui.terminal_guard import sanitise_line

    renamed = [f"{pair.old} -> {pair.new}" for pair in report.renamed]
    problems = [f"{one.path}: {one.problem}" for one in report.problems]
    sorts = (
        ("created", report.created),
        ("updated", report.updated),
        ("renamed", renamed),
        ("removed", report.removed),
        ("problem", problems),
    )
    for word, names in sorts:
        for name in names[:SHOWN]:
            streams.out.line(sanitise_line(f"{word}: {name}"))
        if len(names) > SHOWN:
            streams.out.line(f"{word}: and {len(names) - SHOWN:,} more")
    counts = ", ".join(
        f"{len(names):,} {word}{'s' if word == 'problem' and len(names) != 1 else ''}" for word, names in sorts
    )
    streams.say(f"{report.scripts:,} scripts in {report.seconds:.1f} s: {counts}")

"""``render``: a folder of documents with the tags of macros, expanded into another folder."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import click

from tui.commands import exit_codes
from tui.commands.arguments import Count, folders
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.client.rendering import RenderOptions, RenderSummary
    from engine.models.macros import RenderWarning

SHOWN = 50
"""Warnings that are named; --json names all of them."""

MAX_JOBS = 32


@click.command("render")
@click.argument("source", metavar="SRC", shell_complete=folders)
@click.option("--out", required=True, metavar="DIR", shell_complete=folders, help="Where to; made if need be.")
@click.option("--strict", is_flag=True, help="Exit code 1 when a tag was not expanded: no such macro, or it failed.")
@click.option(
    "--jobs", type=Count(1, MAX_JOBS), default="1", metavar="N", help="Processes for each macro, 1 if not given."
)
@click.option("--language", metavar="CODE", default="", help="Of documents that name none: en, de, fr, it, es.")
@click.option("--force", is_flag=True, help="Render everything, also into a folder that holds other files.")
@click.option("--watch", is_flag=True, help="Go on, and render whatever changes, until Ctrl+C.")
@common_options
@click.pass_obj
def render(
    invocation: Invocation, source: str, out: str, strict: bool, jobs: int, language: str, force: bool, watch: bool
) -> int:
    """Expand the macro tags of all documents below SRC, and write the result below DIR.

    Tags are [[name key=value]]; gatewright help macros tells all of it. Images and other files are copied, hidden ones
    and symbolic links left out. Files are read and written with your own rights; macros run in the engine's sandbox.

    A file of the result goes when its source has gone, unless others have changed it. A result that others have changed
    is made again.

    Only what has changed is rendered: documents, macros and their shared code, and what macros have read of other
    documents. A tag without a macro, and one whose macro fails, stays as it is and is told of. What is interrupted goes
    on where it was when it is called again.

    \b
    Examples:
      gatewright render docs --out /srv/site
      gatewright render docs --out site --strict --jobs 2
      gatewright render docs --out site --watch
    """
    from engine.client.render_tree import RenderFolderError
    from engine.client.rendering import RenderOptions

    progress = _Progress(invocation)
    options = RenderOptions(jobs, language, force, progress, progress.resumed)
    try:
        if watch:
            return invocation.ask(lambda client: _watch(invocation, client, source, out, options, progress))
        summary = invocation.ask(lambda client: _once(invocation, client, source, out, options, progress))
    except RenderFolderError as error:
        code = exit_codes.CONFLICT if error.conflict else exit_codes.USAGE
        raise CommandError(error.message, hint=error.hint, exit_code=code, code="bad_folder") from None
    invocation.show(summary, _print_summary)
    return _exit_code(summary, strict=strict)


def _exit_code(summary: RenderSummary, *, strict: bool) -> int:
    return exit_codes.FAILED if summary.failed or (strict and summary.errors) else exit_codes.OK


class _Progress:
    """One line of a terminal, written over and over: how many, how fast, how long still."""

    def __init__(self, invocation: Invocation) -> None:
        self._streams = invocation.streams
        self._begun = 0.0
        self._first = 0
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._begun:
            self._begun, self._first = now, done
        rate = (done - self._first) / (now - self._begun) if now > self._begun else 0.0
        left = f", {rate:,.0f} a second, {(total - done) / rate:,.0f} s left" if rate >= 1 else ""
        self._streams.err.overwrite(f"rendered {done:,} of {total:,} documents{left}")
        self._shown = self._streams.err.is_terminal

    def resumed(self, why: str) -> None:
        self.clear()
        self._streams.notify(f"the engine was lost, going on with another one: {why}")

    def clear(self) -> None:
        if self._shown:
            self._streams.err.overwrite("")
        self._shown, self._begun = False, 0.0


async def _once(
    invocation: Invocation, client: EngineClient, source: str, out: str, options: RenderOptions, progress: _Progress
) -> RenderSummary:
    from engine.client.answers import EngineError
    from engine.client.rendering import render as render_folder

    try:
        return await render_folder(client, source, out, options, invocation.reconnect)
    except EngineError as error:
        code = _ENDED.get(error.code)
        if code is None:
            raise
        raise CommandError(error.message, hint=error.hint, exit_code=code, code=error.code) from None
    except asyncio.CancelledError:
        progress.clear()
        invocation.streams.notify("cancelled; what is written is noted, and the next render goes on behind it")
        raise
    finally:
        progress.clear()


_ENDED = {"cancelled": exit_codes.CANCELLED, "timeout": exit_codes.TIMEOUT}
"""Exit codes for a batch that was ended in the engine."""


async def _watch(
    invocation: Invocation, client: EngineClient, source: str, out: str, options: RenderOptions, progress: _Progress
) -> int:
    """Render, and again whenever something has changed. Ends with Ctrl+C."""
    from dataclasses import replace

    from engine.client.render_tree import RenderFolderError
    from engine.client.render_watch import RenderWatch

    watch = RenderWatch(source, invocation.reconnect, client)
    try:
        first = True
        while True:
            seen = await watch.seen()
            try:
                summary = await _once(invocation, watch.client, source, out, options, progress)
            except RenderFolderError as error:
                if first:
                    raise
                # The folder is being replaced, for one: the watch is for as long as its user wants it.
                invocation.streams.notify(f"{error.message}; waiting for a change", failed=True)
                await watch.changed(seen)
                continue
            options = replace(options, force=False)  # once
            if first or summary.rendered or summary.copied or summary.removed or summary.failed:
                invocation.show(summary, _print_summary)
            if first:
                invocation.streams.notify(f"watching {source} and the project's macros; Ctrl+C ends it")
            first = False
            await watch.changed(seen)
    finally:
        await watch.close()


def _print_summary(invocation: Invocation, summary: RenderSummary) -> None:
    from tui.text.sanitise import sanitise_line

    streams = invocation.streams
    for warning in summary.warnings[:SHOWN]:
        streams.out.line(sanitise_line(_told(warning)), failed=warning.kind != "warning")
        for line in (warning.traceback or "").splitlines():
            streams.out.line(f"    {sanitise_line(line)}")
    if len(summary.warnings) > SHOWN:
        streams.out.line(f"and {len(summary.warnings) - SHOWN:,} more; --json names all of them")
    for problem in (*summary.problems, *summary.skipped):
        place = f"{problem.path}: " if problem.path else ""
        streams.out.line(sanitise_line(f"{place}{problem.problem}"))
    counts = [
        f"{_counted(summary.rendered, 'document')} rendered",
        f"{summary.unchanged:,} unchanged",
        f"{_counted(summary.copied, 'other file')} copied",
    ]
    if summary.removed:
        counts.append(f"{summary.removed:,} removed whose source is gone")
    said = len(summary.warnings) - summary.errors
    counts += [_counted(said, "warning")] * bool(said) + [_counted(summary.errors, "wrong tag")] * bool(summary.errors)
    end = "" if summary.complete else "; it is not complete"
    streams.notify(f"{', '.join(counts)}, in {summary.seconds:.1f} s{end}", failed=summary.failed)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _told(warning: RenderWarning) -> str:
    """Write a warning as compilers do, so that editors find the place."""
    tag = f"[[{warning.macro}]] " if warning.macro else ""
    return f"{warning.document}:{warning.line}:{warning.column + 1}: {warning.kind}: {tag}{warning.message}"

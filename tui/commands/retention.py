"""``retention``: what is kept of the past, for how long, and when old records went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.registry.engine import RETENTION
from tui.commands.invocation import Invocation, common_options
from tui.text.formats import clock, duration, size

if TYPE_CHECKING:
    from engine.models.engine import RetentionInfo, RetentionPass


@click.command("retention")
@common_options
@click.pass_obj
def retention(invocation: Invocation) -> None:
    """Say what is kept of runs, output and versions, and when old records were removed.

    How long that is, is set under [retention] in the project's settings.toml.

    \b
    Examples:
      gatewright retention
    """
    invocation.answer(lambda client: client.call(RETENTION), _print)


def _print(invocation: Invocation, info: RetentionInfo) -> None:
    from tui.text.table import fields, terminal_width

    limits, out = info.limits, invocation.streams.out
    since = f", the oldest of {clock(info.oldest_run)}" if info.oldest_run is not None else ""
    rows = [
        ("runs", f"{info.runs}, kept for {limits.run_days:g} days{since}"),
        ("output", f"{size(info.output_bytes)}, kept for {limits.output_days:g} days up to {size(limits.output_size)}"),
        ("versions", f"{info.versions}, {size(info.history_bytes)}; {limits.versions} of each script are kept"),
        ("deleted", f"versions of deleted scripts are kept for {limits.deleted_days:g} days"),
        ("leftovers", f"texts that a crash left are kept for {limits.unnamed_days:g} days"),
        ("last look", "not yet" if info.last is None else _looked(info.last)),
    ]
    out.line(fields(rows, width=terminal_width(out.is_terminal)))


def _looked(last: RetentionPass) -> str:
    gone = [
        f"{count} {what}"
        for count, what in (
            (last.outputs, "outputs"),
            (last.runs, "runs"),
            (last.versions, "versions"),
            (last.leftovers, "leftovers"),
        )
        if count
    ]
    text = f"{clock(last.at)}, took {duration(last.seconds)}, removed {', '.join(gone) or 'nothing'}"
    return f"{text}. {last.problem}" if last.problem else text

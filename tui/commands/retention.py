"""``retention``: what is kept of the past, for how long, and when old records went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.models.engine import PruneRequest
from engine.registry.engine import RETENTION, RETENTION_PRUNE
from tui.commands.arguments import DAYS, Count
from tui.commands.invocation import Invocation, common_options
from tui.text.formats import clock, duration, removed, size

if TYPE_CHECKING:
    from engine.models.engine import PruneResult, RetentionInfo, RetentionPass


@click.command("retention")
@click.option("--prune", is_flag=True, help="Remove old records now: what the settings no longer keep, or more.")
@click.option("--output-days", type=DAYS, metavar="N", help="With --prune: keep output for N days.")
@click.option("--run-days", type=DAYS, metavar="N", help="With --prune: keep runs for N days.")
@click.option("--versions", type=Count(1), metavar="N", help="With --prune: keep N versions of each script.")
@click.option("--yes", is_flag=True, help="With --prune: do not ask.")
@common_options
@click.pass_obj
def retention(
    invocation: Invocation,
    prune: bool,
    output_days: float | None,
    run_days: float | None,
    versions: int | None,
    yes: bool,
) -> None:
    """Say what is kept of runs, output and versions, and when old records were removed; or remove more of them.

    How long that is, is set under [retention] in the project's settings.toml. Removing works on a full disk, too.

    \b
    Examples:
      gatewright retention
      gatewright retention --prune --output-days 1 --versions 5
    """
    request = PruneRequest(output_days=output_days, run_days=run_days, versions=versions)
    if not prune:
        if yes or request != PruneRequest():
            raise click.UsageError("--output-days, --run-days, --versions and --yes go with --prune.")
        invocation.answer(lambda client: client.call(RETENTION), _print)
        return
    if not yes:
        invocation.confirm(f"Remove for good {_what_goes(request)}?", act="remove", done="removed")
    invocation.answer(lambda client: client.call(RETENTION_PRUNE, body=request), _print_pruned)


def _what_goes(request: PruneRequest) -> str:
    parts = [
        f"{what} {count:g} days"
        for what, count in (("output older than", request.output_days), ("runs older than", request.run_days))
        if count is not None
    ]
    if request.versions is not None:
        parts.append(f"all but the newest {request.versions} versions of each script")
    return ", ".join(parts) or "what the settings no longer keep"


def _print_pruned(invocation: Invocation, result: PruneResult) -> None:
    invocation.streams.notify(f"removed {removed(result.removed)}; {size(result.freed)} are free that were not")
    if result.removed.problem:
        invocation.streams.notify(result.removed.problem)
    if result.restart:
        invocation.streams.notify(
            "this engine still reads only, because the disk was full when it started",
            f"Have it start again: {invocation.line('engine', 'stop')}",
        )


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
    text = f"{clock(last.at)}, took {duration(last.seconds)}, removed {removed(last)}"
    return f"{text}. {last.problem}" if last.problem else text

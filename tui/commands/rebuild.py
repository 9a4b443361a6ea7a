"""``rebuild``: the index of scripts made anew from the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.registry.sync import SYNC_REBUILD, RebuildParams
from tui.commands.invocation import Invocation, common_options

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.models.sync import RebuildReport

KIND = "rebuild"
SHOWN = 20
"""Scripts that are named of each sort; --json names all of them."""


@click.command("rebuild")
@click.option("--all", "everything", is_flag=True, help="Look through the history and the approvals too.")
@common_options
@click.pass_obj
def rebuild(invocation: Invocation, everything: bool) -> None:
    """Make the index of scripts anew from the files.

    No file is touched, and lists and searches go on meanwhile. Ctrl+C cancels it; then the index stays as it was.
    Files that are gone are reported as removed, and gatewright diff can bring them back. With --all the versions in the
    history are read and compared with their hashes, and approvals with the texts that they are for.

    \b
    Examples:
      gatewright rebuild
      gatewright rebuild --all
    """
    from tui.commands.task import with_progress

    async def work(client: EngineClient) -> RebuildReport:
        return await with_progress(
            client, invocation.streams, KIND, lambda: client.call(SYNC_REBUILD, RebuildParams(everything=everything))
        )

    invocation.answer(work, _print_report)


def _print_report(invocation: Invocation, report: RebuildReport) -> None:
    from tui.text.sanitise import sanitise_line

    streams = invocation.streams
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
    for part in report.parts:
        for problem in part.problems[:SHOWN]:
            streams.out.line(sanitise_line(f"{part.name}: {problem.path}: {problem.problem}"))
        streams.notify(f"{part.name}: {part.checked:,} looked through, {len(part.problems):,} do not fit")
    counts = ", ".join(
        f"{len(names):,} {word}{'s' if word == 'problem' and len(names) != 1 else ''}" for word, names in sorts
    )
    streams.notify(f"{report.scripts:,} scripts in {report.seconds:.1f} s: {counts}")

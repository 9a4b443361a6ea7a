"""``diff``: files and database compared, and what waits for a decision decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from engine.models.sync import (
    DiffAnswer,
    DiffChoice,
    DiffDecision,
    DiffItem,
    DiffOutcome,
    DiffReport,
    DiffRequest,
    DiffState,
)
from engine.registry.sync import SYNC_DIFF
from tui.commands import exit_codes
from tui.commands.arguments import SCRIPT_FILE, keys_of_header
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.text.sanitise import sanitise_code, sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient

FILE, DATABASE = "file", "db"
SHOWN_OTHERS = 3


@click.command("diff")
@click.argument("paths", type=SCRIPT_FILE, metavar="[PATH]...", nargs=-1)
@click.option(
    "--apply",
    "what",
    type=click.Choice([FILE, DATABASE, *(choice.value for choice in DiffChoice)]),
    metavar="CHOICE",
    help="Decide: file or db, whichever is right, for all to which it applies or for PATH; or by name one of "
    f"{', '.join(DiffChoice)}.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    shell_complete=keys_of_header,
    help="With --apply restore: only this key. Repeatable.",
)
@click.option("--preview", is_flag=True, help="With --apply: tell what it would do, and do nothing.")
@click.option("--exit-code", "tell", is_flag=True, help="Exit with 1 when something waits for a decision.")
@common_options
@click.pass_obj
def diff(
    invocation: Invocation, paths: Sequence[str], what: str | None, keys: Sequence[str], preview: bool, tell: bool
) -> int:
    """Compare the scripts' files with what the database knows of them.

    New and changed files are taken in by themselves. What waits for a decision is listed with its choices: missing,
    renamed, invalid and duplicate files, and many that vanished at once. --apply file drops the rows of missing files,
    follows renamed ones, keeps invalid ones and duplicates; --apply db writes missing files and restores invalid ones.
    Whatever is replaced or dropped goes into the history. Only --apply accept says that many are gone on purpose.

    Exit codes: 0 compared, or all decisions done; 1 with --exit-code when something waits, and when a decision could
    not be done; 5 when one was refused because something changed meanwhile.

    \b
    Examples:
      gatewright diff
      gatewright diff --apply file --preview
      gatewright diff night/report.py --apply write_file
    """
    from tui.commands.task import with_progress

    if what is None and (keys or preview):
        raise click.UsageError("--key and --preview go with --apply.")
    if keys and what != DiffChoice.RESTORE:
        raise click.UsageError("--key goes with --apply restore.")

    async def work(client: EngineClient) -> tuple[DiffReport, DiffAnswer]:
        report = await with_progress(client, invocation.streams, "diff", lambda: client.call(SYNC_DIFF))
        chosen = _chosen(report, paths)
        if what is None:
            return _only(report, chosen), DiffAnswer(outcomes=[])
        decisions = _decisions(chosen, what, keys, by_name=bool(paths))
        if not decisions:
            return report, DiffAnswer(outcomes=[])
        request = DiffRequest(decisions=decisions, preview=preview)
        if preview:  # no task, so nothing that could be cancelled in the engine
            return report, await client.apply_diff(request)
        return report, await with_progress(client, invocation.streams, "decisions", lambda: client.apply_diff(request))

    report, answer = invocation.ask(work)
    if what is None:
        invocation.show(report, _print_report)
        return exit_codes.FAILED if tell and report.waiting else exit_codes.OK
    invocation.show(list(answer.outcomes), _print_outcomes, as_json=lambda outcomes: {"outcomes": outcomes})
    return exit_codes.CANCELLED if answer.cancelled else _code_of(answer.outcomes)


def _chosen(report: DiffReport, paths: Sequence[str]) -> list[DiffItem]:
    """The items of these paths, with or without ``.py``; all of them without paths."""
    if not paths:
        return list(report.items)
    found: list[DiffItem] = []
    for path in paths:
        items = [item for item in report.items if item.path and item.path in (path, f"{path}.py")]
        if not items:
            raise CommandError(
                f"there is no difference about {sanitise_line(path)}",
                hint="See gatewright diff.",
                exit_code=exit_codes.USAGE,
                code="no_difference",
            )
        found += [item for item in items if item not in found]
    return found


def _only(report: DiffReport, items: list[DiffItem]) -> DiffReport:
    from msgspec.structs import replace

    return replace(report, items=items)


def _decisions(items: Sequence[DiffItem], what: str, keys: Sequence[str], *, by_name: bool) -> list[DiffDecision]:
    decisions = []
    for item in items:
        choice = _choice(item, what)
        if item.state is DiffState.VANISHED and what != DiffChoice.ACCEPT:
            choice = None
        if choice is not None:
            decisions.append(
                DiffDecision(path=item.path, state=item.state, choice=choice, seen=item.seen, keys=list(keys))
            )
        elif by_name:
            possible = ", ".join(item.choices)
            raise CommandError(
                f"{what} is not possible for {sanitise_line(item.path)}: it is {_word(item.state)}",
                hint=f"Possible: {possible}." if possible else "Edit the file.",
                exit_code=exit_codes.USAGE,
                code="no_choice",
            )
    return decisions


def _choice(item: DiffItem, what: str) -> DiffChoice | None:
    if what == FILE:
        return item.file_choice
    if what == DATABASE:
        return item.database_choice
    return DiffChoice(what) if what in item.choices else None


def _code_of(outcomes: Sequence[DiffOutcome]) -> int:
    refused = [outcome for outcome in outcomes if not outcome.done]
    if not refused:
        return exit_codes.OK
    return exit_codes.CONFLICT if any(one.stale for one in refused) else exit_codes.FAILED


def _print_report(invocation: Invocation, report: DiffReport) -> None:
    streams = invocation.streams
    for item in report.items:
        for line in _lines(item):
            streams.out.line(sanitise_line(line))
    taken = f"{len(report.created):,} new and {len(report.updated):,} changed files taken in"
    waiting = len(report.waiting)
    left = f"{waiting:,} wait{'s' if waiting == 1 else ''}" if waiting else "nothing waits"
    streams.notify(f"{report.scripts:,} scripts compared in {report.seconds:.1f} s: {taken}, {left} for a decision")


def _lines(item: DiffItem) -> list[str]:
    lines = [f"{_word(item.state)}: {item.path or 'scripts'}: {item.sentence}"]
    for key in item.keys:
        file, database = (text if text is not None else "(not set)" for text in (key.file, key.database))
        lines.append(f"  {key.key}: file {file}, database {database}")
    if item.state is DiffState.VANISHED:
        more = len(item.others) - SHOWN_OTHERS
        lines.append(f"  {', '.join(item.others[:SHOWN_OTHERS])}{' ...' if more > 0 else ''}")
    if item.choices:
        lines.append(f"  --apply {' | '.join(item.choices)}")
    return lines


def _word(state: DiffState) -> str:
    return str(state).replace("_", " ")


def _print_outcomes(invocation: Invocation, outcomes: Sequence[DiffOutcome]) -> None:
    streams = invocation.streams
    for outcome in outcomes:
        lead = outcome.choice if outcome.done else f"not done: {outcome.choice}"
        streams.out.line(sanitise_line(f"{lead}: {outcome.path or 'scripts'}: {outcome.sentence}"))
        for line in outcome.diff.split("\n") if outcome.diff else []:
            streams.out.line(f"  {sanitise_code(line)}")
    if not outcomes:
        streams.notify("there is nothing that this applies to")

"""``audit``: who did what, and whether that record is in order."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from engine.models.engine import AuditList
from engine.registry.engine import AUDIT_LIST, AUDIT_VERIFY, AuditParams
from tui.commands import exit_codes
from tui.commands.arguments import Count
from tui.commands.invocation import Invocation, common_options
from tui.text.audit_record import record_text
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.client.client import EngineClient
    from engine.models.engine import AuditCheck, AuditRecord

PAGE = 500
"""Records that are asked for at a time where only some of them are wanted."""

MOST_PAGES = 20
"""Of these are looked through in one call; then it is said where to go on."""

NARROWEST = 20
"""Cells that are left for what was done, however narrow the terminal."""


@click.command("audit")
@click.option("--verify", is_flag=True, help="Look at every record instead of listing the newest.")
@click.option("-n", "limit", type=Count(1, 500), metavar="N", default=30, show_default=True, help="How many to list.")
@click.option("--before", type=Count(1), metavar="SEQ", help="Only records with a smaller number.")
@click.option("--who", metavar="NAME", default="", help="Only of this account or token.")
@click.option("--what", metavar="WORDS", default="", help="Only records that say this.")
@common_options
@click.pass_obj
def audit(invocation: Invocation, verify: bool, limit: int, before: int | None, who: str, what: str) -> int:
    """List who did what here, newest first, or verify that record.

    A record that is consistent in itself has not been changed in the middle; whoever may write the project's folder
    could have made all of it anew.

    \b
    Examples:
      gatewright audit -n 100
      gatewright audit --who token:dashboard --what refused
      gatewright audit --verify
    """
    if not verify:
        wanted = _wanted(who, what) if who or what else None
        invocation.answer(lambda client: _listed(client, limit, before, wanted), _print_records)
        return exit_codes.OK
    check = invocation.answer(lambda client: client.call(AUDIT_VERIFY), _print_check)
    return exit_codes.OK if check.problem is None else exit_codes.FAILED


def _print_check(invocation: Invocation, check: AuditCheck) -> None:
    if check.problem is None:
        invocation.streams.out.line(f"{check.records} records, internally consistent, head {check.head}")
    else:
        invocation.streams.notify(check.problem)


def _print_records(invocation: Invocation, found: AuditList) -> None:
    """A record a line in a pipe; a terminal gets as many lines of each as it takes: nothing is cut."""
    from tui.text.table import terminal_width

    out = invocation.streams.out
    width = terminal_width(out.is_terminal)
    heads = [(str(one.seq), clock(one.at), sanitise_line(one.actor)) for one in found.records]
    widths = [max((len(head[column]) for head in heads), default=0) for column in range(3)]
    for one, (seq, when, who) in zip(found.records, heads, strict=True):
        line = (
            f"{seq:>{widths[0]}}  {when:<{widths[1]}}  {who:<{min(widths[2], 20)}}  {sanitise_line(record_text(one))}"
        )
        if width is None:
            out.line(line)
            continue
        indent = " " * (widths[0] + 2)
        for part in textwrap.wrap(
            line, max(width, len(indent) + NARROWEST), subsequent_indent=indent, break_on_hyphens=False
        ):
            out.line(part)
    if not found.records:
        invocation.streams.notify("no record matches")
    if found.next_before is not None:
        invocation.streams.notify(f"older ones: the same with --before {found.next_before}")


def _wanted(who: str, what: str) -> Callable[[AuditRecord], bool]:
    """Whether a record is of ``who``, a token with or without its prefix, and says ``what``."""

    def wanted(record: AuditRecord) -> bool:
        return (not who or record.actor in (who, f"token:{who}")) and what.casefold() in record_text(record).casefold()

    return wanted


async def _listed(
    client: EngineClient, limit: int, before: int | None, wanted: Callable[[AuditRecord], bool] | None
) -> AuditList:
    """The newest ``limit`` records below ``before`` that are wanted."""
    if wanted is None:
        return await client.call(AUDIT_LIST, AuditParams(limit=limit, before=before))
    found: list[AuditRecord] = []
    for _ in range(MOST_PAGES):
        page = await client.call(AUDIT_LIST, AuditParams(limit=PAGE, before=before))
        for record in page.records:
            if len(found) == limit:
                return AuditList(records=found, next_before=found[-1].seq)
            if wanted(record):
                found.append(record)
        before = page.next_before
        if before is None:
            break
    return AuditList(records=found, next_before=before)

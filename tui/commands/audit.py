"""``audit``: who did what, and whether that record is in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.registry.engine import AUDIT_LIST, AUDIT_VERIFY, AuditParams
from tui.commands import exit_codes
from tui.commands.arguments import Count
from tui.commands.invocation import Invocation, common_options
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.models.engine import AuditCheck, AuditList


@click.command("audit")
@click.option("--verify", is_flag=True, help="Look at every record instead of listing the newest.")
@click.option("-n", "limit", type=Count(1, 500), metavar="N", default=30, show_default=True, help="How many to list.")
@common_options
@click.pass_obj
def audit(invocation: Invocation, verify: bool, limit: int) -> int:
    """List who did what here, newest first, or verify that record.

    A record that is consistent in itself has not been changed in the middle; whoever may write the project's folder
    could have made all of it anew.

    \b
    Examples:
      gatewright audit -n 100
      gatewright audit --verify
    """
    if not verify:
        invocation.answer(lambda client: client.call(AUDIT_LIST, AuditParams(limit=limit)), _print_records)
        return exit_codes.OK
    check = invocation.answer(lambda client: client.call(AUDIT_VERIFY), _print_check)
    return exit_codes.OK if check.problem is None else exit_codes.FAILED


def _print_check(invocation: Invocation, check: AuditCheck) -> None:
    if check.problem is None:
        invocation.streams.out.line(f"{check.records} records, internally consistent, head {check.head}")
    else:
        invocation.streams.notify(check.problem)


def _print_records(invocation: Invocation, found: AuditList) -> None:
    from tui.text.table import render, terminal_width

    rows = [
        [str(one.seq), clock(one.at), sanitise_line(one.actor), one.source, one.action, sanitise_line(one.subject)]
        for one in found.records
    ]
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(render(["seq", "when", "who", "from", "what", "about"], rows, right="seq", width=width))

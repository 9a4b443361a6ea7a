"""``audit``: who did what, and whether that record is in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.registry.engine import AUDIT_LIST, AUDIT_VERIFY, AuditParams
from tui.commands import exit_codes
from tui.commands.invocation import Invocation, common_options
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.models.engine import AuditCheck, AuditList


@click.command("audit")
@click.option("--verify", is_flag=True, help="Look at every record instead of listing the newest.")
@click.option("-n", "limit", type=click.IntRange(1, 500), default=30, show_default=True, help="How many to list.")
@common_options
@click.pass_obj
def audit(invocation: Invocation, verify: bool, limit: int) -> int:
    """List who did what here, newest first, or verify that record.

    A record that is consistent in itself has not been changed in the middle; whoever may write the project's folder
    could have made all of it anew.
    """
    return _verify(invocation) if verify else _list(invocation, limit)


def _verify(invocation: Invocation) -> int:
    from tui.commands.session import with_engine

    async def work(client: EngineClient) -> AuditCheck:
        return await client.call(AUDIT_VERIFY)

    check = with_engine(invocation, work)
    if invocation.json:
        invocation.print_json(check)
    elif check.problem is None:
        invocation.streams.out.line(f"{check.records} records, internally consistent, head {check.head}")
    else:
        invocation.streams.notify(check.problem)
    return exit_codes.OK if check.problem is None else exit_codes.FAILED


def _list(invocation: Invocation, limit: int) -> int:
    from tui.commands.session import with_engine
    from tui.commands.table import render, terminal_width

    async def work(client: EngineClient) -> AuditList:
        return await client.call(AUDIT_LIST, AuditParams(limit=limit))

    found = with_engine(invocation, work)
    if invocation.json:
        invocation.print_json(found)
        return exit_codes.OK
    rows = [
        [str(one.seq), clock(one.at), sanitise_line(one.actor), one.source, one.action, sanitise_line(one.subject)]
        for one in found.records
    ]
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(render(["seq", "when", "who", "from", "what", "about"], rows, right="seq", width=width))
    return exit_codes.OK

"""``audit``: who did what, and whether that record is in order."""

from __future__ import annotations

import json
import re
import textwrap
import time
from typing import TYPE_CHECKING, NamedTuple, TextIO

import click

from engine.registry.engine import AUDIT_LIST, AUDIT_VERIFY, ENGINE_INFO, AuditParams, AuditVerifyParams
from tui.commands import exit_codes
from tui.commands.arguments import Count, host_files
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.text.audit_record import DIGEST, VERIFIED_AT_ONCE, is_head, record_text
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.client.client import EngineClient
    from engine.models.engine import AuditCheck, AuditList

MOST_LISTED = 500
"""Records of one answer, at most."""

NARROWEST = 20
"""Cells that are left for what was done, however narrow the terminal."""

WHERE_HEADS_ARE = (
    "An account that may write the project's folder could have rebuilt all of it. Compare it with a head that is kept "
    "elsewhere: gatewright audit --verify --head HASH."
)

HEADS_AT_A_TIME = 100
"""Heads after which it is shown how many were compared."""

_HEAD = re.compile(r'project ("(?:[^"\\]|\\.)*") record ([0-9]{1,18}) head ([0-9a-f]{64})')
"""Of a line that the engine sent to the system's log."""


class AuditHeads(NamedTuple):
    """How many heads of a log are in the record, and what is wrong."""

    heads: int
    problem: str | None


@click.command("audit")
@click.option("--verify", is_flag=True, help="Look at every record instead of listing the newest.")
@click.option("--head", metavar="HASH", default="", help="With --verify: this head must be in it.")
@click.option(
    "--heads",
    "log",
    metavar="FILE",
    type=click.File(errors="replace"),
    help="With --verify: each head in this part of the system's log must be in it; - is stdin.",
)
@click.option(
    "--export",
    "exports",
    metavar="PATH",
    multiple=True,
    shell_complete=host_files,
    help="With --verify: look at exported files, or a folder of them, instead.",
)
@click.option(
    "-n", "limit", type=Count(1, MOST_LISTED), metavar="N", default=30, show_default=True, help="How many to list."
)
@click.option("--before", type=Count(1), metavar="SEQ", help="Only records with a smaller number.")
@click.option("--who", metavar="NAME", default="", help="Only of this account or token.")
@click.option("--what", metavar="WORDS", default="", help="Only with these words in what was done.")
@click.option("--action", metavar="ACTION", default="", help="Only of this action, such as save or denied.")
@click.option("--subject", metavar="NAME", default="", help="Only about this script, token or run (#12).")
@click.option("--since", metavar="TIME", default="", help="Only from then on: today, 2h, 3d, 14:30, 2026-01-31.")
@click.option("--until", metavar="TIME", default="", help="Only before that.")
@click.option("--text", metavar="TEXT", default="", help="Only with this text anywhere.")
@common_options
@click.pass_obj
def audit(
    invocation: Invocation,
    /,
    verify: bool,
    head: str,
    log: TextIO | None,
    exports: tuple[str, ...],
    limit: int,
    before: int | None,
    since: str,
    until: str,
    **wanted: str,
) -> int:
    """List who did what here, newest first, or verify that record.

    A record that is internally consistent was not changed in the middle; an account that may write the project's
    folder could have rebuilt all of it. So the engine sends the head, the newest record's hash, to the system's log
    each minute (journalctl -t gatewright-audit): with --head, that one must be in the record.

    \b
    Examples:
      gatewright audit -n 100
      gatewright audit --who token:dashboard --what refused --since 3d
      gatewright audit --subject line1/report.py
      gatewright audit --verify --head HASH
      gatewright audit --verify --heads - < lines-of-the-log
      gatewright audit --verify --export /srv/collected/audit
    """
    if not verify:
        if head or exports or log:
            raise click.UsageError("--head, --heads and --export belong to --verify.")
        params = AuditParams(limit=limit, before=before, since=_moment(since), until=_moment(until), **wanted)
        actions: set[str] = set()

        async def listed(client: EngineClient) -> AuditList:
            found = await client.call(AUDIT_LIST, params)
            if params.action and not found.records:
                newest = await client.call(AUDIT_LIST, AuditParams(limit=MOST_LISTED))
                actions.update(one.action for one in newest.records)
            return found

        invocation.answer(listed, lambda invocation, found: _print_records(invocation, found, sorted(actions)))
        return exit_codes.OK
    if before is not None or since or until or any(wanted.values()):
        raise click.UsageError("--verify looks at every record: what narrows a list has no place here.")
    head = _head(head)
    if log and (head or exports):
        raise click.UsageError("--heads is not for --head or --export.")
    if exports:
        from tui.commands.audit_files import check_files, print_found

        found = check_files(exports, head)
        invocation.show(found, print_found)
        return exit_codes.OK if found.problem is None else exit_codes.FAILED
    if log:
        compared = invocation.answer(
            lambda client: _compared(client, invocation, log), _print_compared, as_json=AuditHeads._asdict
        )
        return exit_codes.OK if compared.problem is None else exit_codes.FAILED
    check = invocation.answer(lambda client: _verified(client, invocation, head), _print_check)
    return exit_codes.OK if check.problem is None else exit_codes.FAILED


def _head(text: str) -> str:
    found = text.strip().lower()
    if found and not is_head(found):
        raise click.UsageError(
            f"A head has {DIGEST} hexadecimal digits, as gatewright audit --verify and the log show it."
        )
    return found


def _moment(text: str) -> float | None:
    if not text:
        return None
    from tui.text.run_query import BadSearch, moment

    try:
        return moment(text, time.time())
    except BadSearch as error:
        raise CommandError(str(error), exit_code=exit_codes.USAGE, code="bad_search") from None


async def _verified(client: EngineClient, invocation: Invocation, head: str) -> AuditCheck:
    """Look at the record piece by piece, and show how far that is; Ctrl+C ends it between two of them."""
    after = 0
    try:
        while True:
            params = AuditVerifyParams(after=after, most=VERIFIED_AT_ONCE, head=head)
            found = await client.call(AUDIT_VERIFY, params)
            if found.next_after is None:
                return found
            after = found.next_after
            invocation.streams.err.overwrite(f"verified {found.checked:,} of {found.records:,} records")
    finally:
        if after:
            invocation.streams.err.overwrite("")


async def _compared(client: EngineClient, invocation: Invocation, log: TextIO) -> AuditHeads:
    """Look at the record, then for each head that a log has of this project."""
    check = await _verified(client, invocation, "")
    if check.problem is not None:
        return AuditHeads(0, check.problem)
    project = json.dumps((await client.call(ENGINE_INFO)).project)
    heads = {(int(found[2]), found[3]) for line in log if (found := _HEAD.search(line)) and found[1] == project}
    for number, (seq, head) in enumerate(sorted(heads), 1):
        records = (await client.call(AUDIT_LIST, AuditParams(limit=1, before=seq + 1))).records
        if not records or (records[0].seq, records[0].sha256) != (seq, head):
            problem = (
                f"Audit record {seq} does not have the head that the log has of it: records were rebuilt or removed."
            )
            return AuditHeads(number - 1, problem)
        if number % HEADS_AT_A_TIME == 0:
            invocation.streams.err.overwrite(f"compared {number:,} of {len(heads):,} heads")
    if len(heads) >= HEADS_AT_A_TIME:
        invocation.streams.err.overwrite("")
    return AuditHeads(len(heads), None if heads else f"No line there has a head of the project {project}.")


def _print_compared(invocation: Invocation, compared: AuditHeads) -> None:
    if compared.problem is not None:
        invocation.streams.notify(compared.problem, failed=True)
    else:
        heads = "The one head" if compared.heads == 1 else f"All {compared.heads} heads"
        invocation.streams.out.line(f"{heads} of the log {'is' if compared.heads == 1 else 'are'} in the record")


def _print_check(invocation: Invocation, check: AuditCheck) -> None:
    streams = invocation.streams
    if check.problem is not None:
        streams.notify(check.problem, failed=True)
        return
    streams.out.line(f"{check.records} records, internally consistent, head {check.head}")
    if check.head_at is not None:
        later = check.records - check.head_at
        streams.out.line(f"That head is record {check.head_at}'s" + (f", {later} came after it" if later else ""))
    else:
        streams.notify(WHERE_HEADS_ARE)
    if check.copies:
        streams.notify(check.copies)


def _print_records(invocation: Invocation, found: AuditList, actions: Sequence[str]) -> None:
    """A record a line in a pipe; a terminal gets as many lines of each as it takes: nothing is cut.

    ``actions`` are those of the newest records, where one was asked for that no record has.
    """
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
        there = f"The newest records have these actions: {', '.join(map(sanitise_line, actions))}." if actions else ""
        invocation.streams.notify("no record matches", hint=there or None)
    if found.next_before is not None:
        invocation.streams.notify(f"older ones: the same with --before {found.next_before}")

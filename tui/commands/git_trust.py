"""``git trust``: what the project's repository could make git run, and the decision about it."""

from __future__ import annotations

import click

from engine.models.git import GitTrust, GitTrustRequest
from engine.registry.git import GIT_PROGRAMS, GIT_TRUST
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options


@click.command("trust")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--fingerprint", metavar="HASH", help="Only if the repository still has this fingerprint.")
@click.option("--revoke", is_flag=True, help="Trust the repository no longer.")
@common_options
@click.pass_obj
def trust(invocation: Invocation, yes: bool, fingerprint: str | None, revoke: bool) -> int:
    """Decide whether the repository's own programs may run.

    A repository can name programs: filters, hooks and more. Until you trust it nothing of it runs, and nothing is
    written. After that its filters and hooks run with the rights of this engine, when something is staged or committed;
    any change of what is listed here ends the trust.

    \b
    Examples:
      gatewright git trust
      gatewright git trust --revoke
    """
    seen = invocation.ask(lambda client: client.call(GIT_PROGRAMS))
    if fingerprint is not None and fingerprint != seen.fingerprint:
        raise CommandError(
            "the repository names other programs than those with this fingerprint",
            hint="Look again: gatewright git trust",
            exit_code=exit_codes.CONFLICT,
            code="changed",
        )
    wanted = None if revoke else seen.fingerprint
    if not revoke and _is_settled(invocation, seen):
        return exit_codes.OK
    if not (yes or revoke) and not _agreed(invocation, seen):
        return exit_codes.USAGE
    invocation.answer(lambda client: client.call(GIT_TRUST, body=GitTrustRequest(fingerprint=wanted)), _print_decided)
    return exit_codes.OK


def _is_settled(invocation: Invocation, seen: GitTrust) -> bool:
    """Whether there is nothing to decide, which is then said."""
    if seen.needed and not seen.trusted:
        return False
    invocation.show(seen, _print_settled)
    return True


def _print_settled(invocation: Invocation, seen: GitTrust) -> None:
    if seen.trusted and seen.needed:
        _print_programs(invocation, seen)
        invocation.streams.notify("this is trusted already")
    else:
        invocation.streams.notify("the repository names no programs; it needs no trust")


def _print_decided(invocation: Invocation, decided: GitTrust) -> None:
    invocation.streams.notify("trusted, exactly as it is now" if decided.trusted else "not trusted")


def _agreed(invocation: Invocation, seen: GitTrust) -> bool:
    """What the person at the terminal says; without one, what there is to decide is only shown."""
    invocation.show(seen, _print_programs)
    if invocation.can_ask:
        click.confirm("May these run when something is staged or committed?", abort=True, err=True)
        return True
    invocation.streams.notify(
        "nothing was decided: there is no terminal to ask at",
        f"Trust exactly this: gatewright git trust --yes --fingerprint {seen.fingerprint}",
    )
    return False


def _print_programs(invocation: Invocation, seen: GitTrust) -> None:
    from tui.text.table import render

    rows = [[one.kind, one.name, one.value] for one in seen.programs]
    invocation.streams.out.line(render(["what", "name", "value"], rows))

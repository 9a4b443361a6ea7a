"""``token``: let programs and other hosts call the engine without an account of this host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import click

from engine.models.runs import Mode
from engine.registry.access import TOKENS_CREATE, TOKENS_LIST, TOKENS_REVOKE, TokenParams
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from engine.models.access import NewToken, TokenInfo, TokenList

ROLES = ("viewer", "operator", "author", "admin")

KEEP_IT = "this is the only time that the token is shown"
HOW = "Keep it where only its program's account can read it: --output FILE, or umask 077 before > FILE."


NEAR = 2 * 86400
"""Seconds before and after an end within which a list tells its time, too."""


@click.group("token", cls=CommandGroup)
@common_options
def token() -> None:
    """Make, list and revoke tokens, by which programs and other hosts call this project's engine.

    \b
    Examples:
      gatewright token create --role operator --name dashboard > dashboard.token
      gatewright token list
      gatewright token revoke dashboard
    """


def _token_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from tui.commands.candidates import token_names

    return token_names(ctx, incomplete)


@token.command("create")
@click.option("--name", required=True, metavar="N", help="What lists and the audit call it.")
@click.option(
    "--role",
    required=True,
    type=click.Choice(ROLES, case_sensitive=False),
    help="viewer reads; operator also runs saved scripts; author also edits and runs code; admin also ADMIN runs and "
    "everything else.",
)
@click.option(
    "--expires", metavar="WHEN", help="How long it counts, such as 90d or 12h, or its last day, such as 2027-12-31."
)
@click.option(
    "--default-mode",
    type=click.Choice([mode.value.lower() for mode in Mode], case_sensitive=False),
    default=Mode.RESTRICTED.value.lower(),
    help="The mode of its runs that name none; admin needs --role admin.",
)
@click.option(
    "--scripts",
    multiple=True,
    metavar="PATTERN",
    help="Only scripts whose path matches; may be given more than once.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write it to this new file, for your eyes only."
)
@common_options
@click.pass_obj
def create(
    invocation: Invocation,
    name: str,
    role: str,
    expires: str | None,
    default_mode: str,
    scripts: tuple[str, ...],
    output: str | None,
) -> int:
    """Make a token and print it, this once.

    Without --expires it counts until it is revoked. A token with --scripts runs, reads, saves, renames and deletes
    the scripts that match and no others, sees only its own runs, and runs no code but these scripts.

    In a PATTERN, * is any text without a slash, ** any text, ? one character but a slash, [ab] one of these; all else
    is itself, in upper and lower case as written. It is compared with the whole path below the scripts folder, with and
    without .py: line1/* is every script in the folder line1, line1/** those in folders below it, too.

    \b
    Examples:
      gatewright token create --role operator --name dashboard --expires 90d
      gatewright token create --role author --name ann --output ann.token
      gatewright token create --role operator --name line1 --scripts 'line1/**'
    """
    from engine.models.access import TokenRequest

    request = TokenRequest(
        name=name, role=role.lower(), expires=expires, default_mode=default_mode.upper(), scripts=list(scripts)
    )
    if output is None:
        invocation.answer(lambda client: client.call(TOKENS_CREATE, body=request), _print_new)
        return exit_codes.OK
    with _new_private_file(output) as file:  # first: a token that could not be written down would be lost
        made = invocation.ask(lambda client: client.call(TOKENS_CREATE, body=request))
        file.write(f"{made.token}\n".encode())
    invocation.show(made.info, lambda invocation, _: invocation.streams.notify(f"the token is in {output}"))
    return exit_codes.OK


@token.command("list")
@common_options
@click.pass_obj
def list_tokens(invocation: Invocation) -> int:
    """List the tokens that were not revoked, oldest first.

    \b
    Example:
      gatewright token list --json
    """
    invocation.answer(lambda client: client.call(TOKENS_LIST), _print_tokens)
    return exit_codes.OK


@token.command("revoke")
@click.argument("token", metavar="NAME", shell_complete=_token_names)
@common_options
@click.pass_obj
def revoke(invocation: Invocation, token: str) -> int:
    """Revoke a token, by its name or id, at once and for good.

    \b
    Example:
      gatewright token revoke dashboard
    """
    if token.startswith("gw_"):
        raise CommandError(
            "that is a token's text, not its name",
            hint="It is in your shell's history now. Its name stands in: gatewright token list",
            exit_code=exit_codes.USAGE,
            code="usage",
        )
    invocation.answer(lambda client: client.call(TOKENS_REVOKE, TokenParams(token=token)), _print_revoked)
    return exit_codes.OK


@contextmanager
def _new_private_file(path: str) -> Iterator[BinaryIO]:
    """A new file for this account alone, whatever the umask; removed again if what it is for fails.

    Raises:
        CommandError: There is something at ``path``, or no file can be made there.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        sentence = f"{path} exists already; no token was made"
        hint = "Name another file."
        raise CommandError(sentence, hint=hint, exit_code=exit_codes.CONFLICT, code="exists") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}; no token was made") from None
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            yield file
    except BaseException:
        os.unlink(path)
        raise


def _print_new(invocation: Invocation, made: NewToken) -> None:
    invocation.streams.out.line(made.token)
    invocation.streams.notify(KEEP_IT, HOW)


def _print_revoked(invocation: Invocation, info: TokenInfo) -> None:
    invocation.streams.notify(f"the token {sanitise_line(info.name)} is revoked")


def _print_tokens(invocation: Invocation, found: TokenList) -> None:
    from tui.text.table import render, terminal_width

    if not found.tokens:
        invocation.streams.notify("there are no tokens", "gatewright token create makes one.")
        return
    head = ["name", "id", "role", "mode", "scripts", "made", "by", "expires", "used"]
    width = terminal_width(invocation.streams.out.is_terminal)
    rows = [_row(token) for token in found.tokens]
    invocation.streams.out.line(render(head, rows, width=width, less=("by", "made", "used", "mode")))


def _row(token: TokenInfo) -> list[str]:
    expires = "never" if token.expires_at is None else _end(token.expires_at)
    return [
        sanitise_line(token.name),
        token.id,
        token.role,
        token.default_mode.lower(),
        sanitise_line(" ".join(token.scripts)) or "all",
        _day(token.created_at),
        sanitise_line(token.created_by),
        f"expired {expires}" if token.expired else expires,
        "never" if token.last_used_at is None else clock(token.last_used_at),
    ]


def _end(at: float) -> str:
    """The day, and the time where it is near enough to matter."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if abs(at - time.time()) < NEAR else _day(at)


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))

"""``secrets``: values that scripts use without having them in their text."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import click

from engine.models.secrets import SecretInfo, SecretList, SecretValue
from engine.registry.secrets import SECRETS_DELETE, SECRETS_LIST, SECRETS_SET, SecretParams
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MAX_INPUT = 16 << 10
"""Bytes that a value may have."""


def _secret_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from tui.commands.candidates import secret_names

    return secret_names(ctx, incomplete)


@click.group("secrets", cls=CommandGroup)
@common_options
def secrets() -> None:
    """Set, list and delete secrets, such as passwords and keys that scripts use.

    A script names those that it uses in its header, secrets = ["historian_password"] under
    [tool.gatewright.permissions], and an administrator approves that with its text. It gets them by
    gatewright.secrets.get(NAME); in what it prints, returns or fails with *** stands in their place.

    \b
    Examples:
      gatewright secrets set historian_password
      gatewright secrets list
    """


@secrets.command("set")
@click.argument("name", shell_complete=_secret_names)
@click.option(
    "--from", "file", type=click.Path(dir_okay=False), metavar="FILE", help="Read it from a file of mode 600."
)
@common_options
@click.pass_obj
def set_secret(invocation: Invocation, name: str, file: str | None) -> None:
    """Give the secret NAME a value: asked for at a terminal, else read from standard input.

    One line end at its end does not count. A value is never taken from the command line, which every account can read.

    \b
    Examples:
      gatewright secrets set historian_password
      gatewright secrets set plc_key --from plc.key
      gatewright secrets set historian_password < /run/historian
    """
    value = _value(invocation, name, file)
    params = SecretParams(name=name)
    invocation.answer(lambda client: client.call(SECRETS_SET, params, SecretValue(value=value)), _print_set)


@secrets.command("list")
@common_options
@click.pass_obj
def list_secrets(invocation: Invocation) -> None:
    """List the secrets, without their values, and the scripts that are approved to use them.

    \b
    Example:
      gatewright secrets list --json
    """
    invocation.answer(lambda client: client.call(SECRETS_LIST), _print_secrets)


@secrets.command("delete")
@click.argument("name", shell_complete=_secret_names)
@common_options
@click.pass_obj
def delete_secret(invocation: Invocation, name: str) -> None:
    """Delete the secret NAME for good. Scripts that ask for it fail from then on.

    \b
    Example:
      gatewright secrets delete historian_password
    """
    invocation.answer(lambda client: client.call(SECRETS_DELETE, SecretParams(name=name)), _print_deleted)


def _value(invocation: Invocation, name: str, file: str | None) -> str:
    if file is not None:
        data = _private_file(file)
    elif invocation.can_ask and sys.stdin.isatty():
        return str(click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt="Once more", err=True))
    else:
        data = sys.stdin.buffer.read(MAX_INPUT + 3)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _unusable("the value is not UTF-8 text", "Encode it first, for example with base64.") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _unusable("there is no value", "Give it on standard input, or in a file: --from FILE")
    return text


def _private_file(path: str) -> bytes:
    """Return the content of a file that only its owner can reach.

    Raises:
        CommandError: It cannot be read, or others could read or change it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _unusable(f"{path} is no ordinary file")
        if found.st_uid not in (os.geteuid(), 0):
            raise _unusable(f"{path} belongs to another account", "Keep a secret in a file of your own.")
        if found.st_mode & 0o077:
            raise _unusable(f"other accounts may use {path}", f"Close it to them: chmod 600 {path}")
        return file.read(MAX_INPUT + 3)


def _unusable(sentence: str, hint: str | None = None) -> CommandError:
    return CommandError(f"{sentence}; nothing was set", hint=hint, exit_code=exit_codes.USAGE, code="usage")


def _print_set(invocation: Invocation, info: SecretInfo) -> None:
    used = f"; {', '.join(info.scripts)} may use it" if info.scripts else ""
    invocation.streams.notify(sanitise_line(f"the secret {info.name} is set{used}"))


def _print_deleted(invocation: Invocation, info: SecretInfo) -> None:
    used = f"; {', '.join(info.scripts)} asked for it" if info.scripts else ""
    invocation.streams.notify(sanitise_line(f"the secret {info.name} is deleted{used}"))


def _print_secrets(invocation: Invocation, found: SecretList) -> None:
    from tui.text.table import render, terminal_width

    if not found.secrets:
        invocation.streams.notify("there are no secrets", "gatewright secrets set NAME makes one.")
        return
    rows = [
        [one.name, clock(one.set_at), sanitise_line(one.set_by), sanitise_line(" ".join(one.scripts))]
        for one in found.secrets
    ]
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(render(["name", "set", "by", "scripts"], rows, width=width, less=("by", "set")))

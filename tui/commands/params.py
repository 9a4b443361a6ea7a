"""Parameters on the command line: typed there, read from a file, or asked for without showing them.

What stands in a command is in the shell's history and in the process list of everybody on the host (proc(5), cmdline).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, TypeVar

import click

from tui.commands import exit_codes
from tui.commands.arguments import parameters
from tui.commands.errors import CommandError

MAX_VALUE = 1 << 20
"""Bytes of a value that is read from a file."""

STANDARD_INPUT = "-"
_TERMINAL = "/dev/tty"
"""The process's own, wherever its standard input comes from: tty(4)."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def assignments(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` of every use of an option, by name."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} has no value. Write {value or 'NAME'}=PATH.")
        _keep(found, name, text)
    return found


def named_paths(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``NAME=PATH`` of every use of an option, by a name of a buffer, which may hold more than that of a parameter."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            raise click.BadParameter(f"{value!r} names no buffer and path. Write NAME=PATH.")
        if name in found:
            raise click.BadParameter(f"{name} is given twice.")
        found[name] = path
    return found


def _assigned_or_asked(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str | None]:
    """``NAME=VALUE`` by name; None for a ``NAME`` alone, which is asked for."""
    found: dict[str, str | None] = {}
    for value in values:
        name, equals, text = value.partition("=")
        _keep(found, name, utf8(text) if equals else None)
    return found


def _keep(found: dict[str, Any], name: str, value: str | None) -> None:
    """Refuse what is no name or there already. The value is not repeated: it may be a secret."""
    if not name.isidentifier():
        raise click.BadParameter(
            f"{name!r} cannot be the name of a parameter, which has letters, digits and _ only. Write NAME=VALUE."
        )
    if name in found:
        raise click.BadParameter(f"{name!r} is given twice.")
    found[name] = value


_OPTIONS = (
    click.option(
        "-p",
        "--param",
        "params",
        metavar="NAME[=VALUE]",
        multiple=True,
        callback=_assigned_or_asked,
        shell_complete=parameters,
        help="A parameter. NAME alone asks for a secret: it is not shown, nor in the process list.",
    ),
    click.option(
        "--param-file",
        "param_files",
        metavar="NAME=PATH",
        multiple=True,
        callback=assignments,
        shell_complete=parameters,
        help="A parameter whose value a file holds, the newline at its end left out; - is the standard input.",
    ),
)


def param_options(command: Decorated) -> Decorated:
    """``--param`` and ``--param-file``; ``given_params`` makes values of what they got."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_params(params: Mapping[str, str | None], files: Mapping[str, str]) -> dict[str, str]:
    """The values of both options by name.

    Raises:
        CommandError: A file cannot be read, or there is no terminal to ask at.
    """
    if twice := params.keys() & files.keys():
        raise click.UsageError(f"{min(twice)!r} is given twice.")
    found = {name: _content(name, path) for name, path in files.items()}
    asked = {name: _asked(name) if value is None else value for name, value in params.items()}
    return asked | found


def refuse_shared_input(users: Iterable[str]) -> None:
    """Refuse that the standard input is read twice: ``users`` are the paths of what is read."""
    if sum(path == STANDARD_INPUT for path in users) > 1:
        raise click.UsageError("The standard input can be only one of them: the code, a file or a parameter.")


def standard_input() -> BinaryIO:
    """Return the standard input, for reading bytes.

    Raises:
        CommandError: The process was started without one, as ``<&-`` and some service managers do it.
    """
    if sys.stdin is None:
        raise _unreadable("the standard input is closed")
    return sys.stdin.buffer


def can_ask() -> bool:
    """Whether the process has a terminal."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _asked(name: str) -> str:
    import getpass

    if not can_ask():
        raise CommandError(
            f"there is no terminal to ask for {name} at",
            hint=f"--param-file {name}=PATH reads it from a file.",
            exit_code=exit_codes.USAGE,
        )
    try:
        return utf8(getpass.getpass(f"{name} (not shown): "))
    except (EOFError, KeyboardInterrupt):
        raise click.Abort from None


def ask_for(names: Iterable[str]) -> dict[str, str]:
    """Ask for each value at the terminal, without showing it."""
    return {name: _asked(name) for name in names}


def _content(name: str, path: str) -> str:
    try:
        if path == STANDARD_INPUT:
            data = standard_input().read(MAX_VALUE + 1)
        else:
            with open(os.path.expanduser(path), "rb") as file:
                data = file.read(MAX_VALUE + 1)
        if len(data) > MAX_VALUE:
            raise _unreadable(f"{path} is too large for the parameter {name}; hand it over with --file")
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise _unreadable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _unreadable(f"{path} is not UTF-8 text (byte {error.start})") from None


def _unreadable(sentence: str) -> CommandError:
    return CommandError(sentence, exit_code=exit_codes.USAGE, code="unreadable")


def utf8(text: str) -> str:
    """``text`` if it is UTF-8; other arguments arrive with lone surrogates (PEP 383), which no JSON carries."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise CommandError("an argument is not UTF-8", exit_code=exit_codes.USAGE) from None
    return text

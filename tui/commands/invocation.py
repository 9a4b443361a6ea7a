"""What every command has: the project, ``--json``, and one way to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from tui.commands import exit_codes
from tui.commands.streams import Streams

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(slots=True)
class Invocation:
    """One call of ``gatewright``, shared by the group and its command."""

    project: str | None = None
    json: bool = False
    open_script: str | None = None
    streams: Streams = field(default_factory=Streams)

    def folder(self) -> Path:
        """The project's folder: the one given, or the one around the current folder."""
        from engine.client.launch import find_project

        return find_project(self.project)

    def print_json(self, value: object) -> None:
        """``value``, models included, as one JSON object on a line of stdout."""
        import msgspec

        self.streams.out.line(msgspec.json.encode(value).decode())

    def print_error(self, error: CommandError) -> None:
        """The failure as the API would word it."""
        from engine.models.base import ErrorBody

        self.print_json(ErrorBody(error=error.message, code=error.code, hint=error.hint))


class CommandError(Exception):
    """A command cannot do what it was asked. It reaches the user as one sentence, and what to do."""

    def __init__(
        self, message: str, *, hint: str | None = None, exit_code: int = exit_codes.FAILED, code: str = "failed"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.code = code


def common_options(command: Decorated) -> Decorated:
    """``--project`` and ``--json``, before or after the command's name."""
    project = click.option(
        "--project",
        metavar="DIR",
        expose_value=False,
        callback=_keep_project,
        help="The project's folder; else the one around the current folder.",
    )
    as_json = click.option(
        "--json", is_flag=True, expose_value=False, callback=_keep_json, help="Print one JSON object."
    )
    return project(as_json(command))


def open_option(command: Decorated) -> Decorated:
    """``--open``, before or after the project."""
    return click.option(
        "--open",
        metavar="SCRIPT",
        expose_value=False,
        callback=_keep_open,
        help="Open this script in the console.",
    )(command)


def _keep_open(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).open_script = value


def _keep_project(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).project = value


def _keep_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Invocation).json = True

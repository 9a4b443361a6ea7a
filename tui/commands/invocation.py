"""What every command has: the project, the engine's answers, and text or ``--json`` to show them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui.commands.arguments import OPENED_SCRIPT, folders
from tui.commands.streams import Streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from engine.client.client import EngineClient
    from tui.commands.errors import CommandError

UNCUT = 1_000
"""Characters of a sentence in a list of commands; no sentence has so many."""

Answer = TypeVar("Answer")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(slots=True)
class Invocation:
    """One call of ``gatewright``, shared by the group and its command."""

    project: str | None = None
    json: bool = False
    open_script: str | None = None
    streams: Streams = field(default_factory=Streams)

    def folder(self, *, make: bool = False) -> Path:
        """Return the project's folder: the one given, or the one around the current folder.

        Says on stderr when root will go on as the account that owns it.

        Args:
            make: Accept a folder that is no project yet, since the command makes one.

        Raises:
            LaunchError: There is none.
        """
        from tui.commands.session import project_folder

        return project_folder(self.project, self.streams, make=make)

    def answer(
        self,
        work: Callable[[EngineClient], Awaitable[Answer]],
        as_text: Callable[[Invocation, Answer], None],
        *,
        as_json: Callable[[Answer], object] | None = None,
        start: bool = True,
        make: bool = False,
    ) -> Answer:
        """Ask the engine and show what it says: ``ask``, then ``show``."""
        found = self.ask(work, start=start, make=make)
        self.show(found, as_text, as_json=as_json)
        return found

    def ask(
        self, work: Callable[[EngineClient], Awaitable[Answer]], *, start: bool = True, make: bool = False
    ) -> Answer:
        """Connect to the project's engine and return what ``work`` gets from it.

        Args:
            work: Gets the connected client.
            start: Start the engine if none answers.
            make: Make the project if there is none.

        Raises:
            CommandError: No engine could be reached, or it refused.
        """
        from tui.commands.session import with_engine

        named = self.project is not None
        return with_engine(lambda: self.folder(make=make), self.streams, work, start=start, become=named)

    async def reconnect(self) -> EngineClient:
        """Connect once more, to the engine that answers now; the caller closes the client.

        Raises:
            LaunchError: No engine could be reached or started.
        """
        from engine.client.launch import connect
        from tui.commands.session import CLIENT

        return await connect(self.folder(), client=CLIENT, become=self.project is not None)

    @property
    def can_ask(self) -> bool:
        """Whether a person answers: a terminal at both ends, and no program that waits for JSON."""
        return not self.json and sys.stdin is not None and sys.stdin.isatty() and self.streams.err.is_terminal

    def confirm(self, question: str, *, act: str, done: str) -> None:
        """Ask before something goes; return if the answer is yes.

        Args:
            question: Answered by yes or no.
            act: The verb for what would be done: "delete".
            done: Its participle: "deleted".

        Raises:
            click.Abort: The answer is no.
            CommandError: There is no terminal to ask at.
        """
        if not self.can_ask:
            from tui.commands import exit_codes
            from tui.commands.errors import CommandError

            raise CommandError(
                f"nothing was {done}: there is no terminal to ask at",
                hint=f"Say --yes to {act} without a question.",
                exit_code=exit_codes.USAGE,
                code="not_asked",
            )
        click.confirm(question, abort=True, err=True)

    def show(
        self,
        answer: Answer,
        as_text: Callable[[Invocation, Answer], None],
        *,
        as_json: Callable[[Answer], object] | None = None,
    ) -> None:
        """Show an answer: with ``--json`` as one object, else as ``as_text`` writes it for people.

        Args:
            answer: A model, or several.
            as_text: Writes it to the streams of the invocation.
            as_json: Makes the object, if it is not the answer itself.
        """
        if self.json:
            self.print_json(answer if as_json is None else as_json(answer))
        else:
            as_text(self, answer)

    def line(self, *words: str) -> str:
        """The command line that does something else in the same project, to be pasted into a shell."""
        from tui.text.script_names import quoted

        project = [] if self.project is None else ["--project", self.project]
        return " ".join(map(quoted, ["gatewright", *project, *words]))

    def print_json(self, value: object) -> None:
        """``value``, models included, as one JSON object on a line of stdout."""
        import msgspec

        self.streams.out.line(msgspec.json.encode(value).decode())

    def print_error(self, error: CommandError) -> None:
        """The failure as the API would word it."""
        from engine.models.base import ErrorBody

        self.print_json(ErrorBody(error=error.message, code=error.code, hint=error.hint))


class CommandGroup(click.Group):
    """A group whose help says of each command its whole first sentence; click cuts it at the end of the line."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options, each with its whole sentence."""
        found = super().shell_complete(ctx, incomplete)
        for item in found:
            command = self.get_command(ctx, item.value)
            item.help = item.help if command is None else command.get_short_help_str(limit=UNCUT)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, a sentence each, on as many lines as that takes."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(limit=UNCUT)) for name, command in found if command and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def common_options(command: Decorated) -> Decorated:
    """``--project`` and ``--json``, before or after the command's name."""
    project = click.option(
        "--project",
        metavar="DIR",
        shell_complete=folders,
        is_eager=True,  # what a path means depends on it
        expose_value=False,
        callback=_keep_project,
        help="The project's folder; else the one around the current folder.",
    )
    as_json = click.option(
        "--json", is_flag=True, is_eager=True, expose_value=False, callback=_keep_json, help="Print one JSON object."
    )
    return project(as_json(command))


def open_option(command: Decorated) -> Decorated:
    """``--open``, before or after the project."""
    return click.option(
        "--open",
        metavar="SCRIPT",
        type=OPENED_SCRIPT,
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

"""What every command has: the project, the engine's answers, and text or ``--json`` to show them."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from tui.commands.arguments import OPENED_SCRIPT, SHARED_MARK, gateway_names, host_files, projects
from tui.commands.streams import Streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from engine.client.client import EngineClient
    from engine.client.gateways import Gateway
    from engine.client.target import Target
    from tui.commands.errors import CommandError

UNCUT = 1_000
"""Characters of a sentence in a list of commands; no sentence has so many."""

GATEWAY = "GATEWRIGHT_GATEWAY"
URL = "GATEWRIGHT_URL"
TOKEN_FILE = "GATEWRIGHT_TOKEN_FILE"  # noqa: S105 - a file's name
CA_FILE = "GATEWRIGHT_CA_FILE"
"""Variables that name an engine elsewhere where the command line names none."""

SAME_ENGINE = (
    "run", "exec", "eval", "runs", "scripts", "documents", "render", "packages", "git", "audit", "evidence", "secrets",
    "stats", "retention",
)  # fmt: skip
"""Commands that speak to an engine wherever it is, and mean the same one when a sentence names them."""

Answer = TypeVar("Answer")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(slots=True)
class Invocation:
    """One call of ``gatewright``, shared by the group and its command.

    Attributes:
        given_project: A folder as it was given, or ``@ID`` of a shared project.
        gateway: The name of a gateway of the user's, as it was given; else taken from the environment.
        on: Several gateways, as they were given to a command that asks them all.
        url: Of an engine elsewhere, as it was given; like the files for it, else taken from the environment.
        token_file: Holds the token for it.
        ca_file: Authorities to trust for it.
        json: One JSON object instead of text.
        open_script: What the console opens first.
    """

    given_project: str | None = None
    gateway: str | None = None
    on: str | None = None
    url: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    json: bool = False
    open_script: str | None = None
    streams: Streams = field(default_factory=Streams)
    _found: Gateway | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Have what is told name the engine that was named."""
        self.streams.for_same_engine = self.for_same_engine

    @property
    def project(self) -> str | None:
        """The folder or ``@ID`` that is named, by itself or as a gateway; None where neither is."""
        if self.given_project is not None or self.on is not None:
            return self.given_project
        gateway = self.named_gateway
        return gateway.project or None if gateway is not None else None

    @project.setter
    def project(self, value: str | None) -> None:
        self.given_project = value

    @property
    def engine_option(self) -> str | None:
        """The option of the command line that names the engine; None where none does."""
        return next(iter(self._engine_options()), None)

    def _engine_options(self) -> list[str]:
        given = {"--project": self.given_project, "--gateway": self.gateway, "--url": self.url, "--on": self.on}
        return [option for option, value in given.items() if value is not None]

    @property
    def named_gateway(self) -> Gateway | None:
        """The gateway that is meant, by its name on the command line or in the environment.

        Read once: root may become the account that owns a project, which has gateways of its own.

        Raises:
            CommandError: There is none of that name, or the user's file is wrong.
        """
        if self._found is None:
            name = self.gateway or (None if self.engine_option else os.environ.get(GATEWAY)) or None
            if name is None and self.gateway is None:
                return None
            from engine.client.gateways import Gateways
            from tui.commands.session import refusals

            with refusals():
                self._found = Gateways.load().get(name or "")
        return self._found

    @property
    def elsewhere(self) -> str | None:
        """What is named in place of a folder here: ``@ID``, a gateway or a URL; None where a folder is meant."""
        if self.project is not None:
            return self.project if self.project.startswith(SHARED_MARK) else None
        if self.on is not None:
            return self.on
        gateway = self.named_gateway
        return gateway.name if gateway is not None else self.url or os.environ.get(URL) or None

    def folder(self, *, make: bool = False) -> Path:
        """Return the project's folder: the one given, or the one around the current folder.

        Says on stderr when root will go on as the account that owns it.

        Args:
            make: Accept a folder that is no project yet, since the command makes one.

        Raises:
            LaunchError: There is none.
            CommandError: An engine without a folder here is named.
        """
        from tui.commands.session import project_folder

        self._refuse_two()
        if self.elsewhere is not None:
            self.refuse_elsewhere("this command needs a project's folder")
        return project_folder(self.project, self.streams, make=make)

    def refuse_elsewhere(self, why: str) -> NoReturn:
        """Say that the command cannot do it with an engine that has no folder here.

        Raises:
            CommandError: Always.
        """
        from tui.commands import exit_codes
        from tui.commands.errors import CommandError

        by_variable = GATEWAY if self.named_gateway is not None else URL
        named = "this names" if self.engine_option is not None else f"{by_variable} names"
        raise CommandError(
            f"{why}, and {named} {self.elsewhere}",
            hint="Name a folder of this host: --project DIR; or call it on the gateway itself.",
            exit_code=exit_codes.USAGE,
            code="elsewhere",
        )

    def target(self, *, make: bool = False) -> Target:
        """Return the engine that is meant; for a folder as ``folder`` does.

        Raises:
            LaunchError: There is none.
        """
        self._refuse_two()
        place = self.elsewhere
        if place is None:
            from engine.client.launch import LocalTarget

            return LocalTarget(self.folder(make=make), become=self.project is not None)
        if self.on is not None:
            return self.gateways()[0].target(become=False)
        if self.named_gateway is not None:
            return self.named_gateway.target()
        if self.project is not None:
            from engine.client.shared import SharedTarget

            return SharedTarget(place.removeprefix(SHARED_MARK))
        from tui.commands.session import remote_engine

        token_file = self.token_file or os.environ.get(TOKEN_FILE) or None
        return remote_engine(place, token_file, self.ca_file or os.environ.get(CA_FILE) or None)

    def gateways(self) -> list[Gateway]:
        """Return the gateways that ``--on`` names, in the order of the user's file, each once.

        Raises:
            LaunchError: One of them is not there, or the file is wrong.
        """
        from engine.client.gateways import Gateways

        self._refuse_two()
        return Gateways.load().asked(self.on or "", self.streams.notify)

    def _refuse_two(self) -> None:
        """Refuse a command line that names more than one engine, or half of one."""
        options = self._engine_options() or [variable for variable in (GATEWAY, URL) if os.environ.get(variable)]
        if len(options) > 1:
            raise click.UsageError(f"Two engines are named: by {options[0]} and by {options[1]}.")
        if not (self.token_file or self.ca_file) or options in (["--url"], [URL]):
            return
        also = f", and {options[0]} is given" if options else ""
        raise click.UsageError(f"--token-file and --ca-file belong to --url{also}.")

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

        return with_engine(lambda: self.target(make=make), self.streams, work, start=start)

    async def reconnect(self) -> EngineClient:
        """Connect once more, to the engine that answers now; the caller closes the client.

        Raises:
            LaunchError: No engine could be reached or started.
        """
        from tui.commands.session import connect_again

        return await connect_again(self.target(), self.streams)

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
        """The command line that does something else with the same engine, to be pasted into a shell."""
        from tui.text.script_names import quoted

        return " ".join([self._program(), *map(quoted, words)])

    def _program(self) -> str:
        """Return the beginning of such a line."""
        from tui.text.script_names import quoted

        given = {
            "--project": self.given_project, "--gateway": self.gateway, "--url": self.url,
            "--token-file": self.token_file, "--ca-file": self.ca_file,
        }  # fmt: skip
        options = [word for option, value in given.items() if value is not None for word in (option, value)]
        return " ".join(map(quoted, ["gatewright", *options]))

    def for_same_engine(self, text: str) -> str:
        """Return a sentence whose command lines name the engine elsewhere that the command line names.

        A line that names an engine itself, or is for the host of one, stays as it is; and one for a folder here does:
        who called this is in it, or has its name at hand.
        """
        shared = self.given_project is not None and self.given_project.startswith(SHARED_MARK)
        if (self.gateway is None and self.url is None and not shared) or "gatewright " not in text:
            return text
        import re

        return re.sub(rf"\bgatewright (?=(?:{'|'.join(SAME_ENGINE)})\b)", lambda _: f"{self._program()} ", text)

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
    """Which engine is meant, and ``--json``, before or after the command's name."""
    return _options(command, elsewhere=True)


def local_options(command: Decorated) -> Decorated:
    """The same for a command that is for no engine elsewhere: what names one is refused, and its help lists it not."""
    return _options(command, elsewhere=False)


def _options(command: Decorated, *, elsewhere: bool) -> Decorated:
    project = click.option(
        "--project",
        metavar="DIR|@ID",
        shell_complete=projects,
        is_eager=True,  # what a path means depends on it
        expose_value=False,
        callback=_keep,
        help="The project's folder, or a shared project's ID; else the folder around the current one.",
    )
    gateway = click.option(
        "--gateway",
        hidden=not elsewhere,
        metavar="NAME",
        shell_complete=gateway_names,
        is_eager=True,
        expose_value=False,
        callback=_keep,
        help=f"A gateway of yours: gatewright gateways list (or {GATEWAY}).",
    )
    url = click.option(
        "--url",
        hidden=not elsewhere,
        metavar="URL",
        is_eager=True,
        expose_value=False,
        callback=_keep,
        help=f"An engine elsewhere: https://HOST:PORT (or {URL}).",
    )
    token_file = click.option(
        "--token-file",
        hidden=not elsewhere,
        metavar="FILE",
        shell_complete=host_files,
        is_eager=True,
        expose_value=False,
        callback=_keep,
        help=f"Holds the token for --url; closed to other accounts (or {TOKEN_FILE}).",
    )
    ca_file = click.option(
        "--ca-file",
        hidden=not elsewhere,
        metavar="FILE",
        shell_complete=host_files,
        is_eager=True,
        expose_value=False,
        callback=_keep,
        help=f"Certificates of the authorities to trust for --url; else the system's (or {CA_FILE}).",
    )
    as_json = click.option(
        "--json", is_flag=True, is_eager=True, expose_value=False, callback=_keep_json, help="Print one JSON object."
    )
    return project(gateway(url(token_file(ca_file(as_json(command))))))


def open_option(command: Decorated) -> Decorated:
    """``--open``, before or after the project."""
    return click.option(
        "--open",
        metavar="SCRIPT",
        type=OPENED_SCRIPT,
        expose_value=False,
        callback=_keep_open,
        help="Open this script or document in the console.",
    )(command)


def _keep_open(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).open_script = value


def _keep(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    """Note what an option names in the field that has its name."""
    if value is not None and option.name is not None:
        setattr(ctx.ensure_object(Invocation), option.name, value)


def _keep_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Invocation).json = True

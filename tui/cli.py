"""``gatewright``: from a command line to the command that it names.

A command's module is imported when the command is called, so that ``gatewright exec`` does not wait for code that it
does not use.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

import click

from engine.models.base import VERSION
from tui.commands import exit_codes
from tui.commands.arguments import SHARED_MARK, projects
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Invocation, common_options, open_option
from tui.commands.streams import Writer

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "init": "tui.commands.init:init",
        "run": "tui.commands.run:run_script",
        "exec": "tui.commands.run:exec_code",
        "eval": "tui.commands.run:eval_expression",
        "runs": "tui.commands.runs:runs",
        "scripts": "tui.commands.scripts:scripts",
        "documents": "tui.commands.documents:documents",
        "render": "tui.commands.render:render",
        "modules": "tui.commands.modules:modules",
        "packages": "tui.commands.packages:packages",
        "python": "tui.commands.python:python",
        "rebuild": "tui.commands.rebuild:rebuild",
        "diff": "tui.commands.diff:diff",
        "history": "tui.commands.history:history",
        "git": "tui.commands.git:git",
        "stats": "tui.commands.stats:stats",
        "audit": "tui.commands.audit:audit",
        "evidence": "tui.commands.evidence:evidence",
        "token": "tui.commands.token:token",
        "secrets": "tui.commands.secrets:secrets",
        "assistant": "tui.commands.assistant:assistant",
        "retention": "tui.commands.retention:retention",
        "backup": "tui.commands.backup:backup",
        "restore": "tui.commands.backup:restore",
        "bundle": "tui.commands.bundle:bundle",
        "gateways": "tui.commands.gateways:gateways",
        "engine": "tui.commands.engine:engine",
        "client": "tui.commands.client:client",
        "doctor": "tui.commands.doctor:doctor",
        "completion": "tui.commands.completion:completion",
        "help": "tui.commands.help:help_page",
    }
)
"""Where each command is, in the order of the help."""

CONSOLE = "tui.commands.console:console"


class CommandLine(CommandGroup):
    """The commands, and a project where a command's name would stand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        where = COMMANDS.get(cmd_name)
        return None if where is None else _load(where)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands, and folders where a command's name would stand."""
        found = super().shell_complete(ctx, incomplete)
        return found if incomplete.startswith("-") else [*found, *projects(ctx, self.params[0], incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that ``args`` begin with; the console if they begin with a folder, or a file that it refuses."""
        first = args[0]
        if first in COMMANDS:
            return super().resolve_command(ctx, args)
        if os.sep in first or first.startswith(SHARED_MARK) or os.path.exists(first):
            return "console", _load(CONSOLE), args
        import difflib

        near = difflib.get_close_matches(first, COMMANDS, n=2)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise click.UsageError(f"{first!r} is no command and no folder. {meant}For a new project write ./{first}", ctx)


@click.group(
    cls=CommandLine,
    invoke_without_command=True,
    subcommand_metavar="[PROJECT | COMMAND] ...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@open_option
@common_options
@click.version_option(VERSION, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Edit, run and watch Python scripts on a gateway host.

    Without a command it opens the console on PROJECT, or on the project around the current folder. A project whose
    folder is called like a command is reached as ./name.

    Exit codes: 0 ok, 1 the script failed, 2 usage, 3 no engine answers, 4 refused, 5 conflict, 124 timeout,
    130 cancelled, 129 and 143 ended by SIGHUP and SIGTERM.

    \b
    Examples:
      gatewright ~/plant-a
      gatewright exec 'result = 1 + 1'
      gatewright run defaults/tour -p name=Anna --project ~/plant-a
    """
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(_load(CONSOLE)))
    if ctx.obj is not None and ctx.obj.open_script is not None and ctx.invoked_subcommand in COMMANDS:
        raise click.UsageError("--open belongs to the console; it takes no command.")
    return exit_codes.OK


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: does what the arguments say and exits."""
    if asked := os.environ.get("_GATEWRIGHT_COMPLETE"):
        from tui.commands.completion import answer

        Writer(sys.stdout).write(answer(cli, asked))
        _leave(exit_codes.OK)
    invocation = Invocation()
    code = _call(arguments, invocation)
    if invocation.streams.out.problem and code == exit_codes.OK:
        invocation.streams.notify(f"the output could not be written: {invocation.streams.out.problem}")
        code = exit_codes.FAILED
    _leave(code)


def _call(arguments: Sequence[str] | None, invocation: Invocation) -> int:
    try:
        code = cli.main(arguments, prog_name="gatewright", standalone_mode=False, obj=invocation)
    except CommandError as error:
        return _report(invocation, error)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        invocation.streams.err.write(shown.getvalue())
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return exit_codes.CANCELLED
    except RecursionError:  # an answer of lists in lists, of which there is no end
        return _report(invocation, CommandError("the answer is nested too deeply to be shown"))
    except OSError as error:  # where no command could say more, for example help that nobody can write down
        return _report(invocation, CommandError(f"that did not work: {error}"))
    return code if isinstance(code, int) else exit_codes.OK


def _report(invocation: Invocation, error: CommandError) -> int:
    """Tell the user, and with ``--json`` the program that reads us."""
    if invocation.json:
        invocation.print_error(error)
    invocation.streams.notify(error.message, error.hint)
    return error.exit_code


def _leave(code: int) -> NoReturn:
    """End at once: taking an interpreter apart that is about to vanish is a sixth of a short command's time."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()
    os._exit(code)


def _load(where: str) -> click.Command:
    module, _, name = where.partition(":")
    command: click.Command = getattr(importlib.import_module(module), name)
    return command


if __name__ == "__main__":
    main()

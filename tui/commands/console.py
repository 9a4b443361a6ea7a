"""The console: what ``gatewright`` does when no command is named."""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

import click

from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options, open_option


@click.command("console", hidden=True)
@click.argument("folder", metavar="[PROJECT]", required=False)
@open_option
@common_options
@click.pass_obj
def console(invocation: Invocation, folder: str | None) -> NoReturn:
    """Open the console on a project; a folder that does not exist yet is made a new project.

    \b
    Examples:
      gatewright ~/plant-a
      gatewright ~/plant-a --open night/report
    """
    if folder is not None and invocation.project is not None:
        raise click.UsageError("The project is given twice: as an argument and by --project.")
    if invocation.json:
        raise click.UsageError("--json needs a command; the console is for people.")
    if folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
        raise CommandError(
            f"{folder} is a file, and a project is a folder",
            hint="Name the folder; --open SCRIPT opens one of its scripts.",
            exit_code=exit_codes.USAGE,
        )
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        raise CommandError(
            "the console needs a terminal",
            hint="gatewright --help lists the commands that work without one.",
            exit_code=exit_codes.USAGE,
        )

    from engine.client.ownership import other_account
    from engine.paths import EnginePaths
    from tui.commands.init import made
    from tui.commands.session import refusals

    if folder is not None:
        invocation.project = str(made(Path(folder).expanduser()))
    with refusals():
        project = invocation.folder(make=True)
        other = other_account(EnginePaths(project))
    opened = invocation.open_script
    if opened is not None:
        from tui.commands.script_paths import script_meant

        opened = script_meant(opened, str(project), gone=True)
    sys.exit(run_console(project, opened, other, named=invocation.project is not None))


def run_console(
    project: Path, open_script: str | None = None, account: str | None = None, *, named: bool = True
) -> int:
    """Show the console until the user leaves; the exit code.

    Args:
        project: Its folder; made a project if it is none yet.
        open_script: Script to open first.
        account: Whom root becomes for this project; None where nobody becomes somebody else.
        named: The user named the project: only then root may become its owner.
    """
    # The start makes many objects that live as long as the console: looking for garbage among them costs 30 ms.
    # The app turns collection on again when it is ready.
    gc.disable()
    # No frames are spent on movement: over a slow line each one is seen.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from tui.app import GatewrightApp, Preferences

    place = None if account is None else f"{socket.gethostname()}:{project} as {account}"
    app = GatewrightApp(project, open_script, place=place, preferences=Preferences.of(os.environ), named=named)
    app.run()
    return app.return_code or 0

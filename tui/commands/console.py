"""The console: what ``gatewright`` does when no command is named."""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from tui.commands import exit_codes
from tui.commands.arguments import SHARED_MARK
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options, open_option

if TYPE_CHECKING:
    from engine.client.target import Target


@click.command("console", hidden=True)
@click.argument("folder", metavar="[PROJECT]", required=False)
@open_option
@common_options
@click.pass_obj
def console(invocation: Invocation, folder: str | None) -> NoReturn:
    """Open the console on a project; a folder that does not exist yet is made a new project.

    PROJECT is a folder, or @ID of a shared project of this host. --gateway and --url open it on an engine elsewhere.

    \b
    Examples:
      gatewright ~/plant-a
      gatewright ~/plant-a --open night/report
    """
    if folder is not None and invocation.given_project is not None:
        raise click.UsageError("The project is given twice: as an argument and by --project.")
    if invocation.json:
        raise click.UsageError("--json needs a command; the console is for people.")
    if folder is not None and invocation.engine_option is not None:
        raise click.UsageError(f"Two engines are named: by the argument and by {invocation.engine_option}.")
    if folder is not None and folder.startswith(SHARED_MARK):
        invocation.project, folder = folder, None
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

    from tui.commands.init import made
    from tui.commands.session import refusals

    if folder is not None:
        invocation.project = str(made(Path(folder).expanduser()))
    with refusals():
        target = invocation.target(make=True)
        other = _other_account(target)
    gateway = invocation.named_gateway
    name = None if gateway is None else gateway.name
    sys.exit(run_console(target, _opened(invocation, target), other, name))


def _other_account(target: Target) -> str | None:
    """Return whom root becomes for the project; None where it stays what it is."""
    from engine.client.ownership import other_account
    from engine.paths import EnginePaths

    return None if target.folder is None else other_account(EnginePaths(target.folder))


def _opened(invocation: Invocation, target: Target) -> str | None:
    """Return the script or document to open first."""
    from tui.commands.script_paths import document_meant, script_elsewhere, script_meant

    named = invocation.open_script
    if named is None or target.folder is None:
        return None if named is None else script_elsewhere(named, target.name)
    document = document_meant(named, str(target.folder))
    return document or script_meant(named, str(target.folder), gone=True)


def run_console(
    target: Target, open_script: str | None = None, account: str | None = None, name: str | None = None
) -> int:
    """Show the console until the user leaves; the exit code.

    Args:
        target: Its engine; a folder is made a project if it is none yet.
        open_script: Script or document to open first.
        account: Whom root becomes for this project; None where it stays what it is.
        name: Of the gateway, if the user named one.
    """
    # The start makes many objects that live as long as the console: looking for garbage among them costs 30 ms.
    # The app turns collection on again when it is ready.
    gc.disable()
    # No frames are spent on movement: over a slow line each one is seen.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from tui.app import GatewrightApp, Preferences

    place = name or (target.name if target.folder is None else f"{socket.gethostname()}:{target.name}")
    if account is not None:
        place += f" as {account}"
    app = GatewrightApp(target, open_script, place=place, preferences=Preferences.of(os.environ))
    app.run()
    return app.return_code or 0

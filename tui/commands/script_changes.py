"""``scripts rename``, ``duplicate``, ``delete`` and ``restore``."""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import TYPE_CHECKING

import click

from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, ScriptInfo
from engine.models.versions import RestoreRequest, ScriptVersion
from engine.registry.scripts import (
    SCRIPTS_DELETE,
    SCRIPTS_DUPLICATE,
    SCRIPTS_HISTORY,
    SCRIPTS_RENAME,
    SCRIPTS_RESTORE,
    ScriptParams,
)
from tui.commands import exit_codes
from tui.commands.arguments import NEW_SCRIPT, PAST_SCRIPT, SCRIPT
from tui.commands.errors import CommandError
from tui.commands.history import find_version
from tui.commands.invocation import Invocation, common_options
from tui.text.sanitise import sanitise_line
from tui.text.script_names import quoted

if TYPE_CHECKING:
    from engine.client.client import EngineClient


@click.command("rename")
@click.argument("old", type=SCRIPT)
@click.argument("new", type=NEW_SCRIPT)
@common_options
@click.pass_obj
def rename_script(invocation: Invocation, old: str, new: str) -> None:
    """Give the script OLD the path NEW; folders are made. Its history goes with it.

    An approval of its permissions does not: it counts for one path.

    \b
    Examples:
      gatewright scripts rename night/hello night/report
    """
    request = RenameRequest(new_path=new)
    invocation.answer(
        lambda client: client.call(SCRIPTS_RENAME, ScriptParams(path=old), request),
        partial(_print_made, what="it is now"),
    )


@click.command("duplicate")
@click.argument("script", type=SCRIPT)
@click.argument("new", type=NEW_SCRIPT, required=False)
@common_options
@click.pass_obj
def duplicate_script(invocation: Invocation, script: str, new: str | None) -> None:
    """Make a copy of SCRIPT called NEW, or with a name made from its own.

    \b
    Examples:
      gatewright scripts duplicate night/report
      gatewright scripts duplicate night/report day/report
    """
    request = DuplicateRequest(new_path=new)
    invocation.answer(
        lambda client: client.call(SCRIPTS_DUPLICATE, ScriptParams(path=script), request),
        partial(_print_made, what="made"),
    )


@click.command("delete")
@click.argument("script", type=SCRIPT)
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_obj
def delete_script(invocation: Invocation, script: str, yes: bool) -> None:
    """Delete SCRIPT. Its history keeps it: scripts restore brings it back.

    Without a terminal it takes --yes.

    \b
    Examples:
      gatewright scripts delete night/hello
      gatewright scripts delete night/hello --yes
    """
    found = invocation.ask(lambda client: client.call(SCRIPTS_HISTORY, ScriptParams(path=script)))
    path = found.path
    _require_path(script, path)
    if found.sha256 is None:
        hint = f"It is deleted already; scripts restore {path} brings it back."
        raise CommandError(f"there is no script {path}", hint=hint, exit_code=exit_codes.USAGE, code="no_script")
    if not yes:
        question = f"Delete {sanitise_line(path)}? Its history keeps it."
        invocation.confirm(question, act="delete", done="deleted")
    request = DeleteRequest(base_sha256=found.sha256)
    invocation.answer(
        lambda client: client.call(SCRIPTS_DELETE, ScriptParams(path=path), request), partial(_print_deleted, path=path)
    )


@click.command("restore")
@click.argument("script", type=PAST_SCRIPT)
@click.option("--version", metavar="HASH", help="Which one, by the start of its hash; else the newest other one.")
@common_options
@click.pass_obj
def restore_script(invocation: Invocation, script: str, version: str | None) -> None:
    """Bring back an old version of SCRIPT, or a deleted one.

    What is there now goes to the history. gatewright history SCRIPT shows what there is.

    \b
    Examples:
      gatewright scripts restore night/hello
      gatewright scripts restore night/hello --version 3f2a91c0
    """

    async def work(client: EngineClient) -> ScriptInfo:
        history = await client.call(SCRIPTS_HISTORY, ScriptParams(path=script))
        _require_path(script, history.path)
        wanted = None if version is None else find_version(history, version).sha256
        return await client.call(
            SCRIPTS_RESTORE, ScriptParams(path=history.path), RestoreRequest(sha256=wanted, base_sha256=history.sha256)
        )

    invocation.answer(work, _print_restored)


def _require_path(given: str, path: str) -> None:
    """Lists and runs find a script by its file name alone; what changes one must not find another instead."""
    if unicodedata.normalize("NFC", given) not in (path, path.removesuffix(".py")):
        raise CommandError(
            f"there is no script {sanitise_line(given)}",
            hint=f"Did you mean {sanitise_line(path)}?",
            exit_code=exit_codes.USAGE,
            code="no_script",
        )


def _print_deleted(invocation: Invocation, _: ScriptVersion, *, path: str) -> None:
    restore = f"gatewright scripts restore {quoted(path)}"
    invocation.streams.notify(f"deleted {sanitise_line(path)}", f"Bring it back: {restore}")


def _print_restored(invocation: Invocation, restored: ScriptInfo) -> None:
    invocation.streams.notify(f"{sanitise_line(restored.path)} holds the version {restored.sha256[:12]} again")


def _print_made(invocation: Invocation, info: ScriptInfo, *, what: str) -> None:
    invocation.streams.notify(f"{what} {sanitise_line(info.path)}")
    if info.note:
        invocation.streams.notify(sanitise_line(info.note))
    if info.needs_approval:
        invocation.streams.notify(
            "it asks for permissions that need approval",
            f"An administrator decides: gatewright scripts approve {quoted(info.path)}",
        )

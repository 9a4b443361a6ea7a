"""``scripts rename``, ``duplicate``, ``delete`` and ``restore``."""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING

import click

from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, ScriptInfo
from engine.models.versions import RestoreRequest, ScriptHistory, ScriptVersion
from engine.registry.scripts import (
    SCRIPTS_DELETE,
    SCRIPTS_DUPLICATE,
    SCRIPTS_HISTORY,
    SCRIPTS_RENAME,
    SCRIPTS_RESTORE,
    ScriptParams,
)
from tui.commands import exit_codes
from tui.commands.history import find_version
from tui.commands.invocation import CommandError, Invocation, common_options
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient


@click.command("rename")
@click.argument("old")
@click.argument("new")
@common_options
@click.pass_obj
def rename_script(invocation: Invocation, old: str, new: str) -> None:
    """Give the script OLD the path NEW; folders are made. Its history goes with it.

    An approval of its permissions does not: it counts for one path.
    """
    from tui.commands.session import with_engine

    async def work(client: EngineClient) -> ScriptInfo:
        return await client.call(SCRIPTS_RENAME, ScriptParams(path=old), RenameRequest(new_path=new))

    _report(invocation, with_engine(invocation, work), "it is now")


@click.command("duplicate")
@click.argument("script")
@click.argument("new", required=False)
@common_options
@click.pass_obj
def duplicate_script(invocation: Invocation, script: str, new: str | None) -> None:
    """Make a copy of SCRIPT called NEW, or with a name made from its own."""
    from tui.commands.session import with_engine

    async def work(client: EngineClient) -> ScriptInfo:
        return await client.call(SCRIPTS_DUPLICATE, ScriptParams(path=script), DuplicateRequest(new_path=new))

    _report(invocation, with_engine(invocation, work), "made")


@click.command("delete")
@click.argument("script")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_obj
def delete_script(invocation: Invocation, script: str, yes: bool) -> None:
    """Delete SCRIPT. Its history keeps it: scripts restore brings it back.

    Without a terminal it takes --yes.
    """
    from tui.commands.session import with_engine

    async def look(client: EngineClient) -> ScriptHistory:
        return await client.call(SCRIPTS_HISTORY, ScriptParams(path=script))

    async def work(client: EngineClient) -> ScriptVersion:
        return await client.call(SCRIPTS_DELETE, ScriptParams(path=path), DeleteRequest(base_sha256=found.sha256))

    found = with_engine(invocation, look)
    path = found.path
    _require_path(script, path)
    if found.sha256 is None:
        hint = f"It is deleted already; scripts restore {path} brings it back."
        raise CommandError(f"there is no script {path}", hint=hint, exit_code=exit_codes.USAGE, code="no_script")
    if not yes:
        _ask(invocation, path)
    deleted = with_engine(invocation, work)
    if invocation.json:
        invocation.print_json(deleted)
    else:
        shown = sanitise_line(path)
        invocation.streams.notify(f"deleted {shown}", f"Bring it back: gatewright scripts restore {shown}")


@click.command("restore")
@click.argument("script")
@click.option("--version", metavar="HASH", help="Which one, by the start of its hash; else the newest other one.")
@common_options
@click.pass_obj
def restore_script(invocation: Invocation, script: str, version: str | None) -> None:
    """Bring back an old version of SCRIPT, or a deleted one.

    What is there now goes to the history. gatewright history SCRIPT shows what there is.
    """
    from tui.commands.session import with_engine

    async def work(client: EngineClient) -> ScriptInfo:
        history = await client.call(SCRIPTS_HISTORY, ScriptParams(path=script))
        _require_path(script, history.path)
        wanted = None if version is None else find_version(history, version).sha256
        return await client.call(
            SCRIPTS_RESTORE, ScriptParams(path=history.path), RestoreRequest(sha256=wanted, base_sha256=history.sha256)
        )

    restored = with_engine(invocation, work)
    if invocation.json:
        invocation.print_json(restored)
    else:
        invocation.streams.notify(f"{sanitise_line(restored.path)} holds the version {restored.sha256[:12]} again")


def _require_path(given: str, path: str) -> None:
    """Lists and runs find a script by its file name alone; what changes one must not find another instead."""
    if unicodedata.normalize("NFC", given) not in (path, path.removesuffix(".py")):
        raise CommandError(
            f"there is no script {sanitise_line(given)}",
            hint=f"Did you mean {sanitise_line(path)}?",
            exit_code=exit_codes.USAGE,
            code="no_script",
        )


def _ask(invocation: Invocation, path: str) -> None:
    """Raises ``click.Abort`` unless the answer is yes."""
    if invocation.json or not sys.stdin.isatty() or not invocation.streams.err.is_terminal:
        raise CommandError(
            "nothing was deleted: there is no terminal to ask at",
            hint="Say --yes to delete without a question.",
            exit_code=exit_codes.USAGE,
            code="not_asked",
        )
    click.confirm(f"Delete {sanitise_line(path)}? Its history keeps it.", abort=True, err=True)


def _report(invocation: Invocation, info: ScriptInfo, what: str) -> None:
    if invocation.json:
        invocation.print_json(info)
        return
    invocation.streams.notify(f"{what} {sanitise_line(info.path)}")
    if info.note:
        invocation.streams.notify(sanitise_line(info.note))
    if info.needs_approval:
        invocation.streams.notify(
            "it asks for permissions that need approval",
            f"An administrator decides: gatewright scripts approve {sanitise_line(info.path)}",
        )

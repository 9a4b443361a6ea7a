"""``history``: the versions of a script that were replaced, and what each change changed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from engine.models.versions import DeletedScripts, ScriptHistory, ScriptVersion, VersionReason
from engine.registry.scripts import (
    SCRIPTS_DELETED,
    SCRIPTS_HISTORY,
    SCRIPTS_LOAD,
    SCRIPTS_VERSION,
    ScriptParams,
    VersionParams,
)
from tui.commands import exit_codes
from tui.commands.arguments import PAST_SCRIPT, Count
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.text.formats import clock, size
from tui.text.labels import what_replaced
from tui.text.newlines import normalise
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.text.script_names import quoted

if TYPE_CHECKING:
    from engine.client.client import EngineClient

SHORT = 12
"""Letters of a hash in lists."""
SHORTEST = 4
"""Letters of a hash that are taken for one."""


@click.command("history")
@click.argument("script", type=PAST_SCRIPT, required=False)
@click.option("--deleted", is_flag=True, help="Instead: the scripts that were deleted and can be restored.")
@click.option("--diff", "number", type=Count(1), metavar="N", help="What the change that replaced it changed.")
@click.option("--now", is_flag=True, help="With --diff: the difference to the text as it is now.")
@common_options
@click.pass_obj
def history(invocation: Invocation, script: str | None, deleted: bool, number: int | None, now: bool) -> None:
    """The versions of SCRIPT that were saved over, deleted or renamed, newest first.

    Also of a script that was deleted. scripts restore brings one back.

    \b
    Examples:
      gatewright history night/report
      gatewright history night/report --diff 1 --now
      gatewright history --deleted
    """
    if deleted == (script is not None) or (deleted and number is not None):
        raise click.UsageError("Name a script, or say --deleted.")
    if now and number is None:
        raise click.UsageError("--now goes with --diff N.")
    if script is None:
        invocation.answer(lambda client: client.call(SCRIPTS_DELETED), print_deleted)
        return

    if number is None:
        invocation.answer(lambda client: client.call(SCRIPTS_HISTORY, ScriptParams(path=script)), print_versions)
        return

    async def work(client: EngineClient) -> tuple[ScriptHistory, str]:
        found = await client.call(SCRIPTS_HISTORY, ScriptParams(path=script))
        return found, await _difference(client, found, number, now)

    invocation.answer(work, _print_difference, as_json=lambda both: {"history": both[0], "diff": both[1]})


def print_deleted(invocation: Invocation, found: DeletedScripts, group: str = "scripts") -> None:
    """Print what was deleted; ``group`` has the command that brings it back."""
    from tui.text.table import render, terminal_width

    if not found.versions:
        invocation.streams.notify(f"no {group.removesuffix('s')} was deleted")
        return
    rows = [[gone.path, gone.sha256[:SHORT], size(gone.size), gone.name, clock(gone.at)] for gone in found.versions]
    out = invocation.streams.out
    headers = [group.removesuffix("s"), "version", "size", "who", "when"]
    out.line(render(headers, rows, right="size", width=terminal_width(out.is_terminal)))
    invocation.streams.notify(f"Bring one back: gatewright {group} restore {group.removesuffix('s').upper()}")


def find_version(found: ScriptHistory, start: str, see: str = "history") -> ScriptVersion:
    """The version whose hash begins with ``start``; ``see`` is the command that lists them.

    Raises:
        CommandError: None does, or several do.
    """
    matches = {version.sha256: version for version in found.versions if version.sha256.startswith(start.lower())}
    if len(start) >= SHORTEST and len(matches) == 1:
        return next(iter(matches.values()))
    problem = "no version begins with" if not matches else "more than one version could begin with"
    raise CommandError(
        f"{problem} {sanitise_line(start)}",
        hint=f"See gatewright {see} {quoted(found.path)}; give at least {SHORTEST} letters of a hash.",
        exit_code=exit_codes.USAGE,
        code="no_version",
    )


async def _difference(client: EngineClient, found: ScriptHistory, number: int, now: bool) -> str:
    """From version ``number``, counted from the newest, to what replaced it, or to what the script holds now."""
    if number > len(found.versions):
        count = len(found.versions)
        raise CommandError(
            f"{sanitise_line(found.path)} has {count} earlier version{'' if count == 1 else 's'}",
            exit_code=exit_codes.USAGE,
            code="no_version",
        )
    old = found.versions[number - 1]
    text = (await client.call(SCRIPTS_VERSION, VersionParams(path=found.path, sha256=old.sha256))).text
    newer = found.versions[number - 2].sha256 if number > 1 and not now else found.sha256
    if old.reason is VersionReason.DELETED and not now:
        newer = None
    return _unified(text, await _text(client, found, newer), f"{old.path} {old.sha256[:SHORT]}", newer)


async def _text(client: EngineClient, found: ScriptHistory, sha256: str | None) -> str:
    """The text with that hash; nothing where there was none."""
    if sha256 is None:
        return ""
    if sha256 == found.sha256:
        return (await client.call(SCRIPTS_LOAD, ScriptParams(path=found.path))).text
    return (await client.call(SCRIPTS_VERSION, VersionParams(path=found.path, sha256=sha256))).text


def _unified(old: str, new: str, title: str, newer: str | None) -> str:
    lines = difflib.unified_diff(_lines(old), _lines(new), title, newer[:SHORT] if newer else "deleted", lineterm="")
    return "\n".join(lines)


def _lines(text: str) -> list[str]:
    """The lines as Python counts them: a separator in a comment, where splitlines ends one, must not make it two."""
    return normalise(text).removesuffix("\n").split("\n") if text else []


def _print_difference(invocation: Invocation, answer: tuple[ScriptHistory, str]) -> None:
    _, difference = answer
    if not difference:
        invocation.streams.notify("the text is the same")
    for line in difference.split("\n") if difference else []:
        invocation.streams.out.line(sanitise_code(line))


def print_versions(invocation: Invocation, found: ScriptHistory, group: str = "scripts") -> None:
    """Print the versions of a file; ``group`` has the command that brings one back."""
    from tui.text.table import render, terminal_width

    if not found.versions:
        invocation.streams.notify(f"{sanitise_line(found.path)} has no earlier versions")
        return
    rows = [
        [str(number), one.sha256[:SHORT], size(one.size), what_replaced(one), one.name, clock(one.at)]
        for number, one in enumerate(found.versions, 1)
    ]
    out = invocation.streams.out
    headers = ["n", "version", "size", "what replaced it", "who", "when"]
    out.line(render(headers, rows, right="n size", width=terminal_width(out.is_terminal)))
    if found.sha256 is None:
        restore = f"gatewright {group} restore {quoted(found.path)}"
        invocation.streams.notify(f"{sanitise_line(found.path)} is deleted", f"Bring it back: {restore}")

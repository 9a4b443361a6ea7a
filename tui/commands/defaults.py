"""``scripts defaults``: the scripts that come with Gatewright, their newer texts, and those that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.models.defaults import (
    DefaultChoice,
    DefaultDecision,
    DefaultDiff,
    DefaultScript,
    DefaultScripts,
    DefaultsRequest,
    DefaultState,
)
from engine.registry.defaults import DEFAULTS_DECIDE, DEFAULTS_DIFF, DEFAULTS_LIST, DEFAULTS_RESTORE
from engine.registry.scripts import ScriptParams
from tui.commands import exit_codes
from tui.commands.arguments import SCRIPT
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.text.labels import STATES
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.text.script_names import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.client.client import EngineClient


@click.command("defaults")
@click.option("--diff", "compared", type=SCRIPT, metavar="NAME", help="What taking the new text of NAME would change.")
@click.option(
    "--take", type=SCRIPT, metavar="NAME", multiple=True, help="Take the new text; yours goes into the history."
)
@click.option("--keep", type=SCRIPT, metavar="NAME", multiple=True, help="Keep yours, until there is another new text.")
@click.option("--restore", is_flag=True, help="Write those that are missing; nothing is overwritten.")
@common_options
@click.pass_obj
def default_scripts(
    invocation: Invocation, compared: str | None, take: tuple[str, ...], keep: tuple[str, ...], restore: bool
) -> None:
    """See the scripts that come with Gatewright, and take or decline their newer texts.

    A new version of Gatewright updates those that nobody edited. Of an edited one the new text is offered here. What
    was deleted stays deleted until --restore.

    \b
    Examples:
      gatewright scripts defaults
      gatewright scripts defaults --diff tour
      gatewright scripts defaults --restore
    """
    if sum(map(bool, (compared, take or keep, restore))) > 1:
        raise click.UsageError("--diff, --restore, and --take with --keep are three different things: say one.")

    async def work(client: EngineClient) -> DefaultScripts | DefaultDiff:
        if compared is not None:
            return await client.call(DEFAULTS_DIFF, ScriptParams(path=compared))
        if restore:
            return await client.call(DEFAULTS_RESTORE)
        found = await client.call(DEFAULTS_LIST)
        decisions = _decisions(found.scripts, take, keep)
        return await client.call(DEFAULTS_DECIDE, body=DefaultsRequest(decisions=decisions)) if decisions else found

    def as_text(_: Invocation, answer: DefaultScripts | DefaultDiff) -> None:
        if isinstance(answer, DefaultDiff):
            _print_difference(invocation, answer)
        elif restore or take or keep:
            _say_what_was_done(invocation, answer, keep)
        else:
            _print_scripts(invocation, answer)

    invocation.answer(work, as_text)


def _decisions(scripts: Sequence[DefaultScript], take: tuple[str, ...], keep: tuple[str, ...]) -> list[DefaultDecision]:
    """What was chosen, about the texts as they are now."""
    chosen = [(name, DefaultChoice.TAKE) for name in take] + [(name, DefaultChoice.KEEP) for name in keep]
    decisions = [_decision(_find(scripts, name), choice) for name, choice in chosen]
    if len({decision.path for decision in decisions}) < len(decisions):
        raise click.UsageError("A script is named twice.")
    return decisions


def _decision(script: DefaultScript, choice: DefaultChoice) -> DefaultDecision:
    return DefaultDecision(path=script.path, choice=choice, bundled_sha256=script.bundled_sha256, sha256=script.sha256)


def _find(scripts: Sequence[DefaultScript], name: str) -> DefaultScript:
    wanted = name.removesuffix(".py")
    for script in scripts:
        path = script.path.removesuffix(".py")
        if wanted in (path, path.rpartition("/")[2]):
            return script
    raise CommandError(
        f"there is no default script {sanitise_line(name)}",
        hint="gatewright scripts defaults lists them.",
        exit_code=exit_codes.USAGE,
        code="no_script",
    )


def _print_scripts(invocation: Invocation, found: DefaultScripts) -> None:
    from tui.text.table import render, terminal_width

    rows = [[script.path.removesuffix(".py"), script.problem or STATES[script.state]] for script in found.scripts]
    out = invocation.streams.out
    out.line(render(["script", f"bundle version {found.version}"], rows, width=terminal_width(out.is_terminal)))
    offered = [script.path for script in found.scripts if script.state is DefaultState.OFFERED]
    if offered:
        name = quoted(offered[0].removesuffix(".py"))
        invocation.streams.notify(
            f"what is new: gatewright scripts defaults --diff {name}",
            f"Then --take {name} (yours goes into the history) or --keep {name}.",
        )
    if any(script.state is DefaultState.MISSING for script in found.scripts):
        invocation.streams.notify("gatewright scripts defaults --restore writes those that are missing")


def _print_difference(invocation: Invocation, answer: DefaultDiff) -> None:
    if not answer.diff:
        invocation.streams.notify(f"{sanitise_line(answer.script.path)} is what the bundle has")
    for line in answer.diff.rstrip("\n").split("\n") if answer.diff else []:
        invocation.streams.out.line(sanitise_code(line))


def _say_what_was_done(invocation: Invocation, answer: DefaultScripts, keep: tuple[str, ...]) -> None:
    for path in answer.written:
        invocation.streams.notify(f"wrote {sanitise_line(path)}")
    for name in keep:
        script = _find(answer.scripts, name)
        invocation.streams.notify(f"{sanitise_line(script.path)}: {STATES[script.state]}")
    if not answer.written and not keep:
        invocation.streams.notify("nothing is missing: no file was written")

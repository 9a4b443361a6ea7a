"""``assistant``: the language model that the project's settings name, asked and looked at."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from engine.models.assistant import (
    MAX_PROMPT,
    AskRequest,
    AssistantAnswer,
    AssistantInfo,
    ExplainRequest,
    ProposedChange,
    ProposeRequest,
)
from engine.models.scripts import SaveRequest, ScriptInfo, ScriptText
from engine.registry.assistant import ASSISTANT_ASK, ASSISTANT_EXPLAIN, ASSISTANT_INFO, ASSISTANT_PROPOSE
from engine.registry.scripts import SCRIPTS_LOAD, SCRIPTS_SAVE, ScriptParams
from tui.commands import exit_codes
from tui.commands.about import say_what_waits
from tui.commands.arguments import RUN_NUMBER, SCRIPT
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.text.formats import size
from tui.text.sanitise import sanitise_code, sanitise_line, sanitise_source

if TYPE_CHECKING:
    from engine.client.client import EngineClient

HOW = (
    "An administrator names a server: url and model under [assistant] in .gatewright/settings.toml. "
    "The engine reads them when it starts."
)


@click.group("assistant", cls=CommandGroup, invoke_without_command=True)
@common_options
@click.pass_context
def assistant(ctx: click.Context) -> None:
    """Show whether there is an assistant and what was asked today, or ask it.

    It is a language model behind an address that the settings name. What it is asked is sent there.

    \b
    Examples:
      gatewright assistant
      gatewright assistant ask "What does errno 28 mean?"
      gatewright assistant explain 41
    """
    if ctx.invoked_subcommand is None:
        ctx.obj.answer(lambda client: client.call(ASSISTANT_INFO), _print_info)


@assistant.command("ask")
@click.argument("prompt", required=False)
@click.option("--instructions", default="", metavar="TEXT", help="What the answer is to keep to.")
@common_options
@click.pass_obj
def ask(invocation: Invocation, prompt: str | None, instructions: str) -> None:
    """Ask the assistant PROMPT, followed by what comes on standard input if that is no terminal.

    \b
    Examples:
      gatewright assistant ask "What does errno 28 mean?"
      gatewright assistant ask "Why did this fail?" < run.log
    """
    given = (
        ""
        if sys.stdin is None or sys.stdin.isatty()
        else sys.stdin.buffer.read(4 * MAX_PROMPT + 1).decode("utf-8", "replace")
    )
    text = "\n\n".join(filter(None, (prompt, given)))
    if not text.strip():
        raise click.UsageError("Give a prompt, or text on standard input.")
    if len(text) > MAX_PROMPT:
        raise CommandError(
            f"the text has more than {MAX_PROMPT:,} characters; nothing was asked",
            hint="Cut it down, for example with tail -c.",
            exit_code=exit_codes.USAGE,
            code="usage",
        )
    request = AskRequest(prompt=text, instructions=instructions)

    async def work(client: EngineClient) -> AssistantAnswer:
        return await client.call(ASSISTANT_ASK, body=request)

    invocation.answer(work, _print_answer)


@assistant.command("explain")
@click.argument("run", type=RUN_NUMBER)
@common_options
@click.pass_obj
def explain(invocation: Invocation, run: int) -> None:
    """Have the assistant explain why RUN failed.

    It is sent the script's text, the error and the end of the output, and nothing that the run was given.

    \b
    Example:
      gatewright assistant explain 41
    """
    invocation.answer(lambda client: client.call(ASSISTANT_EXPLAIN, body=ExplainRequest(run_id=run)), _print_answer)


@assistant.command("propose")
@click.argument("script", type=SCRIPT)
@click.argument("wish")
@click.option("--run", type=RUN_NUMBER, help="Consider how this run of it failed.")
@click.option("--apply", is_flag=True, help="Save the change after a question.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask.")
@common_options
@click.pass_obj
def propose(invocation: Invocation, script: str, wish: str, run: int | None, apply: bool, yes: bool) -> int:
    """Have the assistant propose a change of SCRIPT, and show it as a difference.

    Nothing is saved without --apply. What is saved is a version like every other: the history has the one before.

    \b
    Examples:
      gatewright assistant propose night/report "Skip empty lines"
      gatewright assistant propose night/report "Mend the error" --run 41 --apply
    """
    if yes and not apply:
        raise click.UsageError("--yes belongs to --apply.")
    loaded, change = invocation.ask(lambda client: _proposed(client, script, wish, run))
    if not invocation.json:
        _print_change(invocation, change)
    if not apply or not change.diff:
        if invocation.json:
            invocation.print_json(change)
        return exit_codes.OK
    if not yes:
        invocation.confirm(f"Save this in {sanitise_line(loaded.info.path)}?", act="save it", done="saved")
    request = SaveRequest(text=change.text, base_sha256=loaded.info.sha256)
    params = ScriptParams(path=loaded.info.path)
    invocation.answer(lambda client: client.call(SCRIPTS_SAVE, params, request), _print_saved)
    return exit_codes.OK


async def _proposed(client: EngineClient, script: str, wish: str, run: int | None) -> tuple[ScriptText, ProposedChange]:
    loaded = await client.call(SCRIPTS_LOAD, ScriptParams(path=script))
    request = ProposeRequest(text=loaded.text, wish=wish, path=loaded.info.path, run_id=run)
    return loaded, await client.call(ASSISTANT_PROPOSE, body=request)


def _print_change(invocation: Invocation, change: ProposedChange) -> None:
    if not change.diff:
        invocation.streams.notify("the assistant proposes no change")
    for line in change.diff.split("\n") if change.diff else []:
        invocation.streams.out.line(sanitise_code(line))


def _print_saved(invocation: Invocation, info: ScriptInfo) -> None:
    invocation.streams.notify(f"saved {sanitise_line(info.path)}")
    say_what_waits(invocation, [info])


def _print_answer(invocation: Invocation, answer: AssistantAnswer) -> None:
    invocation.streams.out.line(sanitise_source(answer.text.rstrip()))
    if not answer.complete:
        invocation.streams.notify("the answer was cut off at the most that the server gives")


def _print_info(invocation: Invocation, info: AssistantInfo) -> None:
    from tui.text.table import fields, terminal_width

    if not info.on:
        invocation.streams.notify("there is no assistant in this project", HOW)
        return
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(
        fields(
            [
                ("server", sanitise_line(info.server)),
                ("model", sanitise_line(info.model)),
                ("today", f"{info.requests:,} of {info.requests_limit:,} requests"),
                ("texts", f"{size(info.bytes)} of {size(info.bytes_limit)}"),
                ("a script", f"at most {info.per_script_limit:,} requests a day"),
            ],
            width=width,
        )
    )

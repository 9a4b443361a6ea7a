"""``runs replay`` and ``runs compare``, and what a run was given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from engine.models.runs import Mode, ReplayRequest, RunComparison, RunInputs
from engine.registry.runs import RUNS_COMPARE, RUNS_INPUTS, CompareParams, RunParams
from tui.commands.arguments import RUN_NUMBER, parameters
from tui.commands.invocation import Invocation, common_options
from tui.commands.params import (
    STANDARD_INPUT,
    ask_for,
    assignments,
    can_ask,
    given_params,
    named_paths,
    param_options,
    refuse_shared_input,
)
from tui.commands.run import cancel_on_exit, exit_status, save_buffers
from tui.text.formats import size
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.text.script_names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.client.client import EngineClient

SHOWN = 200
"""Characters of a value in a line."""


@click.command("replay")
@click.argument("run_id", metavar="ID", type=RUN_NUMBER)
@param_options
@click.option(
    "--file",
    "files",
    metavar="NAME=PATH",
    multiple=True,
    callback=assignments,
    shell_complete=parameters,
    help="A file that the run had and the engine holds no more; it must be the same file.",
)
@click.option(
    "--buffer",
    "buffers",
    metavar="NAME=PATH",
    multiple=True,
    callback=named_paths,
    help="A buffer that the run had and the engine holds no more; it must be the same.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value.lower() for mode in Mode], case_sensitive=False),
    default=Mode.RESTRICTED.value.lower(),
    help="The replay of an ADMIN run needs --mode admin.",
)
@click.option(
    "--out", type=click.Path(file_okay=False), metavar="DIR", help="Write the files it leaves here, over no other file."
)
@click.option("--stdin", is_flag=True, help="Its standard input once more, if the engine holds it no more.")
@save_buffers
@exit_status
@cancel_on_exit
@common_options
@click.pass_obj
def replay_run(
    invocation: Invocation,
    run_id: int,
    params: dict[str, str | None],
    param_files: dict[str, str],
    files: dict[str, str],
    buffers: dict[str, str],
    mode: str,
    out: str | None,
    stdin: bool,
    save_buffers: dict[str, str],
    exit_status: bool,
    cancel_on_exit: bool,
) -> int:
    """Run again what ID was: the same text with the same parameters, arguments and files.

    Secret parameters and arguments are not kept: they are asked for, or given with --param and --param-file. Roles,
    permissions and limits are judged as they are now. Its output comes as it is written, as with gatewright run.

    \b
    Examples:
      gatewright runs replay 41
      gatewright runs replay 41 --file log=wrapper.log
    """
    from tui.commands.following import follow_to_end
    from tui.commands.uploads import upload_files, upload_standard_input

    refuse_shared_input([STANDARD_INPUT if stdin else "", *files.values(), *buffers.values(), *param_files.values()])
    secrets: dict[str, Any] = {**given_params(params, param_files)}
    # A connection of its own: the person may take a while.
    old = invocation.ask(lambda client: client.call(RUNS_INPUTS, RunParams(run_id=run_id)))
    missing = [one.name for one in old.secrets if one.name not in secrets]
    if old.problem is None and missing and can_ask():
        secrets |= ask_for(dict.fromkeys(missing))

    async def work(client: EngineClient) -> int:
        held = await upload_files(client, files, invocation.streams)
        named = await upload_files(client, buffers, invocation.streams)
        own = await upload_standard_input(client, invocation.streams) if stdin else None
        request = ReplayRequest(mode=Mode(mode.upper()), files=held, buffers=named, stdin=own, secrets=secrets)
        events = client.replay_and_follow(run_id, request, kept=invocation.json)
        return await follow_to_end(
            client,
            events,
            invocation.streams,
            as_json=invocation.json,
            out=out,
            save_buffers=save_buffers,
            reconnect=invocation.reconnect,
            exit_status=exit_status,
            cancel_on_exit=cancel_on_exit,
        )

    return invocation.ask(work)


@click.command("compare")
@click.argument("run_id", metavar="ID", type=RUN_NUMBER)
@click.argument("other_id", metavar="OTHER", type=RUN_NUMBER)
@common_options
@click.pass_obj
def compare_runs(invocation: Invocation, run_id: int, other_id: int) -> None:
    """Show what differs between two runs: inputs, text, result, output.

    \b
    Examples:
      gatewright runs compare 41 42
    """
    invocation.answer(
        lambda client: client.call(RUNS_COMPARE, CompareParams(run_id=run_id, other_id=other_id)), _print_comparison
    )


def _print_comparison(invocation: Invocation, found: RunComparison) -> None:
    out = invocation.streams.out
    for title in ("inputs", "code", "result", "output"):
        difference = getattr(found, title)
        out.line(f"{title}: {'different' if difference else 'the same'}")
        for line in difference.rstrip("\n").split("\n") if difference else []:
            out.line(sanitise_code(line))
    for note in found.notes:
        invocation.streams.notify(sanitise_line(note))


def input_fields(inputs: RunInputs) -> Iterable[tuple[str, str]]:
    """What a run was given, for a table of fields."""
    for name, values in (("param", inputs.params), ("kwarg", inputs.kwargs), ("variable", inputs.variables)):
        for key, value in values.items():
            yield f"{name} {key}", _short(value)
    for secret in inputs.secrets:
        yield f"{secret.place.removesuffix('s')} {secret.name}", f"secret, {secret.hmac}"
    if inputs.args:
        yield "args", _short(inputs.args)
    for file in inputs.files:
        yield f"file {file.parameter}", f"{file.name} ({size(file.size)}), sha256 {file.sha256}"
    for buffer in inputs.buffers:
        yield f"buffer {buffer.parameter}", f"{buffer.name} ({size(buffer.size)}), sha256 {buffer.sha256}"
    if inputs.argv:
        yield "arguments", _short_line(" ".join(map(quoted, inputs.argv)))
    if inputs.stdin is not None:
        yield "stdin", f"{size(inputs.stdin.size)}, sha256 {inputs.stdin.sha256}"
    yield "entrypoint", inputs.entrypoint or ""
    yield "inputs", inputs.inputs_sha256 or ""
    yield "replay", inputs.problem or f"gatewright runs replay {inputs.run_id}"


def _short(value: object) -> str:
    return _short_line(json.dumps(value, ensure_ascii=False))


def _short_line(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."

"""``runs``: what ran, what it wrote and left, and stopping what still runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from engine.models.runs import Outcome, OutputPage, RunBuffer, RunFile, RunInfo, RunInputs, RunList, RunState
from engine.registry.runs import RUNS_CANCEL, RUNS_GET, RUNS_INPUTS, RUNS_LIST, RUNS_OUTPUT, OutputParams, RunParams
from tui.commands import exit_codes
from tui.commands.arguments import RUN_NUMBER, SCRIPT_FILE, Count
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.commands.params import named_paths
from tui.commands.run_history import compare_runs, input_fields, replay_run
from tui.text.condensed import condensed_text, count_text, inputs_text
from tui.text.formats import clock, duration, size
from tui.text.isolation import level_word
from tui.text.labels import granted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.client.client import EngineClient

PAGE = 1000
"""Output chunks asked for at a time."""

FAILED = "! "
"""Before the outcome of a run that did not end well, on terminals: colour alone is not seen by everybody."""


@click.group("runs", cls=CommandGroup)
@common_options
def runs() -> None:
    """See runs, their output, what they were given; stop, repeat and compare them.

    \b
    Examples:
      gatewright runs list
      gatewright runs show 41
      gatewright runs cancel 41
    """


runs.add_command(replay_run)
runs.add_command(compare_runs)


@runs.command("list")
@click.option("-n", "--limit", type=Count(1, 500), metavar="N", default=20, help="How many, newest first.")
@click.option("--before", type=RUN_NUMBER, metavar="ID", help="Only runs older than this one.")
@click.option("--name", type=SCRIPT_FILE, metavar="SCRIPT", help="Only runs of this script, by its whole path.")
@click.option("--search", metavar="WORDS", default="", help="Such as: outcome:timeout who:alice since:today digest")
@common_options
@click.pass_obj
def list_runs(invocation: Invocation, limit: int, before: int | None, name: str | None, search: str) -> None:
    """List the newest runs.

    A search has parts of names, and outcome:, who:, since:, until: (today, yesterday, 2h, 3d, 14:30, 2026-01-31).

    \b
    Examples:
      gatewright runs list -n 50
      gatewright runs list --search 'outcome:timeout who:alice since:today digest'
    """
    import msgspec

    from tui.text.run_query import BadSearch, parse_search

    try:
        wanted = msgspec.structs.replace(parse_search(search).page(limit, before), name=name)
    except BadSearch as error:
        raise CommandError(str(error), exit_code=exit_codes.USAGE, code="bad_search") from None

    def as_text(_: Invocation, found: RunList) -> None:
        if not found.runs:
            invocation.streams.notify("no run matches" if search or name or before else "there are no runs yet")
            return
        _print_runs(invocation, found.runs)
        if found.next_before is not None:
            invocation.streams.notify(f"older ones: the same with --before {found.next_before}")

    invocation.answer(lambda client: client.call(RUNS_LIST, wanted), as_text)


@runs.command("show")
@click.argument("run_id", metavar="ID", type=RUN_NUMBER)
@common_options
@click.pass_obj
def show_run(invocation: Invocation, run_id: int) -> None:
    """Show everything known of one run, except its output: how it went, and what it was given.

    \b
    Examples:
      gatewright runs show 41
    """
    import msgspec

    async def work(client: EngineClient) -> tuple[RunInfo, RunInputs]:
        return await client.call(RUNS_GET, RunParams(run_id=run_id)), await client.call(
            RUNS_INPUTS, RunParams(run_id=run_id)
        )

    invocation.answer(work, _print_run, as_json=lambda both: msgspec.to_builtins(both[0]) | {"inputs": both[1]})


@runs.command("output")
@click.argument("run_id", metavar="ID", type=RUN_NUMBER)
@click.option("-f", "--follow", is_flag=True, help="Wait for what is still to come, to the end of the run.")
@common_options
@click.pass_obj
def run_output(invocation: Invocation, run_id: int, follow: bool) -> None:
    """Print what a run wrote: its stdout to stdout, its stderr to stderr.

    \b
    Examples:
      gatewright runs output 41 > output.txt
      gatewright runs output 41 --follow
    """

    async def work(client: EngineClient) -> bool:
        if invocation.json:
            invocation.print_json(await _whole_output(client, run_id, follow=follow))
        else:
            return await _print_output(client, invocation, run_id, follow=follow)
        return True

    if not invocation.ask(work):
        sys.exit(exit_codes.FAILED)


@runs.command("files")
@click.argument("run_id", metavar="ID", type=RUN_NUMBER)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write them here, with your rights; never over another file.",
)
@common_options
@click.pass_obj
def run_files(invocation: Invocation, run_id: int, out: str | None) -> None:
    """List the files that a run left, or write them into a folder.

    \b
    Examples:
      gatewright runs files 41
      gatewright runs files 41 --out reports
    """
    from tui.commands.returned import write_files

    async def work(client: EngineClient) -> RunInfo:
        info = await client.call(RUNS_GET, RunParams(run_id=run_id))
        if out is not None:
            await write_files(client, info, out, invocation.streams)
        return info

    def as_text(_: Invocation, info: RunInfo) -> None:
        if not info.files:
            invocation.streams.notify(f"run {info.id} left no files")
        elif out is None:
            _print_files(invocation, info.files)

    invocation.answer(work, as_text, as_json=lambda info: {"run_id": info.id, "files": info.files})


@runs.command("buffers")
@click.argument("run_id", metavar="ID", type=RUN_NUMBER)
@click.option(
    "--save",
    "paths",
    metavar="NAME=PATH",
    multiple=True,
    callback=named_paths,
    help="Write one to a file, with your rights; never over another file.",
)
@common_options
@click.pass_obj
def run_buffers(invocation: Invocation, run_id: int, paths: dict[str, str]) -> None:
    """List the buffers that a run left, or write them to files.

    The engine holds them for ten minutes after the run's end. Small ones stay among its files.

    \b
    Examples:
      gatewright runs buffers 41
      gatewright runs buffers 41 --save out=smooth.bin
    """
    from tui.commands.returned import write_buffers

    async def work(client: EngineClient) -> RunInfo:
        info = await client.call(RUNS_GET, RunParams(run_id=run_id))
        await write_buffers(client, run_id, paths, invocation.streams)
        return info

    def as_text(_: Invocation, info: RunInfo) -> None:
        if not info.buffers:
            invocation.streams.notify(f"the engine holds no buffers of run {info.id}")
        elif not paths:
            _print_buffers(invocation, info.buffers)

    invocation.answer(work, as_text, as_json=lambda info: {"run_id": info.id, "buffers": info.buffers})


@runs.command("cancel")
@click.argument("run_ids", metavar="ID...", type=RUN_NUMBER, nargs=-1, required=True)
@common_options
@click.pass_obj
def cancel_runs(invocation: Invocation, run_ids: tuple[int, ...]) -> None:
    """Stop runs, queued or running.

    \b
    Examples:
      gatewright runs cancel 41 42
    """

    async def work(client: EngineClient) -> RunList:
        return RunList(runs=[await client.call(RUNS_CANCEL, RunParams(run_id=run_id)) for run_id in run_ids])

    invocation.answer(work, _print_cancelled)


def _print_cancelled(invocation: Invocation, cancelled: RunList) -> None:
    for info in cancelled.runs:
        invocation.streams.notify(f"run {info.id} ({info.name}) is {info.outcome or 'being stopped'}")


def _print_runs(invocation: Invocation, found: Sequence[RunInfo]) -> None:
    from tui.text.table import render, terminal_width

    out = invocation.streams.out
    mark = FAILED if out.is_terminal else ""
    rows = [
        [
            str(info.id),
            info.name,
            (mark if _failed(info) else "") + outcome_text(info),
            _lasted(info),
            info.actor,
            info.source,
            clock(info.queued_at),
        ]
        for info in found
    ]
    headers = ["run", "script", "outcome", "lasted", "who", "from", "when"]
    header, *lines = render(headers, rows, right="run lasted", width=terminal_width(out.is_terminal)).split("\n")
    out.line(header)
    for info, line in zip(found, lines, strict=True):
        out.line(line, failed=_failed(info))


def _print_files(invocation: Invocation, files: Sequence[RunFile]) -> None:
    from tui.text.table import render, terminal_width

    rows = [[file.name, size(file.size), file.sha256] for file in files]
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(render(["file", "size", "sha256"], rows, right="size", width=width))


def _print_buffers(invocation: Invocation, buffers: Sequence[RunBuffer]) -> None:
    from tui.text.table import render, terminal_width

    rows = [[buffer.name, size(buffer.size)] for buffer in buffers]
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(render(["buffer", "size"], rows, right="size", width=width))


def _print_run(invocation: Invocation, run: tuple[RunInfo, RunInputs]) -> None:
    from tui.commands.following import show_result
    from tui.text.table import fields, terminal_width

    info, inputs = run
    out = invocation.streams.out
    width = terminal_width(out.is_terminal)
    out.line(
        fields(
            [
                ("run", str(info.id)),
                ("script", info.name),
                ("outcome", outcome_text(info)),
                ("exit", "" if info.exit_status is None else str(info.exit_status)),
                ("queue", _queue(info)),
                *condensed_fields(info, width),
                ("lasted", _lasted(info)),
                ("timeout", duration(info.timeout)),
                ("who", f"{info.actor}, from {info.source}"),
                ("when", clock(info.queued_at)),
                ("mode", info.mode),
                ("isolation", level_word(info.isolation)),
                *((f"may {verb}", what) for verb, what in map(granted, info.grants)),
                ("sha256", info.code_sha256),
                *((file.path, file.sha256) for file in info.shared),
                ("repeats", "" if info.replay_of is None else f"run {info.replay_of}"),
                *input_fields(inputs),
                ("output", size(info.output_bytes) + ("" if info.output_complete else ", cut")),
                ("files", ", ".join(f"{file.name} ({size(file.size)})" for file in info.files)),
                ("buffers", ", ".join(f"{buffer.name} ({size(buffer.size)})" for buffer in info.buffers)),
                ("note", info.note or ""),
                ("not recorded", info.unrecorded or ""),
                ("error", f"{info.error.type}: {info.error.message}" if info.error else ""),
            ],
            width=width,
        )
    )
    if info.traceback:
        out.line()
        out.write(info.traceback)
        out.fresh_line()
    if info.result:
        out.line()
        show_result(info, invocation.streams)


def condensed_fields(info: RunInfo, width: int | None) -> list[tuple[str, str]]:
    """Say what the record stands for beside its run; where no width is known, in lines of 80 characters at most."""
    found = info.condensed
    if found is None:
        return []
    pairs = [("stands for", condensed_text(found)), ("inputs of all", inputs_text(found))]
    if width is not None:
        return pairs
    import textwrap

    lines = [(name, textwrap.wrap(text, 64)) for name, text in pairs]
    return [(name if at == 0 else "", line) for name, text in lines for at, line in enumerate(text)]


def outcome_text(info: RunInfo) -> str:
    """The outcome, with the signal of a crash or an exit status of its own; the state of a run that has none yet."""
    if count := count_text(info):
        return f"{info.outcome}, {count}"
    if info.outcome is None:
        return info.state.value
    if info.exit_status not in (None, 0, 1):
        return f"{info.outcome} ({info.exit_status})"
    return f"{info.outcome} ({info.signal})" if info.signal is not None else info.outcome.value


def _failed(info: RunInfo) -> bool:
    return info.outcome not in (None, Outcome.OK)


def _lasted(info: RunInfo) -> str:
    return "" if info.duration is None else duration(info.duration)


def _queue(info: RunInfo) -> str:
    if info.state is not RunState.QUEUED or info.queue_reason is None:
        return ""
    if info.queue_position is None:
        return info.queue_reason
    return f"position {info.queue_position}: {info.queue_reason or ''}"


async def _print_output(client: EngineClient, invocation: Invocation, run_id: int, *, follow: bool) -> bool:
    """Print it and return whether nothing was missing."""
    from tui.commands.following import write_output

    whole = True
    if follow:
        async for event in client.follow_run(run_id):
            if not isinstance(event, RunInfo):
                whole &= write_output(event, invocation.streams)
            if invocation.streams.out.closed:
                break
        return whole
    after, more = 0, True
    while more and not invocation.streams.out.closed:
        page = await client.call(RUNS_OUTPUT, OutputParams(run_id=run_id, after=after, limit=PAGE))
        whole &= write_output(page.chunks, invocation.streams)
        after, more = page.next_seq, len(page.chunks) == PAGE
    return whole


async def _whole_output(client: EngineClient, run_id: int, *, follow: bool) -> OutputPage:
    if follow:
        async for _ in client.follow_run(run_id, kept=True):
            pass
    page = await client.call(RUNS_OUTPUT, OutputParams(run_id=run_id, limit=PAGE))
    chunks = list(page.chunks)
    while len(page.chunks) == PAGE:
        page = await client.call(RUNS_OUTPUT, OutputParams(run_id=run_id, after=page.next_seq, limit=PAGE))
        chunks.extend(page.chunks)
    return OutputPage(run_id=run_id, chunks=chunks, next_seq=page.next_seq, finished=page.finished)

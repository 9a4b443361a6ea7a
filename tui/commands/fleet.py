"""``run``, ``exec`` and ``eval`` with ``--on``: the same run on several gateways, and what they answered."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, BinaryIO

import click
import msgspec

from engine.client.client import EngineClient
from engine.client.fleet import Answer, FleetRun
from engine.client.gateways import Gateway
from engine.models.runs import Mode, Outcome, RunInfo, RunRequest
from tui.commands import exit_codes, failures
from tui.commands.errors import CommandError
from tui.commands.following import ClientSignals, ending
from tui.commands.invocation import Invocation
from tui.commands.params import STANDARD_INPUT, standard_input
from tui.commands.returned import write_files
from tui.commands.session import CLIENT, refusals
from tui.commands.streams import Streams
from tui.commands.uploads import STANDARD_INPUT_NAME
from tui.runs.uploads import FileInputError, upload
from tui.text.fleet_answers import Group, answer_text, counts, grouped, other_texts, pending_text, summary
from tui.text.formats import duration
from tui.text.results import result_lines
from tui.text.sanitise import sanitise_line
from tui.text.table import cut, paragraph, terminal_width

if TYPE_CHECKING:
    from tui.commands.run_options import RunOptions

INDENT = "  "

FETCHED = 4
"""Gateways whose files are fetched at the same time: each file is held in memory."""

LAST = 4096
"""Characters of an answer that its last line is looked for in."""

PAUSE = 0.1
"""Seconds between two changes of the line that says what is waited for."""


def run_on_gateways(invocation: Invocation, options: RunOptions, request: RunRequest) -> int:
    """Run it on each gateway that ``--on`` names, show what they answered, and return the exit code of the worst.

    Raises:
        CommandError: A gateway that is named is not there, or a file cannot be read; nothing was run then.
    """
    _refuse_options_of_one(options)
    with refusals():
        gateways = invocation.gateways()
    with _inputs(options) as inputs:
        return asyncio.run(_run(invocation, options, request, gateways, inputs))


def _refuse_options_of_one(options: RunOptions) -> None:
    if options.gateway_timeout is not None and options.gateway_timeout <= 0:
        raise click.UsageError("--gateway-timeout takes more than 0 seconds.")
    if options.exit_status:
        raise click.UsageError("--exit-status is of one run; with --on the exit code is that of the worst.")
    if options.save_buffers:
        raise click.UsageError("--save-buffer writes one file; with --on, --out DIR writes a folder for each gateway.")


async def _run(
    invocation: Invocation,
    options: RunOptions,
    request: RunRequest,
    gateways: Sequence[Gateway],
    inputs: _Inputs,
) -> int:
    report = _Report(invocation, [gateway.name for gateway in gateways])
    written = _Written(options.out, invocation.streams)

    async def prepare(client: EngineClient) -> RunRequest:
        return msgspec.structs.replace(
            request,
            params=dict(options.params),
            files=await inputs.send(client, options.files),
            buffers=await inputs.send(client, options.buffers),
            argv=list(options.argv),
            stdin=(await inputs.send(client, {STANDARD_INPUT_NAME: STANDARD_INPUT}))[STANDARD_INPUT_NAME]
            if options.stdin
            else None,
            timeout=options.timeout,
            # A token may have another default: on many gateways ADMIN is what the user asks for, and nothing else.
            mode=options.mode or Mode.RESTRICTED.value,
        )

    fleet = FleetRun(gateways, prepare, CLIENT, limit=options.gateway_timeout, finished=written.fetch)
    with _FleetSignals(fleet, cancel_on_exit=options.cancel_on_exit) as signals:
        cancelling = asyncio.create_task(_cancel_when_asked(signals, fleet))
        try:
            fleet.on_change = functools.partial(report.wait_for, fleet)
            report.wait_for(fleet)
            async for answer in fleet.answers():
                report.take(answer)
                report.wait_for(fleet, now=True)
        except FileInputError as error:
            raise _unreadable(str(error)) from None
        except OSError as error:
            raise _unreadable(f"A file cannot be read: {error.strerror}.") from None
        finally:
            report.clear()
            cancelling.cancel()
            await asyncio.gather(cancelling, return_exceptions=True)
    code = exit_codes.worst([*map(_exit_code, report.answers), *written.codes])
    if signals.ended_by is not None:
        code = exit_codes.of_signal(signals.ended_by)
    report.show(request.script or f"<{request.kind}>", code)
    return code


async def _cancel_when_asked(signals: ClientSignals, fleet: FleetRun) -> None:
    await signals.requested.wait()
    fleet.cancel()


class _Inputs:
    """What is handed to every gateway: files, each opened for each of them, and the standard input, read once."""

    def __init__(self, spooled: IO[bytes] | None) -> None:
        self._spooled = spooled

    async def send(self, client: EngineClient, paths: Mapping[str, str]) -> dict[str, str]:
        """Upload to one engine, and return the ids of the buffers by name.

        Raises:
            FileInputError, OSError: A file became shorter, or cannot be read now.
        """
        ids = {}
        for name, path in paths.items():
            with self._opened(path) as stream:
                shown = STANDARD_INPUT_NAME if path == STANDARD_INPUT else os.path.basename(path)
                ids[name] = await upload(client, stream, shown)
        return ids

    def _opened(self, path: str) -> BinaryIO:
        if path != STANDARD_INPUT or self._spooled is None:
            return open(os.path.expanduser(path), "rb")
        # Opened by its descriptor it is the same file with a place of its own to read from (proc(5), fd).
        return open(f"/proc/self/fd/{self._spooled.fileno()}", "rb")


@contextlib.contextmanager
def _inputs(options: RunOptions) -> Iterator[_Inputs]:
    """Look at every file, and read the standard input if it is asked for, before any gateway is asked.

    Raises:
        CommandError: One cannot be read.
    """
    paths = [*options.files.values(), *options.buffers.values()]
    for path in paths:
        if path != STANDARD_INPUT:
            try:
                open(os.path.expanduser(path), "rb").close()
            except OSError as error:
                raise _unreadable(f"{path} cannot be read: {error.strerror}") from None
    if not options.stdin and STANDARD_INPUT not in paths:
        yield _Inputs(None)
        return
    with tempfile.TemporaryFile(prefix="gatewright-") as spooled:
        shutil.copyfileobj(standard_input(), spooled)
        spooled.flush()
        yield _Inputs(spooled)


class _Written:
    """The files that runs left, in a folder for each gateway."""

    def __init__(self, out: str | None, streams: Streams) -> None:
        self._out = out
        self._streams = streams
        self._free = asyncio.Semaphore(FETCHED)
        self.codes: list[int] = []
        """The exit codes of what could not be written."""

    async def fetch(self, client: EngineClient, gateway: Gateway, info: RunInfo) -> None:
        """Write the files of one run; what goes wrong is told, and its answer counts none the less."""
        if self._out is None or not info.files:
            return
        try:
            os.makedirs(self._out, exist_ok=True)
            async with self._free:
                await write_files(client, info, os.path.join(self._out, gateway.name), self._streams)
        except OSError as error:
            self._failed(gateway, CommandError(f"{self._out} cannot be made: {error.strerror}"))
        except CommandError as error:
            self._failed(gateway, error)

    def _failed(self, gateway: Gateway, error: CommandError) -> None:
        self._streams.notify(f"{gateway.name}: {error.message}", error.hint, failed=True)
        self.codes.append(error.exit_code)


class _FleetSignals(ClientSignals):
    """Names every run that may go on to a user who does not wait for the end."""

    def __init__(self, fleet: FleetRun, *, cancel_on_exit: bool) -> None:
        super().__init__(cancel_on_exit=cancel_on_exit)
        self._fleet = fleet

    def _going_on(self, how: str) -> str:
        running = ", ".join(f"{name} (run {number})" for name, number in self._fleet.running.items())
        waiting = ", ".join(self._fleet.waiting)
        return f"{how}; may go on at {running or waiting or 'none'}: gatewright --gateway NAME runs list"


class _Report:
    """A line for each answer as it comes, for people; at the end what was the same and what differed."""

    def __init__(self, invocation: Invocation, names: Sequence[str]) -> None:
        self._invocation = invocation
        self._streams = invocation.streams
        self._names = names
        self._wide = max(map(len, names))
        self._redraw: asyncio.TimerHandle | None = None
        self.answers: list[Answer] = []

    def wait_for(self, fleet: FleetRun, *, now: bool = False) -> None:
        """Show on a terminal's current line what is still to come, at most ten times a second."""
        if self._invocation.json or not self._streams.err.is_terminal:
            return
        if self._redraw is not None:
            if not now:
                return
            self._redraw.cancel()
        self._redraw = asyncio.get_running_loop().call_later(PAUSE, self._drawn, fleet)
        self._draw(fleet)

    def clear(self) -> None:
        """Leave a terminal's line to what comes."""
        if self._redraw is not None:
            self._redraw.cancel()
            self._streams.err.overwrite("")

    def _drawn(self, fleet: FleetRun) -> None:
        """Show what changed meanwhile."""
        self._redraw = None
        if fleet.waiting:
            self._draw(fleet)

    def _draw(self, fleet: FleetRun) -> None:
        waiting = ", ".join(map(pending_text, fleet.pending()))
        text = f"{len(self.answers)} of {len(self._names)} answered; waiting for {waiting}" if waiting else ""
        self._streams.err.overwrite(cut(text, shutil.get_terminal_size().columns - 1))

    def take(self, answer: Answer) -> None:
        """Tell of an answer."""
        self.answers.append(answer)
        if self._invocation.json:
            return
        if self._streams.err.is_terminal:
            self._streams.err.overwrite("")
        text = sanitise_line(f"{answer.gateway:<{self._wide}}  {_in_a_line(answer)}")
        width = terminal_width(self._streams.err.is_terminal)
        self._streams.err.line(text if width is None else cut(text, width - 1))

    def show(self, name: str, code: int) -> None:
        """Show the groups, on stdout."""
        groups = grouped(self.answers, self._names)
        for sentence in self._notes(groups):
            self._streams.notify(sentence)
        if self._invocation.json:
            self._invocation.print_json(self._as_json(name, groups, code))
            return
        out, width = self._streams.out, terminal_width(self._streams.out.is_terminal)
        head = f"{name} on {self._invocation.on}: {counts(self.answers)}: {summary(groups)}"
        out.line(paragraph(head, "", width=width))
        for group in groups:
            out.line()
            out.line(paragraph(f"{group.heading}: {' '.join(group.names)}", "", width=width))
            self._show_group(group, width)

    def _show_group(self, group: Group, width: int | None) -> None:
        out = self._streams.out
        if group.is_failure:
            for failure, names in group.reasons().items():
                lead = f"{' '.join(names)}: " if len(names) < len(group.answers) else ""
                out.line(paragraph(lead + failure.message, INDENT, width=width))
                if failure.hint:
                    out.line(paragraph(failure.hint, INDENT * 2, width=width))
            return
        text = group.difference or _whole_text(group.run, width)
        for line in _lines(text):
            out.line(INDENT + line)

    def _notes(self, groups: Sequence[Group]) -> Iterable[str]:
        """Yield what the user should know about comparing them."""
        if others := other_texts(self.answers):
            yield f"not the same text ran everywhere: another one on {', '.join(sorted(others, key=self._names.index))}"
        noted: dict[str, list[str]] = {}
        for answer in (answer for group in groups for answer in group.answers):
            for note in (answer.run.note, answer.run.unrecorded) if answer.run is not None else ():
                if note:
                    noted.setdefault(note, []).append(answer.gateway)
        yield from (f"{' '.join(names)}: {note}" for note, names in noted.items())

    def _as_json(self, name: str, groups: Sequence[Group], code: int) -> dict[str, object]:
        group_of = {gateway: number for number, group in enumerate(groups) for gateway in group.names}
        answers = sorted(self.answers, key=lambda answer: self._names.index(answer.gateway))
        return {
            "name": name,
            "on": self._invocation.on,
            "exit_code": code,
            "summary": summary(groups),
            "groups": [
                {"label": group.label, "gateways": group.names, "difference": group.difference} for group in groups
            ],
            "answers": [
                {
                    "gateway": answer.gateway,
                    "group": group_of[answer.gateway],
                    "seconds": round(answer.seconds, 6),
                    "exit_code": _exit_code(answer),
                    "run_id": answer.run_id,
                    "run": None if answer.run is None else _run_json(answer.run),
                    "failure": failures.as_json(answer.failure),
                }
                for answer in answers
            ],
        }


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text one at a time: a list of them would take many times what the text takes."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin)
        end = len(text) if end < 0 else end
        yield text[begin:end]
        begin = end + 1


def _in_a_line(answer: Answer) -> str:
    """Say how one gateway's run ended, or why there is none."""
    if answer.failure is not None:
        return f"{answer.failure.kind}  {answer.failure.message}"
    run = answer.run
    if run is None:
        return ""
    took = "" if run.duration is None else f"  {duration(run.duration)}"
    lines = answer_text(run)[-LAST:].splitlines()
    last = "" if not lines else f"  {run.result if run.has_value and run.value is not None else lines[-1]}"
    return f"{run.outcome}{took}{last}"


def _whole_text(run: RunInfo | None, width: int | None) -> str:
    """Return the answer of a group, as one run's would be shown."""
    if run is None:
        return ""
    parts = [run.output, run.stderr, run.traceback]
    text = "".join(part if part.endswith("\n") else f"{part}\n" for part in parts if part)
    room = width - len(INDENT) if width is not None else 0
    result = result_lines(run, room, room) if width is not None else [run.result or ""]
    if run.has_value and run.value is None:
        result = []
    text += "".join(f"{line}\n" for line in result if line)
    text += "".join(f"file {file.name}: {file.size:,} bytes\n" for file in run.files)
    return text if run.outcome is Outcome.OK else f"{text}{ending(run)}\n"


def _exit_code(answer: Answer) -> int:
    if answer.failure is None:
        return exit_codes.of_outcome(None if answer.run is None else answer.run.outcome)
    return failures.exit_code(answer.failure)


def _run_json(run: RunInfo) -> dict[str, object]:
    """Return the record with every field, and its output, as for one run."""
    record = msgspec.structs.asdict(run)
    del record["output"]
    return {**record, "stdout": run.output or "", "stderr": run.stderr or ""}


def _unreadable(sentence: str) -> CommandError:
    return CommandError(sentence, exit_code=exit_codes.USAGE, code="unreadable")

"""The output tab: a line that says which run, its output as it comes, then its result and traceback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget

from engine.models.runs import Mode, OutputChunk, RunInfo, Stream
from tui.actions import Scope, action, bindings
from tui.text.formats import clock, progress_text, size
from tui.text.isolation import run_isolation
from tui.text.labels import granted
from tui.text.results import INDENT, SHORT, result_lines
from tui.text.sanitise import sanitise_line
from tui.text.wrapping import INDENT as WRAP_INDENT
from tui.text.wrapping import line_starts
from tui.widgets.output_view import OutputView
from tui.widgets.task_pane import state_text, time_text

ONE_LINE = 60
"""Characters of a result that are shown on one line."""

NAMED_FILES = 2
"""Files of a run that the line above its output names."""

HEAD_LINES = 3
"""Lines of the screen that each of the two above the output may take; what is more is cut with a mark."""

NOTHING_YET = "No run yet. F5 runs the script in the editor; ^O opens another one."


class _HeadLine(Widget):
    """A line above the output, wrapped by words where it does not fit."""

    def __init__(self, text: Text, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._text = text

    def show(self, text: Text) -> None:
        """Show this text in place of the one before."""
        width = self.size.width
        before, self._text = len(self._lines(width)), text
        self.refresh(layout=len(self._lines(width)) != before)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        return len(self._lines(width))

    def render(self) -> Text:
        return Text("\n", no_wrap=True, overflow="ellipsis").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Text]:
        starts = line_starts(self._text.plain, width - 1)[:HEAD_LINES]
        first, *more = self._text.divide(starts[1:])
        for line in more[:-1]:
            line.rstrip()
        return [first, *(Text(" " * (WRAP_INDENT + 1)).append_text(line) for line in more)]


class OutputPane(Vertical):
    """Shows the run that the follower hands it.

    Args:
        folder: For the spool file.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.OUTPUT)

    @dataclass
    class Following(Message):
        """The run on show goes on, or does not any more."""

        running: bool

    @dataclass
    class SaveRequested(Message):
        """The user wants the files that the run on show left."""

        run: RunInfo | None

    @dataclass
    class ExplanationRequested(Message):
        """The user wants the assistant to explain why the run on show failed."""

        run: RunInfo | None

    @dataclass
    class ProposalRequested(Message):
        """The user wants the assistant to propose a change of the script; the run on show may tell why."""

        run: RunInfo | None

    _ticker: Timer | None = None
    _run: RunInfo | None = None
    _refusal = ""
    _printed = False
    _folded: tuple[str, ...] = ()
    """The lines of a result that is not shown yet."""

    def __init__(self, folder: Path, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._view = OutputView(folder)
        self._line = _HeadLine(Text(f" {NOTHING_YET}", "dim"), id="run-line")
        self._detail = _HeadLine(Text(), id="run-detail")

    def compose(self) -> ComposeResult:
        yield self._line
        yield self._detail
        yield self._view

    def on_mount(self) -> None:
        self._ticker = self.set_interval(1.0, self._refresh_line, pause=True)
        self._detail.display = False

    def show_refusal(self, sentence: str) -> None:
        """Say in place of the head line why the engine does not let this client in; empty: it does."""
        before, self._refusal = self._refusal, sanitise_line(sentence)
        if self._refusal:
            self._line.show(Text(f" {self._refusal}", self._danger))
        elif before:
            self._line.show(Text(f" {NOTHING_YET}", "dim"))
            self._refresh_line()

    def show_host(self, sentence: str) -> None:
        """What to know of this host before the first run."""
        if self._run is None:
            text = Text(f" {NOTHING_YET}", "dim") if not sentence else Text(f" {sentence}", self._danger)
            self._line.show(text)

    # What the follower says.

    def begin(self) -> None:
        self._run = None
        self._printed, self._folded = False, ()
        self._detail.display = False
        self._view.clear()

    def show_run(self, run: RunInfo) -> None:
        self._run = run
        self._refresh_line()
        finished = run.state == "finished"
        self.post_message(self.Following(not finished))
        if self._ticker is not None:
            (self._ticker.pause if finished else self._ticker.resume)()
        if finished:
            self._show_ending(run)

    def show_output(self, chunks: list[OutputChunk]) -> None:
        for chunk in chunks:
            self._printed |= chunk.stream is Stream.STDOUT
            self._view.feed(chunk.text, chunk.stream)

    def show_problem(self, sentence: str) -> None:
        self._view.finish(sanitise_line(sentence))

    # Actions.

    def action_copy_output(self) -> None:
        if self._view.copy_selection() is None:
            self._view.copy_all()

    def action_clear_output(self) -> None:
        self._view.clear()

    def action_show_result(self) -> None:
        lines, self._folded = self._folded, ()
        if lines:
            self._view.show_result("\n".join(lines), go_there=True)
        else:
            self.notify("Nothing of a result is left to show.")

    def action_save_files(self) -> None:
        self.post_message(self.SaveRequested(self._run))

    def action_explain_run(self) -> None:
        self.post_message(self.ExplanationRequested(self._run))

    def action_propose_change(self) -> None:
        self.post_message(self.ProposalRequested(self._run))

    def _show_ending(self, run: RunInfo) -> None:
        """Everything that came with the end of the run, then a line that says that this was all.

        A report that the script printed stays in view: its result, mostly the same as data, is shown on demand.
        """
        self._show_error(run)
        if run.unrecorded:
            self._view.finish(f"- {sanitise_line(run.unrecorded)} -")
        elif not run.output_complete:
            self._view.finish("- not all of the output is kept -")
        result = result_lines(run, ONE_LINE)
        lines = ("result:", *(INDENT + line for line in result)) if len(result) > 1 else ()
        if self._printed and len(result) > SHORT:
            self._folded = lines
        elif lines:
            self._view.show_result("\n".join(lines))
        elif any(result):
            self._view.show_result(f"result: {result[0]}")
        if run.note:
            self._view.finish(f"note: {run.note}")
        self._view.finish(f"- {'; '.join(('end of output', *self._more()))} -")

    def _more(self) -> Iterator[str]:
        """Say how to see what is not in view."""
        there = "" if self.has_focus_within else f"{action('focus_panel').key} "  # which else goes to the next tab
        if self._folded:
            yield f"result: {len(self._folded) - 1} lines, {there}{action('show_result').key} shows it"
        if self._view.is_taller and not any(widget.has_class("-zoomed") for widget in self.ancestors):
            yield f"{there}{action('zoom').key} makes room"

    def _show_error(self, run: RunInfo) -> None:
        """The traceback as it is, but for the lines that say what went wrong and what to do: those are sentences."""
        error = run.error
        sentences = [] if error is None else [f"{error.type}: {error.message}", *filter(None, [error.hint])]
        if not run.traceback:
            for sentence in sentences:
                self._view.tell_error(sentence)
            return
        for line in run.traceback.removesuffix("\n").split("\n"):
            if line.lstrip(" |") in sentences:  # in front of those of an exception group Python draws a frame
                self._view.tell_error(line)
            else:
                self._view.feed(f"{line}\n", "stderr")

    def _refresh_line(self) -> None:
        if self._refusal:
            return
        if self._run is not None:
            self._line.show(run_line(self._run, self._danger))
            detail = run_detail(self._run)
            self._detail.show(Text(f" {detail}"))
            self._detail.display = bool(detail)

    @property
    def _danger(self) -> str:
        return self.app.current_theme.error or "red"


def run_line(run: RunInfo, danger: str) -> Text:
    """``#41 defaults/log_digest.py  ok  0.8 ms  RESTRICTED full  alice  12:04:31``."""
    state = str(run.state) if run.progress else state_text(run)
    bad = run.outcome is not None and run.outcome != "ok"
    line = Text()
    line.append(f" #{run.id} {sanitise_line(run.name)}  ", "bold")
    line.append(state, f"bold {danger}" if bad else "bold")
    reason = run.queue_reason if run.state == "queued" else None
    at = clock(run.finished_at or run.started_at or run.queued_at)
    progress = progress_text(run.progress) if run.progress else None
    for part in (reason, time_text(run), progress):
        line.append(f"  {sanitise_line(part)}" if part else "")
    line.append(f"  {sanitise_line(run_isolation(run))}", f"bold {danger}" if run.mode is Mode.ADMIN else "")
    line.append(f"  {sanitise_line(run.actor)}  {at}")
    return line


def run_detail(run: RunInfo) -> str:
    """What is not on record, what it left, what it was given: ``files: a.csv 12.0 KiB, s saves   read /var/log/x``."""
    parts = []
    if run.unrecorded:
        parts.append(sanitise_line(run.unrecorded))
    if run.files:
        names = [f"{sanitise_line(file.name)} {size(file.size)}" for file in run.files[:NAMED_FILES]]
        more = len(run.files) - NAMED_FILES
        names += [f"{more} more"] if more > 0 else []
        parts.append(f"files: {', '.join(names)}, {action('save_files').key} saves")
    if held := [buffer for buffer in run.buffers if buffer.name not in {file.name for file in run.files}]:
        names = [f"{sanitise_line(buffer.name)} {size(buffer.size)}" for buffer in held[:NAMED_FILES]]
        more = len(held) - NAMED_FILES
        names += [f"{more} more"] if more > 0 else []
        parts.append(f"buffers: {', '.join(names)}, for ten minutes: gatewright runs buffers {run.id}")
    if run.grants:
        parts.append(", ".join(sanitise_line(" ".join(granted(grant))) for grant in run.grants))
    return "   ".join(parts)

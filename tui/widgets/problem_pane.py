"""The problems tab: what is wrong with the text in the editor; Enter goes there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message

from tui.actions import Scope, bindings
from tui.text.sanitise import sanitise_line
from tui.widgets.row_list import Row, RowList

if TYPE_CHECKING:
    from engine.models.checks import CheckProblem

NOTHING_YET = "Nothing is checked yet."
NO_PROBLEMS = "No problems found."

_LEAST_ROOM = 20


class ProblemPane(Vertical):
    """A line for each problem, errors first; a long sentence goes on below its place."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.PROBLEMS)

    @dataclass
    class JumpRequested(Message):
        """The user wants to see a place: row and column from 0."""

        row: int
        column: int

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._problems: Sequence[CheckProblem] = ()
        self._rows = RowList(empty=NOTHING_YET)

    def compose(self) -> ComposeResult:
        yield self._rows

    @property
    def count(self) -> int:
        return len(self._problems)

    def show(self, problems: Iterable[CheckProblem]) -> None:
        """Show these problems in place of the previous ones."""
        self._problems = sorted(problems, key=_place)
        self._rows.set_empty(NO_PROBLEMS)
        self._lay_out()

    def show_unchecked(self, sentence: str) -> None:
        """Say why there is nothing to show."""
        self._problems = ()
        self._rows.set_empty(sanitise_line(sentence))
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def action_open_problem(self) -> None:
        self._rows.action_choose()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        problem = self._problems[int(event.key.partition(".")[0])]
        self.post_message(self.JumpRequested(max(0, problem.line - 1), max(0, problem.column)))

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()

    def _lay_out(self) -> None:
        width = (self.size.width or self.app.size.width) - 2
        self._rows.set_rows([row for i, problem in enumerate(self._problems) for row in _lines(i, problem, width)])


def _place(problem: CheckProblem) -> tuple[bool, int, int]:
    return problem.severity != "error", problem.line, problem.column


def _lines(number: int, problem: CheckProblem, width: int) -> Iterable[Row]:
    """Columns are shown from 1, as compilers do."""
    lead = f" {f'{problem.line}:{problem.column + 1}':<7} {sanitise_line(problem.severity):<8} "
    wrapped = textwrap.wrap(sanitise_line(problem.message), max(_LEAST_ROOM, width - len(lead))) or [""]
    tone = "danger" if problem.severity == "error" else ""
    for index, line in enumerate(wrapped):
        yield Row(f"{number}.{index}", (" " * len(lead) if index else lead) + line, tone=tone)

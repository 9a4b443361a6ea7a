"""One script on many gateways: answers as they come, equal ones as one row, and where the others differ."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer
from textual.widgets import Static

from engine.client.client import EngineClient
from engine.client.fleet import Answer, FleetRun
from engine.client.starter import LaunchError
from tui.actions import Scope, bindings, footer_hints
from tui.background import in_background, in_place_of_the_last
from tui.connection import problems_told
from tui.screens.dialogs import Choice, ChoiceScreen
from tui.screens.evidence import save_evidence
from tui.screens.full_screen import FullScreen
from tui.text.fleet_answers import Group, answer_text, grouped, other_texts, summary
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.widgets.diff_rows import unified_rows
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import Row, RowList

_COLUMNS = (Column("", 1), Column("answer", 18), Column("gateways"), Column("begins with"))

WAITING = "waiting"
"""Key of the row of gateways that have not answered yet."""

SHOWN_LINES, SHOWN_TEXT = 5_000, 1 << 20
"""Lines of one answer that the screen shows, and characters in all; the run history of its gateway has all."""

BEGINS = 4096
"""Characters of an answer that its first line is looked for in."""


class FleetRunScreen(FullScreen[None]):
    """The screen.

    Args:
        script: What runs.
        on: The gateways, as the user named them.
        names: Of the gateways, in their order.
        start: Makes the run on some of them.
        connect: Connects to one of them.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.FLEET_RUN)

    def __init__(
        self,
        script: str,
        on: str,
        names: Sequence[str],
        start: Callable[[Sequence[str]], FleetRun],
        connect: Callable[[str], Awaitable[EngineClient]],
    ) -> None:
        super().__init__()
        self._script = script
        self._on = on
        self._names = names
        self._start = start
        self._connect = connect
        self._answers: dict[str, Answer] = {}
        self._going_on: list[FleetRun] = []
        self._groups: list[Group] = []
        self._marked: set[str] = set()
        self._whole = False
        self._looked_at = ""
        self._began = time.monotonic()
        self._took = 0.0
        self._ticker: Timer | None = None
        self._heading = Static("", id="fleet-heading", markup=False)
        self._table = LiveTable(_COLUMNS, empty="", id="fleet-groups")
        self._note = Static("", id="fleet-note", markup=False)
        self._text = RowList(id="fleet-text")

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._table
        yield self._note
        yield self._text
        yield KeyHints(footer_hints(Scope.FLEET_RUN))
        yield self.too_small

    def on_mount(self) -> None:
        self._note.display = False
        self.set_focus(self.query_one("#fleet-groups RowList"))
        self._ticker = self.set_interval(1.0, self._tick, pause=True)
        self._run_on(self._names)

    # Running.

    def _run_on(self, names: Sequence[str]) -> None:
        for name in names:
            self._answers.pop(name, None)
        if not self._going_on:
            self._began = time.monotonic()
        fleet = self._start(names)
        self._going_on.append(fleet)
        if self._ticker is not None:
            self._ticker.resume()
        in_background(self, "fleet", self._follow, fleet)
        self._regroup()

    async def _follow(self, fleet: FleetRun) -> None:
        async for answer in fleet.answers():
            self._answers[answer.gateway] = answer
            self._took = time.monotonic() - self._began
            self._regroup()
        self._going_on.remove(fleet)
        if not self._going_on and self._ticker is not None:
            self._ticker.pause()
        self._regroup()

    def _regroup(self) -> None:
        in_place_of_the_last(self, "groups", self._show_groups)

    async def _show_groups(self) -> None:
        """Group the answers in a thread: comparing what many wrote takes time."""
        answers = [self._answers[name] for name in self._names if name in self._answers]
        self._groups = await asyncio.to_thread(grouped, answers, self._names)
        rows = [self._row(group) for group in self._groups]
        if waiting := self._waiting:
            label = f"waiting ({len(waiting)})"
            rows.append(TableRow(WAITING, ("", label, sanitise_line(" ".join(waiting)), ""), "dim"))
        self._table.show_rows(rows, cursor=self._cursor_row(rows))
        self._table.styles.height = min(len(rows) + 2, max(4, self.size.height // 2))
        self._tick()
        note = "" if not (others := other_texts(answers)) else f"another text of it ran on {', '.join(others)}"
        if note:
            self._tell(note)
        else:
            self._note.display = False
        await self._show_text()

    # Actions.

    def action_fleet_differences(self) -> None:
        self._look(whole=False)

    def action_fleet_output(self) -> None:
        self._look(whole=True)

    def _look(self, *, whole: bool) -> None:
        self._whole = whole
        self.set_focus(self._text)
        in_place_of_the_last(self, "text", self._show_text)

    def action_mark_group(self) -> None:
        if (group := self._group) is not None:
            names = set(group.names)
            self._marked = self._marked - names if names <= self._marked else self._marked | names
            self._regroup()

    def action_run_again(self) -> None:
        """Run it again on the marked ones, else on those of the row under the cursor."""
        group = self._group
        names = self._marked or set() if group is None else self._marked or set(group.names)
        again = [name for name in self._names if name in names and name not in self._waiting]
        if not again:
            self.notify_error("No gateway is marked that has answered.")
            return
        self._marked.clear()
        self._run_on(again)

    def action_stop_fleet(self) -> None:
        for fleet in self._going_on:
            fleet.cancel()

    def action_fleet_evidence(self) -> None:
        group = self._group
        answer = next((one for one in group.answers if one.run_id is not None), None) if group is not None else None
        if answer is None or answer.run_id is None:
            self.notify_error("No run began on the gateways of this row.")
        else:
            in_background(self, "evidence", self._write_evidence, answer.gateway, answer.run_id)

    async def _write_evidence(self, gateway: str, run_id: int) -> None:
        with problems_told(self.notify_error):
            try:
                client = await self._connect(gateway)
            except LaunchError as error:
                self.notify_error(f"{error.message} {error.hint or ''}".rstrip())
                return
            try:
                await save_evidence(self.app, client, run_id, self._tell, gateway=gateway)
            finally:
                await client.close()

    def _tell(self, text: str) -> None:
        self._note.update(f" {sanitise_line(text)}")
        self._note.display = True

    def action_leave_fleet(self) -> None:
        if self._text.has_focus:
            self.set_focus(self.query_one("#fleet-groups RowList"))
        elif not self._going_on:
            self.dismiss(None)
        else:
            in_background(self, "leave", self._ask_to_leave)

    async def _ask_to_leave(self) -> None:
        answers = [
            Choice("s", "stop it everywhere and wait for what becomes of it"),
            Choice("l", "leave it; the gateways' run histories have what comes of it"),
        ]
        waiting = ", ".join(self._waiting)
        answer = await self.app.push_screen_wait(
            ChoiceScreen(f"It goes on at {waiting}", answers, "back to the answers")
        )
        if answer == "s":
            self.action_stop_fleet()
        elif answer == "l":
            self.dismiss(None)

    @on(RowList.Moved, "#fleet-groups RowList")
    def _moved(self) -> None:
        self._whole = False
        self._looked_at = self._group.names[0] if self._group is not None else ""
        in_place_of_the_last(self, "text", self._show_text)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        if event.row_list is not self._text:
            self.action_fleet_differences()

    # Showing.

    @property
    def _waiting(self) -> list[str]:
        return [name for name in self._names if name not in self._answers]

    def _cursor_row(self, rows: Sequence[TableRow]) -> str:
        """Return the key of the row of the gateway that the user looks at, whatever it answered; else of the first."""
        at = next((_key(group) for group in self._groups if self._looked_at in group.names), "")
        return at or (WAITING if self._looked_at in self._waiting else rows[0].key)

    @property
    def _group(self) -> Group | None:
        """The one under the cursor."""
        return next((group for group in self._groups if _key(group) == self._table.current), None)

    def _row(self, group: Group) -> TableRow:
        mark = "x" if set(group.names) <= self._marked else ""
        failed = group.is_failure or (group.run is not None and group.run.outcome != "ok")
        tone = "danger" if failed else "accent" if group.difference else ""
        label = f"{group.label} ({len(group.answers)})"
        cells = (mark, label, " ".join(group.names), _first_line(group))
        return TableRow(_key(group), tuple(map(sanitise_line, cells)), tone)

    def _tick(self) -> None:
        took = time.monotonic() - self._began if self._going_on else self._took
        count = f"{len(self._names)} gateway{'' if len(self._names) == 1 else 's'}"
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f" run {sanitise_line(self._script)} on {sanitise_line(self._on)}", "bold")
        text.append(f"   {count}   {summary(self._groups) or 'no answer yet'}   {took:.0f} s")
        self._heading.update(text)

    async def _show_text(self) -> None:
        group = self._group
        if group is None:
            self._text.set_rows([])
            return
        width = max(20, self._text.size.width - 2)
        whole = self._whole
        self._text.set_rows(await asyncio.to_thread(lambda: list(_text_rows(group, width, whole=whole))))


def _key(group: Group) -> str:
    return f"{group.label} {group.names[0]}"


def _first_line(group: Group) -> str:
    """Return what tells most of a group in a line."""
    answer = group.answers[0]
    if answer.failure is not None:
        return answer.failure.message
    run = answer.run
    if run is None:
        return ""
    if run.has_value and run.value is not None and run.result is not None:
        return run.result
    return next(iter(answer_text(run)[:BEGINS].splitlines()), "no output")


def _text_rows(group: Group, width: int, *, whole: bool) -> Iterable[Row]:
    """Yield the lines of a group: its failures, its difference from the first group, or the answer itself."""
    if group.is_failure:
        for answer in group.answers:
            if (failure := answer.failure) is not None:
                yield Row(answer.gateway, f" {sanitise_line(answer.gateway)}", tone="accent")
                for number, sentence in enumerate(filter(None, (failure.message, failure.hint))):
                    yield from _wrapped(sentence, width, f"{answer.gateway}.{number}")
        return
    if group.difference and not whole:
        yield from unified_rows(group.difference, width)
        return
    yield Row("of", f" answer of {sanitise_line(group.names[0])}", tone="dim")
    text = answer_text(group.run)
    shown = text[:SHOWN_TEXT].splitlines()[:SHOWN_LINES]
    for number, line in enumerate(shown):
        yield from _wrapped(line, width, str(number))
    more = text.count("\n") + (not text.endswith("\n")) - len(shown) if text else 0
    if more > 0 or len(text) > SHOWN_TEXT:
        told = f" and {more:,} more lines" if more > 0 else " and more"
        yield Row("more", f"{told}, in the run history of that gateway", tone="dim")


def _wrapped(line: str, width: int, key: str) -> Iterable[Row]:
    from rich.cells import chop_cells

    for part, piece in enumerate(chop_cells(sanitise_code(line), width) or [""]):
        yield Row(f"{key}.{part}", f" {piece}")
